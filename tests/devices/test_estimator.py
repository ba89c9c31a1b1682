from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import zz_feature_map
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices import estimator as device_estimator
from sqdr_qiskit.devices.estimator import DeviceEstimator, executions_of
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift, make_gradient
from sqdr_qiskit.model.quantum_layer import quantum_layer
from sqdr_qiskit.simulators import precision_of, shots_of
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.devices.devices_for_tests import IdealSender, snapshot

_MODEL = build_circuit("2b-6q")


def _pub(batch: int, rng: np.random.Generator) -> tuple[object, ...]:
    values = rng.uniform(-4, 4, (batch, _MODEL.circuit.num_parameters))
    return _MODEL.circuit, [[o] for o in _MODEL.observables], values


def _ideal(**options: object) -> tuple[DeviceEstimator, IdealSender]:
    chip = snapshot("fake_brisbane")
    sender = IdealSender(chip)
    return DeviceEstimator(chip, sender, **options), sender  # type: ignore[arg-type]


def test_pubs_broadcast_as_qiskit_says(rng: np.random.Generator) -> None:
    estimator, sender = _ideal()
    values = rng.uniform(-4, 4, (2, 3, _MODEL.circuit.num_parameters))
    z = list(_MODEL.observables)
    pubs = [
        (_MODEL.circuit, z[0], values[0, 0]),
        (_MODEL.circuit, [z[0], z[1], z[0]], values),
        (_MODEL.circuit, [[[o]] for o in z], values),
    ]
    found, expected = estimator.run(pubs).result(), ExactEstimator().run(pubs).result()
    for ours, exact in zip(found, expected, strict=True):
        assert ours.data.evs.shape == exact.data.evs.shape
        np.testing.assert_allclose(ours.data.evs, exact.data.evs, atol=1e-10)
    assert len(sender.sent) == 1  # all in one request


def test_what_needs_no_execution_is_not_sent(rng: np.random.Generator) -> None:
    estimator, sender = _ideal()
    found = estimator.run(
        [
            _pub(0, rng),
            (_MODEL.circuit, SparsePauliOp("I" * 6, 2.5), np.zeros((3, _MODEL.circuit.num_parameters))),
        ]
    )
    none, constant = found.result()
    assert none.data.evs.shape == (len(_MODEL.observables), 0)
    assert (constant.data.evs.tolist(), constant.data.stds.tolist()) == ([2.5] * 3, [0.0] * 3)
    assert not sender.sent


def test_a_circuit_may_have_no_parameters() -> None:
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    estimator, _ = _ideal()
    found = estimator.run([(bell, [SparsePauliOp(word) for word in ("ZZ", "ZI")])]).result()[0].data.evs
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-10)


def test_samples_share_executions(rng: np.random.Generator) -> None:
    estimator, sender = _ideal(shots=100, options=LayoutOptions(copies=3))
    estimator.run([_pub(7, rng)]).result()
    assert sender.announced == [[3 * 100]]  # 7 samples, 3 side by side
    assert (estimator.usage.jobs, estimator.usage.executions) == (1, 300)
    assert estimator.usage.qpu_seconds == pytest.approx(2 + 300 * 0.00035)


