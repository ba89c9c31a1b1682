"""The optimisers of the paper's Table 5, the learning rate over a run, and the moving average of its weights.

A schedule is a factor of the largest rate and a pure function of the place in the run, so that resuming needs
no scheduler's state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.checkpoint import named_weights

__all__ = [
    "constant",
    "cosine",
    "estimate_norms",
    "make_optimiser",
    "MovingAverage",
    "one_cycle",
    "OPTIMISERS",
    "Schedule",
    "SCHEDULES",
    "warm_restarts",
    "with_weights",
]


_FIRST_STEPS = 10  # the average forgets its start: decay after k steps is at most (1 + k) / (10 + k)


class MovingAverage:
    """Weights averaged over the steps of training: a_k = d_k a_(k-1) + (1 - d_k) w_k.

    The decay d_k = min(d, (1 + k) / (10 + k)) lets the average forget its start.

    Integer buffers (batch counters) are copied. With decay 0 the average is the latest weights.

    Args:
        model: The network whose weights are averaged.
        decay: d, 0 to below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: tensor.clone() for name, tensor in named_weights(model).items()}
        current = named_weights(model)
        self._smooth = [name for name, tensor in current.items() if tensor.is_floating_point()]

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step.

        Args:
            model: The network.
            step: Number of steps done before this one, over all epochs.
        """
        current = named_weights(model)
        decay = min(self.decay, (1 + step) / (_FIRST_STEPS + step))
        with torch.no_grad():
            torch._foreach_lerp_(
                [self.values[name] for name in self._smooth],
                [current[name] for name in self._smooth],
                1.0 - decay,
            )
            for name, tensor in current.items():
                if not tensor.is_floating_point():
                    self.values[name].copy_(tensor)

    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Go on from an average that was saved."""
        _copy(self.values, values)


def estimate_norms(encoder: nn.Module, images: torch.Tensor) -> None:
    """Give an encoder's batch norms the statistics of some images, layer by layer, in place of running ones.

    The images go through as ONE batch, so each layer's statistics are those of what the layers before it give
    with the statistics that they keep. Averages over small batches are not: where a neuron stays just below
    its threshold on a blank background, the statistics of one batch let it fire everywhere and those of
    another nowhere; the next layer's mean jumps between two values, and a running mean settles on one in
    between, which no network has. Accuracy falls by ten points while training, which sees batches, goes on.

    Args:
        encoder: The encoder; its mode and its batch norms' momentum are restored afterwards.
        images: uint8 tensor of shape (N, C, H, W); a few thousand.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta, was_training = [norm.momentum for norm in norms], encoder.training
    try:
        for norm in norms:
            norm.momentum = 1.0  # the batch's statistics, whole
        with torch.no_grad():
            encoder.train()(images)
    finally:
        encoder.train(was_training)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def with_weights(model: nn.Module, values: Mapping[str, torch.Tensor]) -> Iterator[nn.Module]:
    """Let a network compute with other weights for a while; its own come back, whatever happens."""
    own = named_weights(model)
    saved = {name: tensor.clone() for name, tensor in own.items()}
    _copy(own, values)
    try:
        yield model
    finally:
        _copy(own, saved)


def _copy(into: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(values[name])


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
