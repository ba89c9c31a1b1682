"""Requests in a device's own gates, written without the transpiler."""

from __future__ import annotations

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

__all__ = ["native_pub"]


def native_pub(n_sets: int = 2, *, seed: int = 0) -> EstimatorPub:
    """Two qubits of the five-qubit snapshot `manila`, three angles, <Z> of both; shape (2, n_sets)."""
    angles = ParameterVector("t", 3)
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.rz(angles[0], 0)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.rz(angles[1], 1)
    circuit.sx(1)
    circuit.rz(angles[2], 1)
    circuit.sx(1)
    values = np.random.default_rng(seed).uniform(-1, 1, (n_sets, 3))
    return EstimatorPub.coerce((circuit, [["IIIIZ"], ["IIIZI"]], values))
