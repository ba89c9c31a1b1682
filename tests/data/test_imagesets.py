from __future__ import annotations

import numpy as np
import pytest

from sqdr_qiskit.data.imagesets import balanced_subset, stratified_parts
from sqdr_qiskit.errors import ArgumentError


def test_balanced_subset_has_equal_classes(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 10, size=500)
    counts = np.bincount(labels[balanced_subset(labels, 73, seed=3)], minlength=10)
    assert counts.sum() == 73
    assert counts.max() - counts.min() == 1


def test_balanced_subset_of_a_rare_class_takes_all_of_it_and_fills_up() -> None:
    labels = np.array([0] * 3 + [1] * 50 + [2] * 50)
    counts = np.bincount(labels[balanced_subset(labels, 43, seed=0)])
    assert counts.tolist() == [3, 20, 20]


def test_balanced_subset_is_repeatable_and_nested(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 4, size=200)
    small, large = balanced_subset(labels, 20, seed=5), balanced_subset(labels, 90, seed=5)
    assert np.isin(small, large).all()
    np.testing.assert_array_equal(small, balanced_subset(labels, 20, seed=5))
    assert not np.array_equal(small, balanced_subset(labels, 20, seed=6))


def test_whole_set_stays_in_order(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 4, size=50)
    np.testing.assert_array_equal(balanced_subset(labels, 50, seed=1), np.arange(50))


@pytest.mark.parametrize("n_items", [0, -1, 51])
def test_balanced_subset_refuses_a_size_there_is_not(n_items: int) -> None:
    with pytest.raises(ArgumentError, match=rf"Argument `limit` must be from 1 to 50.*but is {n_items}\."):
        balanced_subset(np.zeros(50, dtype=np.int64), n_items, seed=0)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.93])
def test_stratified_parts_share_every_class_alike(fraction: float, rng: np.random.Generator) -> None:
    labels = rng.choice(6, size=700, p=[0.4, 0.3, 0.1, 0.1, 0.07, 0.03])
    first, second = stratified_parts(labels, fraction, seed=2)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(700))
    assert len(second) == round(fraction * 700)
    share = np.bincount(labels[second], minlength=6) - fraction * np.bincount(labels, minlength=6)
    assert np.abs(share).max() <= 1.0


def test_stratified_parts_depend_on_the_seed_alone(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, size=100)
    np.testing.assert_array_equal(
        stratified_parts(labels, 0.3, seed=1)[1], stratified_parts(labels, 0.3, seed=1)[1]
    )
    assert not np.array_equal(
        stratified_parts(labels, 0.3, seed=1)[1], stratified_parts(labels, 0.3, seed=2)[1]
    )


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_stratified_parts_refuse_no_fraction(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="Argument `validation` must be a fraction"):
        stratified_parts(np.arange(10), fraction, seed=0)


def test_stratified_parts_refuse_an_empty_part() -> None:
    with pytest.raises(ArgumentError, match=r"must leave images in both parts, but 0\.01 of 10 images is 0"):
        stratified_parts(np.arange(10), 0.01, seed=0)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Argument `seed` must not be negative, but is -1"):
        balanced_subset(np.arange(10), 3, seed=-1)
