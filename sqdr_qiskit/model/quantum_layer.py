"""The quantum layer: a circuit inside Qiskit's `TorchConnector`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import BaseEstimatorGradient
from torch import nn

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import CircuitModel
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import GradientOptions, make_gradient
from sqdr_qiskit.model.qnn import BroadcastEstimatorQNN

__all__ = ["quantum_layer"]


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
        precision=precision,
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
