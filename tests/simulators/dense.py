"""Expectation values the plain way: by an estimator, and by Qiskit's density matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, SuperOp
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.noise_models import gate_key
from sqdr_qiskit.noise_models.aer_model import error_after

__all__ = ["dense_values", "estimates"]

_Float = NDArray[np.float64]


def estimates(
    estimator: BaseEstimatorV2, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], rows: _Float
) -> _Float:
    """An estimator's values, shape (len(rows), len(observables))."""
    pub = (circuit, [[observable] for observable in observables], rows)
    return np.asarray(estimator.run([pub], precision=0.0).result()[0].data.evs).T


def dense_values(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], rows: _Float, model: NoiseModel
) -> _Float:
    """The same by density matrices of the whole register, noise after each instruction as it stands."""
    wires = [tuple(circuit.find_bit(qubit).index for qubit in item.qubits) for item in circuit.data]
    errors = [
        error_after(model, gate_key(item.operation), at) for item, at in zip(circuit.data, wires, strict=True)
    ]
    noise = [None if error is None else SuperOp(error) for error in errors]  # once, and not for every row
    found = []
    for row in rows:
        state = DensityMatrix.from_label("0" * circuit.num_qubits)
        for item, at, error in zip(circuit.assign_parameters(row).data, wires, noise, strict=True):
            state = state.evolve(item.operation, at)
            state = state if error is None else state.evolve(error, at)
        found.append([state.expectation_value(observable).real for observable in observables])
    return np.array(found)
