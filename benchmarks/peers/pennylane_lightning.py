"""PennyLane lightning.qubit, adjoint differentiation in C++, called at the level of its device.

One tape a sample, the whole batch in one call; this is what a QNode does, with less of its own overhead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
from pennylane.devices import ExecutionConfig
from pennylane.tape import QuantumScript

from benchmarks.peers.interface import Array, NotSupportedError, Runner
from benchmarks.task import Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    """Backward by the device's own vector-Jacobian product, Jacobian by its adjoint sweep."""
    if task.noise is not None:
        raise NotSupportedError("lightning.qubit is a statevector simulator")
    n, blocks = task.n_qubits, task.n_blocks
    dtype = np.complex128 if precision == "double" else np.complex64
    device = qml.device("lightning.qubit", wires=n, c_dtype=dtype)
    config = ExecutionConfig(
        gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True
    )
    program, config = device.preprocess(config)
    program = device.preprocess_transforms(config)

    def tapes(x: Array, w: Array) -> Any:
        w_angles = w.reshape(blocks, n, 3)
        scripts = [
            QuantumScript(_operations(task, row.reshape(n, 3), w_angles), _measurements(n)) for row in x
        ]
        return program(scripts)[0]

    def split(slopes: Array) -> tuple[Array, Array]:
        """Per occurrence (..., block, qubit, layer, 3) -> per x and per w."""
        shaped = slopes.reshape(*slopes.shape[:-1], blocks, n, 2, 3)
        lead = slopes.shape[:-1]
        return shaped[..., 0, :].sum(axis=-3).reshape(*lead, 3 * n), shaped[..., 1, :].reshape(*lead, -1)

    def backward(x: Array, w: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        values, slopes = device.execute_and_compute_vjp(
            tapes(x, w), [tuple(row) for row in cotangent], config
        )
        d_x, d_w = split(np.array(slopes, dtype=float))
        return np.array(values), d_x, d_w.sum(axis=0)

    def jacobian(x: Array, w: Array) -> tuple[Array, Array, Array]:
        values, slopes = device.execute_and_compute_derivatives(tapes(x, w), config)
        return np.array(values), *split(np.array(slopes, dtype=float))

    return Runner(backward, jacobian)


def _operations(task: Task, x: Array, w: Array) -> list[Any]:
    """Angles per occurrence in the order (block, qubit, layer, phi theta omega)."""
    operations: list[Any] = []
    for block in range(task.n_blocks):
        for i in range(task.n_qubits):
            for phi, theta, omega in (x[i], w[block, i]):
                operations += [qml.RZ(phi, i), qml.RY(theta, i), qml.RZ(omega, i)]
        operations += [qml.CZ(pair) for pair in task.ring]
    return operations


def _measurements(n: int) -> list[Any]:
    return [qml.expval(qml.Z(i)) for i in range(n)]
