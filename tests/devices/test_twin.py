from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from scipy import stats

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.twin import LocalSender, Twin, TwinEngine
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import GradientRequest, TwinGradient, make_gradient
from tests.devices.devices_for_tests import snapshot


def _twin(device: str, options: LayoutOptions, *, sampled: bool = False) -> Twin:
    chip = snapshot(device)
    sender = LocalSender(chip, seed=1, sampled=sampled)
    return Twin(DeviceEstimator(chip, sender, options=options), sender)


def _values(engine: TwinEngine, parameters: np.ndarray) -> np.ndarray:
    return engine.program.observables(engine.terms(parameters, None)[0])


def _slopes_agree(
    twin: Twin, circuit: QuantumCircuit, observables: list[SparsePauliOp], values: np.ndarray
) -> None:
    """Values are the estimator's, derivatives those of the values."""
    engine = twin.engine(circuit, observables)
    terms, jacobian = engine.terms(values, np.float64)
    sent = twin.estimator.run([(circuit, [[o] for o in observables], values)]).result()[0].data.evs.T
    np.testing.assert_allclose(engine.program.observables(terms), sent, atol=1e-12)
    np.testing.assert_allclose(_values(engine, values), sent, atol=1e-12)
    for column in range(circuit.num_parameters):
        step = np.zeros(circuit.num_parameters)
        step[column] = 1e-5
        slope = (_values(engine, values + step) - _values(engine, values - step)) / 2e-5
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
    nought = np.zeros((1, model.circuit.num_parameters))
    terms, jacobian = engine.terms(nought, np.float64)
    assert np.isfinite(jacobian).all()
    np.testing.assert_allclose(terms, engine.terms(nought, None)[0], atol=1e-6)


def test_nothing_asked_is_nothing_computed() -> None:
    model = build_circuit("2b-3q")
    engine = _twin("fake_manila", LayoutOptions()).engine(model.circuit, list(model.observables))
    terms, jacobian = engine.terms(np.zeros((0, model.circuit.num_parameters)), np.float64)
    assert (terms.shape, jacobian.shape) == ((0, 3), (0, 3, model.circuit.num_parameters))


@pytest.mark.parametrize("words", [["III"], ["IIZ", "III"], ["III", "IIZ"]])
def test_a_constant_has_no_slopes(words: list[str], rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    values = rng.uniform(-3, 3, (2, model.circuit.num_parameters))
    engine = _twin("fake_manila", LayoutOptions()).engine(model.circuit, [SparsePauliOp(w) for w in words])
    terms, jacobian = engine.terms(values, np.float64)
    found = engine.program.observables(terms)
    assert jacobian.shape == (2, len(words), model.circuit.num_parameters)
    for number, word in enumerate(words):
        assert jacobian[:, number].any() == ("Z" in word)
        assert (found[:, number] == 1.0).all() == ("Z" not in word)


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


@pytest.mark.parametrize("simulator", ["exact", "aer"])
@pytest.mark.parametrize(("name", "device"), [("2b-9q", "fake_kingston"), ("4b-5q", "fake_manila")])
def test_shots_scatter_around_the_expectation(
    simulator: str, name: str, device: str, rng: np.random.Generator
) -> None:
    """z = (mean of shots - expectation) / its standard error is standard normal, of either simulator."""
    model, chip = build_circuit(name), snapshot(device)
    values = rng.uniform(-4, 4, (24, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables], values)
    options = LayoutOptions(copies=1)
    exact, drawn = (
        DeviceEstimator(chip, sender, shots=4096, options=options).run([pub]).result()[0].data.evs
        for sender in (LocalSender(chip, sampled=False), LocalSender(chip, seed=7, simulator=simulator))
    )
    z = ((drawn - exact) / np.sqrt((1 - exact**2) / 4096)).ravel()
    assert 0.005 < stats.chi2.cdf(np.sum(z**2), len(z)) < 0.995
    assert stats.kstest(z, "norm").pvalue > 0.005


def test_sums_and_constants_are_read_term_by_term(rng: np.random.Generator) -> None:
    chip, circuit = snapshot("fake_manila"), QuantumCircuit(5)
    circuit.sx(0)
    circuit.rz(0.4, 0)
    circuit.sx(0)
    single = [{"IIIIZ": 1.0}, {"IIIZI": 1.0}, {"IIIZZ": 1.0}]
    both = [{"IIIIZ": 2.0, "IIIZI": -1.0, "IIIII": 3.0}, {"IIIZZ": 0.5}]
    sender = LocalSender(chip, sampled=False)

    def expectations(observables: list[dict[str, float]]) -> np.ndarray:
        pubs = [EstimatorPub.coerce((circuit, [dict(o) for o in observables]))]
        handle = sender.send(pubs, precision=0.1, label="one")
        return np.asarray(sender.collect(handle)[0].data.evs)

    first, second, pair = expectations(single)
    np.testing.assert_allclose(expectations(both), [2 * first - second + 3, 0.5 * pair], atol=1e-12)


def test_an_unknown_simulator_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`simulator` must be exact or aer, but is `magic`"):
        LocalSender(snapshot("fake_manila"), simulator="magic")


def test_a_seed_repeats_samples_and_requests_differ(rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    chip = snapshot("fake_manila")
    pub = (
        model.circuit,
        [[o] for o in model.observables],
        rng.uniform(-4, 4, (2, model.circuit.num_parameters)),
    )

    def twice() -> tuple[np.ndarray, np.ndarray]:
        estimator = DeviceEstimator(chip, LocalSender(chip, seed=5), shots=100)
        first, second = (estimator.run([pub]).result()[0].data.evs for _ in range(2))
        return first, second

    first, second = twice()
    again, _ = twice()
    np.testing.assert_array_equal(first, again)
    assert np.any(first != second)
