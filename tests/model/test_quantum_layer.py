from __future__ import annotations

import copy
import inspect
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2, StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import PackedParameterShift
from sqdr_qiskit.gradients.exact import ExactGradient
from sqdr_qiskit.model.quantum_layer import BroadcastEstimatorQNN, accelerate, quantum_layer
from sqdr_qiskit.simulators.exact import ExactEstimator


class CountingEstimator(BaseEstimatorV2):
    """Passes everything on and counts PUBs and executions."""

    def __init__(self) -> None:
        self.pubs = 0
        self.executions = 0

    def run(self, pubs: Iterable[Any], *, precision: float | None = None) -> Any:
        pubs = list(pubs)
        self.pubs += len(pubs)
        self.executions += sum(len(np.atleast_2d(pub[2])) for pub in pubs)
        return ExactEstimator().run(pubs, precision=precision)


def _outputs(layer: torch.nn.Module, x: torch.Tensor, cotangent: torch.Tensor) -> list[torch.Tensor]:
    inputs = x.clone().requires_grad_()
    layer.zero_grad()
    values = layer(inputs)
    values.backward(cotangent)
    (weight,) = layer.parameters()
    assert inputs.grad is not None
    assert weight.grad is not None
    return [values.detach(), inputs.grad, weight.grad]


def test_qiskits_own_estimator_and_gradient_give_the_same_numbers(rng: np.random.Generator) -> None:
    model = build_circuit("2b-2q")
    weights = rng.uniform(0, 6, model.n_weights)
    x = torch.tensor(rng.uniform(0, 1, (2, model.n_features)), dtype=torch.float32)
    cotangent = torch.tensor(rng.normal(size=(2, 2)), dtype=torch.float32)
    estimator = StatevectorEstimator()
    stock = Backend("stock", estimator, default_gradient="exact")
    ours = quantum_layer(model, make_backend("exact"), initial_weights=weights)
    theirs = quantum_layer(model, stock, ParamShiftEstimatorGradient(estimator), initial_weights=weights)
    for one, other in zip(_outputs(ours, x, cotangent), _outputs(theirs, x, cotangent), strict=True):
        assert torch.allclose(one, other, atol=2e-6)


