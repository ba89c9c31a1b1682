"""`sqdr-qiskit transpile` and `cost`: what circuits become on devices, and what they take of them.

Both before anything is sent or spent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, going_on, print_json, print_note, print_text
from sqdr_qiskit.cli.options import out_option, typed_command
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.cost import CostPlan

__all__ = ["cost", "transpile"]


def transpile(
    more: Annotated[
        list[str] | None,
        typer.Argument(help="More circuits and devices, after --circuit A or --backend B.", metavar="NAME"),
    ] = None,
    *,
    circuits: Annotated[
        list[str] | None,
        typer.Option("--circuit", help="A catalogue name, <b>b-<n>q, or a TOML file. [default: 2b-9q]"),
    ] = None,
    qasm: Annotated[
        list[Path] | None,
        typer.Option("--qasm", help="An OpenQASM 2 or 3 file; may be repeated.", metavar="FILE"),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="A device's snapshot, fake_<device>, or a device of your account, ibm_<device>. "
            "[default: fake_brisbane]",
        ),
    ] = None,
    n_seeds: Annotated[int, typer.Option("--seeds", help="Seeds of the transpiler to try.", min=1)] = 4,
    out: Annotated[
        Path, out_option("Folder for report.html, report.md, report.json and the circuits.", True)
    ] = Path("runs/transpile"),
    choose: Annotated[
        Path | None,
        typer.Option(
            help="Write the winning layout to this file, FILE.toml, which infer, evaluate and train take as "
            "--layout; one circuit, one device."
        ),
    ] = None,
    mitigation: Annotated[
        bool,
        typer.Option(
            "--mitigation", help="Rehearse error mitigation for each winner: error against quantum seconds."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Lay circuits out on devices, tiled and whole, at every optimisation level; say which layout wins.

    At level 3 it is laid out as Qiskit alone writes it too, with Rots not fused, with a line instead of the
    ring and without the last entangling layer. Every transpiled circuit is compared with its source before it
    is counted. The winner of each circuit and device is written as QPY and OpenQASM 3.
    """
    print_note("loading Qiskit")
    from sqdr_qiskit import records
    from sqdr_qiskit.devices.study import choose_layout, require_layout_path
    from sqdr_qiskit.jobs.transpile_report import catalogue_source, qasm_source, study_circuits
    from sqdr_qiskit.reports.transpile_page import transpile_markdown, transpile_page

    names, devices = _sorted_out(circuits or [], backends or [], more or [], default=not qasm)
    if choose is not None:
        require_layout_path(choose)
        n_circuits = len(names) + len(qasm or [])
        if (n_circuits, len(devices)) != (1, 1):
            raise ArgumentError(
                "Option `--choose` must come with one circuit and one device, but there are "
                f"{n_circuits} and {len(devices)}."
            )
    sources = [*map(catalogue_source, names), *map(qasm_source, qasm or [])]
    with going_on(), Progress("transpiling", unit="circuits") as bar:
        studied = study_circuits(
            sources, devices, seeds=range(n_seeds), progress=lambda done, total: bar.update(done, total=total)
        )
    record = {
        "subtitle": f"{', '.join(studied.sources)} on {', '.join(studied.chips)}, seeds 0 to {n_seeds - 1}",
        **studied.record(out, mitigation=mitigation),
        "made_by": {
            "command": " ".join(records.public_command(typed_command())),
            "seeds": f"0 to {n_seeds - 1}",
            **{
                f"{name} calibrated": chip.calibrated or "at an unknown time"
                for name, chip in studied.chips.items()
            },
            **records.versions(("sqdr-qiskit", "qiskit", "qiskit-ibm-runtime")),
        },
    }
    records.write_text(out / "report.html", transpile_page(record))
    records.write_text(out / "report.md", transpile_markdown(record))
    records.write_json(out / "report.json", record)
    if choose is not None:
        ((pair, best),) = studied.winners.items()
        choice = choose_layout(
            best, studied.sources[pair[0]], studied.chips[pair[1]], command=typed_command()
        )
        records.write_text(choose, choice.text())
    if as_json:
        print_json(record)
        return
    _print_winners(record)
    for line in studied.refused:
        print_note(f"left out: {line}")
    if choose is not None:
        print_text(f"layout in {choose}: {choice.title}")
    n_files = sum(len(chosen["files"]) for chosen in record["chosen"])
    print_text(f"in {out}: report.html, report.md, report.json, and {n_files} files of the winners' circuits")


