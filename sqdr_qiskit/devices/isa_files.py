"""A circuit as a device runs it, in files for other programs: QPY and OpenQASM 3."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from qiskit import qasm3, qpy
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit import records
from sqdr_qiskit.devices.programs import DeviceProgram, Round

__all__ = ["write_isa"]


def write_isa(program: DeviceProgram, folder: Path, stem: str) -> list[Path]:
    """Write a program's circuits, their parameters unbound and without measurements.

    The parameters are the angles of the device's turns, which `DeviceProgram.inner` and `Round.bind` compute
    from data and weights. What is read on which qubits is in each circuit's metadata (`terms`: numbers of
    the Pauli terms; `observables`: for each sample side by side, for each of these terms its letters, qubits
    and coefficients) and in the OpenQASM file's first lines.

    Args:
        program: The program.
        folder: Where to; it exists.
        stem: Of the files' names: STEM.qpy with all rounds, STEM.qasm, or STEM-1.qasm and so on for rounds.

    Raises:
        StorageError: A file cannot be written.
    """
    circuits = [_told(part, f"{stem}-{number}") for number, part in enumerate(program.rounds, start=1)]
    buffer = io.BytesIO()
    qpy.dump(circuits, buffer)
    paths = [records.write_bytes(folder / f"{stem}.qpy", buffer.getvalue())]
    for number, circuit in enumerate(circuits, start=1):
        name = f"{stem}.qasm" if len(circuits) == 1 else f"{stem}-{number}.qasm"
        head, body = qasm3.dumps(circuit).split("\n", 1)
        paths.append(records.write_text(folder / name, "\n".join((head, *_said(circuit), body))))
    return paths


def _told(part: Round, name: str) -> QuantumCircuit:
    circuit = part.circuit.copy(name=name)
    circuit.metadata = {
        "terms": list(part.terms),
        "observables": [
            [
                [
                    [letters, list(map(int, qubits)), float(c.real)]
                    for letters, qubits, c in word.to_sparse_list()
                ]
                for word in copy
            ]
            for copy in part.words
        ],
    }
    return circuit


def _said(circuit: QuantumCircuit) -> list[str]:
    def term(entries: list[Any]) -> str:
        return " + ".join(
            f"{'' if c == 1 else f'{c:g} '}{letters} on {', '.join(f'q[{q}]' for q in qubits)}"
            for letters, qubits, c in entries
        )

    observables = circuit.metadata["observables"]
    return [
        f"// {'read' if len(observables) == 1 else f'sample {number}: read'} {'; '.join(map(term, copy))}"
        for number, copy in enumerate(observables, start=1)
    ]
