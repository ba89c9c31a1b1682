"""Derivatives that are computed, not measured: one reverse sweep of the exact engine gives the Jacobian.

Exact, of a simulator or of a device's twin; physics-aware, of a model beside a device that gives the values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest
from sqdr_qiskit.simulators import shots_of
from sqdr_qiskit.simulators.exact import ExactEstimator

if TYPE_CHECKING:
    from sqdr_qiskit.devices.twin import Twin

__all__ = ["ExactGradient", "PhysicsAwareGradient", "TwinGradient"]


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


class PhysicsAwareGradient(BatchedEstimatorGradient):
    """The Jacobian of a model of the device, at the angles at which the device gave the values.

    No execution for the gradient at all: a training step costs the one execution a sample of its values. The
    derivatives are as good as the model; not unbiased. The control says how good.

    Args:
        estimator: The device's, which gives the values.
        model: Gives the derivatives: an `ExactGradient` under the device's noise, say.
        control: Measures them on the device, a `PackedParameterShift`; None for no control.
        control_every: Compare at every so many calls, the first included; 0 is never.
        control_samples: How many samples of the batch to compare on.

    Raises:
        ArgumentError: A value out of range, or a period without a control.

    Source: Wright et al., Nature 601, 549 (2022).
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2,
        model: BatchedEstimatorGradient,
        *,
        control: BatchedEstimatorGradient | None = None,
        control_every: int = 0,
        control_samples: int = 1,
    ) -> None:
        super().__init__(estimator)
        for name, given, least in (
            ("control_every", control_every, 0),
            ("control_samples", control_samples, 1),
        ):
            if given < least:
                raise ArgumentError(f"Argument `{name}` must be at least {least}, but is {given}.")
        if control_every and control is None:
            raise ArgumentError(
                f"Argument `control_every` must be 0 without a control, but is {control_every}."
            )
        self._model, self._control = model, control
        self._every, self._samples = control_every, control_samples
        self._calls = 0
        self.cosines: list[tuple[int, float]] = []
        """(call's number from 1, cosine between the model's and the measured Jacobian)."""

    def evaluate(self, request: GradientRequest) -> tuple[None, NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`; the model's Jacobian, and no values of its own."""
        # Values come from the device, by the caller's own request: the model's would be of no use.
        _, jacobian = self._model.evaluate(replace(request, precision=None, with_values=False))
        if self._every and self._calls % self._every == 0 and len(request.values):
            assert self._control is not None
            few = replace(request, values=request.values[: self._samples], with_values=False)
            _, measured = self._control.evaluate(few)
            own = jacobian[: len(few.values)]
            norm = float(np.linalg.norm(own) * np.linalg.norm(measured))
            self.cosines.append((self._calls + 1, float((own * measured).sum() / norm) if norm else 1.0))
        self._calls += 1
        return None, jacobian
