"""Physics-aware gradients: values from the device, derivatives from a model of its noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest

__all__ = ["PhysicsAwareGradient"]


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
