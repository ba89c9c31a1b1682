"""`sqdr-qiskit cost`: what a plan would take of a quantum computer, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.cost import Bill, CostPlan

__all__ = ["cost"]


def cost(
    *,
    circuit: Annotated[
        str, typer.Option(help="Circuit: a catalogue name, <b>b-<n>q, or a TOML file.")
    ] = "2b-9q",
    task: Annotated[str, typer.Option(help="train or infer.")] = "train",
    batch_size: Annotated[int, typer.Option(help="Images of a training step, or images to infer.")] = 16,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 10,
    gradient: Annotated[
        str, typer.Option(help="parameter-shift, gate-shift, spsa or physics-aware.")
    ] = "parameter-shift",
    averages: Annotated[int, typer.Option(help="With spsa: perturbations averaged.")] = 1,
    shots: Annotated[int, typer.Option(help="Shots per circuit.")] = 4096,
    device: Annotated[
        str | None,
        typer.Option(help="fake_<device> or ibm_<device>: lay samples side by side on its snapshot."),
    ] = None,
    freeze: Annotated[
        str | None, typer.Option(help="encoder: train circuit and head alone, without shifts of the data.")
    ] = None,
    max_qpu_seconds: Annotated[
        float | None, typer.Option(help="Fail if more quantum seconds would be needed.")
    ] = None,
    max_executions: Annotated[
        int | None, typer.Option(help="Fail if more executions (circuits x shots) would be needed.")
    ] = None,
    mitigation: Annotated[
        str | None,
        typer.Option(
            help="Compare the error of an output against quantum seconds, by the device's twin: all, or one "
            "of none, readout, zne, pec, pea."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Executions, shots, jobs and quantum seconds of a plan, beside what stock EstimatorQNN would need."""
    print_note("loading Qiskit")
    from sqdr_qiskit.errors import ArgumentError
    from sqdr_qiskit.jobs.cost import OPEN_PLAN_S, plan_cost
    from sqdr_qiskit.jobs.transpile_report import methods_named, mitigation_of
    from sqdr_qiskit.runtime.budget import Ceiling

    if freeze not in (None, "encoder"):
        raise ArgumentError(f"Option `--freeze` must be encoder, but is {freeze!r}.")
    if averages != 1 and gradient != "spsa":
        raise ArgumentError(
            f"Option `--averages` must be left out with gradient {gradient}, which has no perturbations."
        )
    if mitigation is not None:
        methods_named(mitigation)
        if device is None:
            raise ArgumentError(
                "Option `--mitigation` must come with --device, whose twin it is rehearsed on."
            )
    ceiling = Ceiling(max_qpu_seconds=max_qpu_seconds, max_executions=max_executions)
    plan = plan_cost(
        circuit,
        task=task,  # type: ignore[arg-type]
        samples=batch_size,
        steps=steps,
        gradient=gradient,
        averages=averages,
        shots=shots,
        device=device,
        freeze=freeze is not None,
    )
    reason = plan.packed.above(ceiling)
    budget = max_qpu_seconds or OPEN_PLAN_S
    rows = None if mitigation is None else mitigation_of(plan, circuit, mitigation, budget_s=budget)
    if as_json and reason is None:
        table = {} if rows is None else {"mitigation": [row.to_dict() for row in rows], "budget_s": budget}
        print_json({**plan.to_dict(), **table})
    elif not as_json:
        print_text(_words(plan))
        if rows is not None:
            from sqdr_qiskit.reports.transpile_tables import mitigation_table, mitigation_words

            plain = [row.to_dict() for row in rows]
            print_text("\n" + mitigation_table(plain, budget).text().rstrip())
            print_text(mitigation_words(plain, budget))
    if reason is not None:
        raise ArgumentError(
            f"This plan must be made smaller or its ceiling raised, because it needs {reason}."
        )


def _words(plan: CostPlan) -> str:
    place = plan.place
    where = (
        f"one sample at a time on {place.qubits} qubits"
        if place.device is None
        else f"{place.copies} samples side by side on {place.qubits} qubits of {place.device}"
    )
    what = f"{plan.task} {plan.circuit}"
    if plan.task == "train":
        frozen = ", encoder frozen" if plan.freeze else ""
        what += (
            f", {plan.steps} steps of {plan.samples // plan.steps} images, gradient {plan.gradient}{frozen}"
        )
    else:
        what += f", {plan.samples} images"
    rows = [("this package", plan.packed)] + ([("stock EstimatorQNN", plan.stock)] if plan.stock else [])
    lines = [
        f"{what}, {plan.shots:,} shots: {plan.executions_per_sample} executions a sample, {where}",
        "",
        f"{'':20}{'circuits':>14}{'circuits x shots':>20}{'jobs':>10}{'QPU seconds':>16}",
        *(_row(name, bill) for name, bill in rows),
        "",
        f"{100 * plan.open_plan_share:,.1f} % of the Open plan's 600 s in 28 days (estimated: 2 s a job and "
        f"0.35 ms an execution)",
        f"largest job: {plan.instructions:,} control instructions on its busiest qubit, of "
        f"{plan.instruction_limit:,} allowed",
        "",
        plan.why,
    ]
    return "\n".join(lines)


def _row(name: str, bill: Bill) -> str:
    return f"{name:20}{bill.circuits:>14,}{bill.shots:>20,}{bill.jobs:>10,}{bill.qpu_seconds:>16,.1f}"
