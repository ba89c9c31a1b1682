from __future__ import annotations

import numpy as np
import pytest
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.backends import BACKENDS, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import make_gradient

SIMULATORS = [name for name in BACKENDS if "<" not in name]


@pytest.mark.parametrize("name", SIMULATORS)
def test_every_simulator_trains(name: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")
    backend = make_backend(name)
    assert isinstance(backend.estimator, BaseEstimatorV2)
    values = rng.uniform(-3, 3, (3, model.circuit.num_parameters))
    jacobian = make_gradient(None, backend).jacobian(model.circuit, model.observables, values)
    columns = [[observable] for observable in model.observables]

    def expectations(parameters: np.ndarray) -> np.ndarray:
        found: np.ndarray = (
            backend.estimator.run([(model.circuit, columns, parameters)]).result()[0].data.evs.T
        )
        return found

    step = 1e-5
    for column in rng.integers(0, values.shape[1], 3):
        shift = np.zeros(values.shape[1])
        shift[column] = step
        slope = (expectations(values + shift) - expectations(values - shift)) / (2 * step)
        assert np.abs(slope - jacobian[:, :, column]).max() < 1e-8


@pytest.mark.parametrize("noise", [None, "paper", "readout", "released-code"])
def test_engine_and_aer_agree_under_the_same_file(noise: str | None, rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    values = rng.uniform(-3, 3, (2, model.circuit.num_parameters))
    pub = (model.circuit, [[observable] for observable in model.observables], values)
    engine = make_backend("exact_noisy", noise=noise).estimator.run([pub]).result()[0].data.evs
    aer = make_backend("aer_noisy", noise=noise).estimator.run([pub]).result()[0].data.evs
    ideal = make_backend("aer").estimator.run([pub]).result()[0].data.evs
    assert np.abs(engine - aer).max() < 1e-12
    assert np.abs(engine - ideal).max() > 1e-3


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`noise` must be left out with backend exact, where it has no"):
        make_backend("exact", noise="paper")
    with pytest.raises(ArgumentError, match="`shots` must be left out with backend exact_noisy"):
        make_backend("exact_noisy", shots=100)
    with pytest.raises(ArgumentError, match="`layout` must be left out with backend aer"):
        make_backend("aer", layout="tiled")


def test_shots_choose_the_parameter_shift() -> None:
    assert make_backend("aer_noisy", shots=100).default_gradient == "parameter-shift"
    assert make_backend("aer_noisy").default_gradient == "exact"
