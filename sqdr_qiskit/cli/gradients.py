"""`sqdr-qiskit gradient-check` and `gradient-variance`: the circuit's gradient looked at.

Measured in all ways on one sample, beside the exact one; its variance against the circuit's size, or while
training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import job_option, out_option, typed_command
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.reports.tables import Table
    from sqdr_qiskit.training.gradient_studies import GradientCheck

__all__ = ["gradient_check", "gradient_variance"]


def gradient_check(
    *,
    circuit: Annotated[str | None, job_option("circuit")] = None,
    backend: Annotated[str | None, job_option("backend")] = None,
    noise: Annotated[str | None, job_option("noise")] = None,
    shots: Annotated[int | None, job_option("shots")] = None,
    averages: Annotated[int, typer.Option(help="Perturbations of SPSA.")] = 100,
    rows: Annotated[int, typer.Option(help="Derivatives to list.", min=0)] = 8,
    seed: Annotated[int | None, job_option("seed")] = None,
    as_json: JsonOption = False,
) -> None:
    """Exact, packed, stock, finite-difference and SPSA gradients: values, errors, executions."""
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.training.gradient_studies import check_gradients

    found = check_gradients(
        circuit or "2b-9q",
        backend=backend or "exact",
        noise=noise,
        shots=shots,
        seed=seed or 0,
        averages=averages,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(_check_text(found, rows))


def _check_text(found: GradientCheck, n_derivatives: int) -> str:
    import numpy as np

    from sqdr_qiskit.reports.tables import Table

    shots = "exact" if found.shots is None else f"{found.shots:,} shots"
    head = (
        f"{found.circuit} on {found.backend}, {shots}, one random sample; errors against `{found.reference}`"
    )
    methods = tuple(
        (m.name, f"{m.executions:,}", f"{m.largest_error:.2e}", f"{m.root_mean_square_error:.2e}")
        for m in found.methods
    )
    right = frozenset(range(1, len(methods) + 1))
    text = Table(("", "executions", "largest error", "rms error"), methods, right, f"{head}\n").text()
    text += "".join(f"{one['name']}: left out. {one['reason']}\n" for one in found.skipped)
    exact = found.methods[0].jacobian
    largest = np.argsort(-np.abs(exact), axis=None, kind="stable")[: min(n_derivatives, exact.size)]
    derivatives = []
    for output, column in zip(*np.unravel_index(largest, exact.shape), strict=True):
        values = (f"{m.jacobian[output, column]:.6f}" for m in found.methods)
        derivatives.append((f"<O_{output}> by {found.parameters[column]}", *values))
    if derivatives:
        names = (m.name.split(",")[0] for m in found.methods)
        title = "\nthe largest derivatives, output by parameter:"
        text += Table(("", *names), tuple(derivatives), right, title).text()
    return text.rstrip()


# ---- gradient-variance -------------------------------------------------------------------------------------

_QUBITS = "2,3,4,6,8,12,16,24,32,48,64"


def gradient_variance(
    *,
    qubits: Annotated[
        str | None,
        typer.Option(help="Numbers of qubits, separated by commas. [default: 2,3,4,6,8,12,16,24,32,48,64]"),
    ] = None,
    blocks: Annotated[int | None, typer.Option(help="Blocks b. [default: 2]", min=1)] = None,
    initialisation: Annotated[
        list[str] | None,
        typer.Option(help="uniform-2pi, normal-2pi, uniform-1 or normal-1; may be repeated. [default: all]"),
    ] = None,
    observable: Annotated[
        list[str] | None, typer.Option(help="local or global; may be repeated. [default: local]")
    ] = None,
    noise: Annotated[str | None, job_option("noise")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Random draws for each point. [default: 1000]", min=2)
    ] = None,
    seed: Annotated[int | None, job_option("seed")] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            help="Show what this training noted with --log-gradient-variance, in place of all above; may be "
            "repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, out_option("Folder for variance.json and variance.png.", "none written")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Variance of the gradient for the four initialisations against n (figure 5 of the paper).

    With --run, of trainings, with head and without, beside the bound of theorem 2 (figure 4).
    """
    given = dict(locals())
    if run:
        for name in ("qubits", "blocks", "initialisation", "observable", "noise", "samples", "seed"):
            if given[name] not in (None, []):
                raise ArgumentError(
                    f"Option `--{name}` must be left out with --run, which shows what a training noted."
                )
        _show_runs(run, out, as_json=as_json)
        return
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.reports.variance import variance_figure, variance_table
    from sqdr_qiskit.specs.noise import noise_spec
    from sqdr_qiskit.training.gradient_studies import VariancePoint
    from sqdr_qiskit.training.gradient_studies import gradient_variance as measure
    from sqdr_qiskit.training.optimisation import INITIALISATIONS

    numbers = _numbers(_QUBITS if qubits is None else qubits)
    blocks, samples, seed = blocks or 2, samples or 1000, seed or 0
    names = initialisation or list(INITIALISATIONS)
    kinds = observable or ["local"]
    model = None if noise is None else noise_spec(noise)
    with Progress("gradient variance", total=len(numbers) * len(names) * len(kinds), unit="points") as bar:
        done = count(1)

        def show(point: VariancePoint) -> None:
            bar.update(next(done), description=f"{point.n_qubits} qubits, {point.observable}")

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
    under = "no noise" if model is None else f"noise {model.name}"
    title = f"Gradient variance, {blocks} blocks, {under}, {samples} draws"
    _give(
        {"points": rows, "seed": seed},
        variance_table(rows),
        lambda: variance_figure(rows, title=title),
        out,
        as_json=as_json,
    )


def _show_runs(folders: Sequence[Path], out: Path | None, *, as_json: bool) -> None:
    """Show what trainings noted."""
    from sqdr_qiskit.jobs.runs import read_variance_logs
    from sqdr_qiskit.reports.variance import training_variance_figure, training_variance_table

    logs = read_variance_logs(folders)
    rows = {log.name: log.rows for log in logs}
    data = " and ".join(dict.fromkeys(log.dataset for log in logs))
    _give(
        {"runs": [log.to_dict() for log in logs]},
        training_variance_table(rows),
        lambda: training_variance_figure(rows, title=f"Gradient variance while training on {data}"),
        out,
        as_json=as_json,
    )


def _give(
    found: Mapping[str, Any], table: Table, figure: Callable[[], Any], out: Path | None, *, as_json: bool
) -> None:
    """Write and print what was found."""
    from sqdr_qiskit import records
    from sqdr_qiskit.reports.page import save_figure

    result = {"schema": 1, **found, "versions": records.versions()}
    if out is not None:
        command = records.public_command(typed_command())
        records.write_json(out / "variance.json", {**result, "command": list(command)})
        save_figure(figure(), out / "variance.png")
        print_note(f"in {out}: variance.json, variance.png")
    if as_json:
        print_json(result)
    else:
        print_text(table.text())


def _numbers(words: str) -> list[int]:
    try:
        numbers = [int(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ArgumentError(f"Option `--qubits` must be numbers such as 2,4,8, but is {words!r}.")
    return numbers
