from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.comparison import (
    Paired,
    bootstrap_interval,
    compare_pairs,
    holm,
    spread_of,
    verdict,
)


def test_the_spread_is_that_of_a_sample() -> None:
    assert spread_of([0.9, 0.92]).mean == pytest.approx(0.91)
    assert spread_of([0.9, 0.92]).sd == pytest.approx(0.02 / 2**0.5)
    assert spread_of([0.9]).sd is None
    with pytest.raises(ArgumentError, match="`values` must have at least one value"):
        spread_of([])


def test_holm_by_hand() -> None:
    # 0.01 * 4; 0.02 * 3; then 0.03 * 2 = 0.06 is not below 0.06; 0.5 * 1
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interval_covers_a_normal_mean_about_95_times_in_100(
    rng: np.random.Generator,
) -> None:
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(1.0, 1.0, 30))
        covered += low <= 1.0 <= high
    assert 176 <= covered <= 199  # the percentile interval of 30 values covers 93 to 95 %


def test_the_interval_is_the_same_each_time() -> None:
    values = [0.1, 0.2, 0.4, 0.1]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([0.25, 0.25]) == (0.25, 0.25)


def test_pairs_are_of_equal_seeds_and_all_tests_are_corrected_together(rng: np.random.Generator) -> None:
    base = {seed: float(value) for seed, value in enumerate(rng.normal(0.9, 0.01, 10))}
    better = {seed: value + 0.003 + 1e-4 * seed for seed, value in base.items()}
    found = compare_pairs(
        base, {"better": {**better, 99: 0.1}, "same": base, "one": {3: 0.9}, "none": {77: 0.5}}
    )
    pair = found["better"]
    assert pair is not None
    assert pair.seeds == tuple(range(10))
    assert pair.mean == pytest.approx(0.00345)
    assert pair.p == pytest.approx(2 / 2**10)  # all ten on one side
    assert pair.p == pytest.approx(stats.wilcoxon(pair.differences).pvalue)
    assert pair.p_holm == pytest.approx(4 / 2**10)  # two tests were made
    assert pair.low is not None
    assert 0.003 < pair.low < pair.mean
    same = found["same"]
    assert same is not None
    assert (same.p, same.p_holm, same.low) == (1.0, 1.0, 0.0)
    assert found["one"] == Paired((3,), (0.9 - base[3],), 0.9 - base[3], None, None, None, None)
    assert found["none"] is None


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (None, "b and a share no seed: nothing can be said of their difference."),
        (
            Paired((1,), (0.01,), 0.01, None, None, None, None),
            "b is 1.00 points above a in the one seed they share: no",
        ),
        (
            Paired(tuple(range(10)), (0.01,) * 10, 0.01, 0.0, 0.005, 0.015, 0.002, 0.004),
            "b is 1.00 points above a (95 % interval +0.50 to +1.50; 10 paired seeds, Wilcoxon p = 0.004 "
            "after Holm): established.",
        ),
        (
            Paired(tuple(range(10)), (-0.01,) * 10, -0.01, 0.0, -0.03, 0.01, 0.2, 0.4),
            "No difference between b and a is established (95 % interval -3.00 to +1.00; 10 paired",
        ),
        (
            Paired((0, 1, 2), (-0.01,) * 3, -0.01, 0.0, -0.01, -0.01, 0.25, 0.25),
            "b is 1.00 points below a on average (95 % interval -1.00 to -1.00; 3 paired seeds, Wilcoxon "
            "p = 0.25 after Holm): so few seeds cannot establish a difference by this test.",
        ),
    ],
)
def test_a_verdict_says_no_more_than_the_pairs_do(pair: Paired | None, words: str) -> None:
    assert verdict("a", "b", pair).startswith(words)
