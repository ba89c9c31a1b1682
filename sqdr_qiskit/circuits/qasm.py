"""A user's own circuit, from a file in OpenQASM 2 or 3."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qiskit import QuantumCircuit, qasm2, qasm3

from sqdr_qiskit.errors import DataError

__all__ = ["read_qasm"]

_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_VERSION = re.compile(r"\s*OPENQASM\s+3\b")


def read_qasm(path: str | os.PathLike[str]) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Read a circuit of gates; measurements may stand at its end alone.

    Args:
        path: A file in OpenQASM 2 or 3, as its first line says; `input float` makes a parameter.

    Returns:
        The circuit without its measurements, and the qubits that were measured; all if none was.

    Raises:
        DataError: There is no such file, it is not valid, or it holds what is no gate: a reset, a measurement
            that a gate follows, or a choice made while it runs.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"There is no readable OpenQASM file {str(path)!r}.") from error
    try:
        if _VERSION.match(_COMMENTS.sub(" ", text)):
            circuit = qasm3.loads(text)
        else:
            circuit = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except Exception as error:  # the two parsers share no type of error
        lines = [line for line in str(error).strip("'\"").splitlines() if line.strip()]
        reason = lines[0].removeprefix("<input>:").rstrip(".") if lines else "it cannot be parsed"
        raise DataError(f"{path.name}: is not valid OpenQASM: {reason}.") from error
    return _gates_alone(circuit, path.name)


def _gates_alone(circuit: QuantumCircuit, name: str) -> tuple[QuantumCircuit, tuple[int, ...]]:
    if not circuit.num_qubits:
        raise DataError(f"{name}: must have qubits, but has none.")
    wanted = "must be gates with measurements at the end alone"
    measured: dict[int, None] = {}
    gates = circuit.copy_empty_like()
    for item in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        kind = item.operation.name
        if kind == "barrier":
            continue
        if kind == "measure":
            measured[where[0]] = None
            continue
        if item.clbits or getattr(item.operation, "blocks", ()):
            raise DataError(f"{name}: {wanted}, but a classical value decides about a gate (`{kind}`).")
        if kind == "reset":
            raise DataError(f"{name}: {wanted}, but qubit {where[0]} is reset.")
        after = [qubit for qubit in where if qubit in measured]
        if after:
            raise DataError(
                f"{name}: {wanted}, but gate `{kind}` follows the measurement of qubit {after[0]}."
            )
        gates.append(item.operation, where)
    return gates, tuple(sorted(measured) or range(circuit.num_qubits))
