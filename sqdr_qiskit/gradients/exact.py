"""The exact gradient: one reverse sweep of the exact engine gives the whole Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.devices.sender import shots_of
from sqdr_qiskit.devices.twin import Twin
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest
from sqdr_qiskit.simulators.exact import ExactEstimator

__all__ = ["ExactGradient", "TwinGradient"]


class ExactGradient(BatchedEstimatorGradient):
    """Derivatives to rounding, through the same noise as the expectation values.

    Args:
        estimator: The exact estimator whose values these are the derivatives of, with its noise; a noiseless
            one if None.
    """

    def __init__(self, estimator: ExactEstimator | None = None) -> None:
        self._exact = ExactEstimator() if estimator is None else estimator
        super().__init__(self._exact)

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of the exact estimator that it was made for."""
        return estimator is self._estimator

    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`; any precision is met.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        engine = self._exact.engine(request.circuit, request.observables, same=request.same)
        values, jacobian = engine.jacobian(request.values, dtype=request.dtype)
        if request.parameters is None:
            return values, jacobian
        return values, jacobian[:, :, request.columns]


class TwinGradient(BatchedEstimatorGradient):
    """Derivatives to rounding through the noise of a rehearsed device, where the circuit stands on it.

    Its values are read in shots, as the estimator's are; the derivatives are those of the expectations.

    Args:
        twin: Of the device.
    """

    def __init__(self, twin: Twin) -> None:
        super().__init__(twin.estimator)
        self._twin = twin

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of the twin's, unless its requests are counted."""
        return estimator is self._twin.estimator and self._twin.stands_alone

    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64] | None, NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`.

        Raises:
            UnsupportedError: The device cannot take the circuit.
        """
        engine = self._twin.engine(request.circuit, request.observables, same=request.same)
        terms, jacobian = engine.terms(request.values, request.dtype)
        values = None
        if request.with_values:
            shots = shots_of(request.precision) if request.precision else None
            values = self._twin.sampled(terms, engine, request.values, shots=shots)
        return values, jacobian if request.parameters is None else jacobian[:, :, request.columns]
