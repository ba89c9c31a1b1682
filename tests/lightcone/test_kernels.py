from __future__ import annotations

import numpy as np

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.lightcone.engine import ExactEngine


def test_very_large_angles_are_turned_back(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    engine = ExactEngine(model.circuit, model.observables)
    values = rng.uniform(-np.pi, np.pi, (3, model.circuit.num_parameters))
    turns = 2 * np.pi * rng.integers(-1, 2, values.shape) * 2.0**24
    assert np.abs(engine.values(values) - engine.values(values + turns)).max() < 1e-6
