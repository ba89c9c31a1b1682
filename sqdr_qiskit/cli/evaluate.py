"""`sqdr-qiskit evaluate`: accuracy, per class and confusion of a checkpoint on held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import (
    DataDirOption,
    DeviceOption,
    LayoutOption,
    NoiseOption,
    SeedOption,
    ShotsOption,
    download_progress,
    typed_command,
)
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs import Chosen
    from sqdr_qiskit.specs.job import JobSpec

__all__ = ["evaluate"]

_CHANNELS = ("bit_flip", "depolarizing", "amplitude_damping")  # those of the paper


def evaluate(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            help="A checkpoint file, a run's folder, or a pretrained one's name. [default: the newest "
            "finished run, "
            "else a pretrained one]"
        ),
    ] = None,
    *,
    dataset: Annotated[
        str | None, typer.Option(help="Data set to test on. [default: the checkpoint's own]")
    ] = None,
    data_dir: DataDirOption = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many test images, class-balanced.", min=1)
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="What computes the circuit. [default: exact, in a sweep exact_noisy]")
    ] = None,
    noise: NoiseOption = None,
    shots: ShotsOption = None,
    layout: LayoutOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    figure: Annotated[Path | None, typer.Option(help="Draw the confusion matrix into this PNG file.")] = None,
    noise_sweep: Annotated[
        str | None,
        typer.Option(help="Accuracy against noise strength: first:last:number, such as 0:0.1:11."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            help="Channel to sweep; may be repeated. [default: bit_flip, depolarizing, amplitude_damping]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep the result in this folder, for `report`. [default: of a sweep runs/<time>-sweep-...]"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Accuracy, per class and confusion of a checkpoint on held-out images; on another backend, beside exact.

    With --noise-sweep, accuracy against the strength of noise after every gate, a table and a figure.
    """
    from sqdr_qiskit.jobs import choose_checkpoint, evaluate_checkpoint
    from sqdr_qiskit.jobs.evaluation import carry_out_evaluation
    from sqdr_qiskit.reports import confusion_figure, per_class_table, save_figure
    from sqdr_qiskit.specs.job import JobSpec

    if channel and noise_sweep is None:
        raise ArgumentError("Option `--channel` must come with --noise-sweep, but there is none.")
    if noise_sweep is not None and noise is not None:
        raise ArgumentError(
            "Option `--noise` must be left out with --noise-sweep, which makes its own noise."
        )
    backend = backend or ("exact" if noise_sweep is None else "exact_noisy")
    chosen = choose_checkpoint(checkpoint, dataset=dataset)
    job = JobSpec(
        task="evaluate",
        dataset=dataset or str(chosen.checkpoint.dataset.get("name", "digits")),
        data_dir=data_dir,
        limit=limit,
        backend=backend,
        noise=noise,
        shots=shots,
        layout=layout,
        seed=seed,
        device=device,
    )
    if not as_json:
        print_note(chosen.title)
    if noise_sweep is not None:
        _sweep(chosen, job, noise_sweep, channel or list(_CHANNELS), figure, out, as_json=as_json)
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
    print_text(_confusion_text(metrics.confusion.tolist(), found.class_names))
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
    channels: list[str],
    figure: Path | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from sqdr_qiskit.jobs import parse_sweep
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
    drawn = noise_sweep_figure(points, title=title, noiseless=found.noiseless, chance=1 / found.n_classes)
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


def _confusion_text(confusion: list[list[int]], class_names: tuple[str, ...]) -> str:
    width = max(5, *(len(name) for name in class_names), len(str(max(map(max, confusion))))) + 1
    lines = ["confusion (rows: true class, columns: taken for)"]
    lines.append(" " * width + "".join(f"{name:>{width}}" for name in class_names))
    for name, row in zip(class_names, confusion, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{width}}" for count in row))
    return "\n".join(lines) + "\n"
