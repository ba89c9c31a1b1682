from __future__ import annotations

import numpy as np
import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.training.seeding import PURPOSES, draw, permutation


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
