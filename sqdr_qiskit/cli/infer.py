"""`sqdr-qiskit infer`: what pictures show, by a trained network."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import (
    BackendOption,
    DataDirOption,
    DeviceOption,
    LayoutOption,
    NoiseOption,
    ShotsOption,
    download_progress,
)
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs import Answer

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
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what pictures show: the class and every class's probability.

    With no picture and no data set named, a few held-out images of the checkpoint's own data set.
    """
    from sqdr_qiskit.jobs import choose_checkpoint, infer_dataset, infer_files
    from sqdr_qiskit.jobs.use import A_FEW
    from sqdr_qiskit.specs.job import JobSpec

    checkpoint, files = _sorted_out(checkpoint, pictures or [], inputs or [])
    _refuse(files, dataset=dataset, data_dir=data_dir, limit=limit)
    if as_csv and as_json:
        raise ArgumentError("Option `--csv` must be left out with --json, but both are given.")
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
    )
    if not as_json:
        print_note(chosen.title)
    with Progress("classifying", unit="images") as bar:
        answers = (
            infer_files(chosen, files, job, progress=bar.update)
            if files
            else infer_dataset(chosen, job, progress=bar.update, download_progress=download_progress())
        )
    if as_json:
        print_json(
            {
                "checkpoint": str(chosen.path),
                "chosen": chosen.why,
                "circuit": chosen.checkpoint.settings.circuit.name,
                "backend": job.backend,
                "answers": [answer.to_dict() for answer in answers],
            }
        )
    elif as_csv:
        print_text(_csv(answers).rstrip("\n"))
    else:
        print_text(_table(answers))


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
