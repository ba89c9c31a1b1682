"""Circuits for other programs: OpenQASM 3 and QPY."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from qiskit import qasm3, qpy

from sqdr_qiskit import records
from sqdr_qiskit.circuits.interface import CircuitModel
from sqdr_qiskit.errors import ArgumentError

__all__ = ["FORMATS", "export_circuit"]


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
