"""Runs side by side: grouped by all but their seed, and what the differences of equal seeds establish.

Two ways of training are compared seed by seed: what the seed decides alike in both (data order, first
weights) cancels in the difference of a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.tables import NONE, Table, duration, paper_accuracy

__all__ = [
    "Comparison",
    "Group",
    "Paired",
    "Spread",
    "bootstrap_interval",
    "compare_pairs",
    "compare_runs",
    "holm",
    "spread_of",
    "verdict",
]

Run = Mapping[str, Any]

# What tells two ways of training apart is any setting but these: the seed is what spreads, the others change
# no result.
_NOT_TOLD = (
    "seed",
    "data_dir",
    "device",
    "log_gradient_variance",
    "tensorboard",
    "max_qpu_seconds",
    "max_executions",
    "job_tags",
)
_PLAIN = ("circuit", "dataset", "recipe", "optimiser", "initialisation", "backend")  # their values say enough


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: What tells it from the other groups, in words.
        settings: The same as keys and values.
        runs: Its runs, see `jobs.runs.collect_runs`.
        paper: The paper's row for it (`reports.tables`), or None.
    """

    label: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
    paper: Mapping[str, Any] | None

    def said(self, *, but: str) -> str:
        """Its settings in words, all but one."""
        return _label({key: value for key, value in self.settings.items() if key != but})

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """Seed -> test accuracy of the finished runs that have one; of equal seeds the newest."""
        known = [run for run in self.runs if run["accuracy"] is not None]
        return {
            int(run["seed"]): float(run["accuracy"]) for run in sorted(known, key=lambda r: str(r["written"]))
        }

    @cached_property
    def spread(self) -> Spread | None:
        """Of the test accuracy; None if no run has one."""
        return spread_of(list(self.by_seed.values())) if self.by_seed else None

    @cached_property
    def validation(self) -> Spread | None:
        """Of the best validation accuracy of the finished runs."""
        known = [
            float(run["validation_accuracy"])
            for run in self.runs
            if run["accuracy"] is not None and run["validation_accuracy"] is not None
        ]
        return spread_of(known) if known else None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups of runs, and what their pairs of seeds say.

    Attributes:
        groups: In the order of their first runs.
        pairs: (reference, other) -> the paired difference, None without a shared seed; a group is compared
            with the first of its data set (where models differ, of its circuit, too), or with the one that
            was asked for.
    """

    groups: tuple[Group, ...]
    pairs: Mapping[tuple[str, str], Paired | None]

    @property
    def verdicts(self) -> list[str]:
        """One sentence for each pair."""
        return [verdict(reference, other, pair) for (reference, other), pair in self.pairs.items()]

    def table(self, *, title: str = "") -> Table:
        """A row for each group: parameters, seeds, test accuracy with its spread, the paper's, the time."""
        rows = []
        for group in self.groups:
            found, paper = group.spread, group.paper
            seconds = [float(run["seconds"]) for run in group.runs if run["seconds"]]
            parameters = next((run["parameters"] for run in group.runs if run["parameters"]), None)
            values = list(group.by_seed.values())
            above = NONE
            if paper is not None and found is not None:
                above = f"{100 * (found.mean - paper['accuracy']):+.2f}"
            rows.append(
                (
                    group.label,
                    NONE if parameters is None else f"{parameters:,}",
                    str(len(values)) + (f" of {len(group.runs)}" if len(values) < len(group.runs) else ""),
                    NONE if found is None else found.text(),
                    f"{100 * min(values):.2f} to {100 * max(values):.2f}" if len(values) > 1 else NONE,
                    NONE if group.validation is None else group.validation.text(),
                    NONE if paper is None else f"{100 * paper['accuracy']:.2f}",
                    above,
                    duration(median(seconds)) if seconds else NONE,
                )
            )
        headers = (
            "run", "parameters", "seeds", "test %", "lowest to highest", "validation %", "paper %",
            "difference", "time a run",
        )  # fmt: skip
        return Table(headers, tuple(rows), frozenset(range(1, len(headers))), title)

    def differences_table(self) -> Table:
        """A row for each pair: the mean difference in points, its interval, the tests."""
        rows: list[tuple[str, ...]] = []
        for (reference, other), pair in self.pairs.items():
            if pair is None:
                rows.append((other, reference, "0", NONE, NONE, NONE, NONE))
                continue
            numbers = [NONE if p is None else f"{p:.3g}" for p in (pair.p, pair.p_holm)]
            points = f"{100 * pair.mean:+.2f}"
            rows.append((other, reference, str(len(pair.seeds)), points, pair.interval(), *numbers))
        headers = ("run", "against", "pairs", "points", "95 % interval", "Wilcoxon p", "after Holm")
        return Table(headers, tuple(rows), frozenset(range(2, len(headers))))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "groups": [
                {
                    "label": group.label,
                    "settings": dict(group.settings),
                    "test_accuracy": None if group.spread is None else asdict(group.spread),
                    "validation_accuracy": None if group.validation is None else asdict(group.validation),
                    "by_seed": {str(seed): value for seed, value in group.by_seed.items()},
                    "paper": None if group.paper is None else dict(group.paper),
                    "runs": [run["folder"] for run in group.runs],
                }
                for group in self.groups
            ],
            "differences": [
                {"reference": a, "other": b, **({} if pair is None else asdict(pair)), "verdict": words}
                for ((a, b), pair), words in zip(self.pairs.items(), self.verdicts, strict=True)
            ],
        }


