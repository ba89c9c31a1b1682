"""The network: its parameters, its phase code, and its plain way against formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from snntorch import SpikingNeuron

from sqdr_qiskit.encoder import SpikingEncoder, phase_code, quantise
from sqdr_qiskit.encoder.network import EncoderPath, integrate_and_fire, max_pool
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


def test_membrane_integrates_fires_above_one_and_resets_to_zero() -> None:
    currents = torch.tensor([0.6, 0.4, 0.2, 0.9, 0.2, 2.0, -1.0]).unsqueeze(1)
    # Membranes: 0.6, 1.0 (a tie: no spike), 1.2 (fires), 0.9, 1.1 (fires), 2.0 (fires), -1.0.
    assert integrate_and_fire(currents)[0].flatten().tolist() == [0, 0, 1, 0, 1, 1, 0]


def test_gradient_of_one_step_is_the_arctangent_surrogate() -> None:
    currents = torch.tensor([[0.3, 1.0, 1.7]], requires_grad=True)
    integrate_and_fire(currents)[0].sum().backward()
    assert currents.grad is not None
    expected = 1 / (1 + (math.pi * (currents.detach() - 1)) ** 2)
    torch.testing.assert_close(currents.grad, expected)


@pytest.mark.parametrize("slope", [math.pi, 2 * math.pi, 1.0])
def test_surrogate_is_the_derivative_of_an_arctangent(slope: float) -> None:
    currents = torch.tensor([[0.3, 1.0, 1.7]], dtype=torch.float64, requires_grad=True)
    integrate_and_fire(currents, surrogate_slope=slope)[0].sum().backward()
    smooth = torch.tensor([[0.3, 1.0, 1.7]], dtype=torch.float64, requires_grad=True)
    (torch.atan(slope * (smooth - 1)) / math.pi).sum().backward()
    torch.testing.assert_close(currents.grad, smooth.grad)


def test_pooling_hands_the_gradient_to_the_first_that_fired_or_to_the_largest() -> None:
    # Windows: two fired, the second is larger; none fired, the third is largest; all equal.
    membranes = torch.tensor(
        [[[[1.2, 1.9, 0.1, 0.2, 0.5, 0.5], [0.0, 0.0, 0.8, -1.0, 0.5, 0.5]]]], dtype=torch.float64
    )
    for pool_gradient, places in (("first", [(0, 0), (0, 2), (0, 4)]), ("largest", [(0, 1), (1, 2), (0, 4)])):
        spikes = (membranes > 1).double().requires_grad_()
        pooled = max_pool(spikes, membranes, pool_gradient)  # type: ignore[arg-type]
        assert pooled.flatten().tolist() == [1, 0, 0]
        pooled.sum().backward()
        expected = torch.zeros(2, 6, dtype=torch.float64)
        for place in places:
            expected[place] = 1
        assert spikes.grad is not None
        assert torch.equal(spikes.grad[0, 0], expected)


def test_gradient_does_not_pass_a_reset() -> None:
    currents = torch.tensor([[1.5], [0.25]], requires_grad=True)
    integrate_and_fire(currents)[0][1].sum().backward()
    assert currents.grad is not None
    assert currents.grad[0].item() == 0.0
    assert currents.grad[1].item() > 0.0


def test_no_neuron_stays_listed() -> None:
    before = len(SpikingNeuron.instances)
    integrate_and_fire(torch.zeros(2, 3))
    assert len(SpikingNeuron.instances) == before


def test_spikes_of_all_layers_lead_to_the_encoders_rates(rng: np.random.Generator) -> None:
    encoder = SpikingEncoder(1, 6).eval()
    images = torch.from_numpy(rng.integers(0, 256, (3, 1, 16, 16), dtype=np.uint8))
    with torch.no_grad():
        code, *maps, features = encoder.spikes(images)
        assert torch.equal(features.mean(dim=0), encoder(images))
    assert torch.equal(code, phase_code(images))
    assert [tuple(layer.shape) for layer in maps] == [(10, 3, 2, 8, 8), (10, 3, 4, 4, 4), (10, 3, 8, 2, 2)]
    assert all(set(layer.unique().tolist()) <= {0.0, 1.0} for layer in [*maps, features])


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
def test_pixels_that_do_not_fit(images: torch.Tensor, words: str) -> None:
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
