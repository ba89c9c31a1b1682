from __future__ import annotations

import numpy as np
import pytest
import torch
from snntorch import SpikingNeuron

from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.encoder.network import EncoderPath
from sqdr_qiskit.errors import ArgumentError


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("n_features", "n_linear"), [(27, 243), (54, 486)])
def test_parameter_counts(n_features: int, n_linear: int) -> None:
    encoder = SpikingEncoder(n_features=n_features)
    assert (count(encoder.convs), count(encoder.norms), count(encoder.linear)) == (378, 28, n_linear)


def test_names_of_the_state() -> None:
    layers = [f"convs.{i}.weight" for i in range(3)]
    norms = [
        f"norms.{i}.{name}"
        for i in range(3)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    ]
    assert list(SpikingEncoder().state_dict()) == [*layers, *norms, "linear.weight", "linear.bias"]


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_rates_are_multiples_of_a_step_and_gradients_reach_the_first_convolution(
    path: EncoderPath, rng: np.random.Generator, seed: int
) -> None:
    torch.manual_seed(seed)
    encoder = SpikingEncoder(path=path)
    images = torch.from_numpy(rng.random((6, 1, 28, 28), dtype=np.float32))
    rates = encoder(images)
    assert rates.shape == (6, 27)
    assert rates.dtype == torch.float32
    assert torch.all((rates >= 0) & (rates <= 1))
    torch.testing.assert_close(rates * 10, (rates * 10).round(), rtol=0, atol=1e-5)
    rates.sum().backward()
    gradient = encoder.convs[0].weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert float(gradient.abs().max()) > 0


def test_auto_takes_the_reference_where_the_kernels_cannot_be_used(rng: np.random.Generator) -> None:
    images = torch.from_numpy(rng.integers(0, 256, (2, 1, 8, 8), dtype=np.uint8))
    encoder = SpikingEncoder(n_steps=17)
    assert encoder(images).shape == (2, 27)
    encoder.path = "fused"
    with pytest.raises(ArgumentError, match="needs n_steps at most 16 and at most 3 n_phases"):
        encoder(images)


def test_double_precision_parameters_are_refused_by_the_kernels(rng: np.random.Generator) -> None:
    images = torch.from_numpy(rng.integers(0, 256, (2, 1, 8, 8), dtype=np.uint8))
    with pytest.raises(ArgumentError, match="needs float32 parameters"):
        SpikingEncoder(path="fused").double()(images)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 3, 28, 28), "must have 1 channels, but has 3"),
        (torch.zeros(2, 1, 7, 28), "must be at least 8 pixels high and wide"),
        (torch.zeros(28, 28), "must have shape"),
        (torch.zeros(1, 1, 28, 28, requires_grad=True), "must not require a gradient"),
    ],
)
def test_images_that_do_not_fit(images: torch.Tensor, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        SpikingEncoder()(images)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ArgumentError, match="`in_channels` must be at least 1"):
        SpikingEncoder(0)
    with pytest.raises(ArgumentError, match="`n_features` must be at least 1"):
        SpikingEncoder(n_features=0)
    with pytest.raises(ArgumentError, match="`path` must be auto, fused or reference"):
        SpikingEncoder(path="fast")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="`surrogate_slope` must be above 0, but is nan"):
        SpikingEncoder(surrogate_slope=float("nan"))
    with pytest.raises(ArgumentError, match="`pool_gradient` must be first or largest, but is 'all'"):
        SpikingEncoder(pool_gradient="all")  # type: ignore[arg-type]


def test_no_neuron_is_kept_alive() -> None:
    before = len(SpikingNeuron.instances)
    SpikingEncoder(path="reference")(torch.zeros(1, 1, 8, 8))
    assert len(SpikingNeuron.instances) == before
