from __future__ import annotations

import numpy as np
import pytest
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.neural_networks import EstimatorQNN

from sqdr_qiskit.catalog import find
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import PackedParameterShift
from sqdr_qiskit.gradients.interface import GradientRequest
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators.aer import AerConeEstimator, noisy_engine
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.noise import NoiseSpec, read_noise
from tests.gradients.counting import CountingEstimator


def _noise(name: str) -> NoiseSpec:
    return read_noise(find("noise_models", name))


@pytest.mark.parametrize(
    ("name", "unit", "tiling", "executions"),
    [
        ("2b-9q", "rotation", True, 26),
        ("2b-10q", "rotation", True, 26),
        ("2b-18q", "rotation", True, 26),
        ("2b-9q", "rotation", False, 26),
        ("4b-9q", "rotation", True, 114),
        ("2b-9q", "gate", True, 12),
    ],
)
def test_the_estimator_sees_what_the_plan_announced_in_one_pub(
    name: str, unit: str, tiling: bool, executions: int, rng: np.random.Generator
) -> None:
    model = build_circuit(name)
    estimator = CountingEstimator(ExactEstimator())
    gradient = PackedParameterShift(estimator, unit=unit, tiling=tiling)  # type: ignore[arg-type]
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    assert gradient.plan(model.circuit, model.observables).n_executions == executions
    jacobian = gradient.jacobian(model.circuit, model.observables, parameters)
    assert (estimator.pubs, estimator.executions) == (1, 2 * executions)
    request = GradientRequest(
        circuit=model.circuit, observables=model.observables, values=parameters, with_values=True
    )
    values, again = gradient.evaluate(request)
    assert values is not None
    assert (estimator.pubs, estimator.executions) == (2, 2 * executions + 2 * (executions + 1))
    assert gradient.executions == estimator.executions
    exact, exact_jacobian = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    assert np.abs(values - exact).max() < 1e-12
    assert np.abs(jacobian - exact_jacobian).max() < 1e-10
    assert np.abs(again - exact_jacobian).max() < 1e-10


