"""Which items go where: class-balanced subsets and stratified parts, repeatable from a seed.

Both rules rank the items of each class in a seeded random order and take from the front, so a smaller subset
of one seed is contained in every larger one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.errors import ArgumentError

__all__ = ["balanced_subset", "stratified_parts"]

Indices = NDArray[np.int64]

_BALANCED = 1  # purposes: keep the draws of one seed apart
_STRATIFIED = 2


def balanced_subset(
    labels: NDArray[np.int64], n_items: int, *, seed: int, argument: str = "limit"
) -> Indices:
    """Choose `n_items` items with as equal a number of each class as there are items for.

    Args:
        labels: Array of shape (N,), the class of each item.
        n_items: Number of items wanted, 1 to N.
        seed: Any non-negative integer. The subset for a smaller `n_items` is part of the subset for a larger
            one.
        argument: What the caller calls `n_items`, for the error.

    Returns:
        Sorted array of shape (n_items,) of indices into `labels`. Class counts differ by at most one, unless
        a class has run out of items.

    Raises:
        ArgumentError: If `n_items` is not between 1 and N.
    """
    if not 1 <= n_items <= len(labels):
        raise ArgumentError(
            f"Argument `{argument}` must be from 1 to {len(labels)}, the images there are, but is {n_items}."
        )
    rank, _ = _ranks(labels, seed, _BALANCED)
    classes = np.unique(labels)
    turn = np.argsort(_draw(seed, _BALANCED, 1, len(classes)))
    order = np.lexsort((turn[np.searchsorted(classes, labels)], rank))
    return np.sort(order[:n_items]).astype(np.int64)


def stratified_parts(labels: NDArray[np.int64], fraction: float, *, seed: int) -> tuple[Indices, Indices]:
    """Split items in two so that each class is shared out in the same proportion.

    Args:
        labels: Array of shape (N,), the class of each item.
        fraction: Size of the second part, strictly between 0 and 1; the second part has `round(fraction * N)`
            items.
        seed: Any non-negative integer.

    Returns:
        Two sorted, disjoint arrays of indices which together are 0..N-1. The second part holds
        `fraction` times each class's count, to within one item.

    Raises:
        ArgumentError: If `fraction` is out of range or leaves a part empty.
    """
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(f"Argument `validation` must be a fraction from 0 to below 1, but is {fraction}.")
    n_second = round(fraction * len(labels))
    if not 0 < n_second < len(labels):
        raise ArgumentError(
            f"Argument `validation` must leave images in both parts, "
            f"but {fraction} of {len(labels)} images is {n_second}."
        )
    rank, count = _ranks(labels, seed, _STRATIFIED)
    order = np.argsort((rank + 0.5) / count, kind="stable")
    return np.sort(order[n_second:]).astype(np.int64), np.sort(order[:n_second]).astype(np.int64)


def _ranks(labels: NDArray[np.int64], seed: int, purpose: int) -> tuple[Indices, Indices]:
    """Each item's place in the random order of its class, and the size of that class; both of shape (N,)."""
    if seed < 0:
        raise ArgumentError(f"Argument `seed` must not be negative, but is {seed}.")
    draw = _draw(seed, purpose, 0, len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    count = np.empty(len(labels), dtype=np.int64)
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        rank[members[np.argsort(draw[members])]] = np.arange(len(members))
        count[members] = len(members)
    return rank, count


def _draw(seed: int, purpose: int, stream: int, n_items: int) -> NDArray[np.uint64]:
    """Random numbers that no NumPy version changes: of its streams, only the raw ones promise that."""
    return np.asarray(np.random.Philox([seed, purpose, stream]).random_raw(n_items), dtype=np.uint64)
