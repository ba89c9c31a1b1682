"""Where a training step's time goes: encoder, circuit, and the rest.

Clock readings at the borders of the three stages, forward by plain calls and backward by hooks on the
tensors that cross the borders; a few microseconds a step.
"""

from __future__ import annotations

from time import perf_counter
from typing import Protocol

import torch

__all__ = ["Staged", "Stopwatch"]


class Staged(Protocol):
    """A network whose forward pass is three calls."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Angles for the circuit."""

    def expectations(self, angles: torch.Tensor) -> torch.Tensor:
        """The circuit's outputs."""

    def read_out(self, expectations: torch.Tensor) -> torch.Tensor:
        """Logits."""


class Stopwatch:
    """Seconds spent in `encoder`, `circuit` and `rest` (head, loss, optimiser, bookkeeping)."""

    def __init__(self) -> None:
        self.reset()
        self._started = perf_counter()
        self._staged = 0.0  # seconds of this step that belong to encoder and circuit
        self._marks: dict[str, float] = {}

    def reset(self) -> None:
        """Begin again from zero seconds."""
        self.seconds = {"encoder": 0.0, "circuit": 0.0, "rest": 0.0}

    def start_step(self) -> None:
        """Begin a step."""
        self._started = perf_counter()
        self._staged = 0.0
        self._marks.clear()

    def forward(self, model: Staged, images: torch.Tensor) -> torch.Tensor:
        """The network's logits, its stages timed."""
        begun = perf_counter()
        angles = model.encode(images)
        encoded = perf_counter()
        outputs = model.expectations(angles)
        evaluated = perf_counter()
        self._add("encoder", encoded - begun)
        self._add("circuit", evaluated - encoded)
        if angles.requires_grad and outputs.requires_grad:
            # A tensor's hook runs when its gradient is ready: there the stage before it begins its backward
            # pass.
            outputs.register_hook(lambda _: self._mark("circuit"))
            angles.register_hook(lambda _: self._mark("encoder"))
        return model.read_out(outputs)

    def backward(self, loss: torch.Tensor) -> None:
        """Back-propagate a loss, the stages timed."""
        loss.backward()
        ended = perf_counter()
        if {"circuit", "encoder"} <= self._marks.keys():
            self._add("circuit", self._marks["encoder"] - self._marks["circuit"])
            self._add("encoder", ended - self._marks["encoder"])

    def end_step(self) -> None:
        """End a step: what was in no stage is the rest."""
        self.seconds["rest"] += perf_counter() - self._started - self._staged

    def _mark(self, stage: str) -> None:
        self._marks[stage] = perf_counter()

    def _add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] += seconds
        self._staged += seconds
