"""Sums of many Pauli strings share one state; what long work costs is said before it begins."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.gradients import PackedParameterShift
from sqdr_qiskit.lightcone import deep
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.lightcone.dense import GateNoise, dense_values, pauli_channel


def _sum(rng: np.random.Generator, n_qubits: int, n_terms: int) -> SparsePauliOp:
    words = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(n_terms)]
    return SparsePauliOp(words, rng.normal(size=n_terms))


@pytest.mark.parametrize("n_terms", [3, 30, 100])
def test_a_sum_of_many_strings_has_one_state_and_is_right(n_terms: int, rng: np.random.Generator) -> None:
    circuit = efficient_su2(5, reps=2, entanglement="full")
    observables = [_sum(rng, 5, n_terms), _sum(rng, 5, n_terms)]
    rows = rng.uniform(-2, 2, (2, circuit.num_parameters))
    engine = ExactEngine(circuit, observables)
    assert set(engine.methods) == {"statevector"}
    assert engine._deep is not None
    assert len(engine._deep._states) == 1
    pub = (circuit, [[o] for o in observables], rows)
    expected = np.asarray(StatevectorEstimator().run([pub]).result()[0].data.evs).T
    values, jacobian = engine.jacobian(rows)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    step = 1e-6 * np.eye(circuit.num_parameters)
    for column in range(0, circuit.num_parameters, 7):
        difference = engine.values(rows + step[column]) - engine.values(rows - step[column])
        np.testing.assert_allclose(jacobian[:, :, column], difference / 2e-6, atol=1e-7)
    shifted = PackedParameterShift(ExactEstimator())
    assert shifted.plan(circuit, observables).tiled.circuit.num_qubits <= 8 * 5
    np.testing.assert_allclose(shifted.jacobian(circuit, observables, rows), jacobian, atol=1e-9)


def test_a_noisy_sum_has_one_pauli_vector(rng: np.random.Generator) -> None:
    circuit = efficient_su2(4, reps=2, entanglement="full")
    noise = GateNoise({"ry": pauli_channel(scale=(0.9, 0.9, 0.81), shift=0.19)})
    observables = [_sum(rng, 4, 300)]
    rows = rng.uniform(-2, 2, (1, circuit.num_parameters))
    engine = ExactEngine(circuit, observables, noise)
    assert engine.methods == ("pauli vector",)
    np.testing.assert_allclose(
        engine.values(rows), dense_values(circuit, observables, rows, noise), atol=1e-12
    )


def test_a_long_sum_of_local_terms_is_expanded(rng: np.random.Generator) -> None:
    circuit = efficient_su2(60, reps=1, entanglement="linear")
    terms = [("ZZ", [q, q + 1], 1.0) for q in range(59)] + [("X", [q], 0.5) for q in range(60)]
    engine = ExactEngine(circuit, [SparsePauliOp.from_sparse_list(terms, 60)])
    assert engine.methods == ("expansion",)
    engine.values(rng.uniform(-2, 2, (1, circuit.num_parameters)))


def test_long_work_is_announced_once_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    circuit = efficient_su2(6, reps=3, entanglement="full")
    engine = ExactEngine(circuit, [SparsePauliOp("ZZZZZZ")])
    rows = np.zeros((2, circuit.num_parameters))
    with caplog.at_level(logging.WARNING):
        engine.jacobian(rows)
        assert not caplog.records
        monkeypatch.setattr(deep, "_LONG", 0.0)
        engine.jacobian(rows)
        engine.jacobian(rows)
    (record,) = caplog.records
    assert "light cones of up to 6 qubits" in record.getMessage()
    assert "cheaper" in record.getMessage()


def test_what_does_not_fit_into_memory_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = efficient_su2(6, reps=3, entanglement="full")
    monkeypatch.setattr(deep, "free_memory", lambda: 1000)
    with pytest.raises(UnsupportedError, match=r"cone of 6 qubits.*needs .* kB and 1 kB is free"):
        ExactEngine(circuit, [SparsePauliOp("ZZZZZZ")])
    wide = QuantumCircuit(40)
    for layer in range(12):
        wide.compose(
            efficient_su2(40, reps=1, entanglement="linear", parameter_prefix=f"p{layer}"), inplace=True
        )
    with pytest.raises(UnsupportedError, match="at most 26 qubits"):
        ExactEngine(wide, [SparsePauliOp.from_sparse_list([("Z", [20], 1.0)], 40)])