def _print_winners(record: dict[str, Any]) -> None:
    from sqdr_qiskit.reports.transpile_tables import (
        changes_table,
        mitigation_table,
        mitigation_words,
        transpile_table,
        verdicts,
    )

    for said in verdicts(record["rows"], record["same"]):
        print_text(transpile_table(said.rows, title=f"{said.circuit} on {said.device}").text())
        print_text(changes_table(said.rows, title="one change at a time, level 3").text())
        for what, words in said.lines:
            print_text(f"{what}: {words}")
        print_text("")
    for chosen in record["chosen"]:
        if chosen["mitigation"]:
            title = f"{chosen['circuit']} on {chosen['device']}, {chosen['layout']}"
            budget = chosen["mitigation_budget_s"]
            print_text(f"{title}:\n{mitigation_table(chosen['mitigation'], budget).text().rstrip()}")
            print_text(f"{mitigation_words(chosen['mitigation'], budget)}\n")


def _sorted_out(
    circuits: list[str], devices: list[str], more: list[str], *, default: bool
) -> tuple[list[str], list[str]]:
    """Circuits and devices of a command line, each once; fake_... and what IBM has is a device."""
    from sqdr_qiskit.devices.names import is_hardware

    names = list(circuits)
    chosen = list(devices)
    for word in more:
        (chosen if word.startswith("fake_") or is_hardware(word) else names).append(word)
    if not names and default:
        names = ["2b-9q"]
    return list(dict.fromkeys(names)), list(dict.fromkeys(chosen or ["fake_brisbane"]))


# ---- cost --------------------------------------------------------------------------------------------------


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
    reason = plan.packed.above(Ceiling(max_qpu_seconds=max_qpu_seconds, max_executions=max_executions))
    budget = max_qpu_seconds or OPEN_PLAN_S
    rows = None if mitigation is None else mitigation_of(plan, circuit, mitigation, budget_s=budget)
    if as_json and reason is None:
        table = {} if rows is None else {"mitigation": [row.to_dict() for row in rows], "budget_s": budget}
        print_json({**plan.to_dict(), **table})
    elif not as_json:
        print_text(_cost_text(plan))
        if rows is not None:
            from sqdr_qiskit.reports.transpile_tables import mitigation_table, mitigation_words

            plain = [row.to_dict() for row in rows]
            print_text("\n" + mitigation_table(plain, budget).text().rstrip())
            print_text(mitigation_words(plain, budget))
    if reason is not None:
        raise ArgumentError(
            f"This plan must be made smaller or its ceiling raised, because it needs {reason}."
        )


def _cost_text(plan: CostPlan) -> str:
    from sqdr_qiskit.reports.tables import Table

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
    bills = [("this package", plan.packed), ("stock EstimatorQNN", plan.stock)]
    rows = tuple(
        (name, f"{bill.circuits:,}", f"{bill.shots:,}", f"{bill.jobs:,}", f"{bill.qpu_seconds:,.1f}")
        for name, bill in bills
        if bill is not None
    )
    headers = ("", "circuits", "circuits x shots", "jobs", "QPU seconds")
    return (
        f"{what}, {plan.shots:,} shots: {plan.executions_per_sample} executions a sample, {where}\n\n"
        f"{Table(headers, rows, frozenset(range(1, 5))).text()}\n"
        f"{100 * plan.open_plan_share:,.1f} % of the Open plan's 600 s in 28 days (estimated: 2 s a job and "
        f"0.35 ms an execution)\n"
        f"largest job: {plan.instructions:,} control instructions on its busiest qubit, of "
        f"{plan.instruction_limit:,} allowed\n\n{plan.why}"
    )
