from __future__ import annotations

import numpy as np
import pytest

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.trigonometry import LARGEST_ANGLE, cos_sin


@pytest.mark.parametrize("scale", [1e-8, 1.0, 7.0, 1e3, LARGEST_ANGLE])
def test_cosines_and_sines_are_numpys_to_the_last_bit_but_one(scale: float, rng: np.random.Generator) -> None:
    angles = np.concatenate([rng.uniform(-scale, scale, 50_000), np.arange(-40, 41) * np.pi / 4])
    cosines, sines = np.empty_like(angles), np.empty_like(angles)
    cos_sin(angles, cosines, sines)
    assert np.abs(cosines - np.cos(angles)).max() < 2.3e-16
    assert np.abs(sines - np.sin(angles)).max() < 2.3e-16


def test_angles_that_are_no_number_stay_none() -> None:
    angles = np.array([np.nan, 0.0])
    cosines, sines = np.empty(2), np.empty(2)
    cos_sin(angles, cosines, sines)
    assert np.isnan(cosines[0])
    assert (cosines[1], sines[1]) == (1.0, 0.0)


def test_very_large_angles_are_turned_back(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    engine = ExactEngine(model.circuit, model.observables)
    values = rng.uniform(-np.pi, np.pi, (3, model.circuit.num_parameters))
    turns = 2 * np.pi * rng.integers(-1, 2, values.shape) * 2.0**24
    assert np.abs(engine.values(values) - engine.values(values + turns)).max() < 1e-6
