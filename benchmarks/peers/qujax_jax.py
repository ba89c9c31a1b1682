"""qujax: statevector on jax, each qubit's two Rots of a block one gate of six parameters."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import qujax

from benchmarks.peers import with_jax
from benchmarks.peers.interface import Runner
from benchmarks.task import Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    """Parameters are x, then w; qujax's own gates take angles in units of pi, ours here take radians."""
    with_jax.set_precision(precision)
    n = task.n_qubits
    gates: list[Any] = []
    qubits: list[list[int]] = []
    params: list[list[int]] = []
    for block in range(task.n_blocks):
        for i in range(n):
            first = 3 * n + 3 * (block * n + i)
            gates.append(_two_rots)
            qubits.append([i])
            params.append([3 * i, 3 * i + 1, 3 * i + 2, first, first + 1, first + 2])
        for pair in task.ring:
            gates.append("CZ")
            qubits.append(list(pair))
            params.append([])
    to_state = qujax.get_params_to_statetensor_func(gates, qubits, params, n)
    return with_jax.make_runner(partial(_values, to_state, n))


def _rot(phi: Any, theta: Any, omega: Any) -> Any:
    cos, sin = jnp.cos(theta / 2), jnp.sin(theta / 2)
    plus, minus = jnp.exp(0.5j * (phi + omega)), jnp.exp(0.5j * (phi - omega))
    return jnp.array([[plus.conj() * cos, -minus * sin], [minus.conj() * sin, plus * cos]])


def _two_rots(x0: Any, x1: Any, x2: Any, w0: Any, w1: Any, w2: Any) -> Any:
    return _rot(w0, w1, w2) @ _rot(x0, x1, x2)


def _values(to_state: Any, n: int, x: Any, w: Any) -> Any:
    state = to_state(jnp.concatenate([x, w]))
    probabilities = state.real**2 + state.imag**2
    outputs = []
    for _ in range(n):
        pairs = probabilities.reshape(2, -1)
        outputs.append((pairs[0] - pairs[1]).sum())
        probabilities = pairs[0] + pairs[1]
    return jnp.stack(outputs)
