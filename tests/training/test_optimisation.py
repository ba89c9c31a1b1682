from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, build_model
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.training.optimisation import (
    INITIALISATIONS,
    OPTIMISERS,
    PURPOSES,
    RESTART_EPOCHS,
    SCHEDULES,
    MovingAverage,
    draw,
    estimate_norms,
    initial_circuit_weights,
    initialise,
    make_optimiser,
    one_cycle,
    permutation,
    warm_restarts,
    with_weights,
)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_goes_downhill_and_decays_weights(name: str) -> None:
    weight = torch.tensor([2.0], requires_grad=True)
    optimiser = make_optimiser(name, [[weight]], learning_rate=0.1, weight_decay=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        (weight * 0.0).sum().backward()  # no slope: only the decay moves it
        optimiser.step()
    assert 0.0 < float(weight.detach()) < 2.0
    group = optimiser.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.5)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`optimiser` must be one of adam, .*, but is 'lion'"):
        make_optimiser("lion", [], learning_rate=0.1, weight_decay=0.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_stays_between_its_end_and_one(name: str) -> None:
    factors = [SCHEDULES[name](step / 200, 0.25, 0.01) for step in range(200)]
    assert max(factors) == pytest.approx(1.0)
    assert min(factors) >= 0.01
    assert SCHEDULES[name](1.0, 0.25, 0.01) == pytest.approx(1.0 if name == "constant" else 0.01)


def test_one_cycle_is_torchs_one_cycle() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = OneCycleLR(
        optimiser, 1.0, total_steps=101, pct_start=0.26, div_factor=10, final_div_factor=10
    )
    for step in range(100):
        # torch stretches both legs to whole numbers of steps: 0 to 25.26 and 25.26 to 100.
        peak = 0.26 * 101 - 1
        done = step / peak * 0.25 if step < peak else 0.25 + (step - peak) / (100 - peak) * 0.75
        assert one_cycle(done, 0.25, 0.01) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        scheduler.step()


def test_warm_restarts_are_torchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = CosineAnnealingWarmRestarts(optimiser, T_0=RESTART_EPOCHS)
    optimiser.step()
    for quarter in range(4 * 25):
        scheduler.step(quarter / 4)
        assert warm_restarts(quarter / 4) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)


def statistics_off(encoder: SpikingEncoder, images: torch.Tensor) -> float:
    """Farthest that a batch norm's mean lies from that of what comes in in evaluation, in its deviations."""
    encoder.eval()
    farthest = 0.0
    with torch.no_grad():
        spikes = encoder.spikes(images)
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


HIGHEST = {"uniform-2pi": 2 * math.pi, "normal-2pi": 2 * math.pi, "uniform-1": 1.0, "normal-1": 1.0}


def build() -> SQDRCNN:
    return build_model(ModelSettings(circuit=circuit_spec("2b-3q")), make_backend("exact"))


def mean_of_truncated_normal(high: float) -> float:
    density = (1 - math.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi)
    return density / (0.5 * math.erf(high / math.sqrt(2)))


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_each_distribution_has_its_range_and_mean(name: str, rng: np.random.Generator) -> None:
    high = HIGHEST[name]
    values = initial_circuit_weights(name, 20_000, rng=rng)
    assert values.shape == (20_000,)
    assert values.min() >= 0.0
    assert values.max() <= high
    mean = high / 2 if name.startswith("uniform") else mean_of_truncated_normal(high)
    assert values.mean() == pytest.approx(mean, abs=6 * high / math.sqrt(12 * 20_000))


def test_an_unknown_distribution_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match=r"`initialisation` must be one of uniform-2pi, .*'zeros'"):
        initial_circuit_weights("zeros", 3, rng=rng)


def test_a_seed_sets_every_parameter_whatever_it_was_before(seed: int) -> None:
    first, second, third = build(), build(), build()
    initialise(first, circuit="uniform-2pi", seed=seed)
    initialise(second, circuit="uniform-2pi", seed=seed)
    initialise(third, circuit="uniform-2pi", seed=seed + 1)
    for (name, one), two, other in zip(
        first.named_parameters(), second.parameters(), third.parameters(), strict=True
    ):
        assert torch.equal(one, two), name
        assert "norms" in name or not torch.equal(one, other), name


def test_the_circuits_distribution_leaves_the_other_weights_alone(seed: int) -> None:
    first, second = build(), build()
    initialise(first, circuit="uniform-2pi", seed=seed)
    initialise(second, circuit="normal-1", seed=seed)
    same = {
        name: torch.equal(one, two)
        for (name, one), two in zip(first.named_parameters(), second.parameters(), strict=True)
    }
    assert [name for name, equal in same.items() if not equal] == ["quantum.weight"]


def test_layers_start_in_torchs_own_ranges(seed: int) -> None:
    model = build()
    initialise(model, circuit="uniform-2pi", seed=seed)
    bounds = {"encoder.convs.0.weight": 1 / 3, "encoder.convs.2.weight": 1 / 6, "head.bias": 1 / math.sqrt(3)}
    for name, bound in bounds.items():
        values = model.get_parameter(name)
        assert 0.4 * bound < float(values.detach().abs().max()) <= bound
    assert torch.equal(model.get_parameter("encoder.norms.1.weight"), torch.ones(4))
    assert torch.equal(model.get_parameter("encoder.norms.1.bias"), torch.zeros(4))
    assert float(model.get_parameter("quantum.weight").detach().max()) > 3.0


def test_a_positive_start_cuts_the_linear_maps_negative_weights_and_nothing_else(seed: int) -> None:
    first, second = build(), build()
    initialise(first, circuit="uniform-2pi", seed=seed)
    initialise(second, circuit="uniform-2pi", seed=seed, positive=True)
    for (name, one), two in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one.clamp(min=0) if name == "encoder.linear.weight" else one, two), name
    assert float(first.get_parameter("encoder.linear.weight").detach().min()) < 0.0


def test_equal_places_draw_equal_numbers_and_different_ones_different_numbers() -> None:
    places = [(s, p, e, k) for s in (0, 1) for p in PURPOSES for e in (0, 1) for k in (0, 1)]
    rows = [tuple(draw(s, p, epoch=e, step=k).integers(0, 2**62, 4)) for s, p, e, k in places]
    assert len(set(rows)) == len(rows)
    assert rows == [tuple(draw(s, p, epoch=e, step=k).integers(0, 2**62, 4)) for s, p, e, k in places]


def test_a_permutation_holds_every_item_once_and_changes_with_the_epoch(seed: int) -> None:
    orders = [permutation(seed, 50, epoch=epoch).numpy() for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert not np.array_equal(orders[0], orders[1])


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"epoch": -1}, {"step": -1}])
def test_negative_places_are_refused(wrong: dict[str, int]) -> None:
    place = {"seed": 0, "epoch": 0, "step": 0, **wrong}
    with pytest.raises(ArgumentError, match="must not be negative, but is -1"):
        draw(place["seed"], "order", epoch=place["epoch"], step=place["step"])


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`purpose` must be one of weights, order"):
        draw(0, "luck")  # type: ignore[arg-type]
