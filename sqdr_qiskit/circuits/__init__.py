"""From a circuit's description to a Qiskit circuit with parameters and observables."""

from __future__ import annotations
