"""The slow, obvious twin: dense simulation in numpy, gradients by parameter shift. Only checks use it.

A state is an array (samples, 2, ..., 2), one axis a qubit. With noise the density matrix has the row axes
first, then the column axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.task import Noise, Task

__all__ = ["jacobian", "values"]

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def values(task: Task, x: Array, w: Array) -> Array:
    """<Z_i>, shape (batch, n), for angles x (batch, 3n) and w (3nb,)."""
    return _run(task, _angles(task, x, w))


def jacobian(task: Task, x: Array, w: Array) -> tuple[Array, Array]:
    """d<Z_i>/dx, shape (batch, n, 3n), and d<Z_i>/dw, shape (batch, n, 3nb), by parameter shift."""
    angles = _angles(task, x, w)
    slopes = np.empty((*angles.shape, task.n_qubits))
    for place in np.ndindex(angles.shape[1:]):
        shifted = angles.copy()
        shifted[(slice(None), *place)] += np.pi / 2
        upper = _run(task, shifted)
        shifted[(slice(None), *place)] -= np.pi
        slopes[(slice(None), *place)] = (upper - _run(task, shifted)) / 2
    batch = len(angles)
    by_output = np.moveaxis(slopes, -1, 1)  # (batch, output, block, layer, qubit, angle)
    d_x = by_output[:, :, :, 0].sum(axis=2).reshape(batch, task.n_qubits, -1)
    d_w = by_output[:, :, :, 1].reshape(batch, task.n_qubits, -1)
    return d_x, d_w


def _angles(task: Task, x: Array, w: Array) -> Array:
    """Every Rot's own three angles: (batch, block, layer x or w, qubit, 3)."""
    n, blocks = task.n_qubits, task.n_blocks
    x_part = np.broadcast_to(x.reshape(-1, 1, n, 3), (len(x), blocks, n, 3))
    w_part = np.broadcast_to(w.reshape(1, blocks, n, 3), (len(x), blocks, n, 3))
    return np.stack([x_part, w_part], axis=2)


def _run(task: Task, angles: Array) -> Array:
    n, noise = task.n_qubits, task.noise
    axes = n if noise is None else 2 * n
    state = np.zeros((len(angles), *([2] * axes)), dtype=complex)
    state[(slice(None), *([0] * axes))] = 1
    for block in range(task.n_blocks):
        for layer in range(2):
            for qubit in range(n):
                gate = _rot(angles[:, block, layer, qubit])
                state = _apply(state, gate, qubit)
                if noise is not None:
                    state = _apply(state, gate.conj(), n + qubit)
                    state = _add_noise(state, noise, qubit, n)
        for a, b in task.ring:
            state = _cz(state, a, b)
            if noise is not None:
                state = _cz(state, n + a, n + b)
                if noise.after_cz:
                    state = _add_noise(_add_noise(state, noise, a, n), noise, b, n)
    if noise is None:
        probabilities = np.abs(state) ** 2
    else:
        dim = 2**n
        diagonal = np.einsum("sii->si", state.reshape(len(state), dim, dim)).real
        probabilities = diagonal.reshape(len(state), *([2] * n))
    outputs = []
    for qubit in range(n):
        others = tuple(axis for axis in range(1, n + 1) if axis != qubit + 1)
        marginal = probabilities.sum(axis=others)
        outputs.append(marginal[:, 0] - marginal[:, 1])
    return np.stack(outputs, axis=1)


def _rot(angles: Array) -> Complex:
    """RZ(omega) RY(theta) RZ(phi), one 2x2 matrix a sample."""
    phi, theta, omega = angles.T
    cos, sin = np.cos(theta / 2), np.sin(theta / 2)
    plus, minus = (phi + omega) / 2, (phi - omega) / 2
    rows = [[np.exp(-1j * plus) * cos, -np.exp(1j * minus) * sin]]
    rows.append([np.exp(-1j * minus) * sin, np.exp(1j * plus) * cos])
    return np.moveaxis(np.array(rows), -1, 0)


def _apply(state: Complex, gate: Complex, axis: int) -> Complex:
    """Apply `gate`, (2, 2) or one a sample (samples, 2, 2), to qubit axis `axis`."""
    moved = np.moveaxis(state, axis + 1, 1)
    flat = moved.reshape(len(state), 2, -1)
    return np.moveaxis((gate @ flat).reshape(moved.shape), 1, axis + 1)


def _cz(state: Complex, a: int, b: int) -> Complex:
    state = state.copy()
    where = [slice(None)] * state.ndim
    where[a + 1] = where[b + 1] = slice(1, 2)
    state[tuple(where)] *= -1
    return state


def _add_noise(state: Complex, noise: Noise, qubit: int, n: int) -> Complex:
    for index in range(len(noise.channels)):
        terms = (_apply(_apply(state, k, qubit), k.conj(), n + qubit) for k in noise.kraus(index))
        state = sum(terms, np.zeros_like(state))
    return state
