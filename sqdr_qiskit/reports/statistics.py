"""Statistics of paired seeds: spread, intervals of differences, and whether a difference is established.

Two ways of training are compared seed by seed: what the seed decides alike in both (data order, first
weights) cancels in the difference of a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sqdr_qiskit.errors import ArgumentError

__all__ = ["Paired", "Spread", "bootstrap_interval", "compare_pairs", "holm", "spread_of", "verdict"]

_RESAMPLES = 10_000
_LEVEL = 0.05


@dataclass(frozen=True)
class Spread:
    """Values of several seeds: how many, their mean, and their sample standard deviation (None for one)."""

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Paired:
    """What the differences of paired seeds, other minus reference, say.

    Attributes:
        seeds: Seeds that both have, in order.
        differences: One for each.
        mean: Their mean.
        sd: Their sample standard deviation, None for one pair.
        low: Lower end of the 95 % bootstrap interval of the mean, None for one pair.
        high: Its upper end.
        p: Two-sided p-value of Wilcoxon's signed-rank test, None for one pair.
        p_holm: The same after Holm's correction for all comparisons made together.
    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None = None


def spread_of(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation.

    Raises:
        ArgumentError: If there is no value.
    """
    if not values:
        raise ArgumentError("Argument `values` must have at least one value, but is empty.")
    array = np.asarray(values, dtype=np.float64)
    return Spread(len(array), float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None)


def bootstrap_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of a mean by the percentile bootstrap, 10,000 resamples, always the same ones.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    array = np.asarray(values, dtype=np.float64)
    if np.ptp(array) == 0.0:
        return float(array[0]), float(array[0])
    found = stats.bootstrap(
        (array,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=1 - _LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def compare_pairs(
    reference: Mapping[int, float], others: Mapping[str, Mapping[int, float]]
) -> dict[str, Paired | None]:
    """Compare ways of training with one reference, seed by seed.

    Args:
        reference: Seed -> value.
        others: Name -> seed -> value.

    Returns:
        For each name what the pairs say, None where no seed is shared. Holm's correction is for all tests
        made here.

    Source: Wilcoxon, Biometrics Bulletin 1, 80 (1945), zeros by Pratt's method; Holm, Scandinavian Journal of
    Statistics 6, 65 (1979).
    """
    found: dict[str, Paired | None] = {}
    for name, values in others.items():
        seeds = tuple(sorted(set(reference) & set(values)))
        found[name] = _paired(seeds, [values[seed] - reference[seed] for seed in seeds]) if seeds else None
    tested = {name: pair for name, pair in found.items() if pair is not None and pair.p is not None}
    corrected = holm([float(pair.p) for pair in tested.values() if pair.p is not None])
    for (name, pair), p in zip(tested.items(), corrected, strict=True):
        found[name] = Paired(**{**pair.__dict__, "p_holm": p})
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the i-th smallest of m times m - i + 1, never falling, at most 1."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def verdict(reference: str, other: str, pair: Paired | None) -> str:
    """One sentence that says what these pairs establish, and no more."""
    if pair is None:
        return f"{other} and {reference} share no seed: nothing can be said of their difference."
    points = f"{abs(100 * pair.mean):.2f} points"
    n = len(pair.seeds)
    if pair.low is None or pair.high is None or pair.p_holm is None:
        return f"{other} is {points} {_side(pair.mean)} {reference} in the one seed they share: no evidence."
    interval = f"95 % interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f}"
    tested = f"{n} paired seeds, Wilcoxon p = {pair.p_holm:.3g} after Holm"
    if pair.p_holm <= _LEVEL:
        return f"{other} is {points} {_side(pair.mean)} {reference} ({interval}; {tested}): established."
    if 2.0 ** (1 - n) > _LEVEL:
        return (
            f"{other} is {points} {_side(pair.mean)} {reference} on average ({interval}; {tested}): so few "
            "seeds cannot establish a difference by this test."
        )
    return f"No difference between {other} and {reference} is established ({interval}; {tested})."


def _paired(seeds: tuple[int, ...], differences: Sequence[float]) -> Paired:
    found = spread_of(differences)
    if found.n == 1:
        return Paired(seeds, tuple(differences), found.mean, None, None, None, None)
    low, high = bootstrap_interval(differences)
    # rounding of accuracies must not make ties differ: a ten-thousandth of a point is no difference
    rounded = np.round(np.asarray(differences), 6)
    p = 1.0
    if rounded.any():
        p = float(stats.wilcoxon(rounded, zero_method="pratt", method="auto").pvalue)
    return Paired(seeds, tuple(differences), found.mean, found.sd, low, high, p)


def _side(mean: float) -> str:
    return "above" if mean >= 0 else "below"
