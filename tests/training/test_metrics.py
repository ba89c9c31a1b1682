from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.training.metrics import Metrics, Stopwatch, class_probabilities, confusion_matrix, evaluate


class Brightness(nn.Module):
    """Logits 0 and the mean pixel minus 100: says 1 for bright images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.float().mean(dim=(1, 2, 3)) - 100
        return torch.stack([torch.zeros_like(mean), mean], dim=1)


def test_confusion_counts_true_rows_and_predicted_columns(rng: np.random.Generator) -> None:
    labels, predictions = rng.integers(0, 4, (2, 60))
    found = confusion_matrix(torch.from_numpy(labels), torch.from_numpy(predictions), 4)
    for row in range(4):
        for column in range(4):
            assert found[row, column] == sum((labels == row) & (predictions == column))


def test_accuracy_overall_and_per_class() -> None:
    metrics = Metrics(0.5, np.array([[3, 1, 0], [0, 0, 0], [2, 0, 4]]))
    assert metrics.accuracy == pytest.approx(0.7)
    assert metrics.n_images == 10
    assert metrics.per_class[0] == pytest.approx(0.75)
    assert math.isnan(metrics.per_class[1])
    assert metrics.per_class[2] == pytest.approx(2 / 3)


def test_evaluation_in_batches_equals_the_definition_and_restores_the_mode() -> None:
    model = Brightness().train()
    images = np.repeat(np.array([50, 99, 101, 103, 90], np.uint8), 4).reshape(5, 1, 2, 2)
    labels = np.array([0, 1, 1, 1, 0])
    done: list[int] = []
    found = evaluate(model, images, labels, batch_size=2, progress=done.append)
    assert model.training
    assert done == [2, 4, 5]
    assert found.confusion.tolist() == [[2, 0], [1, 2]]
    logits = np.array([-50.0, -1.0, 1.0, 3.0, -10.0])
    right = np.where(labels == 1, logits, 0.0)
    assert found.loss == pytest.approx(float(np.mean(np.log1p(np.exp(logits)) - right)))


def test_probabilities_sum_to_one(rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (3, 1, 2, 2), dtype=np.uint8)
    found = class_probabilities(Brightness(), images)
    assert found.sum(dim=1).tolist() == pytest.approx([1.0] * 3)


def test_no_images_and_foreign_labels_are_refused() -> None:
    empty = np.zeros((0, 1, 2, 2), np.uint8)
    with pytest.raises(ArgumentError, match="`images` must hold at least one image"):
        evaluate(Brightness(), empty, np.zeros(0, np.int64))
    with pytest.raises(ArgumentError, match="`labels` must be classes 0 to 1, but runs from 2 to 2"):
        evaluate(Brightness(), np.zeros((1, 1, 2, 2), np.uint8), np.array([2]))


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
