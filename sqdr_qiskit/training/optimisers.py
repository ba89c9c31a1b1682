"""The optimisers of the paper's Table 5, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from sqdr_qiskit.errors import ArgumentError

__all__ = ["OPTIMISERS", "make_optimiser"]

Group = dict[str, list[torch.Tensor]]

# (groups of parameters, learning rate, weight decay) -> optimiser. `sgdr` is SGD; its warm restarts are in
# `schedules`.
OPTIMISERS: Mapping[str, Callable[[list[Group], float, float], Optimizer]] = MappingProxyType(
    {
        "adam": lambda weights, rate, decay: Adam(weights, lr=rate, betas=(0.9, 0.999), weight_decay=decay),
        "adamw": lambda weights, rate, decay: AdamW(weights, lr=rate, betas=(0.9, 0.999), weight_decay=decay),
        "sgd": lambda weights, rate, decay: SGD(weights, lr=rate, weight_decay=decay),
        "sgdr": lambda weights, rate, decay: SGD(weights, lr=rate, weight_decay=decay),
        "adagrad": lambda weights, rate, decay: Adagrad(weights, lr=rate, weight_decay=decay),
    }
)


def make_optimiser(
    name: str,
    groups: Iterable[Sequence[torch.Tensor]],
    *,
    learning_rate: float,
    weight_decay: float,
) -> Optimizer:
    """An optimiser for groups of weights, each of which has a learning rate of its own to set.

    Args:
        name: Name in `OPTIMISERS`.
        groups: Parameters to change, group by group.
        learning_rate: Every group's learning rate to begin with.
        weight_decay: Factor of the weights that is added to their gradient (AdamW: subtracted from the
            weights).

    Raises:
        ArgumentError: If there is no such optimiser.
    """
    if name not in OPTIMISERS:
        raise ArgumentError(f"Argument `optimiser` must be one of {', '.join(OPTIMISERS)}, but is {name!r}.")
    return OPTIMISERS[name]([{"params": list(group)} for group in groups], learning_rate, weight_decay)
