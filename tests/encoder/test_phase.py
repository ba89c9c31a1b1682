from __future__ import annotations

import numpy as np
import pytest
import torch

from sqdr_qiskit.encoder import phase_code, quantise
from sqdr_qiskit.errors import ArgumentError


def every_pixel() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


def test_first_eight_steps_sum_to_the_pixel() -> None:
    code = phase_code(every_pixel())
    assert code.shape == (10, 1, 1, 16, 16)
    assert torch.equal(code[:8].sum(dim=0), every_pixel() / 256.0)


def test_steps_past_the_phases_repeat_the_code() -> None:
    code = phase_code(every_pixel(), n_steps=10, n_phases=8)
    assert torch.equal(code[8:], code[:2])


def test_a_known_pixel() -> None:
    code = phase_code(torch.full((1, 1, 1, 1), 0b10010001, dtype=torch.uint8))
    assert code.flatten().tolist() == [1 / 2, 0, 0, 1 / 16, 0, 0, 0, 1 / 256, 1 / 2, 0]


def test_fewer_phases_send_the_most_significant_bits() -> None:
    code = phase_code(every_pixel(), n_steps=3, n_phases=3)
    assert torch.equal(code.sum(dim=0), (every_pixel() // 32) / 8.0)


def test_floats_are_quantised_to_the_nearest_of_256_levels(rng: np.random.Generator) -> None:
    pixels = torch.from_numpy(rng.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8))
    floats = pixels / 255.0
    assert torch.equal(quantise(floats), pixels)
    assert torch.equal(quantise((floats + 0.4 / 255).clamp(max=1.0)), pixels)
    assert torch.equal(quantise(floats.double()), pixels)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 8, 8), r"must have shape \(batch, channels, height, width\)"),
        (torch.zeros(0, 1, 8, 8), "no empty axis"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), "must be uint8, or floating point"),
        (torch.full((1, 1, 8, 8), 1.5), r"must lie in \[0, 1\], but spans \[1.5, 1.5\]"),
        (torch.full((1, 1, 8, 8), float("nan")), r"must lie in \[0, 1\]"),
        (torch.zeros(1, 1, 8, 8, requires_grad=True), "must not require a gradient"),
    ],
)
def test_images_that_do_not_fit(images: torch.Tensor, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        quantise(images)


@pytest.mark.parametrize(
    ("n_steps", "n_phases", "words"),
    [
        (0, 8, "`n_steps` must be at least 1"),
        (10, 0, "`n_phases` must lie in 1 to 8"),
        (10, 9, "`n_phases` must lie in 1 to 8"),
    ],
)
def test_codes_without_meaning(n_steps: int, n_phases: int, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        phase_code(every_pixel(), n_steps, n_phases)
