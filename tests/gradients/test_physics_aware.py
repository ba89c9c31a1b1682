from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift, PhysicsAwareGradient
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.gradients.counting import CountingEstimator
from tests.lightcone.dense import GateNoise, pauli_channel

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
