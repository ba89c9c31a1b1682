"""Qiskit's `EstimatorQNN` with one broadcast PUB forward and one whole Jacobian backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.passmanager import BasePassManager
from qiskit.primitives import BaseEstimatorV2
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.gradients import BaseEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest, as_operator
from sqdr_qiskit.simulators.exact import ExactEstimator

__all__ = ["BroadcastEstimatorQNN"]


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
