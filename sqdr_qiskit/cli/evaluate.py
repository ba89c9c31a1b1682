"""`sqdr-qiskit evaluate`: accuracy, per class and confusion of a checkpoint on held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import Given, OutOption, download_progress, going_on, job_options, typed_command
from sqdr_qiskit.specs.job import JobSpec, parse_sweep

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.settings import Chosen

__all__ = ["evaluate", "perform"]


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
    perform(JobSpec(task="evaluate", **given), folder=out, figure=figure, as_json=as_json)


def perform(job: JobSpec, *, folder: Path | None, as_json: bool, figure: Path | None = None) -> None:
    """Evaluate with progress on stderr, and print what was found."""
    print_note("loading PyTorch and Qiskit")
    with going_on(lambda: None):
        _perform(job, folder=folder, as_json=as_json, figure=figure)


def _perform(job: JobSpec, *, folder: Path | None, as_json: bool, figure: Path | None) -> None:
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
