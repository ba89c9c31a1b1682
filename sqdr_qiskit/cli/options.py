"""Options that several commands share, and what they do with progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from sqdr_qiskit.cli.console import Progress, print_note

if TYPE_CHECKING:
    from sqdr_qiskit.training.outcome import TrainingProgress

__all__ = [
    "BackendOption",
    "DataDirOption",
    "DeviceOption",
    "LayoutOption",
    "NoiseOption",
    "SeedOption",
    "ShotsOption",
    "download_progress",
    "training_progress",
    "typed_command",
]

BackendOption: TypeAlias = Annotated[
    str, typer.Option("--backend", help="Where expectation values come from.", show_default=True)
]
NoiseOption: TypeAlias = Annotated[
    str | None, typer.Option("--noise", help="Noise model: a catalogue name or a TOML file.")
]
ShotsOption: TypeAlias = Annotated[
    int | None, typer.Option("--shots", help="Samples per expectation value (default: exact).", min=1)
]
DataDirOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--data-dir", help="Folder of the data sets (default: SQDR_DATA_DIR, else a cache folder)."),
]
SeedOption: TypeAlias = Annotated[
    int, typer.Option("--seed", help="The one seed of everything random.", min=0)
]
LayoutOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="On a device: tiled (each output's light cone on a line of its own), whole, or a layout file "
        "(FILE.toml) by transpile --choose. [default: tiled]",
    ),
]
DeviceOption: TypeAlias = Annotated[
    str, typer.Option("--device", help="Where encoder and head compute: cpu, or cuda where there is one.")
]


def typed_command() -> tuple[str, ...]:
    """The words typed, for the record."""
    return ("sqdr-qiskit", *sys.argv[1:])


def download_progress() -> Callable[[str, int, int | None], None]:
    """Shows downloads on stderr, a line or a bar for each file."""
    shown: dict[str, Progress] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if name not in shown:
            shown[name] = Progress(f"downloading {name}", total=total, unit="bytes").__enter__()
        shown[name].update(done)
        if total is not None and done >= total:
            shown.pop(name).__exit__(None, None, None)

    return show


@contextmanager
def training_progress() -> Iterator[Callable[[TrainingProgress], None]]:
    """Shows a training run on stderr: epoch, loss, accuracy, samples per second, time to go."""
    with Progress("training", unit="steps") as bar:
        last: list[TrainingProgress] = []

        def show(now: TrainingProgress) -> None:
            if not last:
                bar.start_from(now.step - 1)
            if last and last[-1].epoch != now.epoch:
                previous = last[-1]
                validation = "" if now.validation is None else f", validation accuracy {now.validation:.4f}"
                print_note(
                    f"epoch {previous.epoch}/{previous.n_epochs}: loss {previous.loss:.4f}, "
                    f"accuracy {previous.accuracy:.4f}{validation}"
                )
            last[:] = [now]
            bar.update(
                now.step,
                total=now.n_steps,
                description=f"epoch {now.epoch}/{now.n_epochs}",
                loss=now.loss,
                accuracy=now.accuracy,
                **{"samples/s": f"{now.samples_per_s:,.0f}"},
            )

        yield show
