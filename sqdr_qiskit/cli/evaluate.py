"""`sqdr-qiskit evaluate`: accuracy, per class and confusion of a checkpoint on held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import (
    BackendOption,
    DataDirOption,
    DeviceOption,
    LayoutOption,
    NoiseOption,
    SeedOption,
    ShotsOption,
    download_progress,
)

__all__ = ["evaluate"]


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
    backend: BackendOption = "exact",
    noise: NoiseOption = None,
    shots: ShotsOption = None,
    layout: LayoutOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    figure: Annotated[Path | None, typer.Option(help="Draw the confusion matrix into this PNG file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Accuracy, per class and confusion of a checkpoint on held-out images."""
    from sqdr_qiskit.jobs import choose_checkpoint, evaluate_checkpoint
    from sqdr_qiskit.reports import confusion_figure, per_class_table, save_figure
    from sqdr_qiskit.specs.job import JobSpec

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
    with Progress("evaluating", unit="images") as bar:
        found = evaluate_checkpoint(chosen, job, progress=bar.update, download_progress=download_progress())
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
            }
        )
        return
    print_text(per_class_table(metrics.confusion, found.class_names, title=title).text())
    print_text(_confusion_text(metrics.confusion.tolist(), found.class_names))
    print_text(
        f"accuracy {100 * metrics.accuracy:.2f} % on {metrics.n_images} images, loss {metrics.loss:.4f}"
    )


def _confusion_text(confusion: list[list[int]], class_names: tuple[str, ...]) -> str:
    width = max(5, *(len(name) for name in class_names), len(str(max(map(max, confusion))))) + 1
    lines = ["confusion (rows: true class, columns: taken for)"]
    lines.append(" " * width + "".join(f"{name:>{width}}" for name in class_names))
    for name, row in zip(class_names, confusion, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{width}}" for count in row))
    return "\n".join(lines) + "\n"
