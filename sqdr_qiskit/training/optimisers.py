"""The optimisers of the paper's Table 5, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from sqdr_qiskit.errors import ArgumentError

__all__ = ["OPTIMISERS", "make_optimiser"]

# (parameters, learning rate, weight decay) -> optimiser. `sgdr` is SGD; its warm restarts are in `schedules`.
OPTIMISERS: Mapping[str, Callable[[list[torch.Tensor], float, float], Optimizer]] = MappingProxyType(
    {
        "adam": lambda weights, rate, decay: Adam(weights, lr=rate, betas=(0.9, 0.999), weight_decay=decay),
        "adamw": lambda weights, rate, decay: AdamW(weights, lr=rate, betas=(0.9, 0.999), weight_decay=decay),
        "sgd": lambda weights, rate, decay: SGD(weights, lr=rate, weight_decay=decay),
        "sgdr": lambda weights, rate, decay: SGD(weights, lr=rate, weight_decay=decay),
        "adagrad": lambda weights, rate, decay: Adagrad(weights, lr=rate, weight_decay=decay),
    }
)


def make_optimiser(
    name: str, weights: Iterable[torch.Tensor], *, learning_rate: float, weight_decay: float
) -> Optimizer:
    """An optimiser for some weights.

    Args:
        name: Name in `OPTIMISERS`.
        weights: Parameters to change.
        learning_rate: Its largest learning rate.
        weight_decay: Factor of the weights that is added to their gradient (AdamW: subtracted from the
            weights).

    Raises:
        ArgumentError: If there is no such optimiser.
    """
    if name not in OPTIMISERS:
        raise ArgumentError(f"Argument `optimiser` must be one of {', '.join(OPTIMISERS)}, but is {name!r}.")
    return OPTIMISERS[name](list(weights), learning_rate, weight_decay)
