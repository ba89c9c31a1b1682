"""The cones of a circuit's outputs, and the exact engine that works on them."""

from __future__ import annotations

from sqdr_qiskit import parallel as parallel  # first: numba needs a place for its kernels

__all__: list[str] = []
