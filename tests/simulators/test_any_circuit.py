"""Circuits as Qiskit's users write them: every backend and rewriting gives the same, right, number."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from qiskit.circuit import Gate, Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import (
    CXGate,
    IGate,
    PauliEvolutionGate,
    QFTGate,
    RXGate,
    UnitaryGate,
    efficient_su2,
    real_amplitudes,
    zz_feature_map,
)
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Operator, SparsePauliOp, random_unitary
from qiskit_aer.noise import NoiseModel, depolarizing_error

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators.aer import AerConeEstimator, noisy_engine
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.simulators.dense import dense_values, estimates


def _differences(
    circuit: QuantumCircuit, observables: list[SparsePauliOp], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    step = 1e-6
    found = []
    for column in range(rows.shape[1]):
        up, down = rows.copy(), rows.copy()
        up[:, column] += step
        down[:, column] -= step
        estimator = StatevectorEstimator()
        difference = estimates(estimator, circuit, observables, up) - estimates(
            estimator, circuit, observables, down
        )
        found.append(difference / (2 * step))
    return np.asarray(np.stack(found, axis=2))


def _prepared(build: str) -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.ry(a, 0)
    circuit.rx(b, 1)
    if build == "composite":
        circuit.append(real_amplitudes(2, reps=1).to_gate(), [0, 2])
    elif build == "instruction":
        circuit.append(efficient_su2(2, reps=1).to_instruction(), [1, 2])
    elif build == "evolution":
        circuit.append(PauliEvolutionGate(SparsePauliOp(["ZZI", "IZZ"]), time=a * 0.7), [0, 1, 2])
    elif build == "qft":
        circuit.append(QFTGate(3), [0, 1, 2])
    elif build == "swap inside":
        inner = QuantumCircuit(3)
        inner.swap(0, 1)
        inner.ry(b, 1)
        inner.cx(1, 2)
        inner.rx(a, 0)
        circuit.append(inner.to_gate(), [0, 1, 2])
        circuit.ry(a, 1)
    elif build == "same name":
        inner = QuantumCircuit(2, name="swap")
        inner.cry(a, 0, 1)
        circuit.append(inner.to_gate(), [0, 1])
        other = QuantumCircuit(1, name="rx")
        other.rz(b, 0)
        other.h(0)
        circuit.append(other.to_gate(), [1])
    elif build == "nonlinear":
        circuit.rz(a * b, 0)
        circuit.cp(2 * (np.pi - a) * (np.pi - b), 0, 1)
        circuit.ry(a.sin() + b.exp() / 3, 2)
        circuit.cx(1, 2)
    elif build == "open control":
        circuit.append(CXGate(ctrl_state=0), [0, 1])
        circuit.append(RXGate(a).control(1, ctrl_state=0), [1, 2])
    elif build == "annotated":
        circuit.append(RXGate(0.4).control(2, annotated=True), [0, 1, 2])
    else:
        angles = {"crx": 1, "cry": 1, "crz": 1, "cp": 1, "cu1": 1, "cu3": 3, "cu": 4, "rzz": 1, "rzx": 1}
        plain = {"ch", "cs", "csdg", "csx", "dcx", "iswap", "ecr"}
        three = {"ccx", "ccz", "cswap", "rccx"}
        if build in angles:
            values = [a, b, a + b, 0.3 * b][: angles[build]]
            getattr(circuit, build)(*values, 0, 1) if build not in ("cu1", "cu3") else circuit.append(
                {"cu1": _cu1, "cu3": _cu3}[build](values), [0, 1]
            )
        elif build in plain:
            getattr(circuit, build)(0, 1)
        elif build in three:
            getattr(circuit, build)(0, 1, 2)
        elif build == "mcp":
            circuit.mcp(a, [0, 1], 2)
        elif build == "xx_plus_yy":
            from qiskit.circuit.library import XXMinusYYGate, XXPlusYYGate

            circuit.append(XXPlusYYGate(a, b), [0, 1])
            circuit.append(XXMinusYYGate(b, a), [1, 2])
    circuit.rx(0.3, 2)
    circuit.h(0)
    return circuit


def _cu1(values: list[object]) -> Gate:
    from qiskit.circuit.library import CU1Gate

    return CU1Gate(*values)


def _cu3(values: list[object]) -> Gate:
    from qiskit.circuit.library import CU3Gate

    return CU3Gate(*values)


_BUILDS = (
    *("crx", "cry", "crz", "cp", "cu1", "cu3", "cu", "rzz", "rzx", "mcp", "xx_plus_yy"),
    *("ch", "cs", "csdg", "csx", "dcx", "iswap", "ecr", "ccx", "ccz", "cswap", "rccx"),
    *("composite", "instruction", "evolution", "qft", "swap inside", "same name", "nonlinear"),
    *("open control", "annotated"),
)
_OBSERVABLES = [SparsePauliOp("XZI"), SparsePauliOp("IIZ"), SparsePauliOp(["YYX", "ZII"], [0.5, -1.2])]


@pytest.mark.filterwarnings("ignore:splu converted", "ignore:spsolve is more")  # Qiskit's evolution
@pytest.mark.parametrize("build", _BUILDS)
def test_every_gate_on_every_path_is_what_qiskit_computes(build: str, rng: np.random.Generator) -> None:
    circuit = _prepared(build)
    rows = rng.uniform(-2, 2, (2, circuit.num_parameters))
    expected = estimates(StatevectorEstimator(), circuit, _OBSERVABLES, rows)
    for estimator in (ExactEstimator(), AerConeEstimator()):
        np.testing.assert_allclose(estimates(estimator, circuit, _OBSERVABLES, rows), expected, atol=1e-9)
    exact = ExactGradient().jacobian(circuit, _OBSERVABLES, rows)
    np.testing.assert_allclose(exact, _differences(circuit, _OBSERVABLES, rows), atol=1e-6)
    for gradient in (
        PackedParameterShift(ExactEstimator()),
        PackedParameterShift(ExactEstimator(), unit="gate"),
        PackedParameterShift(AerConeEstimator()),
    ):
        np.testing.assert_allclose(gradient.jacobian(circuit, _OBSERVABLES, rows), exact, atol=1e-9)


def test_controlled_phase_on_aer_is_not_taken_for_the_identity() -> None:
    t = Parameter("t")
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.cp(t, 0, 1)
    found = estimates(AerConeEstimator(), circuit, [SparsePauliOp("IX")], np.array([[0.7], [0.1]]))
    np.testing.assert_allclose(found[:, 0], (1 + np.cos([0.7, 0.1])) / 2, atol=1e-9)
    sampled = AerConeEstimator(shots=4000, seed=1)
    found = np.asarray(sampled.run([(circuit, "IX", [[0.7], [0.1]])]).result()[0].data.evs)
    np.testing.assert_allclose(found, (1 + np.cos([0.7, 0.1])) / 2, atol=0.06)


def _noise(*gates: str, qubits: list[int] | None = None, p: float = 0.3) -> NoiseModel:
    model = NoiseModel()
    for gate in gates:
        n_qubits = 2 if gate in ("rzz", "cp", "crx", "cx", "pair") else 1
        if qubits is None:
            model.add_all_qubit_quantum_error(depolarizing_error(p, n_qubits), gate)
        else:
            model.add_quantum_error(depolarizing_error(p, n_qubits), gate, qubits)
    return model


def _r_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.r(Parameter("a"), 0.4, 0)
    circuit.ry(0.2, 0)
    return circuit


def _pair_circuit(gate: str) -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.ry(b, 0)
    if gate == "pair":
        inner = QuantumCircuit(2, name="pair")
        inner.h(0)
        inner.cx(0, 1)
        inner.ry(a, 1)
        circuit.append(inner.to_gate(), [0, 1])
    else:
        getattr(circuit, gate)(a, 0, 1)
    circuit.h(0)
    circuit.ry(a, 1)
    return circuit


@pytest.mark.parametrize(
    ("circuit", "model"),
    [
        (_r_circuit(), _noise("r", "ry", "u", "rx", "rz")),
        (_r_circuit(), _noise("u", "rz", "ry")),
        (_pair_circuit("rzz"), _noise("rz", "cx", "h", "rzz", "ry")),
        (_pair_circuit("rzz"), _noise("rz", "cx", "h", "ry")),
        (_pair_circuit("cp"), _noise("p", "cx", "h", "cp")),
        (_pair_circuit("crx"), _noise("u", "cx", "h", "crx", "ry")),
        (_pair_circuit("pair"), _noise("h", "cx", "ry")),
        (_pair_circuit("pair"), _noise("h", "ry", qubits=[0])),
        (_pair_circuit("pair"), _noise("pair", "h")),
    ],
    ids=["r", "r inside", "rzz", "rzz inside", "cp", "crx", "custom inside", "custom on one", "custom"],
)
def test_noise_follows_the_instruction_as_it_stands(
    circuit: QuantumCircuit, model: NoiseModel, rng: np.random.Generator
) -> None:
    words = ["Z", "X"] if circuit.num_qubits == 1 else ["IZ", "XX"]
    observables = [SparsePauliOp(word) for word in words]
    rows = rng.uniform(-2, 2, (2, circuit.num_parameters))
    expected = dense_values(circuit, observables, rows, model)
    exact = ExactEstimator(noisy_engine(model))
    for estimator in (exact, AerConeEstimator(model)):
        np.testing.assert_allclose(estimates(estimator, circuit, observables, rows), expected, atol=1e-9)
    jacobian = ExactGradient(exact).jacobian(circuit, observables, rows)
    for row, observable in enumerate(observables):  # they do not commute: one after the other
        for estimator in (exact, AerConeEstimator(model)):
            gradient = PackedParameterShift(estimator, assume="structural", noise=model)
            found = gradient.jacobian(circuit, [observable], rows)
            np.testing.assert_allclose(found, jacobian[:, [row]], atol=1e-9)


def test_noise_on_three_qubits_that_is_a_product(rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.ry(Parameter("a"), 1)
    circuit.ccx(0, 1, 2)
    circuit.h([0, 2])
    one = depolarizing_error(0.1, 1)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(one.tensor(depolarizing_error(0.2, 1)).tensor(one), ["ccx"])
    rows = rng.uniform(-2, 2, (1, 1))
    words = ["IIZ", "XZI", "ZYZ"]
    observables = [SparsePauliOp(word) for word in words]
    expected = dense_values(circuit, observables, rows, model)
    for estimator in (ExactEstimator(noisy_engine(model)), AerConeEstimator(model)):
        np.testing.assert_allclose(estimates(estimator, circuit, observables, rows), expected, atol=1e-9)


def _labelled(label: str | None) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.append(IGate(label=label), [0])
    return circuit


def _matrix(unitary: NDArray[np.complex128]) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.append(UnitaryGate(unitary, check_input=False), [0])
    return circuit


def _slope(slope: float) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(slope * _P, 0)
    return circuit


_P = Parameter("p")
_U = np.asarray(random_unitary(2, seed=3).data)
_V = np.asarray(Operator(RXGate(2e-7)).data) @ _U


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_slope(1e-9), _slope(2e-9)),
        (_labelled("a"), _labelled("b")),
        (_labelled(None), _labelled("b")),
        (_matrix(_U), _matrix(_V)),
        (_slope(1.0), _slope(1.0 + 5e-11)),
    ],
    ids=["coefficients", "labels", "a label", "unitaries", "slopes"],
)
def test_the_cache_takes_nothing_for_equal_that_is_not(first: QuantumCircuit, second: QuantumCircuit) -> None:
    estimator = ExactEstimator()
    z = [SparsePauliOp("Z")]
    engine = estimator.engine(first, z)
    assert estimator.engine(second, z) is not engine
    assert estimator.engine(first.copy(), z) is engine


def test_the_cache_looks_at_the_order_of_instructions() -> None:
    first, second = QuantumCircuit(2), QuantumCircuit(2)
    first.cz(0, 1)
    first.h(0)
    second.h(0)
    second.cz(0, 1)
    apart, together = QuantumCircuit(3), QuantumCircuit(3)
    apart.cz(0, 1)
    apart.h(2)
    together.h(2)
    together.cz(0, 1)
    assert apart == together  # for Qiskit
    estimator, z = ExactEstimator(), [SparsePauliOp("IIZ")]
    assert estimator.engine(apart, z) is not estimator.engine(together, z)


def test_what_is_handed_out_is_the_users() -> None:
    circuit = _slope(1.0)
    rows = np.array([[0.3], [0.8]])
    gradient = ExactGradient()
    first = gradient.jacobian(circuit, [SparsePauliOp("Z")], rows)
    expected = first.copy()
    first += 5
    first.setflags(write=False)
    del first
    np.testing.assert_array_equal(gradient.jacobian(circuit, [SparsePauliOp("Z")], rows), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_no_numbers_are_refused(value: float) -> None:
    circuit = _slope(1.0)
    z = [SparsePauliOp("Z")]
    for estimator in (ExactEstimator(), AerConeEstimator()):
        with pytest.raises(ArgumentError, match="must be finite numbers"):
            estimates(estimator, circuit, z, np.array([[value]]))
    for gradient in (ExactGradient(), PackedParameterShift(ExactEstimator())):
        with pytest.raises(ArgumentError, match="must be finite numbers"):
            gradient.jacobian(circuit, z, np.array([[value]]))


@pytest.mark.parametrize(
    "make", [ExactEstimator, AerConeEstimator, lambda: ExactEstimator(noisy_engine(_noise("rx")))]
)
def test_estimators_are_copied_and_pickled(make: object) -> None:
    estimator = make()  # type: ignore[operator]
    circuit, z, rows = _slope(1.0), [SparsePauliOp("Z")], np.array([[0.3]])
    before = estimates(estimator, circuit, z, rows)
    for twin in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(estimates(twin, circuit, z, rows), before)
    stream = io.BytesIO()
    torch.save(PackedParameterShift(estimator), stream)


def test_a_precision_that_does_not_fit_into_memory_is_refused() -> None:
    estimator = AerConeEstimator(shots=10)
    with pytest.raises(ArgumentError, match="`precision` must be at least"):
        estimator.run([(_slope(1.0), "Z", [0.1])], precision=1e-7).result()


def test_measurements_at_the_end_and_preparations_at_the_beginning(rng: np.random.Generator) -> None:
    theta = ParameterVector("t", 2)
    circuit = QuantumCircuit(2)
    amplitudes = rng.normal(size=4)
    circuit.initialize(amplitudes / np.linalg.norm(amplitudes), [0, 1])
    plain = QuantumCircuit(2)
    plain.prepare_state(amplitudes / np.linalg.norm(amplitudes), [0, 1])
    for one in (circuit, plain):
        one.ry(theta[0], 0)
        one.crx(theta[1], 0, 1)
    observables = [SparsePauliOp("ZX"), SparsePauliOp("IY")]
    rows = rng.uniform(-2, 2, (2, 2))
    expected = estimates(StatevectorEstimator(), plain, observables, rows)
    circuit.measure_all()
    for one in (circuit, plain):
        for estimator in (ExactEstimator(), AerConeEstimator()):
            np.testing.assert_allclose(estimates(estimator, one, observables, rows), expected, atol=1e-9)
        exact = ExactGradient().jacobian(one, observables, rows)
        shifted = PackedParameterShift(ExactEstimator()).jacobian(one, observables, rows)
        np.testing.assert_allclose(shifted, exact, atol=1e-9)
    middle = QuantumCircuit(1, 1)
    middle.measure(0, 0)
    middle.h(0)
    with pytest.raises(UnsupportedError, match="must be measured last"):
        ExactEngine(middle, [SparsePauliOp("Z")])


def test_a_reset_in_the_middle_is_a_channel() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.ry(Parameter("a"), 0)
    words = [SparsePauliOp("IZ"), SparsePauliOp("ZI"), SparsePauliOp("ZZ")]
    for estimator in (ExactEstimator(), AerConeEstimator(_noise("h", p=0.0))):
        found = estimates(estimator, circuit, words, np.array([[0.4]]))
        np.testing.assert_allclose(found, [[np.cos(0.4), 0.0, 0.0]], atol=1e-9)


def test_feature_map_with_products_of_its_data(rng: np.random.Generator) -> None:
    circuit = zz_feature_map(4, reps=2).compose(real_amplitudes(4, reps=1))
    observables = [SparsePauliOp("ZZZZ"), SparsePauliOp("IIIZ")]
    rows = rng.uniform(-1, 1, (2, circuit.num_parameters))
    expected = estimates(StatevectorEstimator(), circuit, observables, rows)
    np.testing.assert_allclose(estimates(ExactEstimator(), circuit, observables, rows), expected, atol=1e-9)
    np.testing.assert_allclose(estimates(AerConeEstimator(), circuit, observables, rows), expected, atol=1e-9)
    exact = ExactGradient().jacobian(circuit, observables, rows)
    np.testing.assert_allclose(exact, _differences(circuit, observables, rows), atol=1e-6)
    for unit in ("rotation", "gate"):
        gradient = PackedParameterShift(ExactEstimator(), unit=unit)
        np.testing.assert_allclose(gradient.jacobian(circuit, observables, rows), exact, atol=1e-9)
