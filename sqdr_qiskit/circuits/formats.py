"""Circuits in other forms: OpenQASM and QPY written, a user's OpenQASM read, plain values for drawings."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit import qasm2, qasm3, qpy
from qiskit.circuit import Operation, ParameterExpression, QuantumCircuit

from sqdr_qiskit import records
from sqdr_qiskit.circuits import CircuitModel
from sqdr_qiskit.errors import ArgumentError, DataError

__all__ = ["export_circuit", "FORMATS", "picture", "read_qasm"]


_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_INCLUDE = re.compile(r"""\binclude\s*["']([^"']*)["']""")
_REGISTER = re.compile(r"\b(?:[qc]reg\s+\w+|qubit|bit)\s*\[\s*([0-9]+)\s*\]")
# Known to the parsers themselves; anything else is a file that a circuit from elsewhere would reach for.
_LIBRARIES = ("qelib1.inc", "stdgates.inc")
# Beyond these a parser takes minutes or all memory, for a circuit that nothing could run.
_MOST_TEXT, _MOST_DIGITS, _MOST_BITS, _MOST_GATES = 20_000_000, 400, 10_000, 5_000_000
_VERSION = re.compile(r"\s*OPENQASM\s+3\b")


def read_qasm(path: str | os.PathLike[str]) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Read a circuit of gates; measurements may stand at its end alone.

    Args:
        path: A file in OpenQASM 2 or 3, as its first line says; `input float` makes a parameter.

    Returns:
        The circuit without its measurements, and the qubits that were measured; all if none was.

    Raises:
        DataError: There is no such file, it is not valid, it includes what is no library of gates (unread),
            it is larger than anything that could be run, or it holds what is no gate: a reset, a measurement
            that a gate follows, or a choice made while it runs.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"There is no readable OpenQASM file {str(path)!r}.") from error
    plain = _COMMENTS.sub(" ", text)
    _check_size(plain, path.name)
    try:
        if _VERSION.match(plain):
            circuit = qasm3.loads(text)
        else:
            circuit = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except Exception as error:  # the two parsers share no type of error
        lines = [line for line in str(error).strip("'\"").splitlines() if line.strip()]
        reason = lines[0].removeprefix("<input>:").rstrip(".") if lines else "it cannot be parsed"
        raise DataError(f"{path.name}: is not valid OpenQASM: {reason:.200}.") from error
    _check_gates(circuit, path.name)
    return _gates_alone(circuit, path.name)


def _check_size(text: str, name: str) -> None:
    """Refuse what would reach for other files or take for ever, before a parser sees it."""
    for library in _INCLUDE.findall(text):
        if library not in _LIBRARIES:
            raise DataError(
                f"{name}: may include {' or '.join(_LIBRARIES)} alone, but includes {library[:60]!r}, which "
                "was not read."
            )
    if len(text) > _MOST_TEXT or re.search(rf"[0-9]{{{_MOST_DIGITS}}}", text):
        raise DataError(f"{name}: is longer than {_MOST_TEXT:,} characters, or has a number that is.")
    n_bits = sum(int(size) for size in _REGISTER.findall(text))
    if n_bits > _MOST_BITS:
        raise DataError(f"{name}: must have at most {_MOST_BITS:,} qubits and bits, but has {n_bits:,}.")


def _check_gates(circuit: QuantumCircuit, name: str) -> None:
    """Refuse gates of gates of gates that come to more than anybody could run."""
    known: dict[str, int] = {}

    def size(operation: Operation) -> int:
        if operation.name not in known:
            known[operation.name] = 1  # of a gate of the library, and while its own definition is looked at
            library = str(type(operation).__module__).startswith("qiskit.circuit.library")
            inner = None if library else getattr(operation, "definition", None)
            if inner is not None:
                known[operation.name] = sum(size(item.operation) for item in inner.data)
        return known[operation.name]

    try:
        total = sum(size(item.operation) for item in circuit.data)
    except RecursionError as error:
        raise DataError(f"{name}: its gates are nested too deeply.") from error
    if total > _MOST_GATES:
        raise DataError(f"{name}: must come to at most {_MOST_GATES:,} gates, but comes to {total:,}.")


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


# Qiskit writes pi out wherever it was multiplied in.
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
