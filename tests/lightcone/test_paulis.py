from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import PTM, random_unitary

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.operations import Channel
from sqdr_qiskit.lightcone.paulis import kraus_ptm, unitary_ptm


def test_random_gate_equals_qiskit(rng: np.random.Generator) -> None:
    unitary = random_unitary(2, seed=rng)
    assert np.allclose(unitary_ptm(unitary.data), PTM(unitary).data.real, atol=1e-14)


def test_clifford_entries_are_exact() -> None:
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    assert unitary_ptm(hadamard).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0], [0, 1, 0, 0]]


def test_amplitude_damping_closed_form() -> None:
    gamma = 0.3
    kraus = np.array([[[1, 0], [0, np.sqrt(1 - gamma)]], [[0, np.sqrt(gamma)], [0, 0]]], dtype=complex)
    expected = np.diag([1, np.sqrt(1 - gamma), np.sqrt(1 - gamma), 1 - gamma])
    expected[3, 0] = gamma
    assert np.allclose(kraus_ptm(kraus), expected, atol=1e-15)


def test_channel_checks_its_matrix() -> None:
    with pytest.raises(ArgumentError, match=r"must have shape \(4, 4\)"):
        Channel((0,), np.eye(16))
    with pytest.raises(ArgumentError, match="must preserve the trace"):
        Channel((0,), 0.5 * np.eye(4))
