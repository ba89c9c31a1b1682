"""`sqdr-qiskit evaluate` and `infer`: a trained network on held-out images, and on pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import (
    JsonOption,
    Progress,
    download_progress,
    going_on,
    on_hardware,
    print_json,
    print_note,
    print_text,
)
from sqdr_qiskit.cli.options import (
    Given,
    OutOption,
    ResumeOption,
    job_options,
    resumed_job,
    typed_command,
)
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.job import JobSpec, parse_sweep

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.inference import Answer, InferredRun
    from sqdr_qiskit.jobs.settings import Chosen

__all__ = [
    "evaluate",
    "infer",
    "infer_on_hardware",
    "perform_evaluation",
    "perform_inference",
    "require_resumable",
]


@job_options("evaluate", positional=("checkpoint",))
def evaluate(
    *,
    given: Given,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw the confusion matrix, or the sweep, into this file: .png, .pdf or .svg.",
            show_default="of a sweep noise-sweep.png in the run's folder",
        ),
    ] = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accuracy, per class and confusion of a checkpoint on held-out images; on another backend, beside exact.

    With --noise-sweep, accuracy against the strength of noise after every gate, a table and a figure. With
    --out, or in a sweep, the result is kept in a folder, for `report`.
    """
    perform_evaluation(JobSpec(task="evaluate", **given), folder=out, figure=figure, as_json=as_json)


@going_on()
def perform_evaluation(
    job: JobSpec, *, folder: Path | None, as_json: bool, figure: Path | None = None
) -> None:
    """Evaluate with progress on stderr, and print what was found."""
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.evaluation import carry_out_evaluation, evaluate_checkpoint
    from sqdr_qiskit.jobs.settings import choose_checkpoint, settled
    from sqdr_qiskit.reports.figures import MANY_CLASSES, confusion_figure
    from sqdr_qiskit.reports.page import require_figure_path, save_figure
    from sqdr_qiskit.reports.tables import per_class_table

    if figure is not None:
        require_figure_path(figure, argument="figure")
    chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None)
    job = settled(job, chosen)
    if not as_json:
        print_note(chosen.title)
    if job.noise_sweep is not None:
        _sweep(job, chosen, job.noise_sweep, folder=folder, figure=figure, as_json=as_json)
        return
    with Progress("evaluating", unit="images") as bar:
        shown: Any = {"progress": bar.update, "download_progress": download_progress()}
        if folder is None:
            found = evaluate_checkpoint(chosen, job, **shown)
        else:
            found = carry_out_evaluation(chosen, job, folder=folder, command=typed_command(), **shown)
    metrics, exact = found.metrics, found.exact
    title = f"{chosen.path.stem} on {found.dataset}: {metrics.n_images} test images"
    if figure is not None:
        save_figure(confusion_figure(metrics.confusion, found.class_names, title=title), figure)
    if as_json:
        print_json(
            {
                **_made_by(job, chosen),
                "dataset": found.dataset,
                "class_names": list(found.class_names),
                **metrics.to_dict(),
                **({} if exact is None else {"exact_accuracy": exact.accuracy}),
                **({} if folder is None else {"folder": str(folder)}),
            }
        )
        return
    print_text(per_class_table(metrics.confusion, found.class_names, title=title).text())
    text = _mistakes_text if len(found.class_names) > MANY_CLASSES else _confusion_text
    print_text(text(metrics.confusion.tolist(), found.class_names))
    print_text(
        f"accuracy {100 * metrics.accuracy:.2f} % on {metrics.n_images} images, loss {metrics.loss:.4f}"
    )
    if exact is not None:
        print_text(
            f"backend exact:  {100 * exact.accuracy:.2f} % on the same images, loss {exact.loss:.4f}; "
            f"{job.backend} is {100 * (metrics.accuracy - exact.accuracy):+.2f} points off"
        )
    if folder is not None:
        print_text(f"in {folder}; `sqdr-qiskit report {folder}` makes a page of it")


def _made_by(job: JobSpec, chosen: Chosen) -> dict[str, str]:
    """What every object begins with: which network answered, and where it ran."""
    return {
        "checkpoint": str(chosen.path),
        "chosen": chosen.why,
        "circuit": chosen.checkpoint.settings.circuit.name,
        "backend": job.backend,
    }


