"""Qiskit Machine Learning's stock EstimatorQNN: default gradient; Qiskit's estimator, or Aer's with noise."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import RZGate
from qiskit.primitives import BaseEstimatorV2, PrimitiveJob, PrimitiveResult, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.neural_networks import EstimatorQNN

from benchmarks.peers.interface import Array, Meter, Runner
from benchmarks.task import Noise, Task

__all__ = ["prepare"]

_CHUNK = 3  # PUBs between two looks at the clock


def prepare(task: Task, precision: str, *, budget_s: float = float("inf")) -> Runner:
    """Of PUBs that take longer than `budget_s` a request, the rest is left out and its time extrapolated."""
    n = task.n_qubits
    x, w = ParameterVector("x", task.n_inputs), ParameterVector("w", task.n_weights)
    circuit = QuantumCircuit(n)
    for block in range(task.n_blocks):
        for i in range(n):
            for angles, first in ((x, 3 * i), (w, 3 * (block * n + i))):
                circuit.rz(angles[first], i)
                circuit.ry(angles[first + 1], i)
                circuit.append(RZGate(angles[first + 2], label="rot"), [i])
        for pair in task.ring:
            circuit.cz(*pair)
    observables = [SparsePauliOp.from_sparse_list([("Z", [i], 1.0)], num_qubits=n) for i in range(n)]
    estimator = StatevectorEstimator() if task.noise is None else _aer_estimator(task.noise)
    meter = Meter()
    qnn = EstimatorQNN(
        circuit=circuit,
        observables=observables,
        input_params=list(x),
        weight_params=list(w),
        estimator=_Metered(estimator, meter, budget_s),
        input_gradients=True,
        default_precision=0.0,
    )

    def jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        meter.done, meter.total, meter.missing_s = 0, 0, 0.0
        return qnn.forward(x, w), *qnn.backward(x, w)

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        values, d_x, d_w = jacobian(x, w)
        return values, np.einsum("bn,bnp->bp", cotangent, d_x), np.einsum("bn,bnp->p", cotangent, d_w)

    return Runner(backward, jacobian, meter=meter)


def _aer_estimator(noise: Noise) -> Any:
    """Aer's estimator on the exact density matrix.

    A Rot's noise hangs on the label of its last RZ: the stock gradient would rewrite a `u` gate before it
    runs, and noise that a noise model attaches to `u` would miss the shifted circuits.
    """
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.primitives import EstimatorV2

    from benchmarks.peers.aer_noise import one_qubit_error

    error = one_qubit_error(noise)
    model = NoiseModel(basis_gates=["rz", "ry", "cz"])
    model.add_all_qubit_quantum_error(error, ["rot"])
    if noise.after_cz:
        model.add_all_qubit_quantum_error(error.tensor(error), ["cz"])
    return EstimatorV2(options={"backend_options": {"method": "density_matrix", "noise_model": model}})


class _Metered(BaseEstimatorV2):
    """An estimator that stops `budget_s` seconds into a request; what is left out repeats the last result."""

    def __init__(self, estimator: Any, meter: Meter, budget_s: float) -> None:
        self._estimator = estimator
        self._meter = meter
        self._budget_s = budget_s

    def run(self, pubs: Iterable[Any], *, precision: float | None = None) -> Any:
        job = PrimitiveJob(self._evaluate, list(pubs), precision)
        job._submit()
        return job

    def _evaluate(self, pubs: list[Any], precision: float | None) -> Any:
        start, seconds, results = time.perf_counter(), 0.0, list[Any]()
        while len(results) < len(pubs) and seconds < self._budget_s:
            chunk = pubs[len(results) : len(results) + _CHUNK]
            results += self._estimator.run(chunk, precision=precision).result()
            seconds = time.perf_counter() - start
        left = len(pubs) - len(results)
        self._meter.done += len(results)
        self._meter.total += len(pubs)
        self._meter.missing_s += seconds / len(results) * left
        return PrimitiveResult(results + results[-1:] * left)
