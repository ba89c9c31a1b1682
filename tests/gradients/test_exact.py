from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Operator, Pauli, SparseObservable, SparsePauliOp
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import PackedParameterShift, PhysicsAwareGradient, make_gradient
from sqdr_qiskit.gradients.exact import ExactGradient
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.gradients.counting import CountingEstimator
from tests.lightcone.dense import GateNoise, pauli_channel, random_circuit, random_observables


@pytest.mark.parametrize("name", ["2b-2q", "1b-3q"])
def test_equals_the_parameter_shift_rule(name: str, rng: np.random.Generator) -> None:
    model = build_circuit(name)
    values = rng.uniform(-3, 3, (2, model.circuit.num_parameters))
    jacobian = ExactGradient().jacobian(model.circuit, model.observables, values)
    assert jacobian.shape == (2, model.n_outputs, model.circuit.num_parameters)
    stock = ParamShiftEstimatorGradient(StatevectorEstimator())
    for output, observable in enumerate(model.observables[:2]):
        shifted = stock.run([model.circuit] * 2, [observable] * 2, values).result().gradients
        assert np.abs(jacobian[:, output] - np.array(shifted)).max() < 1e-12


@pytest.mark.parametrize("case", range(4))
def test_standard_interface_equals_stock_on_random_circuits(case: int, rng: np.random.Generator) -> None:
    circuit = random_circuit(rng, 3, 12, pairs=("cz", "cx", "cy"))
    observables = random_observables(rng, 3, 2)
    values = rng.uniform(-3, 3, (3, circuit.num_parameters))
    order = [(0, 0), (1, 0), (1, 2), (0, 1), (0, 0)]  # observable, sample
    arguments = (
        [circuit] * len(order),
        [observables[o] for o, _ in order],
        np.array([values[s] for _, s in order]),
        [[p] if i % 2 else None for i, p in enumerate([circuit.parameters[1]] * len(order))],
    )
    ours = ExactGradient().run(*arguments).result().gradients
    stock = ParamShiftEstimatorGradient(StatevectorEstimator()).run(*arguments).result().gradients
    for one, other in zip(ours, stock, strict=True):
        assert np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-12


def test_chosen_parameters_come_in_the_order_asked_for(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    values = rng.uniform(-3, 3, (1, model.circuit.num_parameters))
    wanted = [model.w[4], model.x[0]]
    column = list(model.circuit.parameters).index
    whole = ExactGradient().jacobian(model.circuit, model.observables, values)
    part = ExactGradient().jacobian(model.circuit, model.observables, values, parameters=wanted)
    assert np.array_equal(part, whole[:, :, [column(p) for p in wanted]])


def test_unknown_gradient_is_named() -> None:
    with pytest.raises(ArgumentError, match="Argument `gradient` must be one of exact"):
        make_gradient("exakt", make_backend())


def test_one_call_for_circuits_of_different_sizes_and_observables_of_every_kind() -> None:
    circuits, rows = [], []
    for n_parameters in (1, 2):
        theta = ParameterVector(f"t{n_parameters}", n_parameters)
        circuit = QuantumCircuit(1)
        for parameter in theta:
            circuit.rx(parameter, 0)
        circuits.append(circuit)
        rows.append([0.3] * n_parameters)
    observables = [Pauli("Z"), SparseObservable("Z"), Operator(np.diag([1.0, -1.0])), SparsePauliOp("Z")]
    found = ExactGradient().run(circuits * 2, observables, rows * 2).result().gradients
    for gradient, row in zip(found, rows * 2, strict=True):
        np.testing.assert_allclose(gradient, [-np.sin(0.3 * len(row))] * len(row), atol=1e-12)


_NOISY = ExactEstimator(
    partial(ExactEngine, channels=GateNoise({"u": pauli_channel(scale=(0.9, 0.9, 0.95))}))
)


def test_the_jacobian_is_the_models_and_costs_nothing(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    parameters = rng.uniform(-3, 3, (3, model.circuit.num_parameters))
    estimator = CountingEstimator(ExactEstimator())
    gradient = PhysicsAwareGradient(estimator, ExactGradient(_NOISY))
    found = gradient.jacobian(model.circuit, model.observables, parameters)
    assert np.array_equal(found, ExactGradient(_NOISY).jacobian(model.circuit, model.observables, parameters))
    assert estimator.executions == 0


def test_the_control_compares_at_every_kth_call(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    parameters = rng.uniform(-3, 3, (3, model.circuit.num_parameters))
    estimator = CountingEstimator(ExactEstimator())
    gradient = PhysicsAwareGradient(
        estimator,
        ExactGradient(_NOISY),
        control=PackedParameterShift(estimator),
        control_every=2,
        control_samples=2,
    )
    for _ in range(4):
        gradient.jacobian(model.circuit, model.observables, parameters)
    assert [call for call, _ in gradient.cosines] == [1, 3]
    assert all(0.9 < cosine < 1.0 - 1e-9 for _, cosine in gradient.cosines)
    assert estimator.executions == 2 * 2 * 26


def test_wrong_arguments_are_refused() -> None:
    model = ExactGradient()
    with pytest.raises(ArgumentError, match="`control_every` must be 0 without a control"):
        PhysicsAwareGradient(ExactEstimator(), model, control_every=3)
    with pytest.raises(ArgumentError, match="`control_samples` must be at least 1"):
        PhysicsAwareGradient(ExactEstimator(), model, control_samples=0)
