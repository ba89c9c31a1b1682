"""What an epoch's row says of the gradient: how sure it was, what it took, how much it varies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sqdr_qiskit.data import ImageSet
from sqdr_qiskit.gradients import PackedParameterShift, PhysicsAwareGradient
from sqdr_qiskit.model.checkpoint import load_weights
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.training.gradient_variance import training_variance
from sqdr_qiskit.training.initialisation import initialise
from sqdr_qiskit.training.recipes import Recipe

__all__ = ["EpochFacts"]

_SAMPLES = 64


class EpochFacts:
    """Looks at a network after each epoch.

    Args:
        images: The first 64 of them serve to measure the gradient's variance; None leaves it out.
    """

    def __init__(self, images: ImageSet | None) -> None:
        self._images = images
        self._seen = 0

    def __call__(self, model: SQDRCNN) -> Mapping[str, Any]:
        """Facts by name: `gradient` of the last step, where it was measured; `cosines` of the controls since
        the last look; `gradient_variance`.
        """
        network: Any = getattr(model.quantum, "neural_network", None)  # a control may have no circuit
        gradient = getattr(network, "gradient", None)
        facts: dict[str, Any] = {}
        if isinstance(gradient, PackedParameterShift) and gradient.last_report is not None:
            report = gradient.last_report
            facts["gradient"] = {
                "executions": report.executions,
                "shots": report.shots,
                "norm": report.norm,
                "norm_standard_error": report.norm_standard_error,
            }
        if isinstance(gradient, PhysicsAwareGradient) and gradient.cosines:
            facts["cosines"] = [cosine for _, cosine in gradient.cosines[self._seen :]]
            self._seen = len(gradient.cosines)
        return {**facts, **self.variance(model)}

    def before(
        self, model: SQDRCNN, recipe: Recipe, *, seed: int, initial: Mapping[str, torch.Tensor] | None
    ) -> Mapping[str, Any]:
        """`gradient_variance` of a network as its training starts, where it is asked for.

        Args:
            model: The network; it gets the weights that `training.loop.train` gives it too.
            recipe: How it is trained.
            seed: The run's seed.
            initial: Weights to start from, None for `seed`'s.
        """
        if self._images is None:
            return {}
        initialise(model, circuit=recipe.initialisation, seed=seed, positive=recipe.positive)
        if initial is not None:
            load_weights(model, initial, where="checkpoint to start from")
        return self.variance(model)

    def variance(self, model: SQDRCNN) -> Mapping[str, Any]:
        """`gradient_variance` of a network as it is (`training_variance`), where it is asked for."""
        if self._images is None:
            return {}
        some = self._images.images[:_SAMPLES], self._images.labels[:_SAMPLES]
        device = next(model.parameters()).device
        images, labels = (torch.from_numpy(array).to(device) for array in some)
        return {"gradient_variance": training_variance(model, images, labels)}