@pytest.mark.parametrize("unit", ["rotation", "gate"])
def test_any_estimator_in_a_stock_qnn(unit: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    network = EstimatorQNN(
        circuit=model.circuit,
        estimator=StatevectorEstimator(),
        gradient=PackedParameterShift(StatevectorEstimator(), unit=unit),  # type: ignore[arg-type]
        observables=list(model.observables),
        input_params=list(model.x),
        weight_params=list(model.w),
        input_gradients=True,
        default_precision=0.0,
    )
    x, w = rng.uniform(-3, 3, (2, model.n_features)), rng.uniform(-3, 3, model.n_weights)
    by_input, by_weight = network.backward(x, w)
    order = {p: i for i, p in enumerate(model.circuit.parameters)}
    parameters = np.zeros((2, len(order)))
    parameters[:, [order[p] for p in model.x]] = x
    parameters[:, [order[p] for p in model.w]] = w
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    assert by_input is not None
    assert by_weight is not None
    assert np.abs(by_input - exact[:, :, [order[p] for p in model.x]]).max() < 1e-10
    assert np.abs(by_weight - exact[:, :, [order[p] for p in model.w]]).max() < 1e-10


@pytest.mark.parametrize("name", ["paper", "bit-flip", "readout", "two-qubit", "thermal-relaxation", "idle"])
def test_noisy_aer_in_structural_mode_equals_the_noisy_engine(name: str, rng: np.random.Generator) -> None:
    noise = _noise(name)
    model = build_circuit("2b-5q")
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    _, exact = noisy_engine(noise)(model.circuit, model.observables).jacobian(parameters)
    estimator = CountingEstimator(AerConeEstimator(noise))
    gradient = PackedParameterShift(estimator, assume="structural", noise=noise)
    assert np.abs(gradient.jacobian(model.circuit, model.observables, parameters) - exact).max() < 1e-9
    assert estimator.executions == 2 * gradient.plan(model.circuit, model.observables).n_executions


@pytest.mark.parametrize("name", ["hea-9q", "sqnn-9q", "2b-9q"])
def test_noisy_aer_on_every_kind_of_circuit(name: str, rng: np.random.Generator) -> None:
    noise = _noise("paper")
    model = build_circuit(name)
    parameters = rng.uniform(-np.pi, np.pi, (1, model.circuit.num_parameters))
    _, exact = noisy_engine(noise)(model.circuit, model.observables).jacobian(parameters)
    gradient = PackedParameterShift(AerConeEstimator(noise), assume="structural", noise=noise)
    assert np.abs(gradient.jacobian(model.circuit, model.observables, parameters) - exact).max() < 1e-9


def test_noise_that_knows_its_qubits_is_not_laid_in_tiles() -> None:
    with pytest.raises(ArgumentError, match="`tiling` must be false with noise"):
        PackedParameterShift(ExactEstimator(), assume="structural", noise=_noise("paper"), tiling=True)


@pytest.mark.parametrize("allocation", ["even", "proportional"])
@pytest.mark.parametrize("unit", ["rotation", "gate"])
def test_with_shots_it_is_unbiased(allocation: str, unit: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-np.pi, np.pi, (1, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    gradient = PackedParameterShift(
        AerConeEstimator(shots=64, seed=5),
        unit=unit,  # type: ignore[arg-type]
        shots_per_step=2_000,
        allocation=allocation,  # type: ignore[arg-type]
    )
    found, errors = [], []
    for _ in range(60):
        found.append(gradient.jacobian(model.circuit, model.observables, parameters)[0])
        assert gradient.last_report is not None
        errors.append(gradient.last_report.norm_standard_error)
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    seen = spread > 0
    z = ((mean - exact[0]) / np.where(seen, spread, 1.0) * np.sqrt(len(found)))[seen]
    assert np.abs(mean - exact[0])[~seen].max(initial=0.0) < 1e-12
    assert np.abs(z).max() < 5.0  # of some 50 values
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.4
    # the standard error of the norm is that of the norms' scatter
    scatter = np.std([np.linalg.norm(one) for one in found], ddof=1)
    assert 0.7 < np.mean(errors) / scatter < 1.4


def test_at_equal_shots_it_is_no_worse_than_the_ordinary_rule(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-np.pi, np.pi, (1, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    stock = 36 * 2 * 3  # rotations, signs, observables
    shots = 100
    errors = []
    for _ in range(10):
        packed = PackedParameterShift(AerConeEstimator(shots=1), shots_per_step=stock * shots)
        errors.append(((packed.jacobian(model.circuit, model.observables, parameters) - exact) ** 2).sum())
    # The ordinary rule measures <O> at each shifted point with `shots`: variance (1 - <O>^2) / shots each,
    # for the sum over uses of a parameter, and it measures zero derivatives too.
    expected = 0.0
    tiled = PackedParameterShift(ExactEstimator(), tiling=False).plan(model.circuit, model.observables).tiled
    angles = tiled.angles(parameters)
    for rotation in range(tiled.n_rotations):
        for sign in (1.0, -1.0):
            shifted = angles.copy()
            shifted[0, rotation] += sign * np.pi / 2
            values = ExactEngine(tiled.circuit, tiled.observables).values(tiled.bind(shifted))
            expected += float(((1 - values**2) / shots / 4).sum() * (tiled.coefficients[rotation] ** 2).sum())
    assert np.mean(errors) < expected


def test_precision_reaches_the_estimator(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-np.pi, np.pi, (1, model.circuit.num_parameters))
    gradient = PackedParameterShift(AerConeEstimator(shots=1, seed=0))
    gradient.jacobian(model.circuit, model.observables, parameters, precision=0.1)
    assert gradient.last_report is not None
    assert gradient.last_report.shots == 26 * 100


@pytest.mark.parametrize("allocation", ["even", "proportional"])
def test_a_budget_is_kept(allocation: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    for budget in (60, 1_000, 5_000):
        gradient = PackedParameterShift(
            AerConeEstimator(shots=1, seed=0),
            shots_per_step=budget,
            allocation=allocation,  # type: ignore[arg-type]
        )
        gradient.jacobian(model.circuit, model.observables, parameters)
        assert gradient.last_report is not None
        assert gradient.last_report.shots is not None
        assert budget / 2 < gradient.last_report.shots <= budget
    gradient = PackedParameterShift(AerConeEstimator(shots=1), shots_per_step=51)
    with pytest.raises(ArgumentError, match="`shots_per_step` must be at least 52"):
        gradient.jacobian(model.circuit, model.observables, parameters)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`shots_per_step` must be at least 1"):
        PackedParameterShift(ExactEstimator(), shots_per_step=0)
    with pytest.raises(ArgumentError, match="`allocation` must be even without `shots_per_step`"):
        PackedParameterShift(ExactEstimator(), allocation="proportional")
    with pytest.raises(ArgumentError, match="`allocation` must be one of"):
        PackedParameterShift(ExactEstimator(), allocation="odd")  # type: ignore[arg-type]
