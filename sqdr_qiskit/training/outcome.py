"""What a training run tells: where it stands, how it ended, and the names of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqdr_qiskit.model.checkpoint import Checkpoint

__all__ = ["BEST", "LAST", "METRICS", "STATE", "Outcome", "TrainingProgress"]

BEST, LAST, METRICS, STATE = "best.safetensors", "last.safetensors", "metrics.json", "state.pt"


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Where a run stands, for whoever watches.

    Attributes:
        epoch: Epoch under way, from 1.
        n_epochs: Epochs in all.
        step: Steps done in all.
        n_steps: Steps in all.
        loss: Mean loss over the epoch so far.
        accuracy: Fraction of the epoch's images so far classified correctly while training on them.
        validation: Validation accuracy after the last finished epoch, None before and without validation
            images.
        samples_per_s: Training images a second in this sitting, validation included.
        seconds_left: Time to go at that rate.
    """

    epoch: int
    n_epochs: int
    step: int
    n_steps: int
    loss: float
    accuracy: float
    validation: float | None
    samples_per_s: float
    seconds_left: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """A finished run.

    Attributes:
        best: The checkpoint to use: the epoch of the best validation accuracy (the first of equals), or the
            last epoch where there are no validation images.
        last: The checkpoint after the last epoch.
        history: One row for each epoch: epoch, loss, accuracy, validation accuracy and loss, learning rate,
            seconds.
        stopped_early: Whether patience ran out.
        seconds: Wall time by stage: encoder, circuit, rest, validation.
        shares: Share of encoder, circuit and rest in a training step.
        samples_per_s: Training images per second of training, validation not counted.
        sittings: How often the run was started.
    """

    best: Checkpoint
    last: Checkpoint
    history: tuple[Mapping[str, Any], ...]
    stopped_early: bool
    seconds: Mapping[str, float]
    shares: Mapping[str, float]
    samples_per_s: float
    sittings: int
