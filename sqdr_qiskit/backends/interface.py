"""What a backend is: a source of expectation values, with all that a gradient needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.lightcone.channels import ChannelModel, noiseless

__all__ = ["Backend"]


@dataclass(frozen=True)
class Backend:
    """Where expectation values come from.

    Attributes:
        name: As given to `--backend`.
        estimator: A standard estimator; one broadcast PUB holds a whole batch.
        default_gradient: Key of `gradients.GRADIENTS` used unless another one is asked for.
        channels: The noise that the expectation values follow, for gradients that compute with it.
        shots: Samples per expectation value, None if exact.
    """

    name: str
    estimator: BaseEstimatorV2
    default_gradient: str
    channels: ChannelModel = noiseless
    shots: int | None = None
