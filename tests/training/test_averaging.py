from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.encoder.reference import reference_spikes
from sqdr_qiskit.training.averaging import MovingAverage, estimate_norms, with_weights


def statistics_off(encoder: SpikingEncoder, images: torch.Tensor) -> float:
    """Farthest that a batch norm's mean lies from that of what comes in in evaluation, in its deviations."""
    encoder.eval()
    farthest = 0.0
    with torch.no_grad():
        spikes = reference_spikes(
            images, list(encoder.convs), list(encoder.norms), encoder.linear, n_steps=10, n_phases=8
        )
        for conv, norm, before in zip(encoder.convs, encoder.norms, spikes, strict=False):
            assert isinstance(norm, nn.BatchNorm2d)
            values = conv(before.flatten(0, 1))
            deviation = values.std(dim=(0, 2, 3))
            off = (values.mean(dim=(0, 2, 3)) - cast("torch.Tensor", norm.running_mean)) / deviation
            farthest = max(farthest, float(off.abs().max()))
    return farthest


@pytest.fixture
def undecided(rng: np.random.Generator, seed: int) -> tuple[SpikingEncoder, torch.Tensor]:
    """Images on a blank ground, and an encoder whose first neurons there fire in every other step or never,
    by how much ink a batch has: their current is 1/2, less a little, with the statistics of all images."""
    torch.manual_seed(seed)
    pixels = np.zeros((256, 1, 16, 16), np.uint8)
    for image in pixels:
        width = rng.integers(2, 9)
        image[0, 4 : 4 + width, 5 : 5 + width] = rng.integers(100, 256, (width, width))
    images = torch.from_numpy(pixels)
    encoder = SpikingEncoder(1, 6)
    estimate_norms(encoder, images)
    first = encoder.norms[0]
    assert isinstance(first, nn.BatchNorm2d)
    assert first.running_mean is not None
    assert first.running_var is not None
    with torch.no_grad():
        first.bias.copy_(0.498 + first.weight * first.running_mean / (first.running_var + first.eps).sqrt())
    return encoder, images


def test_estimated_statistics_are_those_of_the_network_that_is_evaluated(
    undecided: tuple[SpikingEncoder, torch.Tensor],
) -> None:
    encoder, images = undecided
    encoder.train()
    with torch.no_grad():
        for _ in range(4):
            for batch in images.split(8):
                encoder(batch)
    assert statistics_off(encoder, images) > 0.1  # running ones belong to no network
    momenta = [norm.momentum for norm in encoder.norms]
    encoder.train()
    estimate_norms(encoder, images)
    assert encoder.training
    assert [norm.momentum for norm in encoder.norms] == momenta
    assert statistics_off(encoder, images) < 1e-4


def test_the_average_follows_its_formula_for_weights_and_buffers() -> None:
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, 0.5)
    expected = {"weight": 1.0, "running_mean": 0.0}
    for step, value in enumerate((3.0, -1.0, 2.0)):
        with torch.no_grad():
            model.weight.fill_(value)
            assert model.running_mean is not None
            assert model.num_batches_tracked is not None
            model.running_mean.fill_(10 * value)
            model.num_batches_tracked.fill_(step)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected["weight"] = decay * expected["weight"] + (1 - decay) * value
        expected["running_mean"] = decay * expected["running_mean"] + (1 - decay) * 10 * value
    for name, value in expected.items():
        assert average.values[name].tolist() == pytest.approx([value, value])
    assert int(average.values["num_batches_tracked"]) == 2


def test_without_decay_the_average_is_the_latest_weights() -> None:
    model = nn.Linear(2, 2)
    average = MovingAverage(model, 0.0)
    with torch.no_grad():
        model.weight.mul_(1.7)
    average.update(model, 0)
    assert torch.equal(average.values["weight"], model.weight)


def test_other_weights_hold_for_a_while_even_if_something_fails() -> None:
    model = nn.Linear(1, 1)
    own = model.weight.detach().clone()
    values = {"weight": torch.full((1, 1), 9.0), "bias": torch.zeros(1)}

    def fail() -> None:
        with with_weights(model, values):
            assert model.weight.tolist() == [[9.0]]
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.equal(model.weight, own)