def test_our_estimator_and_gradient_work_in_a_stock_network(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    settings: dict[str, Any] = {
        "circuit": model.circuit,
        "observables": list(model.observables),
        "input_params": list(model.x),
        "weight_params": list(model.w),
        "input_gradients": True,
    }
    stock = EstimatorQNN(estimator=ExactEstimator(), gradient=ExactGradient(), **settings)
    ours = BroadcastEstimatorQNN(estimator=ExactEstimator(), gradient=ExactGradient(), **settings)
    x, w = rng.uniform(0, 1, (4, model.n_features)), rng.uniform(0, 6, model.n_weights)
    assert np.abs(stock.forward(x, w) - ours.forward(x, w)).max() < 1e-14
    for one, other in zip(stock.backward(x, w), ours.backward(x, w), strict=True):
        assert np.abs(np.asarray(one) - np.asarray(other)).max() < 1e-14


def test_forward_is_one_broadcast_pub(rng: np.random.Generator) -> None:
    model = build_circuit("2b-9q")
    counting = CountingEstimator()
    layer = quantum_layer(model, Backend("counting", counting, default_gradient="exact"))
    layer(torch.rand(7, model.n_features))
    assert (counting.pubs, counting.executions) == (1, 7)


@pytest.mark.parametrize("gradient", ["parameter-shift", "gate-shift", "spsa"])
def test_a_training_step_is_one_pub_for_values_and_derivatives(
    gradient: str, rng: np.random.Generator
) -> None:
    model = build_circuit("2b-9q")
    counting = CountingEstimator()
    backend = Backend("counting", counting, default_gradient="exact")
    layer = quantum_layer(model, backend, gradient, initial_weights=rng.uniform(0, 6, model.n_weights))
    x = torch.tensor(rng.uniform(0, 1, (7, model.n_features)), dtype=torch.float32)
    cotangent = torch.tensor(rng.normal(size=(7, 9)), dtype=torch.float32)
    together = _outputs(layer, x, cotangent)
    assert counting.pubs == 1
    layer.eval()  # values now, derivatives when they are asked for
    apart = _outputs(layer, x, cotangent)
    assert counting.pubs == 3
    for one, other in zip(together, apart, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    with torch.no_grad():
        layer.train()(x)
    assert counting.pubs == 4


def test_a_backward_pass_belongs_to_its_own_forward_pass(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    layer = quantum_layer(model, initial_weights=rng.uniform(0, 6, model.n_weights))
    x = [torch.tensor(rng.uniform(0, 1, (2, model.n_features)), dtype=torch.float32) for _ in range(2)]
    inputs = [one.clone().requires_grad_() for one in x]
    first, second = layer(inputs[0]), layer(inputs[1])
    first.sum().backward()
    second.sum().backward()
    for own, alone in zip(inputs, x, strict=True):
        expected = _outputs(layer, alone, torch.ones(2, 3))[1]
        assert own.grad is not None
        assert torch.allclose(own.grad, expected, atol=1e-6)


def test_parameters_are_in_the_order_of_the_vectors(rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")  # more than ten of each: names do not sort like numbers
    weights = rng.uniform(0, 6, model.n_weights)
    layer = quantum_layer(model, initial_weights=weights)
    x = rng.uniform(0, 1, model.n_features)
    bound = model.circuit.assign_parameters({model.x: x, model.w: weights})
    columns = list(model.observables)
    expected = StatevectorEstimator().run([(bound, columns)]).result()[0].data.evs
    found = layer(torch.tensor(x[None], dtype=torch.float32)).detach().numpy()[0]
    assert np.abs(found - expected).max() < 1e-6


def test_without_input_gradients_only_weights_are_differentiated(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    network = BroadcastEstimatorQNN(
        circuit=model.circuit,
        estimator=ExactEstimator(),
        gradient=ExactGradient(),
        observables=model.observables,
        input_params=list(model.x),
        weight_params=list(model.w),
        input_gradients=False,
    )
    x, w = rng.uniform(0, 1, (2, model.n_features)), rng.uniform(0, 6, model.n_weights)
    inputs, trained = network.backward(x, w)
    assert inputs is None
    network.input_gradients = True
    assert np.array_equal(np.asarray(trained), np.asarray(network.backward(x, w)[1]))


def test_gradient_reaches_the_first_convolution(rng: np.random.Generator) -> None:
    model = build_circuit("2b-9q")
    encoder = SpikingEncoder(n_features=model.n_features)
    layer = quantum_layer(model, initial_weights=rng.uniform(0, 6, model.n_weights))
    images = torch.tensor(rng.integers(0, 256, (16, 1, 28, 28)), dtype=torch.uint8)
    layer(encoder(images)).square().sum().backward()
    first = next(p for name, p in encoder.named_parameters() if p.ndim == 4)
    assert first.grad is not None
    assert float(first.grad.abs().max()) > 0


def test_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"must have shape \(18,\), but has \(3,\)"):
        quantum_layer(build_circuit("2b-3q"), initial_weights=np.zeros(3))


def _stock(estimator: BaseEstimatorV2 | None = None, **more: Any) -> EstimatorQNN:
    features, ansatz = zz_feature_map(3, reps=1), real_amplitudes(3, reps=1)
    settings: dict[str, Any] = {
        "observables": [SparsePauliOp("ZZZ"), SparsePauliOp(["XII", "IYZ"], [0.5, 2.0])],
        "input_gradients": True,
        "default_precision": 0.0,
        **more,
    }
    return EstimatorQNN(
        circuit=features.compose(ansatz),
        estimator=estimator,
        input_params=list(features.parameters),
        weight_params=list(ansatz.parameters),
        **settings,
    )


@pytest.mark.parametrize("estimator", [None, StatevectorEstimator()], ids=["none", "statevector"])
def test_an_accelerated_network_gives_the_same(
    estimator: BaseEstimatorV2 | None, rng: np.random.Generator
) -> None:
    stock = _stock(estimator)
    quick = accelerate(stock)
    inputs, weights = rng.uniform(-1, 1, (3, 3)), rng.uniform(-1, 1, stock.num_weights)
    np.testing.assert_allclose(quick.forward(inputs, weights), stock.forward(inputs, weights), atol=1e-9)
    for ours, theirs in zip(quick.backward(inputs, weights), stock.backward(inputs, weights), strict=True):
        assert ours is not None
        assert theirs is not None
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_an_accelerated_layer_keeps_its_weights_and_learns_the_same(rng: np.random.Generator) -> None:
    stock = TorchConnector(_stock())
    quick = accelerate(stock)
    assert torch.equal(quick.weight, stock.weight)
    batch = torch.tensor(rng.uniform(-1, 1, (4, 3)), dtype=torch.float32)
    for layer in (stock, quick):
        layer(batch).pow(2).sum().backward()
    assert quick.weight.grad is not None
    assert stock.weight.grad is not None
    np.testing.assert_allclose(quick.weight.grad.numpy(), stock.weight.grad.numpy(), atol=1e-4)
    again = copy.deepcopy(quick)
    stream = io.BytesIO()
    torch.save(quick, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    for twin in (again, loaded):
        assert torch.equal(twin(batch), quick(batch))


def test_what_cannot_be_accelerated_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="must have an exact estimator"):
        accelerate(_stock(BackendEstimatorV2(backend=GenericBackendV2(3))))
    with pytest.raises(UnsupportedError, match="must be an `EstimatorQNN`"):
        accelerate(torch.nn.Linear(2, 2))  # type: ignore[type-var]


def test_precision_noise_is_simulated_where_the_stock_estimator_does() -> None:
    quick = accelerate(
        _stock(StatevectorEstimator(seed=5), observables=SparsePauliOp("ZZZ"), default_precision=0.1)
    )
    stock = _stock(StatevectorEstimator(seed=5), observables=SparsePauliOp("ZZZ"), default_precision=0.1)
    inputs, weights = np.full((2, 3), 0.3), np.full(stock.num_weights, 0.2)
    np.testing.assert_allclose(quick.forward(inputs, weights), stock.forward(inputs, weights), atol=1e-9)


def test_keyword_names_and_defaults_are_the_stock_classes() -> None:
    ours = inspect.signature(BroadcastEstimatorQNN).parameters
    stock = inspect.signature(EstimatorQNN).parameters
    assert list(ours) == list(stock)
    assert all(ours[name].default == stock[name].default for name in stock)


def test_a_network_without_parameters_has_no_gradient() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    network = BroadcastEstimatorQNN(circuit=circuit, observables=SparsePauliOp("X"))
    assert network.forward(None, None).tolist() == [[pytest.approx(1.0)]]
    assert network.backward(None, None) == (None, None)


def test_a_transpiled_network_on_a_device_of_others(rng: np.random.Generator) -> None:
    manager = generate_preset_pass_manager(optimization_level=0, backend=GenericBackendV2(3, seed=1))
    theta = ParameterVector("t", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(theta[0], 0)
    circuit.cp(theta[1], 0, 1)
    circuit.h(1)
    exact = StatevectorEstimator()
    gradient = PackedParameterShift(exact, pass_manager=manager)
    observables = [SparsePauliOp("XZ"), SparsePauliOp("ZI")]
    rows = rng.uniform(-2, 2, (2, 2))
    expected = ExactGradient().jacobian(circuit, observables, rows)
    np.testing.assert_allclose(gradient.jacobian(circuit, observables, rows), expected, atol=1e-9)
    tiled = gradient.plan(circuit, observables).tiled
    assert set(tiled.circuit.count_ops()) <= {"rz", "sx", "x", "cx", "id"}


@pytest.mark.parametrize("name", ["exact", "exact_noisy", "aer", "aer_noisy"])
def test_a_layer_is_copied_and_saved_on_every_simulator(name: str) -> None:
    layer = quantum_layer(build_circuit("2b-3q"), make_backend(name))
    batch = torch.full((2, 9), 0.3)
    before = layer(batch)
    before.sum().backward()  # whatever is cached is there
    stream = io.BytesIO()
    torch.save(layer, stream)
    stream.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(stream, weights_only=False)):
        assert torch.equal(twin(batch), before)
