from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import IfElseOp, Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import RZZGate
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import PTM, Operator, SparsePauliOp

from sqdr_qiskit import parallel
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless
from tests.lightcone.dense import GateNoise, dense_values, pauli_channel, random_circuit, random_observables

CIRCUITS = ("1b-1q", "1b-2q", "2b-2q", "2b-3q", "3b-4q", "2b-9q", "4b-9q", "5b-6q", "hea-9q", "sqnn-9q")

DAMPING = pauli_channel(scale=(0.9, 0.9, 0.81), shift=0.19)
FLIP = pauli_channel(scale=(1.0, 0.94, 0.94))
TILT = np.array([[1, 0, 0, 0], [0.02, 0.9, 0.05, 0], [0, -0.05, 0.9, 0.03], [0.01, 0, -0.03, 0.92]])
PAIR_DEPOLARIZING = np.diag([1.0] + 15 * [0.93])
# 5 % XX and 3 % ZY: all coefficients of pairs that commute with neither, one or both
PAIR_PAULI = np.diag(
    [
        0.92 + 0.05 * (-1) ** ((a in (2, 3)) + (b in (2, 3))) + 0.03 * (-1) ** ((a in (1, 2)) + (b in (1, 3)))
        for a in range(4)
        for b in range(4)
    ]
)
# exp(-i 0.3 ZZ / 2): a pair of Paulis that anticommutes with ZZ turns into another one
PAIR_TWIST = np.real(PTM(Operator(RZZGate(0.3))).data)

NOISES: dict[str, ChannelModel] = {
    "none": noiseless,
    "after rotations": GateNoise({"u": FLIP @ DAMPING, "rx": FLIP, "ry": DAMPING, "rz": FLIP}),
    "everywhere": GateNoise(
        dict.fromkeys(("u", "rx", "ry", "rz", "p", "h", "cz", "cx", "swap"), FLIP @ DAMPING)
    ),
    "on pairs": GateNoise({"u": FLIP}, {"cz": PAIR_DEPOLARIZING, "cx": PAIR_DEPOLARIZING}),
    "correlated Paulis": GateNoise({"u": FLIP}, {"cz": PAIR_PAULI, "cx": PAIR_PAULI, "ecr": PAIR_PAULI}),
    "twisted": GateNoise({"u": DAMPING}, {"cz": PAIR_TWIST, "cx": PAIR_TWIST, "ecr": PAIR_TWIST}),
    "tilted": GateNoise(dict.fromkeys(("u", "rx", "rz", "cz", "cx", "id"), TILT)),
}


def _slopes(engine: ExactEngine, parameters: np.ndarray, column: int, step: float = 1e-5) -> np.ndarray:
    shift = np.zeros(parameters.shape[1])
    shift[column] = step
    difference: np.ndarray = (engine.values(parameters + shift) - engine.values(parameters - shift)) / (
        2 * step
    )
    return difference


@pytest.mark.parametrize("name", CIRCUITS)
def test_values_equal_statevector_on_every_circuit(name: str, rng: np.random.Generator) -> None:
    model = build_circuit(name)
    parameters = rng.uniform(-7, 7, (3, model.circuit.num_parameters))
    engine = ExactEngine(model.circuit, model.observables)
    columns = [[observable] for observable in model.observables]
    reference = StatevectorEstimator().run([(model.circuit, columns, parameters)]).result()[0].data.evs.T
    assert np.abs(engine.values(parameters) - reference).max() < 1e-12
    values, jacobian = engine.jacobian(parameters)
    assert np.abs(values - reference).max() < 1e-12
    for column in rng.integers(0, parameters.shape[1], 5):
        assert np.abs(_slopes(engine, parameters, int(column)) - jacobian[:, :, column]).max() < 1e-8


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("case", range(12))
def test_random_circuits_equal_dense_simulation(noise: str, case: int, rng: np.random.Generator) -> None:
    n_qubits = 1 + case % 4
    circuit = random_circuit(rng, n_qubits, 8 * n_qubits)
    observables = random_observables(rng, n_qubits)
    parameters = rng.uniform(-4, 4, (3, circuit.num_parameters))
    engine = ExactEngine(circuit, observables, NOISES[noise])
    reference = dense_values(circuit, observables, parameters, NOISES[noise])
    values, jacobian = engine.jacobian(parameters)
    assert np.abs(values - reference).max() < 1e-11, circuit.draw()
    assert np.abs(engine.values(parameters) - values).max() < 1e-14
    for column in range(parameters.shape[1]):
        assert np.abs(_slopes(engine, parameters, column) - jacobian[:, :, column]).max() < 1e-7, (
            circuit.draw()
        )


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", ["2b-4q", "3b-5q", "4b-5q"])
def test_noisy_reupload_equals_dense_simulation(name: str, noise: str, rng: np.random.Generator) -> None:
    model = build_circuit(name)
    parameters = rng.uniform(0, 7, (2, model.circuit.num_parameters))
    engine = ExactEngine(model.circuit, model.observables, NOISES[noise])
    reference = dense_values(model.circuit, list(model.observables), parameters, NOISES[noise])
    values, jacobian = engine.jacobian(parameters)
    assert np.abs(values - reference).max() < 1e-12
    for column in rng.integers(0, parameters.shape[1], 4):
        assert np.abs(_slopes(engine, parameters, int(column)) - jacobian[:, :, column]).max() < 1e-8


