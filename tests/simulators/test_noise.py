"""The engine under noise against Aer's density matrix of the whole register."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.errors import SpecError
from sqdr_qiskit.noise_models.convert import read_observable
from sqdr_qiskit.simulators.noise import circuit_noise, noisy_engine
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.noise import ErrorSpec, NoiseSpec, ReadoutSpec, noise_spec

LOGICAL = [name for name in list_names("noise_models") if noise_spec(name).device is None]


def whole_register(
    noise: NoiseSpec | NoiseModel,
    circuit: QuantumCircuit,
    observables: list[SparsePauliOp],
    point: np.ndarray,
) -> np.ndarray:
    """Expectations by Aer from the density matrix of all qubits at once: the slow twin of cones."""
    bound = circuit_noise(noise, circuit)
    assigned = bound.circuit.assign_parameters(point)
    for number, observable in enumerate(observables):
        read = read_observable(bound.model, observable)
        assigned.save_expectation_value(read, assigned.qubits, label=str(number))
    simulator = AerSimulator(method="density_matrix", noise_model=bound.model, zero_threshold=1e-16)
    data = simulator.run(assigned, shots=1).result().data(0)
    return np.array([data[str(number)] for number in range(len(observables))])


def points(circuit: CircuitModel, rng: np.random.Generator, n_points: int = 2) -> np.ndarray:
    return rng.uniform(-3, 3, (n_points, circuit.circuit.num_parameters))


@pytest.mark.parametrize("name", LOGICAL)
def test_engine_is_aers_density_matrix(name: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    observables = list(model.observables)
    angles = points(model, rng)
    found = noisy_engine(noise_spec(name))(model.circuit, observables).values(angles)
    for row, point in zip(found, angles, strict=True):
        expected = whole_register(noise_spec(name), model.circuit, observables, point)
        np.testing.assert_allclose(row, expected, atol=1e-12)


@pytest.mark.parametrize("circuit_name", ["2b-9q", "4b-9q"])
def test_engine_is_aers_density_matrix_on_the_papers_circuits(
    circuit_name: str, rng: np.random.Generator
) -> None:
    model = build_circuit(circuit_name)
    observables = list(model.observables)
    angles = points(model, rng, 1)
    found = noisy_engine(noise_spec("paper"))(model.circuit, observables).values(angles)
    expected = whole_register(noise_spec("paper"), model.circuit, observables, angles[0])
    np.testing.assert_allclose(found[0], expected, atol=1e-9)


@pytest.mark.parametrize("circuit_name", ["hea-4q.toml", "sqnn-4q.toml"])
def test_engine_is_aers_density_matrix_on_other_circuits(
    circuit_name: str, rng: np.random.Generator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("circuits") / circuit_name
    kind = circuit_name.split("-")[0]
    head = f'schema = 1\nkind = "{kind}"\ntitle = "t"\nsource = "s"\n'
    file.write_text(head + "[circuit]\nn_qubits = 4\nn_blocks = 2\n", encoding="utf-8")
    model = build_circuit(file)
    observables = [*model.observables, SparsePauliOp(["XIZI", "YYII"], [0.3, -0.7])]
    angles = points(model, rng, 1)
    found = noisy_engine(noise_spec("paper"))(model.circuit, observables).values(angles)
    expected = whole_register(noise_spec("paper"), model.circuit, observables, angles[0])
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def random_noise(rng: np.random.Generator) -> NoiseSpec:
    """Three errors of random kind, strength and place, and readout error on some qubits."""
    strength = lambda: float(rng.uniform(0, 0.3))  # noqa: E731
    pool = [
        ErrorSpec(ChannelSpec("bit_flip", (("p", strength()),)), ("u",), qubits=(0, 2)),
        ErrorSpec(ChannelSpec("phase_flip", (("p", strength()),)), ("cz",), qubits=(1,)),
        ErrorSpec(ChannelSpec("depolarizing", (("p", strength()),)), ("all_gates",)),
        ErrorSpec(ChannelSpec("amplitude_damping", (("gamma", strength()),)), ("all_gates", "idle")),
        ErrorSpec(ChannelSpec("depolarizing_2q", (("p", strength()),)), ("cz",), pairs=((1, 2),)),
        ErrorSpec(ChannelSpec("pauli", (("II", 0.8), ("XZ", 0.15), ("YI", 0.05))), ("cz",)),
        ErrorSpec(ChannelSpec("phase_damping", (("lambda", strength()),)), ("run_end",), qubits=(-1,)),
    ]
    chosen = rng.choice(len(pool), size=3, replace=False)
    readout = (ReadoutSpec(strength(), strength(), qubits=(0, 1)),)
    return NoiseSpec("random", "random", "a test", tuple(pool[i] for i in chosen), readout)


@pytest.mark.parametrize("case", range(6))
def test_engine_is_aers_density_matrix_on_random_noise(case: int, rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    noise = random_noise(rng)
    observables = [*model.observables[:2], SparsePauliOp(["ZIIIZ", "IXYII"], [0.5, 1.5])]
    angles = points(model, rng, 1)
    found = noisy_engine(noise)(model.circuit, observables).values(angles)
    expected = whole_register(noise, model.circuit, observables, angles[0])
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_any_aer_noise_model_will_do(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["u"])
    noise.add_quantum_error(depolarizing_error(0.2, 2), ["cz"], [1, 2])
    angles = points(model, rng, 1)
    found = noisy_engine(noise)(model.circuit, list(model.observables)).values(angles)
    expected = whole_register(noise, model.circuit, list(model.observables), angles[0])
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_noise_that_misses_is_refused_before_anything_runs() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["sx"])
    with pytest.raises(SpecError, match="nothing would be noisy"):
        noisy_engine(noise)(build_circuit("2b-4q").circuit, [SparsePauliOp("IIIZ")])
