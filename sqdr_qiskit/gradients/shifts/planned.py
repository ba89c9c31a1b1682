"""What gradients have in common that measure a plan's rotated circuits, values and derivatives together."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest
from sqdr_qiskit.gradients.shifts.packing import ShiftPlan
from sqdr_qiskit.gradients.shifts.plans import PlanBook

__all__ = ["PlannedGradient"]


class PlannedGradient(BatchedEstimatorGradient):
    """A gradient from the estimator that gives the values, by a plan for each circuit.

    Args:
        estimator: Any `BaseEstimatorV2`.
        book: Makes the plans.
    """

    def __init__(self, estimator: BaseEstimatorV2, book: PlanBook) -> None:
        super().__init__(estimator)
        self._book = book

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of its own estimator, from the same PUB."""
        return estimator is self._estimator

    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64] | None, NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`; one PUB, and one execution a sample more with values.

        Raises:
            UnsupportedError: A gate, an angle or observables that cannot be taken, by name.
        """
        plan = self._book.get(request.circuit, request.observables, request.columns)
        values, jacobian = self._measure(
            plan, request.values, request.precision, with_values=request.with_values
        )
        return values if request.with_values else None, jacobian.astype(request.dtype, copy=False)

    @abstractmethod
    def _measure(
        self, plan: ShiftPlan, parameters: NDArray[np.float64], precision: float | None, *, with_values: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values, shape (batch, n_observables), right only `with_values`; and the Jacobian."""
