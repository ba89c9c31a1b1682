"""`sqdr-qiskit infer`: what pictures show, by a trained network."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.hardware import (
    CeilingOption,
    DecouplingOption,
    ExecutionsOption,
    MaxExecutionOption,
    ModeOption,
    OutOption,
    ResilienceOption,
    ResumeOption,
    TagsOption,
    TwirlingOption,
)
from sqdr_qiskit.cli.options import (
    BackendOption,
    DataDirOption,
    DeviceOption,
    LayoutOption,
    NoiseOption,
    ShotsOption,
    download_progress,
    typed_command,
)
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs import Answer, Chosen
    from sqdr_qiskit.specs.job import JobSpec

__all__ = ["infer"]


def infer(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            help="A checkpoint file, a run's folder, or a pretrained one's name. [default: the newest "
            "finished run, "
            "else a pretrained one]"
        ),
    ] = None,
    pictures: Annotated[
        list[str] | None, typer.Argument(help="More pictures, after --input A.", metavar="[PICTURE]...")
    ] = None,
    *,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="A picture of any size and mode; several may follow.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Classify held-out images of this data set. [default: the checkpoint's own]"),
    ] = None,
    data_dir: DataDirOption = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many of the held-out images, class-balanced.", min=1)
    ] = None,
    backend: BackendOption = "exact",
    noise: NoiseOption = None,
    shots: ShotsOption = None,
    layout: LayoutOption = None,
    seed: Annotated[
        int | None, typer.Option(help="Chooses the images that --limit takes, and shots. [default: 0]", min=0)
    ] = None,
    device: DeviceOption = "cpu",
    mode: ModeOption = None,
    resilience: ResilienceOption = None,
    dynamical_decoupling: DecouplingOption = None,
    twirling: TwirlingOption = None,
    max_execution_s: MaxExecutionOption = None,
    job_tags: TagsOption = None,
    max_qpu_seconds: CeilingOption = None,
    max_executions: ExecutionsOption = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what pictures show: the class and every class's probability.

    With no picture and no data set named, a few held-out images of the checkpoint's own data set.

    On a quantum computer (--backend ibm_<device> or least_busy) the run has a folder with a ledger of its
    jobs: cut short at any moment, --resume FOLDER goes on without sending anything twice.
    """
    here = dict(locals())
    from sqdr_qiskit.jobs import choose_checkpoint, infer_dataset, infer_files
    from sqdr_qiskit.jobs.hardware import has_ledger
    from sqdr_qiskit.jobs.use import A_FEW
    from sqdr_qiskit.specs.job import JobSpec

    if as_csv and as_json:
        raise ArgumentError("Option `--csv` must be left out with --json, but both are given.")
    if resume is not None:
        _show(*_resumed(resume, here), as_csv=as_csv, as_json=as_json)
        return
    checkpoint, files = _sorted_out(checkpoint, pictures or [], inputs or [])
    _refuse(files, dataset=dataset, data_dir=data_dir, limit=limit)
    chosen = choose_checkpoint(checkpoint, dataset=dataset)
    job = JobSpec(
        task="infer",
        dataset=dataset or str(chosen.checkpoint.dataset.get("name", "digits")),
        data_dir=data_dir,
        limit=limit if limit is not None or dataset is not None else A_FEW,
        backend=backend,
        noise=noise,
        shots=shots,
        layout=layout,
        seed=seed or 0,
        device=device,
        mode=mode,
        resilience=resilience,
        dynamical_decoupling=dynamical_decoupling,
        twirling=twirling,
        max_execution_s=max_execution_s,
        job_tags=job_tags,
        max_qpu_seconds=max_qpu_seconds,
        max_executions=max_executions,
    )
    if not as_json:
        print_note(chosen.title)
    if has_ledger(job):
        answers, folder = _on_hardware(job, chosen, files, folder=out, resume=False)
        _show(job, chosen, answers, folder, as_csv=as_csv, as_json=as_json)
        return
    with Progress("classifying", unit="images") as bar:
        if out is not None:
            answers = _kept(job, chosen, files, out, bar)
            _show(job, chosen, answers, out, as_csv=as_csv, as_json=as_json)
            return
        answers = (
            infer_files(chosen, files, job, progress=bar.update)
            if files
            else infer_dataset(chosen, job, progress=bar.update, download_progress=download_progress())
        )
    _show(job, chosen, answers, None, as_csv=as_csv, as_json=as_json)


def _show(
    job: JobSpec, chosen: Chosen, answers: list[Answer], folder: Path | None, *, as_csv: bool, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "checkpoint": str(chosen.path),
                "chosen": chosen.why,
                "circuit": chosen.checkpoint.settings.circuit.name,
                "backend": job.backend,
                "answers": [answer.to_dict() for answer in answers],
                **({} if folder is None else {"folder": str(folder)}),
            }
        )
    elif as_csv:
        print_text(_csv(answers).rstrip("\n"))
    else:
        print_text(_table(answers))


