"""`sqdr-qiskit infer`: what pictures show, by a trained network."""

from __future__ import annotations
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
import typer
from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import (
    Given,
    OutOption,
    ResumeOption,
    download_progress,
    going_on,
    job_options,
    resumed_job,
    typed_command,
)
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.job import JobSpec
from typing import TYPE_CHECKING, Annotated, Any
from sqdr_qiskit.cli.options import Given, OutOption, download_progress, going_on, job_options, typed_command
from sqdr_qiskit.specs.job import JobSpec, parse_sweep

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.inference import Answer
    from sqdr_qiskit.jobs.settings import Chosen
    from sqdr_qiskit.jobs.settings import Chosen

__all__ = ['evaluate', 'infer', 'perform_evaluation', 'perform_inference', 'require_resumable']


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


def perform_evaluation(job: JobSpec, *, folder: Path | None, as_json: bool, figure: Path | None = None) -> None:
    """Evaluate with progress on stderr, and print what was found."""
    print_note("loading PyTorch and Qiskit")
    with going_on(lambda: None):
        _evaluate(job, folder=folder, as_json=as_json, figure=figure)


def _evaluate(job: JobSpec, *, folder: Path | None, as_json: bool, figure: Path | None) -> None:
    from sqdr_qiskit.jobs.evaluation import SWEPT, carry_out_evaluation, evaluate_checkpoint
    from sqdr_qiskit.jobs.settings import choose_checkpoint, settled
    from sqdr_qiskit.reports import confusion_figure, per_class_table, require_figure_path, save_figure
    from sqdr_qiskit.reports.figures import MANY_CLASSES

    if figure is not None:
        require_figure_path(figure, argument="figure")
    chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None)
    job, out = settled(job, chosen), folder
    if not as_json:
        print_note(chosen.title)
    if job.noise_sweep is not None:
        _sweep(chosen, job, job.noise_sweep, job.channel or SWEPT, figure, out, as_json=as_json)
        return
    with Progress("evaluating", unit="images") as bar:
        shown: Any = {"progress": bar.update, "download_progress": download_progress()}
        if out is None:
            found = evaluate_checkpoint(chosen, job, **shown)
        else:
            found = carry_out_evaluation(chosen, job, folder=out, command=typed_command(), **shown)
    metrics = found.metrics
    title = f"{chosen.path.stem} on {found.dataset}: {metrics.n_images} test images"
    if figure is not None:
        save_figure(confusion_figure(metrics.confusion, found.class_names, title=title), figure)
    if as_json:
        print_json(
            {
                "checkpoint": str(chosen.path),
                "chosen": chosen.why,
                "circuit": chosen.checkpoint.settings.circuit.name,
                "dataset": found.dataset,
                "backend": job.backend,
                "class_names": list(found.class_names),
                **metrics.to_dict(),
                **({} if found.exact is None else {"exact_accuracy": found.exact.accuracy}),
                **({} if out is None else {"folder": str(out)}),
            }
        )
        return
    print_text(per_class_table(metrics.confusion, found.class_names, title=title).text())
    text = _mistakes_text if len(found.class_names) > MANY_CLASSES else _confusion_text
    print_text(text(metrics.confusion.tolist(), found.class_names))
    print_text(
        f"accuracy {100 * metrics.accuracy:.2f} % on {metrics.n_images} images, loss {metrics.loss:.4f}"
    )
    if found.exact is not None:
        exact = found.exact
        print_text(
            f"backend exact:  {100 * exact.accuracy:.2f} % on the same images, loss {exact.loss:.4f}; "
            f"{job.backend} is {100 * (metrics.accuracy - exact.accuracy):+.2f} points off"
        )
    if out is not None:
        print_text(f"in {out}; `sqdr-qiskit report {out}` makes a page of it")