def _sweep(
    job: JobSpec, chosen: Chosen, strengths: str, *, folder: Path | None, figure: Path | None, as_json: bool
) -> None:
    from sqdr_qiskit.jobs.evaluation import SWEPT, carry_out_sweep
    from sqdr_qiskit.reports.figures import noise_sweep_figure
    from sqdr_qiskit.reports.page import save_figure
    from sqdr_qiskit.reports.tables import noise_sweep_table

    parsed, channels = parse_sweep(strengths), job.channel or SWEPT
    with Progress("sweeping noise", unit="points", total=len(parsed) * len(channels)) as bar:
        found, folder = carry_out_sweep(
            chosen,
            job,
            parsed,
            channels,
            folder=folder,
            command=typed_command(),
            progress=bar.update,
            download_progress=download_progress(),
        )
    points = [asdict(point) for point in found.points]
    title = f"{chosen.path.stem} on {found.dataset}: {found.n_images} test images, {job.backend}"
    path = figure or folder / "noise-sweep.png"
    counted = [{**point, "n_images": found.n_images} for point in points]
    drawn = noise_sweep_figure(counted, title=title, noiseless=found.noiseless, chance=1 / found.n_classes)
    save_figure(drawn, path)
    if as_json:
        print_json(
            {
                **_made_by(job, chosen),
                "dataset": found.dataset,
                "n_images": found.n_images,
                "noiseless_accuracy": found.noiseless,
                "points": points,
                "figure": str(path),
                "folder": str(folder),
            }
        )
        return
    print_text(noise_sweep_table(points, title=title).text())
    print_text(f"noiseless {100 * found.noiseless:.2f} %; figure in {path}")
    print_text(f"in {folder}; `sqdr-qiskit report {folder}` makes a page of it")


def _mistakes_text(confusion: list[list[int]], class_names: tuple[str, ...]) -> str:
    """The most frequent mistakes, where a table of all would be too wide."""
    found = [
        (count, true, taken)
        for true, row in enumerate(confusion)
        for taken, count in enumerate(row)
        if count and true != taken
    ]
    lines = [
        f"{count:>6,}  {class_names[true]} taken for {class_names[taken]}"
        for count, true, taken in sorted(found, key=lambda row: (-row[0], row[1], row[2]))[:20]
    ]
    return "\n".join(["most frequent mistakes", *(lines or ["none"])])


def _confusion_text(confusion: list[list[int]], class_names: tuple[str, ...]) -> str:
    from sqdr_qiskit.reports.tables import Table

    rows = tuple((name, *map(str, row)) for name, row in zip(class_names, confusion, strict=True))
    title = "confusion (rows: true class, columns: taken for)"
    return Table(("", *class_names), rows, frozenset(range(1, len(rows) + 1)), title).text()


# ---- infer -------------------------------------------------------------------------------------------------


@job_options("infer", positional=("checkpoint",))
def infer(
    pictures: Annotated[
        list[str] | None, typer.Argument(help="More pictures, after --input A.", metavar="PICTURE")
    ] = None,
    *,
    given: Given,
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
    if as_csv and as_json:
        raise ArgumentError("Option `--csv` must be left out with --json, but both are given.")
    given = _sorted_out(given, pictures or [])
    if resume is not None:
        job = resumed_job(resume, "infer", given, out=out)
        require_resumable(job, resume)
    else:
        job = JobSpec(task="infer", **given)
    perform_inference(job, folder=resume or out, resume=resume is not None, as_csv=as_csv, as_json=as_json)


def require_resumable(job: JobSpec, folder: Path) -> None:
    """Refuse to go on with an inference that has no ledger: it takes no longer from the beginning.

    Raises:
        ArgumentError: It has none.
    """
    from sqdr_qiskit.jobs.hardware import has_ledger

    if not has_ledger(job):
        raise ArgumentError(
            f"Option `--resume` must name a run on a quantum computer, or its rehearsal under a ceiling, but "
            f"{str(folder)!r} ran on {job.backend}; start it anew."
        )


def perform_inference(
    job: JobSpec, *, folder: Path | None, resume: bool, as_json: bool, as_csv: bool = False
) -> None:
    """Classify with progress on stderr, and print the answers.

    On a quantum computer, in its rehearsal under a ceiling, or with a folder named, the run is kept.
    """
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.hardware import has_ledger
    from sqdr_qiskit.jobs.inference import carry_out_inference, classify
    from sqdr_qiskit.jobs.settings import choose_checkpoint, settled

    chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None, pictures=bool(job.input))
    job = settled(job, chosen)
    if not as_json:
        print_note(chosen.title)
    kept = ""
    if has_ledger(job):
        run = infer_on_hardware(job, chosen, folder=folder, resume=resume)
        answers, folder = list(run.answers), run.folder
        print_note(_cost_text(job, run))
    else:
        with going_on(), Progress("classifying", unit="images") as bar:
            shown: Any = {"progress": bar.update, "download_progress": download_progress()}
            if folder is None:
                answers = classify(chosen, job, **shown)
            else:
                run = carry_out_inference(job, chosen, folder=folder, command=typed_command(), **shown)
                answers = list(run.answers)
                kept = f"run {folder}: answers.json; `sqdr-qiskit report {folder}` makes its page"
    if as_json:
        place = {} if folder is None else {"folder": str(folder)}
        print_json({**_made_by(job, chosen), "answers": [answer.to_dict() for answer in answers], **place})
        return
    print_text(_csv(answers).rstrip("\n") if as_csv else _table(answers, job.uncertain_below))
    if kept:
        print_note(kept)


