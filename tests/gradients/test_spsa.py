from __future__ import annotations

import numpy as np
import pytest

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.spsa import SPSAGradient, spsa_step
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.gradients.counting import CountingEstimator


def test_the_mean_of_many_perturbations_is_the_gradient(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    gradient = SPSAGradient(ExactEstimator(), averages=4000)
    error = gradient.jacobian(model.circuit, model.observables, parameters) - exact
    # each of 13 derivatives disturbs each other one once, with a random sign
    scale = np.sqrt((exact**2).sum(axis=2).max() / 4000)
    assert np.abs(error).max() < 6 * scale
    assert np.sqrt((error**2).mean()) < 2 * scale


def test_two_executions_for_each_average_in_one_pub(rng: np.random.Generator) -> None:
    model = build_circuit("2b-9q")
    estimator = CountingEstimator(ExactEstimator())
    gradient = SPSAGradient(estimator, averages=3)
    gradient.jacobian(model.circuit, model.observables, rng.uniform(-3, 3, (5, model.circuit.num_parameters)))
    assert (estimator.pubs, estimator.executions, gradient.executions) == (1, 30, 30)


def test_the_same_values_and_seed_give_the_same_signs(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-3, 3, (2, model.circuit.num_parameters))

    def once(seed: int) -> np.ndarray:
        return SPSAGradient(ExactEstimator(), seed=seed).jacobian(
            model.circuit, model.observables, parameters
        )

    assert np.array_equal(once(3), once(3))
    assert not np.array_equal(once(3), once(4))


def test_parameters_asked_for_alone(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-3, 3, (2, model.circuit.num_parameters))
    gradient = SPSAGradient(ExactEstimator(), averages=2)
    found = gradient.jacobian(model.circuit, model.observables, parameters, parameters=list(model.w))
    assert found.shape == (2, 3, model.n_weights)


def test_steps_grow_with_the_noise_within_limits() -> None:
    assert spsa_step(None) == spsa_step(0.0) == 0.01
    assert 0.1 < spsa_step(1 / 64) < spsa_step(1 / 32) < 0.3
    assert spsa_step(1.0) == 0.3


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`averages` must be at least 1"):
        SPSAGradient(ExactEstimator(), averages=0)
    with pytest.raises(ArgumentError, match="`step` must be above 0"):
        SPSAGradient(ExactEstimator(), step=0.0)
