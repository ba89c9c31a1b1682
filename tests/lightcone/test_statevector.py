"""Whole states: runs of diagonal gates taken together are what the gates are one by one."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import SparsePauliOp, Statevector

from sqdr_qiskit.lightcone import statevector
from sqdr_qiskit.lightcone.angles import prepared
from sqdr_qiskit.lightcone.cones import pauli_terms
from sqdr_qiskit.lightcone.operations import NormalForm, normal_form
from sqdr_qiskit.lightcone.statevector import Statevectors


def _states(circuit: QuantumCircuit, observables: list[SparsePauliOp]) -> tuple[NormalForm, Statevectors]:
    form = normal_form(circuit)
    sums = [pauli_terms(observable, form) for observable in observables]
    return form, Statevectors(form, range(circuit.num_qubits), range(len(form.operations)), sums)


def _circuit(rng: np.random.Generator, n_qubits: int) -> QuantumCircuit:
    """Mostly diagonal gates and CXs, so that runs are long, and what ends them now and then."""
    circuit = QuantumCircuit(n_qubits)
    angles = [Parameter(f"a{i}") for i in range(6)]
    circuit.h(range(n_qubits))
    for _ in range(60):
        a, b = (int(q) for q in rng.choice(n_qubits, 2, replace=False))
        kind = rng.choice(
            ["cx", "cz", "rz", "rzz", "t", "crz", "ry", "rx", "h", "sx"], p=[0.3, 0.1, 0.2] + 7 * [0.4 / 7]
        )
        angle = angles[int(rng.integers(6))] * float(rng.choice([1.0, -0.5]))
        if kind in ("cx", "cz"):
            getattr(circuit, kind)(a, b)
        elif kind in ("rzz", "crz"):
            getattr(circuit, kind)(angle, a, b)
        elif kind in ("t", "h", "sx"):
            getattr(circuit, kind)(a)
        else:
            getattr(circuit, kind)(angle, a)
    return circuit


@pytest.mark.parametrize("few", [0, 4, 1000])
@pytest.mark.parametrize("n_qubits", [2, 5, 7])
def test_runs_of_diagonal_gates_are_their_gates(
    n_qubits: int, few: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(statevector, "_FEW", few)
    circuit = _circuit(rng, n_qubits)
    words = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(4)]
    observables = [SparsePauliOp(words[:3], rng.normal(size=3)), SparsePauliOp(words[3:])]
    form, states = _states(circuit, observables)
    kinds = set(states._steps[:, 0].tolist())
    assert (statevector._PHASES in kinds) == (few < 1000)
    rows = rng.uniform(-3, 3, (3, circuit.num_parameters))
    rows[2] *= 1e7  # beyond what the kernel's sines take
    found, slopes = states.run(form.radians(rows), True)
    plain = [Statevector(circuit.assign_parameters(row)) for row in rows]
    expected = [[state.expectation_value(observable).real for observable in observables] for state in plain]
    np.testing.assert_allclose(found[:2], expected[:2], atol=1e-12)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-7)  # angles themselves are rounded at 1e-9
    for column in range(circuit.num_parameters):
        step = 1e-6 * np.eye(circuit.num_parameters)[column]
        up, down = (states.run(form.radians(rows[:2] + s), False)[0] for s in (step, -step))
        derivative = slopes[:2] @ form.coefficients[:, column]
        np.testing.assert_allclose(derivative, (up - down) / 2e-6, atol=1e-7)


def test_a_feature_map_is_hadamards_and_one_run_of_phases_a_layer() -> None:
    circuit, _ = prepared(zz_feature_map(5, entanglement="full"))
    _, states = _states(circuit, [SparsePauliOp("ZZZZZ")])
    kinds = states._steps[:, 0].tolist()
    layer = 5 * [statevector._FIXED] + [statevector._PHASES]
    assert kinds == 2 * layer
