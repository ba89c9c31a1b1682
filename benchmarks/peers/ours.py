"""sqdr-qiskit itself: the quantum layer's network on a backend, and the layer as torch sees it.

Single precision is what a layer is asked for in a training step: values and Jacobian in one request. Double
precision asks for one after the other, and is there for the strict check.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers.interface import Array, Runner
from benchmarks.task import Task
from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.model.quantum_layer import BroadcastEstimatorQNN, quantum_layer

__all__ = ["prepare"]


def prepare(
    task: Task, precision: str, *, noisy_backend: str = "exact_noisy", as_layer: bool = False
) -> Runner:
    """On `exact`, or with the task's noise on `noisy_backend`; `as_layer`: torch's autograd calls it."""
    backend = (
        make_backend("exact") if task.noise is None else make_backend(noisy_backend, noise=task.noise.source)
    )
    layer = quantum_layer(build_circuit(f"{task.n_blocks}b-{task.n_qubits}q"), backend)
    network = layer.neural_network
    assert isinstance(network, BroadcastEstimatorQNN)

    def jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        network.backward_follows = precision == "single"
        values = network.forward(x, w)
        return values, *network.backward(x, w)

    def contracted(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        values, d_x, d_w = jacobian(x, w)
        row = cotangent[:, None, :].astype(d_x.dtype)
        return values, (row @ d_x)[:, 0], (row @ d_w)[:, 0].sum(axis=0)

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w))
        angles = torch.tensor(x, dtype=torch.float32, requires_grad=True)
        values = layer(angles)
        seed = torch.tensor(cotangent, dtype=values.dtype)
        d_x, d_w = torch.autograd.grad(values, (angles, layer.weight), seed)
        return values.detach().numpy(), d_x.numpy(), d_w.numpy()

    def forward(x: Array, w: Array) -> Array:
        network.backward_follows = False
        return np.asarray(network.forward(x, w))

    return Runner(backward) if as_layer else Runner(contracted, jacobian, forward)
