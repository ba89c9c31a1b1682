from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator

from sqdr_qiskit.backends import BACKENDS, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.simulators.exact import EngineCache, ExactEstimator

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
    cache = EngineCache(size=2)
    engines = []
    for name in ("2b-2q", "2b-3q", "2b-2q", "2b-4q", "2b-3q"):
        model = build_circuit("2b-2q") if name == "2b-2q" else build_circuit(name)
        engines.append(cache.get(model.circuit, model.observables))
    first = build_circuit("2b-4q")
    again = cache.get(first.circuit, first.observables)
    assert again is not engines[3]  # other parameters, though of the same names
    circuit = build_circuit("2b-5q")
    assert cache.get(circuit.circuit, circuit.observables) is cache.get(
        circuit.circuit.copy(), circuit.observables
    )


def test_refusal_reaches_the_caller_as_it_is() -> None:
    circuit = QuantumCircuit(1)
    circuit.reset(0)
    with pytest.raises(UnsupportedError, match="Gate `reset`"):
        ExactEstimator().run([(circuit, "Z")]).result()


def test_every_simple_backend_is_a_standard_estimator() -> None:
    assert "exact" in BACKENDS
    backend = make_backend("exact")
    assert isinstance(backend.estimator, BaseEstimatorV2)
    with pytest.raises(ArgumentError, match="did you mean `exact`"):
        make_backend("exakt")
