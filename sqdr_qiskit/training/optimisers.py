"""The optimisers of the paper's Table 5, and the learning rate over a run, by name.

A schedule is a factor of the largest rate and a pure function of the place in the run, so that resuming needs
no scheduler's state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from sqdr_qiskit.errors import ArgumentError

__all__ = [
    "constant",
    "cosine",
    "make_optimiser",
    "one_cycle",
    "OPTIMISERS",
    "Schedule",
    "SCHEDULES",
    "warm_restarts",
]


# (fraction of the run done, 0 to below 1; warm_up; final) -> factor
Schedule = Callable[[float, float, float], float]

ONE_CYCLE_START = 0.1  # one-cycle begins at a tenth of the largest rate
RESTART_EPOCHS = 10  # length of sgdr's first cycle; each next one is as long


def constant(done: float, warm_up: float, final: float) -> float:
    """1 all the way."""
    del done, warm_up, final
    return 1.0


def cosine(done: float, warm_up: float, final: float) -> float:
    """From 1 down to `final` along half a cosine."""
    del warm_up
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def one_cycle(done: float, warm_up: float, final: float) -> float:
    """From 0.1 up to 1 along half a cosine during `warm_up`, then down to `final` along another.

    Source: Smith and Topin, arXiv 1708.07120; the shape of `torch.optim.lr_scheduler.OneCycleLR`.
    """
    if done < warm_up:
        rise = done / warm_up
        return ONE_CYCLE_START + (1.0 - ONE_CYCLE_START) * 0.5 * (1.0 - math.cos(math.pi * rise))
    return cosine((done - warm_up) / (1.0 - warm_up), 0.0, final)


def warm_restarts(epochs_done: float) -> float:
    """SGDR: from 1 to 0 along half a cosine every `RESTART_EPOCHS` epochs.

    Equal to `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=RESTART_EPOCHS)` stepped with
    fractions of epochs.

    Args:
        epochs_done: Epochs since the start of the run, with fraction.

    Source: Loshchilov and Hutter, arXiv 1608.03983, equation 5.
    """
    return 0.5 * (1.0 + math.cos(math.pi * (epochs_done % RESTART_EPOCHS) / RESTART_EPOCHS))


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {"constant": constant, "cosine": cosine, "one-cycle": one_cycle}
)


Group = dict[str, list[torch.Tensor]]

# (groups of parameters, learning rate, weight decay) -> optimiser. `sgdr` is SGD; its warm restarts are in
# `warm_restarts`.
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
