"""`sqdr-qiskit gradient-check`: the exact gradient beside all ways of measuring it, on one sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.cli.options import job_option

if TYPE_CHECKING:
    from sqdr_qiskit.training.gradient_studies import GradientCheck

__all__ = ["gradient_check"]


_SHORT = {
    "packed parameter-shift": "packed shift",
    "packed gate-shift": "packed gate-shift",
    "stock parameter shift": "stock shift",
}


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
        print_text(_words(found, rows))


def _words(found: GradientCheck, rows: int) -> str:
    shots = "exact" if found.shots is None else f"{found.shots:,} shots"
    lines = [
        f"{found.circuit} on {found.backend}, {shots}, one random sample; errors against `{found.reference}`",
        "",
        f"{'':26}{'executions':>12}{'largest error':>16}{'rms error':>14}",
    ]
    for method in found.methods:
        lines.append(
            f"{method.name:26}{method.executions:>12,}{method.largest_error:>16.2e}"
            f"{method.root_mean_square_error:>14.2e}"
        )
    lines += [f"{one['name']}: left out. {one['reason']}" for one in found.skipped]
    exact = found.methods[0].jacobian
    largest = np.argsort(-np.abs(exact), axis=None, kind="stable")[: min(rows, exact.size)]
    if len(largest):
        names = [method.name for method in found.methods]
        lines += ["", "the largest derivatives, output by parameter:"]
        lines.append(f"{'':18}" + "".join(f"{_SHORT.get(name, name.split(',')[0]):>20}" for name in names))
        for place in largest:
            output, column = np.unravel_index(place, exact.shape)
            label = f"<O_{output}> by {found.parameters[column]}"
            lines.append(
                f"{label:18}" + "".join(f"{m.jacobian[output, column]:>20.6f}" for m in found.methods)
            )
    return "\n".join(lines)