@pytest.mark.parametrize("noise", ["none", "everywhere"])
def test_both_methods_agree(noise: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_circuit("3b-5q")
    parameters = rng.uniform(0, 7, (4, model.circuit.num_parameters))
    expanded = ExactEngine(model.circuit, model.observables, NOISES[noise])
    monkeypatch.setattr("sqdr_qiskit.lightcone.engine.state_cost", lambda form, qubits, operations: -1)
    whole = ExactEngine(model.circuit, model.observables, NOISES[noise])
    assert expanded.methods == ("expansion",) * 5
    assert set(whole.methods) == {"statevector" if noise == "none" else "pauli vector"}
    for one, other in zip(expanded.jacobian(parameters), whole.jacobian(parameters), strict=True):
        assert np.abs(one - other).max() < 1e-13


@pytest.mark.parametrize(
    ("name", "pair", "longest"),
    [
        ("2b-9q", PAIR_DEPOLARIZING, 20),
        ("2b-9q", PAIR_PAULI, 40),
        ("4b-9q", PAIR_DEPOLARIZING, 3000),
        ("2b-9q", PAIR_TWIST, 40),
    ],
)
def test_noise_on_pairs_stays_a_short_sum_of_products(
    name: str, pair: np.ndarray, longest: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum equals the whole Pauli vector, and takes no more multiply-adds an output than so many."""
    model = build_circuit(name)
    noise = GateNoise({"u": DAMPING @ FLIP}, {"cz": pair})
    parameters = rng.uniform(0, 7, (2, model.circuit.num_parameters))
    observables = model.observables[:2]
    expanded = ExactEngine(model.circuit, observables, noise)
    assert set(expanded.methods) == {"expansion"}
    assert np.diff(expanded._program.tapes[:, :2]).max() <= longest
    monkeypatch.setattr("sqdr_qiskit.lightcone.engine.state_cost", lambda form, qubits, operations: -1)
    whole = ExactEngine(model.circuit, observables, noise)
    assert set(whole.methods) == {"pauli vector"}
    for one, other in zip(expanded.jacobian(parameters), whole.jacobian(parameters), strict=True):
        assert np.abs(one - other).max() < 1e-12


def test_results_do_not_depend_on_threads_or_batch(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_circuit("3b-6q")
    engine = ExactEngine(model.circuit, model.observables)
    parameters = rng.uniform(0, 7, (150, model.circuit.num_parameters))
    many = engine.jacobian(parameters)
    monkeypatch.setattr(parallel, "n_threads", lambda: 1)
    monkeypatch.setattr("sqdr_qiskit.lightcone.engine.n_threads", lambda: 1)
    single = engine.jacobian(parameters)
    alone = engine.jacobian(parameters[149:])
    for place in (0, 1):
        assert np.array_equal(many[place], single[place])
        assert np.array_equal(many[place][149:], alone[place])


def test_empty_batch_and_known_numbers() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.rz(theta, 0)
    engine = ExactEngine(circuit, [SparsePauliOp("IZ"), SparsePauliOp("II", 2.0), SparsePauliOp("XI")])
    values, jacobian = engine.jacobian(np.array([[0.3]]))
    assert values.tolist() == [[1.0, 2.0, 0.0]]
    assert not jacobian.any()
    assert engine.values(np.zeros((0, 1))).shape == (0, 3)


def test_wrong_shape_is_refused() -> None:
    engine = ExactEngine(build_circuit("2b-3q").circuit, build_circuit("2b-3q").observables)
    with pytest.raises(ArgumentError, match=r"must have shape \(batch, 27\), but has \(2, 5\)"):
        engine.values(np.zeros((2, 5)))


def test_unsupported_things_are_named() -> None:
    control = QuantumCircuit(1, 1)
    control.append(IfElseOp((control.clbits[0], 1), QuantumCircuit(1)), [0])
    with pytest.raises(UnsupportedError, match="Instruction `if_else` on qubits \\[0\\]"):
        ExactEngine(control, [SparsePauliOp("Z")])
    with pytest.raises(UnsupportedError, match="must have real coefficients"):
        ExactEngine(QuantumCircuit(1), [SparsePauliOp("Z", 1j)])


def test_a_single_precision_jacobian_is_the_double_one_rounded(rng: np.random.Generator) -> None:
    for name in ("4b-5q", "hea-9q"):
        model = build_circuit(name)
        engine = ExactEngine(model.circuit, model.observables)
        values = rng.uniform(-np.pi, np.pi, (3, model.circuit.num_parameters))
        _, double = engine.jacobian(values)
        _, single = engine.jacobian(values, dtype=np.float32)
        assert single.dtype == np.float32
        assert np.abs(single - double).max() < 1e-7


@pytest.mark.parametrize("lost", ["reset", "depolarized"])
def test_what_is_lost_altogether_is_zero(lost: str, rng: np.random.Generator) -> None:
    theta = ParameterVector("theta", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(theta[0], 0)
    circuit.ry(theta[1], 1)
    circuit.cz(0, 1)
    if lost == "reset":
        circuit.reset(0)
    nothing_left = GateNoise({"cz": pauli_channel(scale=(0.0, 0.0, 0.0))})
    channels: ChannelModel = nothing_left if lost == "depolarized" else noiseless
    observables = [SparsePauliOp(word) for word in ("IX", "IZ", "XX", "XI")]
    points = rng.uniform(-3, 3, (3, 2))
    found = ExactEngine(circuit, observables, channels).values(points)
    np.testing.assert_allclose(found, dense_values(circuit, observables, points, channels), atol=1e-12)
    assert np.abs(found[:, 0]).max() == 0.0
