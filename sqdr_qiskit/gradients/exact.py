"""The exact gradient: one reverse sweep of the exact engine gives the whole Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest
from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless
from sqdr_qiskit.simulators.exact import EngineMaker, ExactEstimator

__all__ = ["ExactGradient"]


class ExactGradient(BatchedEstimatorGradient):
    """Derivatives to rounding, through the same noise as the expectation values.

    Args:
        channels: The noise that follows the gates.
        maker: Makes the engines; in place of `channels`, where noise means more than channels.
        estimator: The exact estimator whose values these are the derivatives of: its engines and its noise
            are used in place of the two above.
    """

    def __init__(
        self,
        channels: ChannelModel = noiseless,
        *,
        maker: EngineMaker | None = None,
        estimator: ExactEstimator | None = None,
    ) -> None:
        own = ExactEstimator(channels, maker=maker) if estimator is None else estimator
        super().__init__(own)
        self._engines = own.engines

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of the exact estimator that it was made for."""
        return estimator is self._estimator

    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`; any precision is met.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        engine = self._engines.get(request.circuit, request.observables, same=request.same)
        values, jacobian = engine.jacobian(request.values, dtype=request.dtype)
        if request.parameters is None:
            return values, jacobian
        return values, jacobian[:, :, request.columns]
