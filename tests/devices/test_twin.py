from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.devices.twin import Twin
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.gradients import GradientRequest, TwinGradient, make_gradient
from tests.devices.devices_for_tests import snapshot


def _twin(device: str, options: LayoutOptions, *, sampled: bool = False) -> Twin:
    chip = snapshot(device)
    sender = LocalSender(chip, seed=1, sampled=sampled)
    return Twin(DeviceEstimator(chip, sender, options=options), sender)


def _slopes_agree(
    twin: Twin, circuit: QuantumCircuit, observables: list[SparsePauliOp], values: np.ndarray
) -> None:
    """Values are the estimator's, derivatives those of the values."""
    engine = twin.engine(circuit, observables)
    found, jacobian = engine.jacobian(values)
    sent = twin.estimator.run([(circuit, [[o] for o in observables], values)]).result()[0].data.evs.T
    np.testing.assert_allclose(found, sent, atol=1e-12)
    np.testing.assert_allclose(engine.values(values), sent, atol=1e-12)
    for column in range(circuit.num_parameters):
        step = np.zeros(circuit.num_parameters)
        step[column] = 1e-5
        slope = (engine.values(values + step) - engine.values(values - step)) / 2e-5
        np.testing.assert_allclose(jacobian[:, :, column], slope, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "device", "options"),
    [
        ("2b-4q", "fake_kingston", LayoutOptions()),
        ("2b-4q", "fake_brisbane", LayoutOptions(copies=12)),  # more than ten: s10 sorts before s2
        ("2b-9q", "fake_manila", LayoutOptions()),  # in rounds
        ("2b-5q", "fake_manila", LayoutOptions(layout="whole", seeds=(1,))),
        ("4b-9q", "fake_kingston", LayoutOptions(copies=2)),
    ],
)
def test_values_and_slopes_on_devices(
    name: str, device: str, options: LayoutOptions, rng: np.random.Generator
) -> None:
    model = build_circuit(name)
    values = rng.uniform(-4, 4, (5, model.circuit.num_parameters))
    _slopes_agree(_twin(device, options), model.circuit, list(model.observables), values)


def test_sums_of_paulis_and_shared_angles(rng: np.random.Generator) -> None:
    theta = ParameterVector("theta", 3)
    circuit = QuantumCircuit(3)
    circuit.rx(theta[0], 0)
    circuit.h(1)
    circuit.cx(0, 1)
    circuit.ry(2 * theta[1] - theta[0], 1)
    circuit.cz(1, 2)
    circuit.rz(theta[2] + 0.3, 1)
    circuit.ry(theta[0], 2)
    observables = [SparsePauliOp(["IIZ", "XXI", "III"], [1.0, -0.5, 2.0]), SparsePauliOp(["IXI"])]
    values = rng.uniform(-3, 3, (3, 3))
    _slopes_agree(_twin("fake_manila", LayoutOptions()), circuit, observables, values)


def test_a_turn_about_z_has_finite_slopes() -> None:
    """All angles 0: phi and lambda are one angle in two there, and the slopes still those of the model."""
    model = build_circuit("2b-3q")
    engine = _twin("fake_manila", LayoutOptions()).engine(model.circuit, list(model.observables))
    values, jacobian = engine.jacobian(np.zeros((1, model.circuit.num_parameters)))
    assert np.isfinite(jacobian).all()
    np.testing.assert_allclose(values, engine.values(np.zeros((1, model.circuit.num_parameters))), atol=1e-6)


def test_nothing_asked_is_nothing_computed() -> None:
    model = build_circuit("2b-3q")
    engine = _twin("fake_manila", LayoutOptions()).engine(model.circuit, list(model.observables))
    values, jacobian = engine.jacobian(np.zeros((0, model.circuit.num_parameters)))
    assert (values.shape, jacobian.shape) == ((0, 3), (0, 3, model.circuit.num_parameters))


def _asked(backend: Backend, rng: np.random.Generator) -> tuple[TwinGradient, GradientRequest]:
    model = build_circuit("2b-4q")
    gradient = make_gradient(None, backend)
    assert isinstance(gradient, TwinGradient)
    values = rng.uniform(-4, 4, (6, model.circuit.num_parameters))
    return gradient, GradientRequest(
        circuit=model.circuit, observables=model.observables, values=values, with_values=True
    )


def test_a_rehearsed_device_is_trained_by_exact_gradients(rng: np.random.Generator) -> None:
    """Values on the way are read in shots, repeatably; derivatives are the expectations'."""
    sampled, exact = make_backend("fake_manila", shots=500, seed=3), make_backend("fake_manila", shots=0)
    gradient, request = _asked(sampled, rng)
    assert gradient.gives_values_of(sampled.estimator)
    values, jacobian = gradient.evaluate(request)
    reference, _ = make_gradient(None, exact), None
    expectations, slopes = reference.evaluate(request)
    assert values is not None
    assert expectations is not None
    np.testing.assert_array_equal(jacobian, slopes)
    z = (values - expectations) / np.sqrt((1 - expectations**2) / 500)
    assert 0 < np.abs(z).max() < 5
    again, _ = make_gradient(None, make_backend("fake_manila", shots=500, seed=3)).evaluate(request)
    np.testing.assert_array_equal(values, again)
    later, _ = gradient.evaluate(request)
    assert np.any(later != values)
    few = GradientRequest(
        circuit=request.circuit,
        observables=request.observables,
        values=request.values,
        parameters=request.circuit.parameters[3:5],
    )
    none, part = gradient.evaluate(few)
    assert none is None
    np.testing.assert_array_equal(part, slopes[:, :, 3:5])


def test_requests_that_are_counted_are_sent(rng: np.random.Generator) -> None:
    backend = make_backend("fake_manila", shots=500)
    gradient, _ = _asked(backend, rng)
    assert isinstance(backend.estimator, DeviceEstimator)
    backend.estimator.sender = LocalSender(snapshot("fake_manila"))  # as one that counts would stand there
    assert not gradient.gives_values_of(backend.estimator)


def test_a_cone_too_wide_is_refused_with_what_can_run_it() -> None:
    model = build_circuit("4b-7q")
    backend = make_backend("fake_kingston", layout="whole")
    assert backend.twin is not None
    with pytest.raises(UnsupportedError, match=r"kingston .* `--simulator aer`"):
        backend.twin.engine(model.circuit, list(model.observables))


def test_aer_has_no_exact_gradient() -> None:
    backend = make_backend("fake_manila", simulator="aer")
    assert backend.default_gradient == "parameter-shift"
    with pytest.raises(UnsupportedError, match="must run on a simulator whose noise is known"):
        make_gradient("exact", backend)
