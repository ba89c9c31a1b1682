"""The quantum layer: a circuit inside Qiskit's `TorchConnector`."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import BaseEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from qiskit_machine_learning.primitives import QMLEstimator
from torch import nn

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import CircuitModel
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import GradientOptions, make_gradient
from sqdr_qiskit.model.qnn import BroadcastEstimatorQNN
from sqdr_qiskit.simulators.exact import ExactEstimator

__all__ = ["accelerate", "quantum_layer"]

Network = TypeVar("Network", EstimatorQNN, TorchConnector)


def quantum_layer(
    circuit: CircuitModel,
    backend: Backend | None = None,
    gradient: BaseEstimatorGradient | str | None = None,
    *,
    gradient_options: GradientOptions | None = None,
    initial_weights: ArrayLike | None = None,
    input_gradients: bool = True,
    precision: float = 0.0,
) -> TorchConnector:
    """A torch module (batch, n_features) -> (batch, n_outputs): data angles in, expectation values out.

    Args:
        circuit: The circuit.
        backend: Where expectation values come from; the exact engine if None.
        gradient: A gradient, or its name; the backend's own if None.
        gradient_options: Choices of a gradient that is named.
        initial_weights: Shape (n_weights,), radians; uniform in [-1, 1] (Qiskit's choice) if None.
        input_gradients: Whether to differentiate by the data angles; without them nothing before the layer
            learns, and a backend that is asked for shifts is asked for fewer.
        precision: Target standard error of an expectation value, 0 for exact ones.

    Returns:
        The connector; its one parameter `weight` holds the circuit's weights, in the order of `circuit.w`.

    Raises:
        ArgumentError: No gradient of that name, or weights of another number.
    """
    source = make_backend() if backend is None else backend
    if gradient is None or isinstance(gradient, str):
        chosen: BaseEstimatorGradient = make_gradient(gradient, source, gradient_options)
    else:
        chosen = gradient
    network = BroadcastEstimatorQNN(
        circuit=circuit.circuit,
        estimator=source.estimator,
        gradient=chosen,
        observables=circuit.observables,
        input_params=list(circuit.x),
        weight_params=list(circuit.w),
        input_gradients=input_gradients,
        default_precision=precision,
    )
    if initial_weights is not None:
        initial_weights = np.asarray(initial_weights, dtype=np.float64)
        if initial_weights.shape != (circuit.n_weights,):
            raise ArgumentError(
                f"Argument `initial_weights` must have shape ({circuit.n_weights},), but has "
                f"{initial_weights.shape}."
            )
    layer = TorchConnector(network, initial_weights)
    layer.register_forward_pre_hook(_announce)
    return layer


def accelerate(network: Network) -> Network:
    """A stock `EstimatorQNN`, or a `TorchConnector` of one, on our exact engine: the same results, sooner.

        layer = accelerate(layer)

    Args:
        network: A QNN whose estimator computes exactly (Qiskit's `StatevectorEstimator`, Qiskit Machine
            Learning's `QMLEstimator`, or none given), or the layer of one. It is left as it is.

    Returns:
        A new one of the same kind: same circuit, observables, parameters, options and, of a layer, a copy of
        its weights. Where the estimator adds noise of a precision, so does ours, with its seed.

    Raises:
        UnsupportedError: An estimator that is not exact, whose results ours could not be; a circuit that the
            engine does not take.
    """
    if isinstance(network, TorchConnector):
        inner = network.neural_network
        if not isinstance(inner, EstimatorQNN):
            raise UnsupportedError(
                f"Argument `network` must hold an `EstimatorQNN`, but holds a `{type(inner).__name__}`."
            )
        layer = TorchConnector(accelerate(inner), network.weight.detach().cpu().numpy())
        layer.weight.data = network.weight.detach().clone()
        layer.weight.requires_grad_(network.weight.requires_grad)
        layer.register_forward_pre_hook(_announce)
        layer.train(network.training)
        return layer
    if not isinstance(network, EstimatorQNN):
        raise UnsupportedError(
            f"Argument `network` must be an `EstimatorQNN` or a `TorchConnector`, but is a "
            f"`{type(network).__name__}`."
        )
    estimator = network.estimator
    if isinstance(estimator, ExactEstimator):
        exact = estimator
    elif isinstance(estimator, QMLEstimator) and not estimator.default_precision:
        exact = ExactEstimator()
    elif isinstance(estimator, StatevectorEstimator):
        exact = ExactEstimator(default_precision=network.default_precision, seed=estimator.seed)
    else:
        raise UnsupportedError(
            f"Argument `network` must have an exact estimator (StatevectorEstimator, QMLEstimator), but has "
            f"`{type(estimator).__name__}`; build a `BroadcastEstimatorQNN` with the estimator of a backend "
            f"(`make_backend`) that stands for it."
        )
    quick = BroadcastEstimatorQNN(
        circuit=network.circuit,
        estimator=exact,
        observables=network.observables,
        input_params=network.input_params,
        weight_params=network.weight_params,
        input_gradients=network.input_gradients,
        default_precision=network.default_precision,
    )
    exact.engine(quick.engine_circuit, quick.operators, same=True)  # refuses now what it cannot take
    return quick


def _announce(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Tell the network before a forward pass whether a backward pass will follow: in a training step."""
    assert isinstance(layer, TorchConnector)
    network = layer.neural_network
    assert isinstance(network, BroadcastEstimatorQNN)
    network.backward_follows = (
        layer.training
        and torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in (*inputs, *layer.parameters()))
    )
