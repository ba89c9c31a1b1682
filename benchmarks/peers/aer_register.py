"""Aer's own estimator on the whole register: a density matrix of n qubits a sample, forward values."""

from __future__ import annotations

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel
from qiskit_aer.primitives import EstimatorV2

from benchmarks.peers.aer_noise import one_qubit_error
from benchmarks.peers.interface import Array, NotSupportedError, Runner
from benchmarks.task import Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    """One PUB of all samples and observables; each Rot is a `u` that a noise model makes noisy."""
    if task.noise is None:
        raise NotSupportedError("the whole register is measured with noise only")
    n = task.n_qubits
    x, w = ParameterVector("x", task.n_inputs), ParameterVector("w", task.n_weights)
    circuit = QuantumCircuit(n)
    for block in range(task.n_blocks):
        for i in range(n):
            for angles, first in ((x, 3 * i), (w, 3 * (block * n + i))):
                circuit.u(angles[first + 1], angles[first + 2], angles[first], i)
        for pair in task.ring:
            circuit.cz(*pair)
    error = one_qubit_error(task.noise)
    model = NoiseModel(basis_gates=["u", "cz"])
    model.add_all_qubit_quantum_error(error, ["u"])
    if task.noise.after_cz:
        model.add_all_qubit_quantum_error(error.tensor(error), ["cz"])
    estimator = EstimatorV2(options={"backend_options": {"method": "density_matrix", "noise_model": model}})
    observables = ObservablesArray.coerce(
        [[SparsePauliOp.from_sparse_list([("Z", [i], 1.0)], num_qubits=n)] for i in range(n)]
    )
    column = {parameter: place for place, parameter in enumerate([*x, *w])}
    order = [column[parameter] for parameter in circuit.parameters]

    def forward(x: Array, w: Array) -> Array:
        angles = np.concatenate([x, np.broadcast_to(w, (len(x), len(w)))], axis=1)[:, order]
        result = estimator.run([(circuit, observables, angles)]).result()[0]
        return np.asarray(result.data.evs).T

    return Runner(forward=forward)
