"""Exponential moving average of a network's weights, and batch-norm statistics that belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from sqdr_qiskit.model.checkpoint import named_weights

__all__ = ["MovingAverage", "estimate_norms", "with_weights"]

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
