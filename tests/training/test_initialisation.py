from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, build_model
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.training.optimisation import (
    INITIALISATIONS,
    PURPOSES,
    draw,
    initial_circuit_weights,
    initialise,
    permutation,
)

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
