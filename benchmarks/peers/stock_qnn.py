"""Qiskit Machine Learning's stock EstimatorQNN: default gradient; Qiskit's estimator, or Aer's with noise."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.neural_networks import EstimatorQNN

from benchmarks.peers.interface import Array, Runner
from benchmarks.task import Noise, Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    n = task.n_qubits
    x, w = ParameterVector("x", task.n_inputs), ParameterVector("w", task.n_weights)
    circuit = QuantumCircuit(n)
    error = None if task.noise is None else _error(task.noise)
    for block in range(task.n_blocks):
        for i in range(n):
            for angles, first in ((x, 3 * i), (w, 3 * (block * n + i))):
                circuit.u(angles[first + 1], angles[first + 2], angles[first], i)
                if error is not None:
                    circuit.append(error, [i])
        for pair in task.ring:
            circuit.cz(*pair)
            if task.noise is not None and task.noise.after_cz:
                for i in pair:
                    circuit.append(error, [i])
    observables = [SparsePauliOp.from_sparse_list([("Z", [i], 1.0)], num_qubits=n) for i in range(n)]
    qnn = EstimatorQNN(
        circuit=circuit,
        observables=observables,
        input_params=list(x),
        weight_params=list(w),
        estimator=StatevectorEstimator() if task.noise is None else _aer_estimator(),
        input_gradients=True,
        default_precision=0.0,
    )

    def jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        return qnn.forward(x, w), *qnn.backward(x, w)

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        values, d_x, d_w = jacobian(x, w)
        return values, np.einsum("bn,bnp->bp", cotangent, d_x), np.einsum("bn,bnp->p", cotangent, d_w)

    return Runner(backward, jacobian)


def _error(noise: Noise) -> Any:
    """All channels as one instruction.

    It stands in the circuit because the stock gradient rewrites `u` gates before it runs them: noise that a
    noise model attaches to `u` would miss the shifted circuits, and the gradient would be wrong.
    """
    from qiskit_aer.noise import kraus_error

    errors = [kraus_error(noise.kraus(index)) for index in range(len(noise.channels))]
    return reduce(lambda first, then: first.compose(then), errors).to_instruction()


def _aer_estimator() -> Any:
    """Aer's estimator on the exact density matrix."""
    from qiskit_aer.primitives import EstimatorV2

    return EstimatorV2(options={"backend_options": {"method": "density_matrix"}})
