"""Noise models: each gate's error, in order, on the right qubits, against the file read by hand."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Operator, SuperOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.catalog import list_names
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models import gate_key, kraus_operators, kraus_to_ptm
from sqdr_qiskit.noise_models.aer_model import GateChannels, error_after, error_ptm, readout_after
from sqdr_qiskit.noise_models.build import NoiseRules, build_noise_model, with_places
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.noise import PLACES, ErrorSpec, NoiseSpec, ReadoutSpec, noise_spec

BIT_FLIP = ChannelSpec("bit_flip", (("p", 0.1),))
DAMPING = ChannelSpec("amplitude_damping", (("gamma", 0.2),))
PAIR = ChannelSpec("depolarizing_2q", (("p", 0.1),))
RUNS_ON_THE_RING = [
    name for name in list_names("noise_models") if not name.startswith("fake-") or "median" in name
]


def spec_of(*errors: ErrorSpec, readout: tuple[ReadoutSpec, ...] = ()) -> NoiseSpec:
    return NoiseSpec("mine", "a title", "a test", errors, readout)


def bound(circuit: QuantumCircuit, rng: np.random.Generator) -> QuantumCircuit:
    return circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))


def density_matrix_by_aer(circuit: QuantumCircuit, model: NoiseModel) -> np.ndarray:
    saved = circuit.copy()
    saved.save_density_matrix()
    result = (
        AerSimulator(method="density_matrix", noise_model=model, zero_threshold=1e-16)
        .run(saved, shots=1)
        .result()
    )
    return np.asarray(result.data(0)["density_matrix"])


def density_matrix_by_hand(circuit: QuantumCircuit, spec: NoiseSpec) -> np.ndarray:
    """Gate by gate, channel by channel, straight from the noise file: the twin of model and simulator."""
    rules = NoiseRules(spec, circuit.num_qubits)
    state = DensityMatrix.from_int(0, 2**circuit.num_qubits)
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        state = state.evolve(instruction.operation, qargs=qubits)
        for placed in rules.after(gate_key(instruction.operation), qubits):
            operators = kraus_operators(placed.channel)
            where = [qubits[operand] for operand in placed.operands]
            # Our operators have the first qubit as the most significant factor, Qiskit's the last one.
            sup = SuperOp(np.asarray(sum(np.kron(k.conj(), k) for k in operators)))
            state = state.evolve(sup, qargs=where[::-1])
    return np.asarray(state.data)


@pytest.mark.parametrize("name", RUNS_ON_THE_RING)
def test_aer_with_the_model_is_the_file_read_by_hand(name: str, rng: np.random.Generator) -> None:
    spec = noise_spec(name)
    circuit = with_places(bound(build_circuit("2b-5q").circuit, rng), spec.places)
    found = density_matrix_by_aer(circuit, build_noise_model(spec, circuit))
    np.testing.assert_allclose(found, density_matrix_by_hand(circuit, spec), atol=1e-12)


def test_local_noise_after_one_and_two_qubit_gates(rng: np.random.Generator) -> None:
    spec = spec_of(
        ErrorSpec(BIT_FLIP, ("all_gates",), qubits=(1, -1)),
        ErrorSpec(DAMPING, ("cz", "u")),
        ErrorSpec(PAIR, ("cz",), pairs=((2, 1),)),
        ErrorSpec(ChannelSpec("pauli", (("II", 0.8), ("XZ", 0.2))), ("cz",), pairs=((3, 0),)),
    )
    circuit = bound(build_circuit("2b-4q").circuit, rng)
    found = density_matrix_by_aer(circuit, build_noise_model(spec, circuit))
    np.testing.assert_allclose(found, density_matrix_by_hand(circuit, spec), atol=1e-12)


@pytest.mark.parametrize("circuit_name", ["2b-9q", "hea-9q", "sqnn-9q"])
def test_the_papers_noise_hits_every_gate_of_every_circuit(circuit_name: str) -> None:
    circuit = build_circuit(circuit_name).circuit
    model = build_noise_model(noise_spec("paper"), circuit)
    assert set(model.noise_instructions) == set(circuit.count_ops())
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        error = error_after(model, instruction.operation.name, qubits)
        assert error is not None
        assert error.num_qubits == len(qubits)


def test_one_rot_is_one_noisy_gate(rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(1)
    circuit.u(0.0, 0.0, 0.0, 0)
    model = build_noise_model(noise_spec("bit-flip"), circuit)
    assert density_matrix_by_aer(circuit, model)[1, 1] == pytest.approx(0.02, abs=1e-12)


@pytest.mark.parametrize("p", [1e-6, 1e-9])
def test_weak_noise_is_not_dropped(p: float) -> None:
    circuit = QuantumCircuit(2)
    circuit.u(0.0, 0.0, 0.0, 0)
    circuit.cz(0, 1)
    spec = spec_of(
        ErrorSpec(ChannelSpec("bit_flip", (("p", p),)), ("u",)),
        ErrorSpec(ChannelSpec("pauli", (("II", 1 - p), ("IX", p))), ("cz",)),
        ErrorSpec(ChannelSpec("phase_damping", (("lambda", p),)), ("cz",)),
    )
    model = build_noise_model(spec, circuit)
    np.testing.assert_allclose(np.diag(density_matrix_by_aer(circuit, model)).real[[1, 2]], p, rtol=1e-3)
    weak = spec_of(ErrorSpec(ChannelSpec("amplitude_damping", (("gamma", p),)), ("u",)))
    damping = error_after(build_noise_model(weak, circuit), "u", (0,))
    assert damping is not None
    assert error_ptm(damping)[3, 0] == pytest.approx(p, rel=1e-3)


def test_noise_of_strength_zero_is_an_ideal_model() -> None:
    circuit = build_circuit("2b-4q").circuit
    none = ChannelSpec("bit_flip", (("p", 0.0),)), ChannelSpec("amplitude_damping", (("gamma", 0.0),))
    spec = spec_of(*(ErrorSpec(channel, ("all_gates",)) for channel in none))
    assert build_noise_model(spec, circuit).is_ideal()


def test_readout_per_qubit_goes_before_readout_of_all() -> None:
    spec = spec_of(readout=(ReadoutSpec(0.01, 0.02), ReadoutSpec(0.1, 0.2, qubits=(-1,))))
    model = build_noise_model(spec, build_circuit("2b-4q").circuit)
    assert [readout_after(model, q) for q in range(4)] == [(0.01, 0.02)] * 3 + [(0.1, 0.2)]


def test_the_engines_channels_are_the_files_channels() -> None:
    spec = spec_of(ErrorSpec(BIT_FLIP, ("cz",), qubits=(0,)), ErrorSpec(DAMPING, ("u", "cz")))
    channels = GateChannels(build_noise_model(spec, build_circuit("2b-4q").circuit))
    (single,) = channels.after("u", (2,))
    damping = kraus_to_ptm(kraus_operators(DAMPING))
    np.testing.assert_allclose(single.ptm, damping, atol=1e-14)
    assert single.qubits == (2,)
    first, second = channels.after("cz", (3, 0))
    assert (first.qubits, second.qubits) == ((3,), (0,))
    np.testing.assert_allclose(first.ptm, damping, atol=1e-14)
    np.testing.assert_allclose(second.ptm, damping @ kraus_to_ptm(kraus_operators(BIT_FLIP)), atol=1e-14)
    assert channels.after("h", (0,)) == ()


MISSES = {
    "a gate that the circuit lacks": (
        ErrorSpec(BIT_FLIP, ("cx",)),
        r"Noise `mine` attaches bit_flip\(p = 0.1\) to 'cx', but the circuit has only cz, u",
    ),
    "a place that the circuit lacks": (
        ErrorSpec(BIT_FLIP, ("idle",)),
        r"to 'idle' \(a qubit that waits .*\), but the circuit has no such place: nothing would",
    ),
    "a qubit that the circuit lacks": (
        ErrorSpec(BIT_FLIP, ("u",), qubits=(4,)),
        r"Noise `mine` names qubit 4, but the circuit has qubits 0 to 3",
    ),
    "a pair that the circuit lacks": (
        ErrorSpec(PAIR, ("cz",), pairs=((0, 7),)),
        r"Noise `mine` names qubit 7, but the circuit has qubits 0 to 3",
    ),
}


@pytest.mark.parametrize("case", list(MISSES))
def test_noise_that_would_miss_is_refused(case: str) -> None:
    error, message = MISSES[case]
    with pytest.raises(SpecError, match=message):
        build_noise_model(spec_of(error), build_circuit("2b-4q").circuit)


def test_a_circuit_without_idle_qubits_may_still_have_other_noise() -> None:
    even_ring = build_circuit("2b-4q").circuit
    spec = spec_of(ErrorSpec(DAMPING, ("idle",)), ErrorSpec(BIT_FLIP, ("u",)))
    model = build_noise_model(spec, with_places(even_ring, spec.places))
    assert model.noise_instructions == ["u"]


def test_delays_with_relaxation_passes_are_refused_by_the_engine() -> None:
    model = NoiseModel()
    model._custom_noise_passes.append(object())
    with pytest.raises(
        UnsupportedError, match=r"Noise on `delay` .* cannot follow a light cone; mark idle qubits"
    ):
        GateChannels(model).after("delay", (0,))


def keys(circuit: QuantumCircuit) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (gate_key(item.operation), tuple(circuit.find_bit(qubit).index for qubit in item.qubits))
        for item in circuit.data
    ]


def test_without_places_the_circuit_itself_comes_back() -> None:
    circuit = build_circuit("2b-3q").circuit
    assert with_places(circuit, ()) is circuit


def test_runs_end_before_each_two_qubit_gate_and_at_the_end() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.x(0)
    circuit.cz(0, 1)
    circuit.h(1)
    assert keys(with_places(circuit, ["run_end"])) == [
        ("h", (0,)),
        ("x", (0,)),
        ("run_end", (0,)),
        ("cz", (0, 1)),
        ("h", (1,)),
        ("run_end", (1,)),
    ]


def test_a_block_of_two_rots_is_one_run_and_a_ring_one_layer() -> None:
    marked = keys(with_places(build_circuit("2b-5q").circuit, ["run_end", "layer_end"]))
    assert [key for key, _ in marked[:10]] == ["u"] * 10
    assert sum(key == "run_end" for key, _ in marked) == 2 * 5
    assert sum(key == "layer_end" for key, _ in marked) == 2 * 5
    assert marked[-1][0] == "layer_end"


@pytest.mark.parametrize(("n_qubits", "waits"), [(4, 0), (5, 1 + 1 + 3), (6, 0)])
def test_a_ring_of_cz_takes_two_steps_or_three(n_qubits: int, waits: int) -> None:
    circuit = QuantumCircuit(n_qubits)
    for qubit in range(n_qubits):
        circuit.cz(qubit, (qubit + 1) % n_qubits)
    marked = with_places(circuit, ["idle"])
    assert sum(key == "idle" for key, _ in keys(marked)) == waits
    np.testing.assert_allclose(Operator(marked).data, Operator(circuit).data, atol=1e-15)


def test_gates_that_do_not_commute_keep_their_order() -> None:
    circuit = QuantumCircuit(4)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.cx(3, 0)
    marked = with_places(circuit, ["idle"])
    assert keys(marked) == [
        ("cx", (0, 1)),
        ("idle", (2,)),
        ("idle", (3,)),
        ("cx", (1, 2)),
        ("cx", (3, 0)),
    ]
    np.testing.assert_allclose(Operator(marked).data, Operator(circuit).data, atol=1e-15)


@pytest.mark.parametrize("name", ["2b-5q", "hea-9q", "sqnn-9q"])
def test_markers_change_no_gate(name: str, rng: np.random.Generator) -> None:
    circuit = build_circuit(name).circuit
    circuit = circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
    marked = with_places(circuit, PLACES)
    np.testing.assert_allclose(Operator(marked).data, Operator(circuit).data, atol=1e-13)


def test_unknown_places_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`places` must be among idle, .*, but has 'nowhere'"):
        with_places(QuantumCircuit(1), ["nowhere"])
