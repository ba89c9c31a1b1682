"""The probe finds noise that Aer leaves out, and passes noise that is there."""

from __future__ import annotations

import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import UGate
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error, pauli_error

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import BackendError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models import check as probe_module
from sqdr_qiskit.noise_models.build import build_noise_model, noisy_circuit
from sqdr_qiskit.noise_models.check import probe, restrict
from sqdr_qiskit.specs.noise import noise_spec

RUNS_ON_THE_RING = [
    name for name in list_names("noise_models") if not name.startswith("fake-") or "median" in name
]


@pytest.mark.parametrize("name", RUNS_ON_THE_RING)
def test_every_shipped_noise_is_really_there(name: str) -> None:
    spec = noise_spec(name)
    circuit = noisy_circuit(spec, build_circuit("2b-5q").circuit)
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
