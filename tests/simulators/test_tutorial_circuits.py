"""The circuits of Qiskit's tutorials: values and derivatives on every simulator, against Qiskit's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.tutorials import CIRCUITS, tutorial
from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift
from sqdr_qiskit.gradients.interface import as_operator
from sqdr_qiskit.model.quantum_layer import accelerate
from sqdr_qiskit.simulators.aer import AerConeEstimator
from sqdr_qiskit.simulators.exact import ExactEstimator


@pytest.mark.parametrize("n_qubits", [2, 4])
@pytest.mark.parametrize("name", CIRCUITS)
def test_values_and_derivatives_are_qiskits(name: str, n_qubits: int, rng: np.random.Generator) -> None:
    stock = tutorial(name, n_qubits)
    quick = accelerate(stock)
    inputs = rng.uniform(-1, 1, (1, stock.num_inputs)) if stock.num_inputs else None
    weights = rng.uniform(-1, 1, stock.num_weights)
    np.testing.assert_allclose(quick.forward(inputs, weights), stock.forward(inputs, weights), atol=1e-9)
    for ours, theirs in zip(quick.backward(inputs, weights), stock.backward(inputs, weights), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("n_qubits", [2, 5])
@pytest.mark.parametrize("name", CIRCUITS)
def test_aer_and_both_shift_units_agree(name: str, n_qubits: int, rng: np.random.Generator) -> None:
    stock = tutorial(name, n_qubits)
    circuit, observables = stock.circuit, [as_operator(o) for o in stock.observables]
    row = rng.uniform(-1, 1, (1, circuit.num_parameters))
    pub = (circuit, [[o] for o in observables], row)
    exact = ExactEstimator()
    expected = exact.run([pub]).result()[0].data.evs
    np.testing.assert_allclose(AerConeEstimator().run([pub]).result()[0].data.evs, expected, atol=1e-9)
    jacobian = ExactGradient(exact).jacobian(circuit, observables, row)
    for unit in ("rotation", "gate"):
        shifted = PackedParameterShift(exact, unit=unit).jacobian(circuit, observables, row)
        np.testing.assert_allclose(shifted, jacobian, atol=1e-9)