def test_requests_stay_below_the_limits(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(device_estimator, "MOST_EXECUTIONS", 250)
    estimator, sender = _ideal(shots=100, options=LayoutOptions(copies=1))
    pub = _pub(7, rng)
    job = estimator.run([pub])
    assert sender.announced == [[200, 200, 200, 100]]
    assert [handle.label for handle in sender.sent] == ["1/4", "2/4", "3/4", "4/4"]
    assert not sender.collected  # all are sent before any is waited for
    np.testing.assert_allclose(
        job.result()[0].data.evs, ExactEstimator().run([pub]).result()[0].data.evs, atol=1e-10
    )
    assert job.result() is job.result()
    assert sender.collected == ["1/4", "2/4", "3/4", "4/4"]


def test_instructions_limit_requests_too(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(device_estimator, "MOST_INSTRUCTIONS", 1)
    estimator, sender = _ideal(options=LayoutOptions(copies=1))
    estimator.run([_pub(3, rng)]).result()
    assert len(sender.sent) == 3  # a sample at a time is the least


def test_a_ceiling_stops_before_anything_is_sent(rng: np.random.Generator) -> None:
    estimator, sender = _ideal()
    sender.ceiling = 1
    with pytest.raises(ValueError, match="too dear"):
        estimator.run([_pub(1, rng)])
    assert not sender.sent
    assert estimator.usage.jobs == 0


@pytest.mark.parametrize(("precision", "shots"), [(None, 1000), (0.0, 1000), (0.05, 400)])
def test_precision_becomes_shots(precision: float | None, shots: int, rng: np.random.Generator) -> None:
    estimator, sender = _ideal(shots=1000)
    result = estimator.run([_pub(1, rng)], precision=precision).result()[0]
    assert shots_of(sender.sent[0].precision) == shots
    assert result.metadata["shots"] == shots


def test_a_circuit_is_laid_out_once(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    estimator, _ = _ideal()
    estimator.run([_pub(1, rng)]).result()

    def never(*args: object) -> None:
        raise AssertionError("laid out again")

    monkeypatch.setattr(device_estimator, "compile_for_device", never)
    estimator.run([(_MODEL.circuit.copy(), *_pub(1, rng)[1:])]).result()


def test_falling_back_is_said(caplog: pytest.LogCaptureFixture, rng: np.random.Generator) -> None:
    model = build_circuit("3b-4q")
    estimator, _ = _ideal()
    values = rng.uniform(-4, 4, (1, model.circuit.num_parameters))
    result = estimator.run([(model.circuit, list(model.observables), values)]).result()[0]
    assert result.metadata["layout"] == "whole"
    assert "A cone is as wide as the circuit (4 qubits): laid out whole" in caplog.text


def test_constants_need_no_device(rng: np.random.Generator) -> None:
    estimator, _ = _ideal()
    identity = SparsePauliOp(["I" * 6, "Z" + "I" * 5], [2.0, 0.0])
    result = estimator.run(
        [(_MODEL.circuit, [[identity], [_MODEL.observables[0]]], _pub(2, rng)[2])]
    ).result()[0]
    np.testing.assert_allclose(result.data.evs[0], 2.0)


def test_shots_below_one_are_refused() -> None:
    with pytest.raises(ArgumentError, match="Argument `shots` must be at least 1, but is 0"):
        _ideal(shots=0)


def test_a_snapshot_is_a_backend_by_name(rng: np.random.Generator) -> None:
    import torch

    backend = make_backend("fake_manila", shots=64, seed=3, layout="tiled")
    assert (backend.name, backend.shots, backend.default_gradient) == ("fake_manila", 64, "exact")
    model = build_circuit("2b-5q")
    layer = quantum_layer(model, backend, "physics-aware", initial_weights=rng.uniform(0, 6, model.n_weights))
    values = layer(torch.tensor(rng.uniform(0, 1, (3, model.n_features)), dtype=torch.float32))
    assert values.shape == (3, 5)
    assert bool((values.abs() <= 1).all())


def test_an_unknown_snapshot_is_refused_with_the_likely_one() -> None:
    with pytest.raises(ArgumentError, match=r"fake_brisban.*fake_brisbane"):
        make_backend("fake_brisban")


def test_angles_that_are_functions_of_parameters_reach_the_device(rng: np.random.Generator) -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = zz_feature_map(3, reps=1)  # (pi - x) (pi - y)
    circuit.ry(a.sin() * b, 0)
    circuit.rx((b / 3).exp(), 2)
    observables = [SparsePauliOp("ZIZ"), SparsePauliOp(["IXI", "IIZ"], [0.5, -1.0])]
    values = rng.uniform(-1, 1, (2, circuit.num_parameters))
    pub = (circuit, [[o] for o in observables], values)
    estimator, sender = _ideal()
    exact = ExactEstimator()
    expected = exact.run([pub]).result()[0].data.evs
    np.testing.assert_allclose(estimator.run([pub]).result()[0].data.evs, expected, atol=1e-10)
    jacobian = ExactGradient(exact).jacobian(circuit, observables, values)
    for unit in ("rotation", "gate"):
        shifted = PackedParameterShift(estimator, unit=unit).jacobian(circuit, observables, values)
        np.testing.assert_allclose(shifted, jacobian, atol=1e-8)
    assert sender.sent


def test_a_snapshot_s_exact_gradient_knows_the_chain_rule(rng: np.random.Generator) -> None:
    backend = make_backend("fake_sherbrooke", shots=0)
    circuit, z = zz_feature_map(2, reps=1), SparsePauliOp("ZX")
    circuit.h([0, 1])
    values = rng.uniform(-1, 1, (1, 2))

    def value(row: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ravel(backend.estimator.run([(circuit, [z], row)]).result()[0].data.evs)

    found = make_gradient("exact", backend).jacobian(circuit, [z], values)[0, 0]
    step = 1e-4
    for column, direction in enumerate(step * np.eye(2)):
        slope = (value(values + direction) - value(values - direction)) / (2 * step)
        np.testing.assert_allclose(found[column], slope[0], atol=1e-6)


@pytest.mark.parametrize("shots", [1, 2, 3, 100, 1000, 4096, 4097, 99_999, 10_000_000])
def test_shots_survive_the_way_through_a_precision(shots: int) -> None:
    assert shots_of(precision_of(shots)) == shots


def test_many_shots_survive(rng: np.random.Generator) -> None:
    for shots in rng.integers(1, 10_000_000, 2000).tolist():
        assert shots_of(precision_of(shots)) == shots


def _turn_pub(observables: object, n_sets: int) -> EstimatorPub:
    angles = ParameterVector("t", 1)
    circuit = QuantumCircuit(3)
    circuit.rx(angles[0], 0)
    return EstimatorPub.coerce((circuit, observables, np.zeros((n_sets, 1))))


def test_executions_are_sets_times_bases_times_shots() -> None:
    together = _turn_pub([["IIZ"], ["IZI"], ["ZII"], ["XII"]], 5)  # all Z in one basis, X in another
    assert executions_of([together], precision_of(100)) == 5 * 2 * 100
    assert executions_of([_turn_pub([["IIZ"]], 7), together], precision_of(10)) == 7 * 10 + 5 * 2 * 10
    assert executions_of([_turn_pub([["III"]], 3)], precision_of(10)) == 3 * 10
