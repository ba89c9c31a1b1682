"""`sqdr-qiskit gradient-variance`: variance of the circuit's gradient against its size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import NoiseOption, SeedOption, typed_command

__all__ = ["gradient_variance"]


def gradient_variance(
    *,
    qubits: Annotated[
        str, typer.Option(help="Numbers of qubits, separated by commas.")
    ] = "2,3,4,6,8,12,16,24,32,48,64",
    blocks: Annotated[int, typer.Option(help="Blocks b.", min=1)] = 2,
    initialisation: Annotated[
        list[str] | None,
        typer.Option(help="uniform-2pi, normal-2pi, uniform-1 or normal-1; may be repeated. [default: all]"),
    ] = None,
    observable: Annotated[
        list[str] | None, typer.Option(help="local or global; may be repeated. [default: local]")
    ] = None,
    noise: NoiseOption = None,
    samples: Annotated[int, typer.Option(help="Random draws for each point.", min=2)] = 1000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for variance.json and variance.png. [default: none written]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Variance of the gradient for the four initialisations against n (figure 5 of the paper)."""
    from sqdr_qiskit import records
    from sqdr_qiskit.reports import save_figure
    from sqdr_qiskit.reports.variance import variance_figure, variance_table
    from sqdr_qiskit.specs.noise import noise_spec
    from sqdr_qiskit.training.gradient_variance import VariancePoint
    from sqdr_qiskit.training.gradient_variance import gradient_variance as measure
    from sqdr_qiskit.training.initialisation import INITIALISATIONS

    numbers = _numbers(qubits)
    names = initialisation or list(INITIALISATIONS)
    kinds = observable or ["local"]
    model = None if noise is None else noise_spec(noise)
    with Progress("gradient variance", total=len(numbers) * len(names) * len(kinds), unit="points") as bar:
        done: list[VariancePoint] = []

        def show(point: VariancePoint) -> None:
            done.append(point)
            bar.update(len(done), description=f"{point.n_qubits} qubits, {point.observable}")

        points = measure(
            numbers,
            n_blocks=blocks,
            initialisations=names,
            observables=kinds,  # type: ignore[arg-type]
            noise=model,
            samples=samples,
            seed=seed,
            progress=show,
        )
    rows = [point.to_dict() for point in points]
    result = {"schema": 1, "points": rows, "seed": seed, "versions": records.versions()}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        command = records.public_command(typed_command())
        records.write_json(out / "variance.json", {**result, "command": list(command)})
        under = "no noise" if model is None else f"noise {model.name}"
        title = f"Gradient variance, {blocks} blocks, {under}, {samples} draws"
        save_figure(variance_figure(rows, title=title), out / "variance.png")
        print_note(f"in {out}: variance.json, variance.png")
    if as_json:
        print_json(result)
    else:
        print_text(variance_table(rows).text())


def _numbers(words: str) -> list[int]:
    from sqdr_qiskit.errors import ArgumentError

    try:
        numbers = [int(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ArgumentError(f"Option `--qubits` must be numbers such as 2,4,8, but is {words!r}.")
    return numbers
