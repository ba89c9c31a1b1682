"""Circuits for others: OpenQASM 3 and QPY for programs, plain values for drawings."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit import qasm3, qpy
from qiskit.circuit import ParameterExpression, QuantumCircuit

from sqdr_qiskit import records
from sqdr_qiskit.circuits.interface import CircuitModel
from sqdr_qiskit.errors import ArgumentError

__all__ = ["FORMATS", "export_circuit", "picture"]


def _qasm3(model: CircuitModel) -> bytes:
    """OpenQASM 3 text; every element of x and w is an `input float[64]`."""
    return qasm3.dumps(model.circuit).encode("utf-8")


def _qpy(model: CircuitModel) -> bytes:
    """Qiskit's own format, which keeps the parameter vectors."""
    buffer = io.BytesIO()
    qpy.dump(model.circuit, buffer)
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[CircuitModel], bytes]] = {".qasm": _qasm3, ".qpy": _qpy}
"""Ending of a file's name -> what makes its content."""


def export_circuit(model: CircuitModel, path: str | os.PathLike[str]) -> Path:
    """Write a circuit, its parameters unbound, in the format that the file's ending asks for.

    Args:
        model: The circuit.
        path: A file ending in `.qasm` (OpenQASM 3) or `.qpy`; an existing one is replaced, whole or not at
            all.

    Returns:
        The path.

    Raises:
        ArgumentError: The ending is another one.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        known = " or ".join(FORMATS)
        raise ArgumentError(f"Argument `path` must end in {known}, but is {path.name!r}.")
    return records.write_bytes(path, FORMATS[path.suffix](model))


_PI = re.compile(r"\b3\.14159\d*")


def picture(
    circuit: QuantumCircuit,
    *,
    qubits: Iterable[int] | None = None,
    labels: Sequence[str] | None = None,
    measured: Collection[int] = (),
) -> dict[str, Any]:
    """Describe a circuit for a drawing; wires that nothing happens on are left out.

    Args:
        circuit: The circuit.
        qubits: Only gates on these; None for all qubits in use.
        labels: Names of the circuit's qubits; their numbers if None.
        measured: Qubits that are read at the end.

    Returns:
        `wires`: their labels; `measured`: numbers of wires; `gates`: name, numbers of wires and angles as
        text of each, in order.
    """
    gates = [
        (item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits]) for item in circuit.data
    ]
    if qubits is None:
        shown = sorted({qubit for _, where in gates for qubit in where} | set(measured))
    else:
        shown = list(qubits)
    wire = {qubit: number for number, qubit in enumerate(shown)}
    return {
        "wires": [str(qubit) if labels is None else labels[qubit] for qubit in shown],
        "measured": sorted(wire[qubit] for qubit in measured if qubit in wire),
        "gates": [
            [operation.name, [wire[qubit] for qubit in where], [_angle(value) for value in operation.params]]
            for operation, where in gates
            if all(qubit in wire for qubit in where)
        ],
    }


def _angle(value: Any) -> str:
    if isinstance(value, ParameterExpression) and value.parameters:
        return _PI.sub("π", str(value)).replace("1.0*", "")
    if not isinstance(value, int | float | ParameterExpression):
        return str(value)
    number = float(value)
    for part in (1, 2, 4):
        times = number * part / math.pi
        if abs(times - round(times)) < 1e-9 and round(times):
            sign = "-" if times < 0 else ""
            size = abs(round(times))
            return f"{sign}{'' if size == 1 else size}π{'' if part == 1 else f'/{part}'}"
    return f"{number:.4g}"
