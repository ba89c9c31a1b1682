"""sqdr-qiskit's own exact engine, called as its quantum layer calls it.

The `EstimatorQNN` subclass that `TorchConnector` wraps: forward one broadcast PUB, backward the Jacobian.
"""

from __future__ import annotations

import numpy as np

from benchmarks.peers.interface import Array, Runner
from benchmarks.task import Noise, Task
from sqdr_qiskit.backends.exact import ExactEstimator
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.gradients.exact import ExactGradient
from sqdr_qiskit.lightcone.channels import Channel, ChannelModel, noiseless
from sqdr_qiskit.model.qnn import BroadcastEstimatorQNN

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    """Always double precision."""
    circuit = build_circuit(f"{task.n_blocks}b-{task.n_qubits}q")
    channels: ChannelModel = noiseless if task.noise is None else _Channels(task.noise)
    qnn = BroadcastEstimatorQNN(
        circuit=circuit.circuit,
        estimator=ExactEstimator(channels),
        gradient=ExactGradient(channels),
        observables=circuit.observables,
        input_params=list(circuit.x),
        weight_params=list(circuit.w),
    )

    def jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        values = qnn.forward(x, w)
        d_x, d_w = qnn.backward(x, w)
        return values, d_x, d_w

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        values, d_x, d_w = jacobian(x, w)
        row = cotangent[:, None, :]
        return values, (row @ d_x)[:, 0], (row @ d_w)[:, 0].sum(axis=0)

    return Runner(backward, jacobian)


class _Channels:
    """The benchmark's noise as the engine takes it: Pauli transfer matrices after gates."""

    def __init__(self, noise: Noise) -> None:
        paulis = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], np.diag([1, -1])])
        mapped = (paulis.reshape(4, 4) @ noise.superoperator().T).reshape(4, 2, 2)
        self._ptm = np.einsum("aij,bji->ab", paulis, mapped).real / 2
        self._gates = {"u", "cz"} if noise.after_cz else {"u"}

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        return tuple(Channel((qubit,), self._ptm) for qubit in qubits) if gate in self._gates else ()