def _on_hardware(
    job: JobSpec, chosen: Chosen, files: Sequence[str], *, folder: Path | None, resume: bool
) -> tuple[list[Answer], Path]:
    """Classify on a quantum computer, or in its rehearsal under a ceiling, with a folder."""
    from sqdr_qiskit.cli.waiting import on_hardware
    from sqdr_qiskit.jobs.inference import carry_out_inference

    with on_hardware(job.backend) as hardware:
        run = carry_out_inference(
            job,
            chosen,
            files,
            hardware=hardware,
            folder=folder,
            resume=resume,
            command=typed_command(),
            started=lambda path: print_note(f"run {path} on {job.backend}"),
            download_progress=download_progress(),
        )
    results = run.record.results
    if "rehearsal" in results:
        plan = results["rehearsal"]
        print_note(
            f"{job.backend} would have taken {plan['jobs']} jobs, {plan['executions']:,} executions, about "
            f"{plan['planned_s']:.1f} s of quantum time; in {run.folder}"
        )
        return list(run.answers), run.folder
    facts = results["hardware"]
    print_note(
        f"{len(facts['jobs'])} jobs on {facts['device']} (calibrated {facts['calibrated']}): "
        f"{facts['used_s']:.1f} s of quantum time used, {facts['planned_s']:.1f} s planned; in {run.folder}"
    )
    return list(run.answers), run.folder


def _kept(job: JobSpec, chosen: Chosen, files: Sequence[str], folder: Path, bar: Progress) -> list[Answer]:
    """Classify on this machine, and keep the answers."""
    from sqdr_qiskit.jobs.inference import carry_out_inference

    run = carry_out_inference(
        job,
        chosen,
        files,
        folder=folder,
        command=typed_command(),
        progress=bar.update,
        download_progress=download_progress(),
    )
    return list(run.answers)


def _resumed(folder: Path, here: dict[str, Any]) -> tuple[JobSpec, Chosen, list[Answer], Path]:
    """Go on with an inference that has a ledger, with what it was started with."""
    from sqdr_qiskit.jobs.hardware import CEILINGS, has_ledger
    from sqdr_qiskit.jobs.inference import inference_of_run

    usual = {"backend": "exact", "device": "cpu"}
    for name, value in here.items():
        if name not in ("resume", "as_csv", "as_json", *CEILINGS) and value not in (
            None,
            [],
            usual.get(name),
        ):
            option = "CHECKPOINT" if name == "checkpoint" else "--" + name.replace("_", "-")
            raise ArgumentError(
                f"Option `{option}` must be left out with --resume, which goes on with what the run was "
                "started with."
            )
    job, chosen, files = inference_of_run(folder)
    ceilings = {name: here[name] for name in CEILINGS if here[name] is not None}
    job = replace(job, **ceilings)  # the one thing that may change on the way
    if job.task != "infer":
        raise ArgumentError(
            f"Option `--resume` must name an inference, but {str(folder)!r} holds a run of task {job.task}."
        )
    if not has_ledger(job):
        raise ArgumentError(
            f"Option `--resume` must name a run on a quantum computer, or its rehearsal under a ceiling, but "
            f"{str(folder)!r} ran on {job.backend}; start it anew."
        )
    return job, chosen, *_on_hardware(job, chosen, files, folder=folder, resume=True)


def _sorted_out(
    checkpoint: str | None, pictures: list[str], inputs: list[str]
) -> tuple[str | None, list[str]]:
    """Checkpoint and pictures of a command line.

    `infer --input a.png b.png` hands b.png over as the first argument, which otherwise is the checkpoint:
    with --input, an argument is the checkpoint only if it is no picture.
    """
    words = [word for word in (checkpoint, *pictures) if word is not None]
    if not inputs:
        if pictures:
            raise ArgumentError(f"Argument `{pictures[0]}` must follow --input, but there is none.")
        return checkpoint, []
    checkpoints = [word for word in words[:1] if not _is_picture(word)]
    return (checkpoints[0] if checkpoints else None), [*inputs, *words[len(checkpoints) :]]


def _is_picture(word: str) -> bool:
    from pathlib import Path

    path = Path(word)
    return path.suffix.lower() not in ("", ".safetensors") and not path.is_dir()


def _refuse(files: list[str], **options: object) -> None:
    for name, value in options.items():
        if files and value is not None:
            option = "--" + name.replace("_", "-")
            raise ArgumentError(f"Option `{option}` must be left out with --input, where it has no effect.")


def _csv(answers: list[Answer]) -> str:
    known = any(answer.truth is not None for answer in answers)
    names = list(answers[0].probabilities)
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(
        ["image", "class", "probability", *(["truth"] if known else []), *(f"p({n})" for n in names)]
    )
    for answer in answers:
        chances = [f"{answer.probabilities[name]:.6f}" for name in names]
        truth = [answer.truth] if known else []
        writer.writerow([answer.image, answer.label, f"{answer.probability:.6f}", *truth, *chances])
    return page.getvalue()


def _table(answers: list[Answer]) -> str:
    from sqdr_qiskit.reports import Table

    known = any(answer.truth is not None for answer in answers)
    rows = tuple(
        (
            answer.image,
            answer.label,
            f"{100 * answer.probability:.1f} %",
            *([str(answer.truth), "" if answer.truth == answer.label else "wrong"] if known else []),
        )
        for answer in answers
    )
    headers = ("image", "class", "probability", *(("truth", "") if known else ()))
    text = Table(headers, rows, frozenset({2})).text().rstrip()
    if known:
        right = sum(answer.truth == answer.label for answer in answers)
        text += f"\n{right} of {len(answers)} right"
    return text
