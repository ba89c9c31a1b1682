"""DeepQuantum: statevector in torch under torch.vmap; x is encoded data, w are trainable parameters."""

from __future__ import annotations

from typing import Any

import deepquantum as dq
import torch

from benchmarks.peers.interface import Array, NotSupportedError, Runner
from benchmarks.peers.with_torch import real_dtype
from benchmarks.task import Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    """Backward only: its weights are module parameters, shared by all samples."""
    if task.noise is not None:
        raise NotSupportedError("DeepQuantum's density matrices are not measured here")
    dtype = real_dtype(precision)
    circuit = dq.QubitCircuit(task.n_qubits)
    weights: list[Any] = []
    for _ in range(task.n_blocks):
        for layer in range(2):
            for i in range(task.n_qubits):
                for gate in (circuit.rz, circuit.ry, circuit.rz):
                    gate(i, encode=layer == 0)
                    if layer == 1:
                        weights.append(circuit.operators[-1])
        for pair in task.ring:
            circuit.cz(*pair)
    for i in range(task.n_qubits):
        circuit.observable(i, basis="z")
    circuit.to(dtype)
    thetas = [gate.theta for gate in weights]

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        x_leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
        with torch.no_grad():
            for theta, value in zip(thetas, torch.tensor(w, dtype=dtype), strict=True):
                theta.copy_(value)
        circuit(x_leaf.repeat(1, task.n_blocks))
        values = circuit.expectation()
        seed = torch.tensor(cotangent, dtype=values.dtype)
        d_x, *d_w = torch.autograd.grad(values, (x_leaf, *thetas), seed)
        return values.detach().numpy(), d_x.numpy(), torch.stack([d.reshape(()) for d in d_w]).numpy()

    return Runner(backward)
