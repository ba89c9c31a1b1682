"""TensorCircuit-NG on jax: full statevector, light cone, and noisy density matrix or tensor network.

Each qubit's two Rots of a block are one 2x2 unitary. With noise, a qubit's Rot, channels, Rot, channels are
one 4x4 superoperator. So the peer is used as an expert would.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc

from benchmarks.peers import with_jax
from benchmarks.peers.interface import Runner
from benchmarks.task import Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str, *, form: str) -> Runner:
    """`form`: `statevector` or `lightcone` without noise, `density_matrix` or `network` with it."""
    with_jax.set_precision(precision)
    tc.set_backend("jax")
    tc.set_dtype("complex128" if precision == "double" else "complex64")
    forms: dict[str, Callable[[Task, Any, Any], Any]] = {
        "statevector": _statevector,
        "lightcone": _lightcone,
        "density_matrix": partial(_density_matrix, whole=True),
        "network": partial(_density_matrix, whole=False),
    }
    return with_jax.make_runner(partial(forms[form], task))


def rot(angles: Any) -> Any:
    """RZ(omega) RY(theta) RZ(phi) of angles (..., 3), shape (..., 2, 2)."""
    phi, theta, omega = angles[..., 0], angles[..., 1], angles[..., 2]
    cos, sin = jnp.cos(theta / 2), jnp.sin(theta / 2)
    plus, minus = jnp.exp(0.5j * (phi + omega)), jnp.exp(0.5j * (phi - omega))
    rows = [jnp.stack([plus.conj() * cos, -minus * sin], -1), jnp.stack([minus.conj() * sin, plus * cos], -1)]
    return jnp.stack(rows, -2)


def _fused(task: Task, x: Any, w: Any) -> Any:
    """One unitary a block and qubit: (blocks, n, 2, 2)."""
    return rot(w.reshape(task.n_blocks, task.n_qubits, 3)) @ rot(x.reshape(task.n_qubits, 3))


def _circuit(task: Task, x: Any, w: Any) -> Any:
    circuit = tc.Circuit(task.n_qubits)
    gates = _fused(task, x, w)
    for block in range(task.n_blocks):
        for qubit in range(task.n_qubits):
            circuit.any(qubit, unitary=gates[block, qubit])
        for a, b in task.ring:
            circuit.cz(a, b)
    return circuit


def z_values(n_qubits: int, probabilities: Any) -> Any:
    """<Z_i> of the 2^n probabilities, summing out one qubit after the other."""
    outputs = []
    for _ in range(n_qubits):
        pairs = probabilities.reshape(2, -1)
        outputs.append((pairs[0] - pairs[1]).sum())
        probabilities = pairs[0] + pairs[1]
    return jnp.stack(outputs)


def _statevector(task: Task, x: Any, w: Any) -> Any:
    state = _circuit(task, x, w).state()
    return z_values(task.n_qubits, state.real**2 + state.imag**2)


def _lightcone(task: Task, x: Any, w: Any) -> Any:
    circuit = _circuit(task, x, w)
    outputs = [circuit.expectation_ps(z=[i], enable_lightcone=True) for i in range(task.n_qubits)]
    return jnp.stack(outputs).real


def _density_matrix(task: Task, x: Any, w: Any, *, whole: bool) -> Any:
    n = task.n_qubits
    assert task.noise is not None
    channel = jnp.asarray(task.noise.superoperator(), dtype=tc.dtypestr)
    steps = []
    for angles in (x.reshape(n, 3), w.reshape(task.n_blocks, n, 3)):
        unitary = rot(angles)
        doubled = jnp.einsum("...ab,...cd->...acbd", unitary, unitary.conj()).reshape(
            *unitary.shape[:-2], 4, 4
        )
        steps.append(channel @ doubled)
    fused = steps[1] @ steps[0]  # (blocks, n, 4, 4)
    circuit = tc.DMCircuit2(n)
    for block in range(task.n_blocks):
        for qubit in range(n):
            _apply_superoperator(circuit, fused[block, qubit], qubit)
        for a, b in task.ring:
            circuit.cz(a, b)
            if task.noise.after_cz:
                _apply_superoperator(circuit, channel, a)
                _apply_superoperator(circuit, channel, b)
    if whole:
        rho = circuit.densitymatrix()
        return z_values(n, jnp.diagonal(rho).real)
    z = np.diag([1.0, -1.0])
    outputs = [circuit.expectation((tc.gates.Gate(z), [i]), reuse=False) for i in range(n)]
    return jnp.stack(outputs).real


def _apply_superoperator(circuit: Any, matrix: Any, qubit: int) -> None:
    """What DMCircuit2.apply_general_kraus does, with a matrix on vec(rho) in place of Kraus operators."""
    gate = tc.gates.Gate(matrix.reshape(2, 2, 2, 2))  # (row out, column out, row in, column in)
    n = circuit._nqubits
    for out, place in ((0, qubit), (1, n + qubit)):
        gate.get_edge(2 + out) ^ circuit._front[place]
        circuit._front[place] = gate.get_edge(out)
    circuit._nodes.append(gate)
    circuit.state_tensor = None
