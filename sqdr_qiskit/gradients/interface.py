"""Gradients that know whole batches: one call for all samples and all observables of a circuit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.gradients import BaseEstimatorGradient, EstimatorGradientResult

__all__ = ["as_operator", "BatchedEstimatorGradient", "columns_of", "GradientRequest"]


def as_operator(observable: BaseOperator | SparseObservable | str) -> SparsePauliOp:
    """Any observable of Qiskit's as a sum of Pauli strings: `Pauli`, `SparseObservable`, a dense operator."""
    if isinstance(observable, SparsePauliOp):
        return observable
    if isinstance(observable, SparseObservable):
        return SparsePauliOp.from_sparse_observable(observable)
    if isinstance(observable, Pauli | str):
        return SparsePauliOp(observable)
    return SparsePauliOp.from_operator(observable)


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientRequest:
    """What is asked of a gradient at once.

    Attributes:
        circuit: The circuit.
        observables: The observables, on the circuit's qubits.
        values: Shape (batch, n_params), radians, in the order of `circuit.parameters`.
        parameters: Those to differentiate by; all, in the circuit's order, if None.
        precision: Target standard error of an expectation value, where the backend samples.
        with_values: Whether the expectation values are wanted too, where the gradient can give them.
        dtype: Of the Jacobian; `numpy.float32` spares whoever would round it anyway a copy.
        same: Whether `circuit` is an object that nobody changes: then it is looked up by what it is, not by
            comparing gates.
    """

    circuit: QuantumCircuit
    observables: Sequence[SparsePauliOp]
    values: NDArray[np.float64]
    parameters: Sequence[Parameter] | None = None
    precision: float | None = None
    with_values: bool = False
    dtype: type[np.floating[Any]] = np.float64
    same: bool = False

    @property
    def columns(self) -> list[int]:
        """Where `parameters` stand among the circuit's."""
        return columns_of(self.circuit, self.parameters)


def columns_of(circuit: QuantumCircuit, parameters: Sequence[Parameter] | None) -> list[int]:
    """Where parameters stand among a circuit's; None means all of them."""
    if parameters is None:
        return list(range(circuit.num_parameters))
    column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    return [column[parameter] for parameter in parameters]


class BatchedEstimatorGradient(BaseEstimatorGradient):
    """A `BaseEstimatorGradient` whose unit of work is a batch.

    Members implement `evaluate`; `run`, the standard interface, sorts its (circuit, observable, values)
    triples into batches and calls it, so that every member also works in a stock `EstimatorQNN`. A member
    that learns the expectation values on the way says so by `gives_values_of`, and a training step then asks
    once for both.
    """

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """Whether `evaluate` can give the values that `estimator` would give, at less cost."""
        return False

    @abstractmethod
    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64] | None, NDArray[Any]]:
        """d<O>/d(parameter) for every sample, observable and parameter.

        Returns:
            Expectation values, shape (batch, n_observables), or None if they are not wanted or the gradient
            has none; and the Jacobian, shape (batch, n_observables, n_parameters), per radian.
        """

    def jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        values: NDArray[np.float64],
        *,
        parameters: Sequence[Parameter] | None = None,
        precision: float | None = None,
    ) -> NDArray[np.float64]:
        """The Jacobian alone; see `GradientRequest` for the arguments.

        Returns:
            Shape (batch, n_observables, n_parameters), per radian.

        Raises:
            UnsupportedError: The gradient cannot take the circuit or the observables, by name.
        """
        _, jacobian = self.evaluate(
            GradientRequest(
                circuit=circuit,
                observables=[as_operator(observable) for observable in observables],
                values=np.asarray(values, dtype=np.float64),
                parameters=parameters,
                precision=precision,
            )
        )
        return jacobian

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | NDArray[np.float64],
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        values = [np.asarray(row, dtype=np.float64) for row in parameter_values]
        gradients: list[NDArray[np.float64]] = [np.zeros(0)] * len(circuits)
        batches: dict[tuple[int, tuple[Parameter, ...]], list[int]] = {}
        # What is asked of one circuit by the same parameters is one batch, in whatever order it comes.
        for place, circuit in enumerate(circuits):
            batches.setdefault((id(circuit), tuple(parameters[place])), []).append(place)
        for (_, wanted), places in batches.items():
            asked = {id(observables[place]): observables[place] for place in places}
            column = {identity: number for number, identity in enumerate(asked)}
            distinct = [as_operator(observable) for observable in asked.values()]
            # The standard interface repeats every sample for every observable; each is computed once.
            rows, row = np.unique([values[place] for place in places], axis=0, return_inverse=True)
            jacobian = self.jacobian(
                circuits[places[0]], distinct, rows, parameters=wanted, precision=options.get("precision")
            )
            for place, number in zip(places, row.reshape(-1), strict=True):
                gradients[place] = jacobian[number, column[id(observables[place])]]
        metadata = [{"parameters": list(wanted)} for wanted in parameters]
        return EstimatorGradientResult(gradients=gradients, metadata=metadata, options=self._default_options)
