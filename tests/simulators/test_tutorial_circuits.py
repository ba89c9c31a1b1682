"""The circuits of Qiskit's tutorials: values and derivatives on every simulator, against Qiskit's.

`python -m tests.simulators.test_tutorial_circuits` holds both units of shifts of each at ten qubits, and of
the QAOA circuit at twenty, against the exact derivatives, which takes minutes.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from qiskit import transpile
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient

from benchmarks.tutorials import CIRCUITS, tutorial
from sqdr_qiskit.errors import UnsupportedError
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


@pytest.mark.parametrize("name", CIRCUITS)
def test_ten_qubits_are_qiskits_too(name: str, rng: np.random.Generator) -> None:
    circuit, inputs, weights, (observable,) = CIRCUITS[name](10)
    row = rng.uniform(-1, 1, circuit.num_parameters)
    pub = (circuit, [observable], row)
    expected = StatevectorEstimator().run([pub]).result()[0].data.evs
    for estimator in (ExactEstimator(), AerConeEstimator()):
        np.testing.assert_allclose(estimator.run([pub]).result()[0].data.evs, expected, atol=1e-9)
    jacobian = ExactGradient().jacobian(circuit, [observable], row[None])[0, 0]
    wanted = [inputs[-1], weights[-1] if weights else inputs[0]]  # by Qiskit's own shifts
    stock = ParamShiftEstimatorGradient(StatevectorEstimator())
    theirs = stock.run([circuit], [observable], [row], parameters=[wanted]).result().gradients[0]
    for value, parameter in zip(theirs, wanted, strict=True):
        column = list(circuit.parameters).index(parameter)
        np.testing.assert_allclose(jacobian[column], value, atol=1e-9)


@pytest.mark.parametrize("n_qubits", [20, 50])
@pytest.mark.parametrize(
    ("name", "qubit"),
    [("z_feature_map, n_local crx rzz", 0), ("z_feature_map, efficient_su2", -1), ("qaoa_ansatz", None)],
)
def test_many_qubits_are_as_matrix_product_states_say(
    name: str, qubit: int | None, n_qubits: int, rng: np.random.Generator
) -> None:
    circuit, _, _, (observable,) = CIRCUITS[name](n_qubits)
    if qubit is not None:  # else the ring's sum; the tutorials' Z on every qubit has all of them in its cone
        observable = SparsePauliOp.from_sparse_list([("Z", [qubit % n_qubits], 1.0)], n_qubits)
    row = rng.uniform(-1, 1, (1, circuit.num_parameters))
    bound = transpile(circuit.assign_parameters(row[0]), basis_gates=["rx", "ry", "rz", "cx", "h"])
    states = EstimatorV2(options={"backend_options": {"method": "matrix_product_state"}})
    expected = states.run([(bound, [observable])], precision=0).result()[0].data.evs
    exact = ExactEstimator()
    estimators: tuple[BaseEstimatorV2, ...] = (exact, AerConeEstimator())
    for estimator in estimators:
        found = estimator.run([(circuit, [[observable]], row)]).result()[0].data.evs
        np.testing.assert_allclose(np.ravel(found), expected, atol=1e-9)
    if qubit is None:  # its shifts take a minute
        return
    jacobian = ExactGradient(exact).jacobian(circuit, [observable], row)
    for unit in ("rotation", "gate"):
        shifted = PackedParameterShift(exact, unit=unit).jacobian(circuit, [observable], row)
        np.testing.assert_allclose(shifted, jacobian, atol=1e-9)


def test_fifty_qubits_in_one_cone_are_refused_by_name() -> None:
    circuit, _, _, (observable,) = CIRCUITS["z_feature_map, efficient_su2"](50)
    with pytest.raises(UnsupportedError, match="50 qubits"):
        ExactEstimator().run([(circuit, [observable], np.zeros(circuit.num_parameters))]).result()


def main() -> None:
    """Print the largest difference of each circuit's shifted derivatives from the exact ones."""
    for name, n_qubits in [*((name, 10) for name in CIRCUITS), ("qaoa_ansatz", 20)]:
        circuit, _, _, observables = CIRCUITS[name](n_qubits)
        row = np.random.default_rng(n_qubits).uniform(-1, 1, (1, circuit.num_parameters))
        jacobian = ExactGradient().jacobian(circuit, observables, row)
        for unit in ("rotation", "gate"):
            start = time.perf_counter()
            shifted = PackedParameterShift(ExactEstimator(), unit=unit).jacobian(circuit, observables, row)
            difference = np.abs(shifted - jacobian).max()
            seconds = time.perf_counter() - start
            print(f"{name}, {n_qubits} qubits, unit {unit}: {difference:.0e} ({seconds:.0f} s)", flush=True)
            assert difference < 1e-9


if __name__ == "__main__":
    main()
