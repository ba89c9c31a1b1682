"""Colours for shifts: two that some output sees together must differ; few colours are few executions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["colour", "fewest_colours"]

_ROUNDS = 400


def fewest_colours(readers: Sequence[frozenset[int]]) -> int:
    """How many colours there must be at least: the largest number of shifts that one output sees."""
    load: dict[int, int] = {}
    for seen in readers:
        for reader in seen:
            load[reader] = load.get(reader, 0) + 1
    return max(load.values(), default=0)


def colour(readers: Sequence[frozenset[int]]) -> list[int]:
    """A colour for each shift, such that no output sees two of one colour.

    The best of a greedy colouring in the given order, DSATUR (Brelaz 1979) and rounds of iterated greedy
    (Culberson 1992), which never get worse; the same input gives the same colours. Optimal where it reaches
    `fewest_colours`.

    Args:
        readers: For each shift, the outputs that see it.

    Returns:
        Colours from 0.
    """
    fewest = fewest_colours(readers)
    best = min((_greedy(readers, range(len(readers))), _dsatur(readers)), key=_number)
    rng = np.random.default_rng(0)
    for round_ in range(_ROUNDS):
        if _number(best) <= fewest:
            break
        # Taken class by class in any order, a greedy colouring needs no more colours than before.
        classes = [[i for i, own in enumerate(best) if own == c] for c in range(_number(best))]
        if round_ % 3 == 0:
            classes.reverse()
        elif round_ % 3 == 1:
            classes.sort(key=lambda members: -sum(len(readers[i]) for i in members))
        else:
            rng.shuffle(classes)
        best = _greedy(readers, [i for members in classes for i in members])
    return best


def _number(colours: Sequence[int]) -> int:
    return max(colours, default=-1) + 1


def _greedy(readers: Sequence[frozenset[int]], order: Sequence[int]) -> list[int]:
    colours = [0] * len(readers)
    seen: list[set[int]] = []
    for i in order:
        own = next((c for c, taken in enumerate(seen) if not taken & readers[i]), len(seen))
        if own == len(seen):
            seen.append(set())
        seen[own] |= readers[i]
        colours[i] = own
    return colours


def _dsatur(readers: Sequence[frozenset[int]]) -> list[int]:
    """Always the shift next whose neighbours have most colours, of those the one with most readers."""
    colours = [-1] * len(readers)
    taken: list[set[int]] = [set() for _ in readers]
    left = set(range(len(readers)))
    while left:
        i = max(left, key=lambda j: (len(taken[j]), len(readers[j]), -j))
        left.remove(i)
        own = next(c for c in range(len(readers)) if c not in taken[i])
        colours[i] = own
        for j in left:
            if readers[i] & readers[j]:
                taken[j].add(own)
    return colours
