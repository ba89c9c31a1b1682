"""What a network gets right, and where a training's time goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from sqdr_qiskit.errors import ArgumentError

__all__ = [
    "BATCH_SIZE",
    "Metrics",
    "Staged",
    "Stopwatch",
    "class_probabilities",
    "confusion_matrix",
    "evaluate",
]

BATCH_SIZE = 512
"""Images that a network is asked for at a time where nothing is learnt."""


@dataclass(frozen=True, eq=False)
class Metrics:
    """Results of one pass over labelled images.

    Attributes:
        loss: Mean cross entropy, nats.
        confusion: int64 array of shape (classes, classes): images of the row's class taken for the column's.
    """

    loss: float
    confusion: NDArray[np.int64]

    @property
    def n_images(self) -> int:
        """Images looked at."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of the images classified correctly, 0 to 1."""
        return float(np.trace(self.confusion) / max(self.n_images, 1))

    @property
    def per_class(self) -> tuple[float, ...]:
        """For each class, the fraction of its images classified correctly; not-a-number where it has none."""
        counts = self.confusion.sum(axis=1)
        right = np.diag(self.confusion)
        return tuple(float(r / n) if n else math.nan for r, n in zip(right, counts, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "n_images": self.n_images,
            "per_class": list(self.per_class),
            "confusion": self.confusion.tolist(),
        }


def confusion_matrix(labels: torch.Tensor, predictions: torch.Tensor, n_classes: int) -> NDArray[np.int64]:
    """Counts of (true class, predicted class), int64 array of shape (n_classes, n_classes)."""
    cells = labels.cpu() * n_classes + predictions.cpu()
    return torch.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).numpy()


def class_probabilities(
    model: nn.Module,
    images: NDArray[np.uint8] | torch.Tensor,
    *,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
    before: Callable[[slice], None] | None = None,
) -> torch.Tensor:
    """Probabilities that a network in evaluation mode gives each class.

    Args:
        model: The network; its mode is restored afterwards.
        images: uint8 of shape (N, C, H, W).
        batch_size: Images at a time.
        device: Where the encoder computes.
        progress: Called with the number of images done.
        before: Called with the slice of the images that is looked at next.

    Returns:
        float32 tensor of shape (N, classes), rows summing to 1.

    Raises:
        ArgumentError: If there are no images.
    """
    return functional.softmax(_logits(model, images, batch_size, device, progress, before), dim=1)


def evaluate(
    model: nn.Module,
    images: NDArray[np.uint8] | torch.Tensor,
    labels: NDArray[np.int64] | torch.Tensor,
    *,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
    before: Callable[[slice], None] | None = None,
) -> Metrics:
    """Loss and confusion of a network on labelled images.

    Args:
        model: The network; its mode is restored afterwards.
        images: uint8 of shape (N, C, H, W).
        labels: int64 of shape (N,).
        batch_size: Images at a time.
        device: Where the encoder computes.
        progress: Called with the number of images done.
        before: Called with the slice of the images that is looked at next.

    Raises:
        ArgumentError: If there are no images, or a label is no class of the network.
    """
    logits = _logits(model, images, batch_size, device, progress, before)
    truth = torch.as_tensor(labels)
    n_classes = logits.shape[1]
    if int(truth.max()) >= n_classes or int(truth.min()) < 0:
        raise ArgumentError(
            f"Argument `labels` must be classes 0 to {n_classes - 1}, "
            f"but runs from {int(truth.min())} to {int(truth.max())}."
        )
    loss = float(functional.cross_entropy(logits.double(), truth))
    return Metrics(loss, confusion_matrix(truth, logits.argmax(1), n_classes))


def _logits(
    model: nn.Module,
    images: NDArray[np.uint8] | torch.Tensor,
    batch_size: int,
    device: str | torch.device,
    progress: Callable[[int], None] | None,
    before: Callable[[slice], None] | None,
) -> torch.Tensor:
    pixels = torch.as_tensor(images)
    if len(pixels) == 0:
        raise ArgumentError("Argument `images` must hold at least one image, but is empty.")
    was_training = model.training
    model.eval()
    parts = []
    try:
        with torch.no_grad():
            for start in range(0, len(pixels), batch_size):
                part = slice(start, start + batch_size)
                if before is not None:
                    before(part)
                parts.append(model(pixels[part].to(device)).float().cpu())
                if progress is not None:
                    progress(min(start + batch_size, len(pixels)))
    finally:
        model.train(was_training)
    return torch.cat(parts)


# ---- where the time goes -----------------------------------------------------------------------------------


class Staged(Protocol):
    """A network whose forward pass is three calls."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Angles for the circuit."""

    def expectations(self, angles: torch.Tensor) -> torch.Tensor:
        """The circuit's outputs."""

    def read_out(self, expectations: torch.Tensor) -> torch.Tensor:
        """Logits."""


class Stopwatch:
    """Seconds spent in `encoder`, `circuit` and `rest` (head, loss, optimiser, bookkeeping).

    Clock readings at the borders of the three stages, forward by plain calls and backward by hooks on the
    tensors that cross the borders; a few microseconds a step.
    """

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