def infer_on_hardware(job: JobSpec, chosen: Chosen, *, folder: Path | None, resume: bool) -> InferredRun:
    """Classify on a quantum computer, or in its rehearsal under a ceiling, with a folder."""
    from sqdr_qiskit.jobs.inference import carry_out_inference

    with on_hardware(job.backend) as hardware:
        return carry_out_inference(
            job,
            chosen,
            hardware=hardware,
            folder=folder,
            resume=resume,
            command=typed_command(),
            notice=print_note,
            started=lambda path: print_note(f"run {path} on {job.backend}"),
            download_progress=download_progress(),
        )


def _cost_text(job: JobSpec, run: InferredRun) -> str:
    results = run.record.results
    if "rehearsal" in results:
        plan = results["rehearsal"]
        return (
            f"{job.backend} would have taken {plan['jobs']} jobs, {plan['executions']:,} executions, about "
            f"{plan['planned_s']:.1f} s of quantum time; in {run.folder}"
        )
    facts = results["hardware"]
    return (
        f"{len(facts['jobs'])} jobs on {facts['device']} (calibrated {facts['calibrated']}): "
        f"{facts['used_s']:.1f} s of quantum time used, {facts['planned_s']:.1f} s planned; in {run.folder}"
    )


def _sorted_out(given: Given, pictures: list[str]) -> Given:
    """What was given, checkpoint and pictures told apart.

    `infer --input a.png b.png` hands b.png over as the first argument, which otherwise is the checkpoint:
    with --input, an argument is the checkpoint only if it is no picture.
    """
    words = [*([given["checkpoint"]] if "checkpoint" in given else []), *pictures]
    if "input" not in given:
        if pictures:
            raise ArgumentError(f"Argument `{pictures[0]}` must follow --input, but there is none.")
        return given
    checkpoints = [word for word in words[:1] if not _is_picture(word)]
    rest = {name: value for name, value in given.items() if name != "checkpoint"}
    named = {"checkpoint": checkpoints[0]} if checkpoints else {}
    return {**rest, **named, "input": (*given["input"], *words[len(checkpoints) :])}


def _is_picture(word: str) -> bool:
    path = Path(word)
    return path.suffix.lower() not in ("", ".safetensors") and not path.is_dir()


def _csv(answers: list[Answer]) -> str:
    from sqdr_qiskit.reports.tables import Table

    known = any(answer.truth is not None for answer in answers)
    names = list(answers[0].probabilities)
    headers = ("image", "class", "probability", "uncertain", *(("truth",) if known else ()))
    rows = tuple(
        (
            answer.image,
            answer.label,
            f"{answer.probability:.6f}",
            str(int(answer.uncertain)),
            *((answer.truth or "",) if known else ()),
            *(f"{answer.probabilities[name]:.6f}" for name in names),
        )
        for answer in answers
    )
    return Table((*headers, *(f"p({name})" for name in names)), rows).csv()


def _table(answers: list[Answer], threshold: float) -> str:
    from sqdr_qiskit.reports.tables import Table

    known = any(answer.truth is not None for answer in answers)
    rows = tuple(
        (
            answer.image,
            answer.label,
            f"{100 * answer.probability:.1f} %" + (" ?" if answer.uncertain else "  "),
            *([str(answer.truth), "" if answer.truth == answer.label else "wrong"] if known else []),
        )
        for answer in answers
    )
    headers = ("image", "class", "probability", *(("truth", "") if known else ()))
    text = Table(headers, rows, frozenset({2})).text().rstrip()
    doubtful = sum(answer.uncertain for answer in answers)
    if doubtful:
        text += f"\n{doubtful} of {len(answers)} uncertain (?): a probability below {100 * threshold:g} %"
    if known:
        right = sum(answer.truth == answer.label for answer in answers)
        text += f"\n{right} of {len(answers)} right"
    return text
