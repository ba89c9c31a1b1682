from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.devices.sender import executions_of, precision_of, shots_of


@pytest.mark.parametrize("shots", [1, 2, 3, 100, 1000, 4096, 4097, 99_999, 10_000_000])
def test_shots_survive_the_way_through_a_precision(shots: int) -> None:
    assert shots_of(precision_of(shots)) == shots


def test_many_shots_survive(rng: np.random.Generator) -> None:
    for shots in rng.integers(1, 10_000_000, 2000).tolist():
        assert shots_of(precision_of(shots)) == shots


def _pub(observables: object, n_sets: int) -> EstimatorPub:
    angles = ParameterVector("t", 1)
    circuit = QuantumCircuit(3)
    circuit.rx(angles[0], 0)
    return EstimatorPub.coerce((circuit, observables, np.zeros((n_sets, 1))))


def test_executions_are_sets_times_bases_times_shots() -> None:
    together = _pub([["IIZ"], ["IZI"], ["ZII"], ["XII"]], 5)  # all Z in one basis, X in another
    assert executions_of([together], precision_of(100)) == 5 * 2 * 100
    assert executions_of([_pub([["IIZ"]], 7), together], precision_of(10)) == 7 * 10 + 5 * 2 * 10
    assert executions_of([_pub([["III"]], 3)], precision_of(10)) == 3 * 10
