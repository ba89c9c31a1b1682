"""Aer on cones and the engine under noise, against Aer on the whole register; exactly and in distribution."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, coherent_unitary_error, depolarizing_error, pauli_error

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, BackendError, SpecError, UnsupportedError
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.noise_models.aer_model import read_observable
from sqdr_qiskit.simulators import aer as aer_module
from sqdr_qiskit.simulators.aer import AerConeEstimator, circuit_noise, noisy_engine, state_bytes
from sqdr_qiskit.simulators.aer_runner import AerRunner
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.noise import ErrorSpec, NoiseSpec, ReadoutSpec, noise_spec, single_channel_noise

LOGICAL = [name for name in list_names("noise_models") if noise_spec(name).device is None]
Floats = NDArray[np.float64]


def ask(
    estimator: AerConeEstimator, circuit: QuantumCircuit, observables: list[SparsePauliOp], points: Floats
) -> tuple[Floats, Floats]:
    """Values and standard errors, shape (batch, n_observables)."""
    data = estimator.run([(circuit, [[o] for o in observables], points)]).result()[0].data
    return np.asarray(data.evs).T, np.asarray(data.stds).T


def whole_register(
    noise: NoiseSpec | NoiseModel, circuit: QuantumCircuit, observables: list[SparsePauliOp], point: Floats
) -> Floats:
    """Expectations from the density matrix of all qubits at once: the slow twin."""
    bound = circuit_noise(noise, circuit)
    assigned = bound.circuit.assign_parameters(point)
    for number, observable in enumerate(observables):
        assigned.save_expectation_value(
            read_observable(bound.model, observable), assigned.qubits, label=str(number)
        )
    simulator = AerSimulator(method="density_matrix", noise_model=bound.model, zero_threshold=1e-16)
    data = simulator.run(assigned, shots=1).result().data(0)
    return np.array([data[str(number)] for number in range(len(observables))])


def random_points(circuit: QuantumCircuit, rng: np.random.Generator, n_points: int) -> Floats:
    return rng.uniform(-3, 3, (n_points, circuit.num_parameters))


# ---- exact values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGICAL)
def test_noisy_cones_are_the_whole_register(name: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    points = random_points(model.circuit, rng, 2)
    values, errors = ask(AerConeEstimator(noise_spec(name)), model.circuit, list(model.observables), points)
    expected = [whole_register(noise_spec(name), model.circuit, list(model.observables), p) for p in points]
    np.testing.assert_allclose(values, expected, atol=1e-9)
    np.testing.assert_array_equal(errors, 0.0)


@pytest.mark.parametrize("circuit_name", ["2b-9q", "2b-18q", "4b-18q"])
def test_noisy_cones_are_the_engine(circuit_name: str, rng: np.random.Generator) -> None:
    model = build_circuit(circuit_name)
    points = random_points(model.circuit, rng, 40 if circuit_name.startswith("2b") else 1)
    estimator = AerConeEstimator(noise_spec("paper"))
    values, _ = ask(estimator, model.circuit, list(model.observables), points)
    engine = noisy_engine(noise_spec("paper"))(model.circuit, list(model.observables))
    np.testing.assert_allclose(values, engine.values(points), atol=1e-9)
    plan = estimator._plan(model.circuit, list(model.observables))
    assert {program.n_qubits for program in plan.programs} == {3 if "2b" in circuit_name else 7}


@pytest.mark.parametrize("circuit_name", ["2b-9q", "3b-9q", "sqnn-9q", "hea-9q"])
def test_ideal_cones_are_the_engine(circuit_name: str, rng: np.random.Generator) -> None:
    model = build_circuit(circuit_name)
    points = random_points(model.circuit, rng, 3)
    values, _ = ask(AerConeEstimator(), model.circuit, list(model.observables), points)
    expected = ExactEngine(model.circuit, list(model.observables)).values(points)
    np.testing.assert_allclose(values, expected, atol=1e-9)


def test_local_noise_follows_the_physical_qubit(rng: np.random.Generator) -> None:
    noise = NoiseSpec(
        "local",
        "t",
        "s",
        (
            ErrorSpec(ChannelSpec("bit_flip", (("p", 0.2),)), ("all_gates",), qubits=(1, 4)),
            ErrorSpec(ChannelSpec("amplitude_damping", (("gamma", 0.3),)), ("u",), qubits=(-1,)),
            ErrorSpec(ChannelSpec("depolarizing_2q", (("p", 0.3),)), ("cz",), pairs=((2, 3), (0, 5))),
            ErrorSpec(ChannelSpec("pauli", (("II", 0.7), ("XZ", 0.3))), ("cz",)),
            ErrorSpec(ChannelSpec("phase_damping", (("lambda", 0.3),)), ("idle",)),
        ),
        (ReadoutSpec(0.05, 0.1), ReadoutSpec(0.2, 0.0, qubits=(3,))),
    )
    model = build_circuit("2b-7q")
    observables = [*model.observables, SparsePauliOp(["ZIIIIIZ", "IXYIIII"], [0.5, -1.5])]
    points = random_points(model.circuit, rng, 1)
    values, _ = ask(AerConeEstimator(noise), model.circuit, observables, points)
    np.testing.assert_allclose(
        values[0], whole_register(noise, model.circuit, observables, points[0]), atol=1e-9
    )


def random_circuit(rng: np.random.Generator, n_qubits: int = 5, n_gates: int = 24) -> QuantumCircuit:
    """One-qubit rotations with parameters, some used twice or scaled, and all sorts of two-qubit gates."""
    circuit = QuantumCircuit(n_qubits)
    parameters = [Parameter(f"t{i}") for i in range(6)]
    for _ in range(n_gates):
        first, second = (int(q) for q in rng.choice(n_qubits, 2, replace=False))
        match int(rng.integers(9)):
            case 0:
                circuit.rx(parameters[int(rng.integers(6))], first)
            case 1:
                circuit.u(parameters[0], parameters[1] * 0.5 + 0.1, 0.3, first)
            case 2:
                circuit.h(first)
            case 3:
                circuit.cx(first, second)
            case 4:
                circuit.swap(first, second)
            case 5:
                circuit.cz(first, second)
            case 6:
                circuit.ecr(first, second)
            case 7:
                circuit.rzz(parameters[int(rng.integers(6))], first, second)
            case _:
                circuit.ry(parameters[int(rng.integers(6))], first)
    return circuit


@pytest.mark.parametrize("case", range(8))
def test_random_circuits_with_noise_on_every_gate(case: int, rng: np.random.Generator) -> None:
    circuit = random_circuit(rng)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.05, 1), ["rx", "ry", "u", "h"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cx", "cz"])
    noise.add_all_qubit_quantum_error(pauli_error([("II", 0.6), ("IX", 0.3), ("ZZ", 0.1)]), ["swap"])
    noise.add_quantum_error(
        coherent_unitary_error(np.diag(np.exp([0.1j, -0.2j, 0.05j, 0.3j]))), ["ecr"], [1, 0]
    )
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["rzz"])
    observables = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], 5) for q in range(5)] + [
        SparsePauliOp.from_sparse_list([("XY", [1, 3], 0.7), ("ZZ", [0, 4], -0.4), ("", [], 0.25)], 5)
    ]
    points = random_points(circuit, rng, 2)
    values, _ = ask(AerConeEstimator(noise), circuit, observables, points)
    expected = [whole_register(noise, circuit, observables, point) for point in points]
    np.testing.assert_allclose(values, expected, atol=1e-9)


@pytest.mark.parametrize("gate", ["cx", "cy", "ecr", "cz"])
def test_what_remains_of_a_gate_at_which_a_cone_ends(gate: str, rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(2)
    angles = [Parameter(f"t{i}") for i in range(4)]
    for qubit in range(2):
        circuit.rx(angles[2 * qubit], qubit)
        circuit.ry(angles[2 * qubit + 1], qubit)
    getattr(circuit, gate)(0, 1)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(pauli_error([("II", 0.6), ("IX", 0.3), ("ZZ", 0.1)]), [gate])
    observables = [SparsePauliOp(word) for word in ("IX", "IY", "IZ", "XI", "YI", "ZI")]
    points = random_points(circuit, rng, 1)
    estimator = AerConeEstimator(noise)
    plans = [estimator._plan(circuit, [observable]) for observable in observables]
    assert any([program.n_qubits for program in plan.programs] == [1] for plan in plans)
    for observable in observables:  # one by one: together they would share a program of both qubits
        values, _ = ask(estimator, circuit, [observable], points)
        expected = whole_register(noise, circuit, [observable], points[0])
        np.testing.assert_allclose(values[0], expected, atol=1e-9)


def test_batches_of_every_size_give_the_same_values(rng: np.random.Generator) -> None:
    model = build_circuit("2b-9q")
    points = random_points(model.circuit, rng, 150)
    estimator = AerConeEstimator(noise_spec("paper"))
    together, _ = ask(estimator, model.circuit, list(model.observables), points)
    alone, _ = ask(estimator, model.circuit, list(model.observables), points[77:78])
    np.testing.assert_allclose(alone[0], together[77], atol=1e-12)


def test_one_aer_call_serves_a_batch(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = AerRunner._run

    def counted(self: AerRunner, tasks: list[object], **options: object) -> object:
        calls.append(len(tasks))
        return run(self, tasks, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(AerRunner, "_run", counted)
    model = build_circuit("2b-9q")
    ask(AerConeEstimator(noise_spec("paper")), model.circuit, list(model.observables), np.zeros((64, 81)))
    assert calls == [4]  # four kinds of cone on a ring, whose gates have an order


def test_broadcasting_follows_qiskits_interface(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    points = random_points(model.circuit, rng, 6).reshape(2, 3, -1)
    observables = [model.observables[0], model.observables[2], SparsePauliOp("III", 2.0)]
    evs = AerConeEstimator().run([(model.circuit, observables, points)]).result()[0].data.evs
    assert evs.shape == (2, 3)
    engine = ExactEngine(model.circuit, observables).values(points.reshape(6, -1)).reshape(2, 3, 3)
    np.testing.assert_allclose(evs, np.einsum("ijj->ij", engine), atol=1e-12)


def test_circuits_without_parameters_or_points(rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    evs = AerConeEstimator().run([(circuit, [SparsePauliOp("ZZ"), SparsePauliOp("ZI")])]).result()[0].data.evs
    np.testing.assert_allclose(evs, [1.0, 0.0], atol=1e-12)
    model = build_circuit("2b-3q")
    values, _ = ask(AerConeEstimator(), model.circuit, list(model.observables), np.zeros((0, 27)))
    assert values.shape == (0, 3)


def test_a_changed_circuit_is_not_mistaken_for_the_old_one() -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    estimator = AerConeEstimator()
    assert estimator.run([(circuit, SparsePauliOp("Z"))]).result()[0].data.evs == pytest.approx(-1.0)
    circuit.x(0)
    assert estimator.run([(circuit, SparsePauliOp("Z"))]).result()[0].data.evs == pytest.approx(1.0)


# ---- samples -----------------------------------------------------------------------------------------------


def test_samples_have_the_mean_and_the_spread_that_they_claim(rng: np.random.Generator) -> None:
    noise = NoiseSpec(
        "readout too",
        "t",
        "s",
        noise_spec("paper").errors,
        (ReadoutSpec(0.1, 0.05), ReadoutSpec(0.3, 0.0, (1,))),
    )
    model = build_circuit("2b-5q")
    observables = [*model.observables, SparsePauliOp(["ZIIIZ", "IXIII", "IIIYI"], [0.5, -1.0, 0.7])]
    points = random_points(model.circuit, rng, 60)
    values, errors = ask(AerConeEstimator(noise, shots=300, seed=1), model.circuit, observables, points)
    exact = noisy_engine(noise)(model.circuit, observables).values(points)
    scores = (values - exact) / errors
    assert abs(scores.mean()) < 4 / np.sqrt(scores.size)
    assert scores.std() == pytest.approx(1.0, abs=0.15)
    assert np.abs(scores).max() < 5


def test_ideal_samples_agree_with_the_engine(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    points = random_points(model.circuit, rng, 50)
    values, errors = ask(AerConeEstimator(shots=400, seed=2), model.circuit, list(model.observables), points)
    exact = ExactEngine(model.circuit, list(model.observables)).values(points)
    spread = np.sqrt((1 - exact**2) / 400)
    assert ((values - exact) / spread).std() == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(errors, np.sqrt((1 - values**2) / 400), atol=1e-12)


def test_certain_outcomes_are_sampled_with_their_sign_along_every_axis() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)  # +X
    circuit.h(1)
    circuit.sdg(1)  # -Y
    circuit.x(2)  # -Z
    observables = [SparsePauliOp(word) for word in ("IIX", "IYI", "ZII", "ZYX")]
    data = AerConeEstimator(shots=20, seed=0).run([(circuit, observables)]).result()[0].data
    np.testing.assert_array_equal(data.evs, [1.0, -1.0, -1.0, 1.0])
    np.testing.assert_array_equal(data.stds, 0.0)


def test_samples_of_different_outputs_and_rows_are_independent() -> None:
    model = build_circuit("2b-6q")
    points = np.full((300, model.circuit.num_parameters), 0.7)  # every row asks for the same
    values, _ = ask(AerConeEstimator(shots=50, seed=3), model.circuit, list(model.observables), points)
    correlation = np.corrcoef(values.T) - np.eye(6)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(300)
    along = np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]
    assert abs(along) < 4.5 / np.sqrt(300)


def test_one_seed_gives_the_same_samples_whatever_ran_before(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    observables = list(model.observables)
    here, there = random_points(model.circuit, rng, 3), random_points(model.circuit, rng, 3)
    one, other = (AerConeEstimator(noise_spec("paper"), shots=40, seed=5) for _ in range(2))
    first, _ = ask(one, model.circuit, observables, here)
    ask(other, model.circuit, observables, there)
    same, _ = ask(other, model.circuit, observables, here)
    np.testing.assert_array_equal(first, same)
    again, _ = ask(one, model.circuit, observables, here)
    assert not np.array_equal(first, again)
    different, _ = ask(
        AerConeEstimator(noise_spec("paper"), shots=40, seed=6), model.circuit, observables, here
    )
    assert not np.array_equal(first, different)


def test_without_a_seed_samples_differ(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    points = random_points(model.circuit, rng, 5)
    first, _ = ask(AerConeEstimator(shots=100), model.circuit, list(model.observables), points)
    second, _ = ask(AerConeEstimator(shots=100), model.circuit, list(model.observables), points)
    assert not np.array_equal(first, second)


def test_precision_means_shots() -> None:
    model = build_circuit("2b-3q")
    pub = (model.circuit, model.observables[0], np.zeros(model.circuit.num_parameters))
    estimator = AerConeEstimator(shots=10, seed=0)
    assert estimator.run([pub], precision=0.05).result()[0].metadata["shots"] == 400
    assert estimator.run([pub]).result()[0].metadata["shots"] == 10
    assert estimator.run([pub], precision=0.0).result()[0].metadata["shots"] == 10
    assert AerConeEstimator().run([pub], precision=0.05).result()[0].metadata["shots"] is None


def test_large_noisy_cones_are_sampled_by_trajectories(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_circuit("2b-4q")
    points = random_points(model.circuit, rng, 12)
    monkeypatch.setattr(aer_module, "_LARGEST_DENSITY_MATRIX", 1)
    estimator = AerConeEstimator(noise_spec("paper"), shots=300, seed=4)
    result = estimator.run([(model.circuit, [[o] for o in model.observables], points)]).result()[0]
    assert result.metadata["method"] == "statevector"
    exact = noisy_engine(noise_spec("paper"))(model.circuit, list(model.observables)).values(points)
    scores = (result.data.evs.T - exact) / np.sqrt((1 - exact**2) / 300)
    assert scores.std() == pytest.approx(1.0, abs=0.35)
    assert np.abs(scores).max() < 5


def test_readout_error_of_a_swapped_qubit_is_that_of_its_wire() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.swap(0, 1)
    noise = NoiseModel()
    noise.add_readout_error(ReadoutError([[1, 0], [1, 0]]), [1])  # wire 1 always reads 0
    noise.add_all_qubit_quantum_error(depolarizing_error(1e-6, 1), ["x"])
    for estimator in (AerConeEstimator(noise), AerConeEstimator(noise, shots=2000, seed=0)):
        evs = estimator.run([(circuit, [SparsePauliOp("ZI"), SparsePauliOp("IZ")])]).result()[0].data.evs
        np.testing.assert_allclose(evs, [1.0, 1.0], atol=1e-3)


# ---- refusals ----------------------------------------------------------------------------------------------


def test_cones_that_do_not_fit_into_memory_are_refused_before_they_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aer_module, "free_memory", lambda: 100_000)
    model = build_circuit("4b-9q")
    with pytest.raises(
        UnsupportedError,
        match=r"The largest cone has 7 qubits: its density matrix needs .* [kM]B of memory, but 100 kB is "
        r"free; use the backend `exact_noisy`, sample with `--shots`",
    ):
        ask(AerConeEstimator(noise_spec("paper")), model.circuit, list(model.observables), np.zeros((1, 135)))


def test_a_device_that_aer_does_not_have_is_refused() -> None:
    with pytest.raises(BackendError, match=r"Aer has no device 'TPU' here \(it has CPU"):
        AerConeEstimator(device="TPU")


def test_shots_must_be_positive() -> None:
    with pytest.raises(ArgumentError, match="`shots` must be at least 1, but is 0"):
        AerConeEstimator(shots=0)


def test_noise_that_does_not_fit_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    noise = NoiseSpec("n", "t", "s", (ErrorSpec(ChannelSpec("bit_flip", (("p", 0.1),)), ("u",)),))
    with pytest.raises(SpecError, match=r"attaches bit_flip\(p = 0.1\) to 'u', but the circuit has only h"):
        AerConeEstimator(noise).run([(circuit, SparsePauliOp("Z"))]).result()


# ---- derivatives and the whole register of 18 qubits -------------------------------------------------------


@pytest.mark.parametrize("noise_name", ["paper", "two-qubit"])
def test_the_engines_jacobian_is_parameter_shift_on_aer(noise_name: str, rng: np.random.Generator) -> None:
    model = build_circuit(
        "2b-5q"
    )  # each weight stands in one gate, so two shifts by pi/2 give its derivative
    noise, observables = noise_spec(noise_name), list(model.observables)
    point = random_points(model.circuit, rng, 1)
    place = {parameter: i for i, parameter in enumerate(model.circuit.parameters)}
    columns = [place[parameter] for parameter in model.w]
    shifts = np.zeros((2 * len(columns), point.shape[1]))
    for row, column in enumerate(columns):
        shifts[2 * row, column], shifts[2 * row + 1, column] = np.pi / 2, -np.pi / 2
    shifted, _ = ask(AerConeEstimator(noise), model.circuit, observables, point + shifts)
    by_shift = (shifted[0::2] - shifted[1::2]).T / 2  # (n_observables, n_weights)
    _, jacobian = noisy_engine(noise)(model.circuit, observables).jacobian(point)
    np.testing.assert_allclose(jacobian[0][:, columns], by_shift, atol=1e-8)


def test_samples_of_a_whole_noisy_register_of_18_qubits_agree_with_cones(rng: np.random.Generator) -> None:
    model = build_circuit("2b-18q")
    point = random_points(model.circuit, rng, 1)
    noise, shots = noise_spec("paper"), 40
    bound = circuit_noise(noise, model.circuit)
    measured = bound.circuit.assign_parameters(point[0])
    measured.measure_all()
    simulator = AerSimulator(
        method="statevector", precision="single", noise_model=bound.model, seed_simulator=11
    )
    counts = simulator.run(measured, shots=shots).result().get_counts()
    bits = np.array([[int(b) for b in word[::-1]] for word, n in counts.items() for _ in range(n)])
    found = 1.0 - 2.0 * bits.mean(axis=0)
    exact, _ = ask(AerConeEstimator(noise), model.circuit, list(model.observables), point)
    scores = (found - exact[0]) / np.sqrt((1 - exact[0] ** 2) / shots)
    assert (scores**2).sum() < 45  # chi-square of 18 degrees of freedom: 1 in 2,500 is larger
    assert np.abs(scores).max() < 4


@pytest.mark.parametrize("channel", ["bit_flip", "amplitude_damping", "depolarizing"])
def test_weak_noise_is_the_same_on_cones_and_in_the_engine(channel: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    points = random_points(model.circuit, rng, 2)
    weak = single_channel_noise(channel, 1e-9)
    values, _ = ask(AerConeEstimator(weak), model.circuit, list(model.observables), points)
    engine = noisy_engine(weak)(model.circuit, list(model.observables)).values(points)
    ideal = ExactEngine(model.circuit, list(model.observables)).values(points)
    np.testing.assert_allclose(values, engine, atol=1e-13)
    assert np.abs(engine - ideal).max() > 1e-10


# ---- the engine under noise --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGICAL)
def test_engine_is_aers_density_matrix(name: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    observables = list(model.observables)
    angles = random_points(model.circuit, rng, 2)
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
    angles = random_points(model.circuit, rng, 1)
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
    angles = random_points(model.circuit, rng, 1)
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
    angles = random_points(model.circuit, rng, 1)
    found = noisy_engine(noise)(model.circuit, observables).values(angles)
    expected = whole_register(noise, model.circuit, observables, angles[0])
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_any_aer_noise_model_will_do(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["u"])
    noise.add_quantum_error(depolarizing_error(0.2, 2), ["cz"], [1, 2])
    angles = random_points(model.circuit, rng, 1)
    found = noisy_engine(noise)(model.circuit, list(model.observables)).values(angles)
    expected = whole_register(noise, model.circuit, list(model.observables), angles[0])
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_noise_that_misses_is_refused_before_anything_runs() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["sx"])
    with pytest.raises(SpecError, match="nothing would be noisy"):
        noisy_engine(noise)(build_circuit("2b-4q").circuit, [SparsePauliOp("IIIZ")])


def test_a_density_matrix_has_four_numbers_per_qubit_and_a_state_vector_two() -> None:
    assert state_bytes(3, "density_matrix") == 16 * 2 * 64
    assert state_bytes(3, "statevector", n_states=4) == 16 * 2 * 8 * 4
    assert state_bytes(18, "density_matrix") > 10**12
