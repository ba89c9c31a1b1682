from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from sqdr_qiskit.training.stopwatch import Stopwatch


class Slow(torch.autograd.Function):
    """The identity, taking some time forward and more time backward."""

    @staticmethod
    def forward(ctx: object, values: torch.Tensor, seconds: float) -> torch.Tensor:
        ctx.seconds = seconds  # type: ignore[attr-defined]
        time.sleep(seconds)
        return values.clone()

    @staticmethod
    def backward(ctx: object, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        time.sleep(2 * ctx.seconds)  # type: ignore[attr-defined]
        return gradients[0], None


class Staged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return Slow.apply(images * self.weight, 0.02)

    def expectations(self, angles: torch.Tensor) -> torch.Tensor:
        return Slow.apply(angles, 0.06)

    def read_out(self, expectations: torch.Tensor) -> torch.Tensor:
        return expectations


def test_forward_and_backward_are_booked_on_their_stages() -> None:
    watch = Stopwatch()
    watch.start_step()
    loss = watch.forward(Staged(), torch.ones(3, 2)).sum()
    watch.backward(loss)
    watch.end_step()
    # Sleeps are never shorter than asked for, so these are lower bounds; the order holds on any machine.
    assert watch.seconds["encoder"] >= 0.06
    assert watch.seconds["circuit"] >= 0.18
    assert watch.seconds["rest"] > 0.0
    watch.reset()
    assert sum(watch.seconds.values()) == pytest.approx(0.0)