def _sweep(
    chosen: Chosen,
    job: JobSpec,
    text: str,
    channels: tuple[str, ...],
    figure: Path | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from sqdr_qiskit.jobs.evaluation import carry_out_sweep
    from sqdr_qiskit.reports import noise_sweep_figure, noise_sweep_table, save_figure

    strengths = parse_sweep(text)
    with Progress("sweeping noise", unit="points", total=len(strengths) * len(channels)) as bar:
        found, folder = carry_out_sweep(
            chosen,
            job,
            strengths,
            channels,
            folder=out,
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
                "checkpoint": str(chosen.path),
                "chosen": chosen.why,
                "circuit": chosen.checkpoint.settings.circuit.name,
                "dataset": found.dataset,
                "n_images": found.n_images,
                "backend": job.backend,
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
    width = max(5, *(len(name) for name in class_names), len(str(max(map(max, confusion))))) + 1
    lines = ["confusion (rows: true class, columns: taken for)"]
    lines.append(" " * width + "".join(f"{name:>{width}}" for name in class_names))
    for name, row in zip(class_names, confusion, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{width}}" for count in row))
    return "\n".join(lines) + "\n"


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


def perform_inference(job: JobSpec, *, folder: Path | None, resume: bool, as_json: bool, as_csv: bool = False) -> None:
    """Classify with progress on stderr, and print the answers.

    On a quantum computer, in its rehearsal under a ceiling, or with a folder named, the run is kept.
    """
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.hardware import has_ledger
    from sqdr_qiskit.jobs.inference import classify
    from sqdr_qiskit.jobs.settings import choose_checkpoint, settled

    chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None, pictures=bool(job.input))
    job = settled(job, chosen)
    if not as_json:
        print_note(chosen.title)
    if has_ledger(job):
        answers, place = _on_hardware(job, chosen, folder=folder, resume=resume)
        _show(job, chosen, answers, place, as_csv=as_csv, as_json=as_json)
        return
    with going_on(lambda: None), Progress("classifying", unit="images") as bar:
        if folder is not None:
            answers = _kept(job, chosen, folder, bar)
        else:
            answers = classify(chosen, job, progress=bar.update, download_progress=download_progress())
    _show(job, chosen, answers, folder, as_csv=as_csv, as_json=as_json)
    if folder is not None and not as_json:
        print_note(f"run {folder}: answers.json; `sqdr-qiskit report {folder}` makes its page")


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
        print_text(_table(answers, job.uncertain_below))


def _on_hardware(
    job: JobSpec, chosen: Chosen, *, folder: Path | None, resume: bool
) -> tuple[list[Answer], Path]:
    """Classify on a quantum computer, or in its rehearsal under a ceiling, with a folder."""
    from sqdr_qiskit.cli.console import on_hardware
    from sqdr_qiskit.jobs.inference import carry_out_inference

    with on_hardware(job.backend) as hardware:
        run = carry_out_inference(
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


def _kept(job: JobSpec, chosen: Chosen, folder: Path, bar: Progress) -> list[Answer]:
    """Classify on this machine, and keep the answers."""
    from sqdr_qiskit.jobs.inference import carry_out_inference

    run = carry_out_inference(
        job,
        chosen,
        folder=folder,
        command=typed_command(),
        progress=bar.update,
        download_progress=download_progress(),
    )
    return list(run.answers)


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
    known = any(answer.truth is not None for answer in answers)
    names = list(answers[0].probabilities)
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(
        [
            "image",
            "class",
            "probability",
            "uncertain",
            *(["truth"] if known else []),
            *(f"p({n})" for n in names),
        ]
    )
    for answer in answers:
        chances = [f"{answer.probabilities[name]:.6f}" for name in names]
        truth = [answer.truth] if known else []
        writer.writerow(
            [answer.image, answer.label, f"{answer.probability:.6f}", int(answer.uncertain), *truth, *chances]
        )
    return page.getvalue()


def _table(answers: list[Answer], threshold: float) -> str:
    from sqdr_qiskit.reports import Table

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
