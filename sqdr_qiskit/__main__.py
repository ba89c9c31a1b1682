"""`python -m sqdr_qiskit` is `sqdr-qiskit`."""

from __future__ import annotations

from sqdr_qiskit.cli import entry

__all__: list[str] = []

if __name__ == "__main__":
    entry()
