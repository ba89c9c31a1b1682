"""`sqdr-qiskit transpile`: what circuits become on devices, before anything is spent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, Progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import typed_command
from sqdr_qiskit.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from sqdr_qiskit.backends.chip import Chip
    from sqdr_qiskit.backends.transpile_study import Source

__all__ = ["transpile"]

_LEVELS = (0, 1, 2, 3)


def transpile(
    more: Annotated[
        list[str] | None,
        typer.Argument(
            help="More circuits and devices, after --circuit A or --backend B.", metavar="[NAME]..."
        ),
    ] = None,
    *,
    circuits: Annotated[
        list[str] | None,
        typer.Option("--circuit", help="A catalogue name, <b>b-<n>q, or a TOML file. [default: 2b-9q]"),
    ] = None,
    qasm: Annotated[
        list[Path] | None, typer.Option("--qasm", help="An OpenQASM 2 or 3 file; may be repeated.")
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option("--backend", help="A device's snapshot, fake_<device>. [default: fake_brisbane]"),
    ] = None,
    n_seeds: Annotated[int, typer.Option("--seeds", help="Seeds of the transpiler to try.", min=1)] = 4,
    out: Annotated[
        Path, typer.Option(help="Folder for report.html, report.md, report.json and the circuits.")
    ] = Path("runs/transpile"),
    as_json: JsonOption = False,
) -> None:
    """Lay circuits out on devices, tiled and whole, at every optimisation level; say which layout wins.

    Every transpiled circuit is compared with its source before it is counted.
    """
    from sqdr_qiskit import records
    from sqdr_qiskit.backends.transpile_study import Finding, snapshot_chip, study, tasks_for
    from sqdr_qiskit.reports.transpile_page import transpile_page, transpile_table, verdicts

    names, devices = _sorted_out(circuits or [], backends or [], more or [], default=not qasm)
    sources = [_from_catalogue(name) for name in names] + [_from_qasm(path) for path in qasm or []]
    chips = {device: snapshot_chip(device) for device in devices}
    tasks = tasks_for(
        [source.name for source in sources], devices, levels=_LEVELS, seeds=tuple(range(n_seeds))
    )
    with Progress("transpiling", total=len(tasks), unit="circuits") as bar:
        found = study(sources, tasks, n_processes=min(os.cpu_count() or 1, 8), progress=bar.update)
    rows = [result.to_dict() for result in found if isinstance(result, Finding)]
    refused = list(
        dict.fromkeys(
            f"{task.circuit} on {task.device}, {task.layout}: {result}"
            for task, result in zip(tasks, found, strict=True)
            if isinstance(result, str)
        )
    )
    if not rows:
        raise ArgumentError(f"None of the circuits can be laid out: {refused[-1]}")
    record = {
        "subtitle": f"{', '.join(s.name for s in sources)} on {', '.join(devices)}, seeds 0 to {n_seeds - 1}",
        "rows": rows,
        "refused": refused,
        "devices": {name: _device_facts(chip) for name, chip in chips.items()},
        "made_by": {
            "command": " ".join(records.public_command(typed_command())),
            **records.versions(("sqdr-qiskit", "qiskit", "qiskit-ibm-runtime")),
        },
    }
    table = transpile_table(rows)
    sentences = verdicts(rows)
    markdown = "\n".join(
        ["# Circuits on devices", "", *(f"- {line}" for line in sentences), "", table.markdown()]
    )
    out.mkdir(parents=True, exist_ok=True)
    records.write_text(out / "report.html", transpile_page(record))
    records.write_text(out / "report.md", markdown)
    records.write_json(out / "report.json", record)
    if as_json:
        print_json(record)
        return
    print_text(table.text())
    for line in sentences:
        print_text(line)
    for line in refused:
        print_note(f"left out: {line}")
    print_text(f"in {out}: report.html, report.md, report.json")


def _sorted_out(
    circuits: list[str], devices: list[str], more: list[str], *, default: bool
) -> tuple[list[str], list[str]]:
    """Circuits and devices of a command line, each once; a device is what begins with fake_ or ibm_."""
    from sqdr_qiskit.backends.devices import fake_name

    chosen = [*devices, *(word for word in more if word.startswith(("fake_", "ibm_")))] or ["fake_brisbane"]
    for device in chosen:
        if device.startswith("ibm_"):
            snapshot = fake_name(device)
            hint = f"its snapshot is `{snapshot}`" if snapshot else "it has no snapshot"
            raise ArgumentError(
                f"Option `--backend` must be a snapshot, fake_<device>, but is `{device}`; {hint}."
            )
    names = [*circuits, *(word for word in more if not word.startswith(("fake_", "ibm_")))]
    if not names and default:
        names = ["2b-9q"]
    return list(dict.fromkeys(names)), list(dict.fromkeys(chosen))


def _from_catalogue(name: str) -> Source:
    from sqdr_qiskit.backends.transpile_study import Source
    from sqdr_qiskit.circuits import build_circuit

    model = build_circuit(name)
    return Source(model.name, model.circuit, model.observables)


def _from_qasm(path: Path) -> Source:
    """A circuit of OpenQASM 2 or 3; its outputs are Z on the measured qubits, on all if none is."""
    from qiskit import QuantumCircuit, qasm3
    from qiskit.quantum_info import SparsePauliOp

    from sqdr_qiskit.backends.transpile_study import Source

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"There is no readable OpenQASM file {str(path)!r}.") from error
    try:
        circuit = qasm3.loads(text) if "OPENQASM 3" in text else QuantumCircuit.from_qasm_str(text)
    except Exception as error:  # the two parsers share no type of error
        reason = str(error).strip("'\"").rstrip(".").splitlines()[0]
        raise DataError(f"{path.name}: is not valid OpenQASM: {reason}.") from error
    measured = [
        circuit.find_bit(item.qubits[0]).index for item in circuit.data if item.operation.name == "measure"
    ]
    circuit.remove_final_measurements()
    qubits = sorted(set(measured)) or range(circuit.num_qubits)
    z = tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], circuit.num_qubits) for q in qubits)
    return Source(path.stem, circuit, z)


def _device_facts(chip: Chip) -> dict[str, Any]:
    return {
        "n_qubits": chip.n_qubits,
        "calibrated": chip.calibrated,
        "edges": [[*sorted(pair), edge.error] for pair, edge in sorted(chip.edges.items(), key=_pair)],
        "readout": [chip.readout_error(qubit) for qubit in range(chip.n_qubits)],
    }


def _pair(item: tuple[frozenset[int], Any]) -> list[int]:
    return sorted(item[0])