def compare_runs(runs: Sequence[Run], *, reference: str | None = None) -> Comparison:
    """Group runs by everything but their seed, and compare the groups seed by seed.

    Args:
        runs: See `jobs.runs.collect_runs`.
        reference: Label of the group, or name of a run in it, that the others of its data set are compared
            with; None takes the first group of each data set.

    Raises:
        ArgumentError: There is no run, or no such reference; or the classes of a run's pictures are unknown.
    """
    if not runs:
        raise ArgumentError("Argument `runs` must have at least one run, but is empty.")
    for run in runs:
        if run["task"] == "infer" and run["state"] == "finished" and run["accuracy"] is None:
            raise ArgumentError(
                f"Argument `runs` must be of images whose classes are known, but {run['folder']!r} is an "
                "inference on pictures without."
            )
    told = _telling(runs)
    by_key: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        by_key.setdefault(tuple(str(_setting(run, key)) for key in told), []).append(run)
    groups = []
    for own in by_key.values():
        settings = {key: _setting(own[0], key) for key in told}
        label = _label(settings) or f"{own[0]['circuit']} on {own[0]['dataset']}"
        groups.append(Group(label, settings, tuple(own), _paper(own[0])))
    return Comparison(tuple(groups), _pairs(groups, reference))


# ---- what tells runs apart ---------------------------------------------------------------------------------


def _setting(run: Run, key: str) -> Any:
    """A run's setting; circuits and data sets by the names they were understood as."""
    return run[key] if key in ("circuit", "dataset") and run.get(key) is not None else run["job"].get(key)


def _telling(runs: Sequence[Run]) -> list[str]:
    """Settings that are not the same in all runs, those with plain names first."""
    keys = list(dict.fromkeys([*_PLAIN, *(key for run in runs for key in run["job"])]))
    told = [
        key for key in keys if key not in _NOT_TOLD and len({str(_setting(run, key)) for run in runs}) > 1
    ]
    if "backend" in told and "noise" in told:  # exact_noisy says no more than its noise does
        pairs = {(str(_setting(run, "noise")), str(_setting(run, "backend"))) for run in runs}
        if len(pairs) == len({noise for noise, _ in pairs}):
            told.remove("backend")
    return told


def _label(settings: Mapping[str, Any]) -> str:
    words = [_said(key, value) for key, value in settings.items()]
    return ", ".join(word for word in words if word)


def _said(key: str, value: Any) -> str:
    words = key.replace("_", " ")
    if value is None:
        return f"no {words}" if key in ("noise", "shots") else ""
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if key in _PLAIN:
        return str(value)
    if isinstance(value, list | tuple):
        return f"{len(value)} {words}s"
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"


def _paper(run: Run) -> Mapping[str, Any] | None:
    job = run["job"]
    if run["task"] != "train" or not job.get("head", True) or job.get("model") not in (None, "circuit"):
        return None
    given = {key: run["job"].get(key) for key in ("optimiser", "initialisation", "noise")}
    return paper_accuracy({**given, "circuit": run["circuit"], "dataset": run["dataset"]})


def _pairs(groups: Sequence[Group], reference: str | None) -> dict[tuple[str, str], Paired | None]:
    named = [
        g for g in groups if reference in (g.label, *(r[key] for r in g.runs for key in ("run", "folder")))
    ]
    if reference is not None and not named:
        names = "; ".join(group.label for group in groups)
        raise ArgumentError(f"Argument `reference` must be one of {names}, but is {reference!r}.")
    by_data: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        if group.by_seed:
            of = (
                ("dataset", "circuit") if "model" in group.settings else ("dataset",)
            )  # controls of a circuit
            by_data.setdefault(tuple(str(group.runs[0][key]) for key in of), []).append(group)
    found: dict[tuple[str, str], Paired | None] = {}
    for own in by_data.values():
        first = next((group for group in named if group in own), own[0])
        others = {group.label: group.by_seed for group in own if group is not first}
        found |= {(first.label, name): pair for name, pair in compare_pairs(first.by_seed, others).items()}
    return found


# ---- statistics of paired seeds ----------------------------------------------------------------------------

_RESAMPLES = 10_000
_LEVEL = 0.05


@dataclass(frozen=True)
class Spread:
    """Values of several seeds: how many, their mean, and their sample standard deviation (None for one)."""

    n: int
    mean: float
    sd: float | None

    def text(self) -> str:
        """In per cent, `92.98 ± 0.70`."""
        return f"{100 * self.mean:.2f}" + ("" if self.sd is None else f" ± {100 * self.sd:.2f}")


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

    def interval(self) -> str:
        """In points, `-0.10 to +0.42`; a dash for one pair."""
        if self.low is None or self.high is None:
            return NONE
        return f"{100 * self.low:+.2f} to {100 * self.high:+.2f}"


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
        found[name] = replace(pair, p_holm=p)
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
    n, side = len(pair.seeds), "above" if pair.mean >= 0 else "below"
    told = f"{other} is {abs(100 * pair.mean):.2f} points {side} {reference}"
    if pair.p_holm is None:
        return f"{told} in the one seed they share: no evidence."
    found = f"95 % interval {pair.interval()}; {n} paired seeds, Wilcoxon p = {pair.p_holm:.3g} after Holm"
    if pair.p_holm <= _LEVEL:
        return f"{told} ({found}): established."
    if 2.0 ** (1 - n) > _LEVEL:
        return f"{told} on average ({found}): so few seeds cannot establish a difference by this test."
    return f"No difference between {other} and {reference} is established ({found})."


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
