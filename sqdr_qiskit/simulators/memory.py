"""How much memory a simulation will need, asked before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from sqdr_qiskit.errors import UnsupportedError

__all__ = ["check_memory", "free_memory", "readable", "state_bytes"]

_NUMBER = 16  # bytes of a complex number
_WORK = 2  # a state and as much again to work with


def state_bytes(n_qubits: int, method: str, n_states: int = 1) -> int:
    """Bytes that Aer needs for `n_states` states of `n_qubits` at once, `density_matrix` or `statevector`."""
    numbers = 4**n_qubits if method == "density_matrix" else 2**n_qubits
    return _NUMBER * _WORK * numbers * n_states


def free_memory() -> int:
    """Bytes of memory that can still be had, as the operating system says; a large number if it does not."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 62


def check_memory(n_qubits: int, method: str, n_states: int, *, what: str, instead: str) -> None:
    """Refuse a simulation that will not fit.

    Args:
        n_qubits: Qubits of the largest cone.
        method: Aer's method.
        n_states: States held at once.
        what: What has these qubits, for the message.
        instead: What would work.

    Raises:
        UnsupportedError: It needs more memory than there is; says how much, and what would work.
    """
    needed, free = state_bytes(n_qubits, method, n_states), free_memory()
    if needed > free:
        kind = method.replace("_", " ")
        raise UnsupportedError(
            f"{what} has {n_qubits} qubits: its {kind} needs {readable(needed)} of memory, but "
            f"{readable(free)} is free; {instead}."
        )


def readable(n_bytes: int) -> str:
    """A number of bytes for people, `17.2 GB`."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
