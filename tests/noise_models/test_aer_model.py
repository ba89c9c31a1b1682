"""Aer's noise models: two-qubit maps taken apart, the mean of noisy readings, the probe."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import UGate
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
)

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import BackendError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models import RealArray, kraus_operators, kraus_to_ptm
from sqdr_qiskit.noise_models import aer_model as probe_module
from sqdr_qiskit.noise_models.aer_model import (
    GateChannels,
    error_ptm,
    probe,
    read_observable,
    readout_after,
    restrict,
    split_product,
)
from sqdr_qiskit.noise_models.build import build_noise_model, with_places
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.noise import noise_spec

DAMPING = kraus_to_ptm(kraus_operators(ChannelSpec("amplitude_damping", (("gamma", 0.3),))))
FLIP = kraus_to_ptm(kraus_operators(ChannelSpec("bit_flip", (("p", 0.1),))))
PAIR = kraus_to_ptm(kraus_operators(ChannelSpec("depolarizing_2q", (("p", 0.2),))))
EVERYTHING_LOST = kraus_to_ptm(kraus_operators(ChannelSpec("depolarizing", (("p", 0.75),))))
PRODUCT = np.kron(DAMPING @ FLIP, FLIP)


def together(parts: tuple[RealArray, ...]) -> RealArray:
    """The parts as one map, by their shapes and order."""
    total: RealArray = np.eye(16)
    sides = iter((lambda m: np.kron(m, np.eye(4)), lambda m: np.kron(np.eye(4), m)))
    for part in parts:
        total = (part if part.shape == (16, 16) else next(sides)(part)) @ total
    return total


FORMS = {
    "product": (PRODUCT, 2),
    "pair first": (PRODUCT @ PAIR, 3),
    "pair last": (PAIR @ PRODUCT, 3),
    "pair alone": (PAIR, 3),
    "one side lost": (np.kron(EVERYTHING_LOST, DAMPING), 2),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_products_and_pair_factors_are_found(form: str) -> None:
    ptm, n_parts = FORMS[form]
    parts = split_product(ptm)
    assert parts is not None
    assert len(parts) == n_parts
    np.testing.assert_allclose(together(parts), ptm, atol=1e-14)
    for part in parts:
        if part.shape == (16, 16):
            np.testing.assert_array_equal(part, np.diag(np.diag(part)))
            singles = [4 * a + b for a, b in itertools.product(range(4), repeat=2) if a == 0 or b == 0]
            np.testing.assert_array_equal(np.diag(part)[singles], 1.0)


def test_a_coherent_two_qubit_error_has_no_such_form() -> None:
    angle = 0.1
    unitary = np.cos(angle) * np.eye(4) - 1j * np.sin(angle) * np.diag([1, -1, -1, 1])
    assert split_product(error_ptm(coherent_unitary_error(unitary))) is None
    model = NoiseModel()
    model.add_all_qubit_quantum_error(coherent_unitary_error(unitary), ["cz"])
    (channel,) = GateChannels(model).after("cz", (4, 2))
    assert channel.qubits == (4, 2)
    assert channel.ptm.shape == (16, 16)


def test_two_qubit_transfer_matrices_count_the_first_qubit_by_four() -> None:
    error = pauli_error([("II", 0.9), ("IX", 0.1)])  # X on Qiskit's qubit 0, the gate's first
    np.testing.assert_allclose(error_ptm(error), np.kron(FLIP, np.eye(4)), atol=1e-15)


def test_errors_wider_than_their_gate_are_refused() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 3), ["ccx"])
    with pytest.raises(UnsupportedError, match=r"Noise after gate `ccx` .* but acts on 3 together"):
        GateChannels(model).after("ccx", (0, 1, 2))
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["mine"])
    with pytest.raises(
        UnsupportedError, match=r"Noise after gate `mine` on qubits \[1\] must act on 1 qubits"
    ):
        GateChannels(model).after("mine", (1,))


def test_readout_on_several_qubits_together_is_refused() -> None:
    model = NoiseModel()
    model.add_readout_error(np.eye(4)[::-1], [0, 1])
    with pytest.raises(UnsupportedError, match=r"Readout error on qubits \[0, 1\] together"):
        readout_after(model, 0)


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


def test_a_coin_for_a_detector_reads_nothing() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[0.5, 0.5], [0.5, 0.5]]))
    np.testing.assert_array_equal(read_observable(noise, SparsePauliOp("Z")).coeffs, [0.0])


def test_wide_observables_are_refused() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.1, 0.9]]))
    with pytest.raises(UnsupportedError, match="Readout error on a Pauli of 13 qubits"):
        read_observable(noise, SparsePauliOp("Z" * 13))


RUNS_ON_THE_RING = [
    name for name in list_names("noise_models") if not name.startswith("fake-") or "median" in name
]


@pytest.mark.parametrize("name", RUNS_ON_THE_RING)
def test_every_shipped_noise_is_really_there(name: str) -> None:
    spec = noise_spec(name)
    circuit = with_places(build_circuit("2b-5q").circuit, spec.places)
    probe(build_noise_model(spec, circuit), circuit)


@pytest.mark.parametrize("circuit_name", ["hea-9q", "sqnn-9q"])
def test_the_papers_noise_is_there_on_the_other_circuits(circuit_name: str) -> None:
    circuit = build_circuit(circuit_name).circuit
    probe(build_noise_model(noise_spec("paper"), circuit), circuit)


def test_a_model_for_other_gates_is_refused() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["sx", "x"])
    with pytest.raises(SpecError, match="attaches noise to sx, x, but the circuit has only cz, u"):
        probe(model, build_circuit("2b-4q").circuit)


def test_a_label_hides_a_gate_from_its_noise() -> None:
    circuit = QuantumCircuit(1)
    circuit.append(UGate(0.1, 0.2, 0.3, label="my rotation"), [0])
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["u"])
    with pytest.raises(SpecError, match="attaches noise to u, but the circuit has only my rotation"):
        probe(model, circuit)


def test_noise_that_aer_leaves_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = build_circuit("2b-4q").circuit
    model = build_noise_model(noise_spec("paper"), circuit)
    monkeypatch.setattr(probe_module, "restrict", lambda model, qubits: NoiseModel())
    with pytest.raises(BackendError, match=r"Aer ignores the noise of gate `u` on qubits \[0\]"):
        probe(model, circuit)


def test_other_noise_than_the_models_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = build_circuit("2b-4q").circuit
    other = NoiseModel()
    other.add_all_qubit_quantum_error(amplitude_damping_error(0.3), ["u"])
    monkeypatch.setattr(probe_module, "restrict", lambda model, qubits: other)
    with pytest.raises(BackendError, match="Aer computes another noise for gate `u`"):
        probe(build_noise_model(noise_spec("paper"), circuit), circuit)


def test_an_ideal_model_has_nothing_to_show() -> None:
    probe(NoiseModel(), build_circuit("2b-4q").circuit)


def test_local_noise_follows_its_qubit() -> None:
    model = NoiseModel()
    error = pauli_error([("X", 0.1), ("I", 0.9)])
    pair = depolarizing_error(0.1, 2)
    model.add_quantum_error(error, ["u"], [5])
    model.add_quantum_error(pair, ["cz"], [7, 5])
    model.add_readout_error([[0.9, 0.1], [0.2, 0.8]], [7])
    part = restrict(model, [7, 5])
    assert part._local_quantum_errors == {"u": {(1,): error}, "cz": {(0, 1): pair}}
    assert list(part._local_readout_errors) == [(0,)]
    assert restrict(model, [1, 2]).is_ideal()


def test_passes_cannot_be_restricted() -> None:
    model = NoiseModel()
    model._custom_noise_passes.append(object())
    with pytest.raises(UnsupportedError, match="A noise model with passes"):
        restrict(model, [0])
