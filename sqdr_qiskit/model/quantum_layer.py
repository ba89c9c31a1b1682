"""The quantum layer: a circuit in a `TorchConnector`, with one PUB forward and one Jacobian backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.passmanager import BasePassManager
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import BaseEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from qiskit_machine_learning.primitives import QMLEstimator
from torch import nn

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.circuits import CircuitModel
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import ExactGradient, GradientOptions, PackedParameterShift, make_gradient
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest, as_operator
from sqdr_qiskit.simulators.exact import ExactEstimator

__all__ = ["accelerate", "BroadcastEstimatorQNN", "quantum_layer"]


class BroadcastEstimatorQNN(EstimatorQNN):
    """An `EstimatorQNN` that asks for a whole batch at once, and differentiates by its inputs.

    The stock class sends one PUB per observable forward, and backward one circuit per sample, observable and
    shift. This one sends one PUB of all observables and samples, and takes the Jacobian of the batch from a
    `BatchedEstimatorGradient`; any other gradient is asked through Qiskit's own interface.

    Where a backward pass is announced (`backward_follows`) and the gradient learns the expectation values on
    its way, forward asks for both at once and backward has nothing left to ask for: one request a training
    step in place of two.

    Args:
        circuit: The circuit.
        estimator: Any `BaseEstimatorV2`; the exact engine if None.
        observables: The outputs; Z on every qubit together if None.
        input_params: Parameters that carry data.
        weight_params: Parameters that are trained.
        gradient: Any `BaseEstimatorGradient`; if None the exact one for an exact estimator, else packed
            parameter shifts.
        input_gradients: Whether to differentiate by the data, without which an encoder before it never
            learns.
        default_precision: Target standard error of an expectation value where the estimator samples, 0 for
            its own choice; reaches the gradient too.
        pass_manager: Transpiles the circuit, whose observables then stand on the device's qubits.
    """

    def __init__(
        self,
        *,
        circuit: QuantumCircuit,
        estimator: BaseEstimatorV2 | None = None,
        observables: Sequence[BaseOperator] | BaseOperator | None = None,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
        gradient: BaseEstimatorGradient | None = None,
        input_gradients: bool = False,
        default_precision: float = 0.015625,
        pass_manager: BasePassManager | None = None,
    ) -> None:
        source = ExactEstimator() if estimator is None else estimator
        if gradient is None:
            if isinstance(source, ExactEstimator):
                gradient = ExactGradient(source)
            else:
                gradient = PackedParameterShift(source, pass_manager=pass_manager)
        super().__init__(
            circuit=circuit,
            estimator=source,
            observables=observables,
            input_params=input_params,
            weight_params=weight_params,
            gradient=gradient,
            input_gradients=input_gradients,
            default_precision=default_precision,
            pass_manager=pass_manager,
        )
        self._operators = tuple(as_operator(observable) for observable in self._observables)
        self._column = ObservablesArray.coerce([[operator] for operator in self._operators])
        self.backward_follows = False
        self._ahead: tuple[NDArray[np.float64], NDArray[Any]] | None = None  # parameters, Jacobian

    @property
    def operators(self) -> tuple[SparsePauliOp, ...]:
        """The outputs' observables."""
        return self._operators

    @property
    def engine_circuit(self) -> QuantumCircuit:
        """The circuit that is run: `inputs` and `weights` in the place of its parameters."""
        return self._circuit

    def _forward(
        self, input_data: NDArray[np.float64] | None, weights: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        values = np.asarray(self._preprocess_forward(input_data, weights)[0])
        self._ahead = None
        gradient = self.gradient
        if (
            self.backward_follows
            and isinstance(gradient, BatchedEstimatorGradient)
            and gradient.gives_values_of(self.estimator)
        ):
            # The layer's tensors are single precision.
            request = replace(self._request(values), with_values=True, dtype=np.float32)
            expectations, jacobian = gradient.evaluate(request)
            assert expectations is not None
            self._ahead = values, jacobian
            return expectations
        job = self.estimator.run([(self._circuit, self._column, values)], precision=self._default_precision)
        evs: NDArray[np.float64] = np.asarray(job.result()[0].data.evs)
        return evs.T  # (n_observables, batch) -> (batch, n_observables)

    def _backward(  # type: ignore[override]  # None for no parameters, as the stock class returns it
        self, input_data: NDArray[np.float64] | None, weights: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        if not (self._num_weights or (self._num_inputs and self._input_gradients)):
            return None, None  # nothing to differentiate by
        if not isinstance(self.gradient, BatchedEstimatorGradient):
            inputs, trained = super()._backward(input_data, weights)
            return inputs, trained
        values = np.asarray(self._preprocess_forward(input_data, weights)[0])
        ahead, self._ahead = self._ahead, None
        if ahead is not None and np.array_equal(ahead[0], values):
            jacobian = ahead[1]
        else:
            _, jacobian = self.gradient.evaluate(self._request(values))
        if not self._input_gradients:
            return None, jacobian
        return jacobian[:, :, : self._num_inputs], jacobian[:, :, self._num_inputs :]

    def _request(self, values: NDArray[np.float64]) -> GradientRequest:
        return GradientRequest(
            circuit=self._circuit,
            observables=self._operators,
            values=values,
            parameters=None if self._input_gradients else self._circuit.parameters[self._num_inputs :],
            precision=self._default_precision or None,
            same=True,
        )


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
