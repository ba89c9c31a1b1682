from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import Clbit, IfElseOp, Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator

from sqdr_qiskit.backends import BACKENDS, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.simulators import CircuitCache
from sqdr_qiskit.simulators.exact import ExactEstimator

SHAPES = [
    ((), ()),
    ((), (5,)),
    ((3,), ()),
    ((3, 1), (5,)),
    ((5,), (5,)),
    ((3, 1, 1), (2, 4)),
    ((2, 4), (2, 4)),
]


@pytest.mark.parametrize(("observables", "parameters"), SHAPES)
def test_broadcasting_equals_statevector_estimator(
    observables: tuple[int, ...], parameters: tuple[int, ...], rng: np.random.Generator
) -> None:
    model = build_circuit("2b-3q")
    strings = np.array(["IIZ", "IZI", "XYZ", "ZZI"])
    chosen = strings[rng.integers(0, 4, observables)].tolist() if observables else "XYZ"
    values = rng.uniform(-3, 3, (*parameters, model.circuit.num_parameters))
    pub = (model.circuit, chosen, values)
    ours = ExactEstimator().run([pub], precision=0.01).result()[0].data
    theirs = StatevectorEstimator().run([pub]).result()[0].data
    assert ours.evs.shape == theirs.evs.shape == ours.stds.shape
    assert np.abs(ours.evs - theirs.evs).max() < 1e-13
    assert not ours.stds.any()


def test_many_pubs_without_parameters() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    result = ExactEstimator().run([(circuit, "X"), (circuit, ["Z", "Y"])]).result()
    assert float(result[0].data.evs) == pytest.approx(1.0)
    assert result[1].data.evs.tolist() == pytest.approx([0.0, 0.0])


def test_a_circuit_changed_in_place_is_compiled_again() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1)
    circuit.rx(theta, 0)
    estimator = ExactEstimator()
    before = float(estimator.run([(circuit, "Z", [0.4])]).result()[0].data.evs)
    circuit.x(0)
    after = float(estimator.run([(circuit, "Z", [0.4])]).result()[0].data.evs)
    assert before == pytest.approx(np.cos(0.4))
    assert after == pytest.approx(-np.cos(0.4))


def test_equal_circuits_share_an_engine_and_old_ones_go() -> None:
    cache: CircuitCache[object] = CircuitCache(2)
    models = [build_circuit(name) for name in ("2b-2q", "2b-3q", "2b-4q")]
    made = [cache.get(model.circuit, model.observables, object) for model in models]
    for model, own in zip(models[1:], made[1:], strict=True):
        assert cache.get(model.circuit.copy(), model.observables, object) is own
    assert cache.get(models[0].circuit, models[0].observables, object) is not made[0]  # the oldest went
    again = build_circuit("2b-4q")  # other parameters, though of the same names
    assert cache.get(again.circuit, again.observables, object) is not made[2]


def test_refusal_reaches_the_caller_as_it_is() -> None:
    circuit = QuantumCircuit(1)
    clbit = Clbit()
    circuit.add_bits([clbit])
    circuit.append(IfElseOp((clbit, 1), QuantumCircuit(1)), [0])
    with pytest.raises(UnsupportedError, match="Instruction `if_else`"):
        ExactEstimator().run([(circuit, "Z")]).result()


def test_every_simple_backend_is_a_standard_estimator() -> None:
    assert "exact" in BACKENDS
    backend = make_backend("exact")
    assert isinstance(backend.estimator, BaseEstimatorV2)
    with pytest.raises(ArgumentError, match="did you mean `exact`"):
        make_backend("exakt")
