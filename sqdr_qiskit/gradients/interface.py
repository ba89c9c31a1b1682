"""Gradients that know whole batches: one call for all samples and all observables of a circuit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.gradients import BaseEstimatorGradient, EstimatorGradientResult

__all__ = ["BatchedEstimatorGradient", "ValuesAndJacobian"]


class ValuesAndJacobian(Protocol):
    """`BatchedEstimatorGradient.values_and_jacobian` of one circuit."""

    def __call__(
        self,
        values: NDArray[np.float64],
        *,
        precision: float | None = None,
        dtype: type[np.floating[Any]] = np.float64,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Expectation values and Jacobian at parameters `values`, shape (batch, n_params)."""


class BatchedEstimatorGradient(BaseEstimatorGradient):
    """A `BaseEstimatorGradient` whose unit of work is a batch.

    Members implement `jacobian`; `run`, the standard interface, sorts its (circuit, observable, values)
    triples into batches and calls it, so that every member also works in a stock `EstimatorQNN`. A member
    that learns the expectation values on the way says so by `gives_values_of`, and a training step then asks
    once for both.
    """

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """Whether `values_and_jacobian` gives the values that `estimator` would give, at less cost."""
        return False

    def values_and_jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        values: NDArray[np.float64],
        *,
        parameters: Sequence[Parameter] | None = None,
        precision: float | None = None,
        dtype: type[np.floating[Any]] = np.float64,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Expectation values and Jacobian from one request; arguments as of `jacobian`.

        A Jacobian of `dtype` numpy.float32 spares whoever would round it anyway a copy.

        Returns:
            Values, shape (batch, n_observables), and the Jacobian as `jacobian` gives it.

        Raises:
            NotImplementedError: The gradient gives no values (`gives_values_of`).
        """
        raise NotImplementedError(f"{type(self).__name__} gives no expectation values.")

    def prepared(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        parameters: Sequence[Parameter] | None = None,
    ) -> ValuesAndJacobian:
        """`values_and_jacobian` of a circuit that nobody changes any more: found once, not at every call."""
        return partial(self.values_and_jacobian, circuit, observables, parameters=parameters)

    @abstractmethod
    def jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        values: NDArray[np.float64],
        *,
        parameters: Sequence[Parameter] | None = None,
        precision: float | None = None,
    ) -> NDArray[np.float64]:
        """d<O>/d(parameter) for every sample, observable and parameter.

        Args:
            circuit: The circuit.
            observables: The observables, on the circuit's qubits.
            values: Shape (batch, n_params), radians, in the order of `circuit.parameters`.
            parameters: Those to differentiate by; all, in the circuit's order, if None.
            precision: Target standard error of an expectation value, where the backend samples.

        Returns:
            Shape (batch, n_observables, n_parameters), per radian.
        """

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | NDArray[np.float64],
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        values = np.asarray(parameter_values, dtype=np.float64)
        gradients: list[NDArray[np.float64]] = [np.zeros(0)] * len(circuits)
        batches: dict[tuple[int, tuple[Parameter, ...]], list[int]] = {}
        for place, circuit in enumerate(circuits):
            batches.setdefault((id(circuit), tuple(parameters[place])), []).append(place)
        for (_, wanted), places in batches.items():
            distinct = list({id(observables[place]): observables[place] for place in places}.values())
            column = {id(observable): number for number, observable in enumerate(distinct)}
            rows, row = np.unique(values[places], axis=0, return_inverse=True)
            jacobian = self.jacobian(
                circuits[places[0]], distinct, rows, parameters=wanted, precision=options.get("precision")
            )
            for place, number in zip(places, row.reshape(-1), strict=True):
                gradients[place] = jacobian[number, column[id(observables[place])]]
        metadata = [{"parameters": list(wanted)} for wanted in parameters]
        return EstimatorGradientResult(gradients=gradients, metadata=metadata, options=self._default_options)
