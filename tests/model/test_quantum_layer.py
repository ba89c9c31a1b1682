from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.exact import ExactGradient
from sqdr_qiskit.model.qnn import BroadcastEstimatorQNN
from sqdr_qiskit.model.quantum_layer import quantum_layer
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
