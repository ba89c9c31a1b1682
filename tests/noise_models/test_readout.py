"""Readout error in expectation values: the mean of noisy readings, computed from all outcomes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector
from qiskit_aer.noise import NoiseModel, ReadoutError

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.noise_models.convert import has_readout_error, read_observable

N_QUBITS = 3
ERRORS = [(0.05, 0.1), (0.0, 0.2), (0.3, 0.0)]


@pytest.fixture
def model() -> NoiseModel:
    noise = NoiseModel()
    for qubit, (p01, p10) in enumerate(ERRORS):
        noise.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit])
    return noise


def mean_of_noisy_readings(state: Statevector, label: str) -> float:
    """Sum over true and read outcomes of the Z-type Pauli `label` (Qiskit's order)."""
    probabilities = state.probabilities()
    total = 0.0
    for true, read in itertools.product(range(2**N_QUBITS), repeat=2):
        chance = probabilities[true]
        value = 1.0
        for qubit, (p01, p10) in enumerate(ERRORS):
            t, r = true >> qubit & 1, read >> qubit & 1
            flip = (p01, p10)[t]
            chance *= flip if t != r else 1 - flip
            if label[::-1][qubit] == "Z":
                value *= 1 - 2 * r
        total += chance * value
    return total


@pytest.mark.parametrize("label", ["IIZ", "IZI", "ZII", "ZIZ", "ZZZ", "III"])
def test_the_read_observable_has_the_mean_of_noisy_readings(model: NoiseModel, label: str, seed: int) -> None:
    state = random_statevector(2**N_QUBITS, seed=seed)
    read = read_observable(model, SparsePauliOp(label))
    assert state.expectation_value(read).real == pytest.approx(
        mean_of_noisy_readings(state, label), abs=1e-14
    )


def test_coefficients_and_sums_pass_through(model: NoiseModel, seed: int) -> None:
    state = random_statevector(2**N_QUBITS, seed=seed)
    read = read_observable(model, SparsePauliOp(["IIZ", "ZIZ"], [0.5, -2.0]))
    expected = 0.5 * mean_of_noisy_readings(state, "IIZ") - 2.0 * mean_of_noisy_readings(state, "ZIZ")
    assert state.expectation_value(read).real == pytest.approx(expected, abs=1e-14)


def test_certain_outcomes_have_the_textbook_means(model: NoiseModel) -> None:
    read = read_observable(model, SparsePauliOp("IIZ"))
    assert Statevector.from_label("000").expectation_value(read).real == pytest.approx(1 - 2 * 0.05)
    assert Statevector.from_label("001").expectation_value(read).real == pytest.approx(-1 + 2 * 0.1)


def test_without_readout_error_the_observable_comes_back() -> None:
    observable = SparsePauliOp("ZZ")
    assert read_observable(None, observable) is observable
    assert read_observable(NoiseModel(), observable) is observable
    assert not has_readout_error(NoiseModel())


def test_a_coin_for_a_detector_reads_nothing() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[0.5, 0.5], [0.5, 0.5]]))
    assert has_readout_error(noise)
    np.testing.assert_array_equal(read_observable(noise, SparsePauliOp("Z")).coeffs, [0.0])


def test_wide_observables_are_refused() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.1, 0.9]]))
    with pytest.raises(UnsupportedError, match="Readout error on a Pauli of 13 qubits"):
        read_observable(noise, SparsePauliOp("Z" * 13))
