"""Runs side by side: a table with spread beside the paper's numbers, paired differences, figures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sqdr_qiskit import records
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.figures import accuracy_axis, column, line_style, percent_axis, standard_error
from sqdr_qiskit.reports.page import render
from sqdr_qiskit.reports.paper import paper_accuracy
from sqdr_qiskit.reports.statistics import Paired, Spread, compare_pairs, spread_of, verdict
from sqdr_qiskit.reports.style import COLOURS, COLUMN, PAGE, figure_img, house_style, new_figure, save_figure
from sqdr_qiskit.reports.tables import NONE, Table, channel_name, duration, percent
from sqdr_qiskit.reports.variance import log_axis, training_variance_figure

__all__ = ["Comparison", "Group", "compare_runs", "comparison_figures", "runs_table", "write_comparison"]

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
        paper: The paper's row for it (`reports.paper`), or None.
    """

    label: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
    paper: Mapping[str, Any] | None

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
        """Of the best validation accuracy."""
        known = [
            float(run["validation_accuracy"]) for run in self.runs if run["validation_accuracy"] is not None
        ]
        return spread_of(known) if known else None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups of runs, and what their pairs of seeds say.

    Attributes:
        groups: In the order of their first runs.
        pairs: (reference, other) -> the paired difference, None without a shared seed; a group is compared
            with the first of its data set, or with the one that was asked for.
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
                    _with_spread(found),
                    f"{100 * min(values):.2f} to {100 * max(values):.2f}" if len(values) > 1 else NONE,
                    _with_spread(group.validation),
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
            known = pair.low is not None and pair.high is not None
            interval = f"{100 * (pair.low or 0):+.2f} to {100 * (pair.high or 0):+.2f}" if known else NONE
            numbers = [NONE if p is None else f"{p:.3g}" for p in (pair.p, pair.p_holm)]
            rows.append(
                (other, reference, str(len(pair.seeds)), f"{100 * pair.mean:+.2f}", interval, *numbers)
            )
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
        ArgumentError: There is no run, or no such reference.
    """
    if not runs:
        raise ArgumentError("Argument `runs` must have at least one run, but is empty.")
    told = _telling(runs)
    by_key: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        by_key.setdefault(tuple(str(_setting(run, key)) for key in told), []).append(run)
    groups = []
    for own in by_key.values():
        settings = {key: _setting(own[0], key) for key in told}
        label = ", ".join(_said(key, value) for key, value in settings.items() if _said(key, value))
        groups.append(
            Group(
                label or f"{own[0]['circuit']} on {own[0]['dataset']}", settings, tuple(own), _paper(own[0])
            )
        )
    return Comparison(tuple(groups), _pairs(groups, reference))


def runs_table(rows: Sequence[Run], *, title: str = "") -> Table:
    """A list of runs: accuracy, circuit, data, backend, noise, time, state."""
    cells = tuple(
        (
            str(row["run"]),
            percent(row.get("accuracy")),
            *(str(row.get(key) or NONE) for key in ("task", "circuit", "dataset", "backend", "noise")),
            NONE if row.get("seed") is None else str(row["seed"]),
            duration(row["seconds"]) if row.get("seconds") else NONE,
            str(row["state"]),
        )
        for row in rows
    )
    headers = ("run", "accuracy", "task", "circuit", "data", "backend", "noise", "seed", "time", "state")
    return Table(headers, cells, frozenset({1, 7, 8}), title)


def write_comparison(
    comparison: Comparison,
    folder: str | os.PathLike[str],
    *,
    title: str,
    command: str = "",
    page: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write the page, the tables as Markdown, CSV and LaTeX, every scalar of every run as CSV, the figures as
    PDF.

    Args:
        comparison: What to write.
        folder: Where to; made if it is missing.
        title: Of the page.
        command: The words typed.
        page: Where the page goes, if not to `report.html` in the folder.

    Returns:
        The files, the page first.

    Raises:
        StorageError: If one cannot be written.
    """
    place, figures = Path(folder), comparison_figures(comparison)
    table, differences = comparison.table(title=title), comparison.differences_table()
    text = f"# {title}\n\n{table.markdown()}"
    if differences.rows:
        text += "\n" + differences.markdown() + "\n" + "".join(f"- {line}\n" for line in comparison.verdicts)
    content = {
        "report.md": text + f"\n{_NOTE}\n",
        "report.csv": table.csv(),
        "report.tex": table.latex(),
        "runs.csv": _scalars(comparison).csv(),
        "report.json": records.dump_json({"schema": 1, "title": title, **comparison.to_dict()}),
    }
    html = _page(comparison, figures, title=title, command=command)
    written = [records.write_text(page or place / "report.html", html)]
    written += [records.write_text(place / name, words) for name, words in content.items()]
    return written + [save_figure(figure, place / f"{name}.pdf") for name, (_, figure) in figures.items()]


# ---- figures -----------------------------------------------------------------------------------------------


def comparison_figures(comparison: Comparison) -> dict[str, tuple[str, Figure]]:
    """Name -> words and figure, of those that there is something to show in."""
    found: dict[str, tuple[str, Figure]] = {}
    makers: tuple[tuple[str, str, Callable[[Comparison], Figure | None]], ...] = (
        ("variance", "Variance of the gradient: mean over seeds, at the start or while training", _variance),
        (
            "seeds",
            "Seeds: each run a point, the mean with one standard deviation, the paper's number",
            _seeds,
        ),
        (
            "differences",
            "Paired differences: each seed a point, the mean with its 95 % interval",
            _differences,
        ),
        ("curves", "Learning curves: mean over seeds, band of one standard deviation", _curves),
        (
            "noise",
            "Accuracy against noise: mean over runs; band: standard deviation, of one run error",
            _sweeps,
        ),
    )
    for name, words, make in makers:
        figure = make(comparison)
        if figure is not None:
            found[name] = words, figure
    return found


def _seeds(comparison: Comparison) -> Figure | None:
    groups = [group for group in comparison.groups if group.spread is not None]
    if not groups:
        return None
    with house_style():
        figure = new_figure(PAGE if _long(groups) else COLUMN, 0.9 + 0.3 * len(groups), "")
        axes = figure.subplots()
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        mark: dict[str, Any] = {"marker": "|", "markersize": 10, "markeredgewidth": 1.8, "linestyle": ""}
        mark["color"], labelled = COLOURS[2], set()
        for place, group in enumerate(groups):
            values, spread = list(group.by_seed.values()), group.spread
            assert spread is not None
            axes.scatter(
                values, _jitter(place, len(values)), s=11, color=COLOURS[0], alpha=0.6, linewidths=0,
                label="a seed" if place == 0 else None,
            )  # fmt: skip
            axes.errorbar(
                spread.mean, place, xerr=spread.sd, fmt="D", color=COLOURS[1], markersize=4, capsize=2.5,
                elinewidth=1.2, label="mean ± sd" if place == 0 else None,
            )  # fmt: skip
            if group.paper is not None:
                axes.plot(
                    group.paper["accuracy"], place, label=None if "paper" in labelled else "paper", **mark
                )
                labelled.add("paper")
        _names_down(axes, [group.label for group in groups])
        percent_axis(axes.xaxis)
        low = axes.get_xlim()[0]
        axes.set_xlabel("test accuracy" + (" (axis cut)" if low > 0.0 else ""))
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _differences(comparison: Comparison) -> Figure | None:
    pairs = {names: pair for names, pair in comparison.pairs.items() if pair is not None}
    if not pairs:
        return None
    several = len({reference for reference, _ in pairs}) > 1
    labels = [f"{b} − {a}" if several else b for a, b in pairs]
    with house_style():
        figure = new_figure(PAGE if max(map(len, labels)) > 28 else COLUMN, 0.9 + 0.3 * len(pairs), "")
        axes = figure.subplots()
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        axes.axvline(0.0, color="#888888", linewidth=0.9)
        for place, pair in enumerate(pairs.values()):
            points = 100 * np.asarray(pair.differences)
            axes.scatter(
                points, _jitter(place, len(points)), s=11, color=COLOURS[0], alpha=0.6, linewidths=0,
                label="a seed" if place == 0 else None,
            )  # fmt: skip
            low, high = (
                pair.mean if pair.low is None else pair.low,
                pair.mean if pair.high is None else pair.high,
            )
            error = [[max(100 * (pair.mean - low), 0.0)], [max(100 * (high - pair.mean), 0.0)]]
            axes.errorbar(
                100 * pair.mean, place, xerr=error, fmt="D", color=COLOURS[1], markersize=4, capsize=2.5,
                elinewidth=1.2, label="mean, 95 % interval" if place == 0 else None,
            )  # fmt: skip
        _names_down(axes, labels)
        reference = next(iter(pairs))[0]
        axes.set_xlabel("points of test accuracy" + ("" if several else f"\nabove {reference}"))
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _curves(comparison: Comparison) -> Figure | None:
    groups = [group for group in comparison.groups if any(_history(run) for run in group.runs)]
    if not groups:
        return None
    steps = all("step" in _history(run)[0] for group in groups for run in group.runs if _history(run))
    unit = "step" if steps else "epoch"
    with house_style():
        figure = new_figure(PAGE, 2.9 + 0.17 * math.ceil(len(groups) / (1 if _long(groups) else 2)), "")
        panels = figure.subplots(1, 2)
        for axes, key, words in zip(
            panels, ("loss", "accuracy"), ("Loss (cross entropy)", "Accuracy"), strict=True
        ):
            held_out = False
            for number, group in enumerate(groups):
                rows = [_history(run) if steps else run["history"] for run in group.runs if run["history"]]
                name = (
                    f"validation_{key}"
                    if any(rows[0][0].get(f"validation_{key}") is not None for _ in rows)
                    else key
                )
                held_out = held_out or name != key
                length = max(map(len, rows))
                values = np.full((len(rows), length), math.nan)
                for row, own in zip(values, rows, strict=True):
                    row[: len(own)] = column(own, name)
                with np.errstate(invalid="ignore"):
                    mean = np.nanmean(values, axis=0)
                    sd = np.nanstd(values, axis=0, ddof=1) if len(rows) > 1 else np.zeros(length)
                places = np.arange(1, length + 1)
                style = line_style(number, marked=length <= 12)
                axes.plot(places, mean, label=group.label if key == "loss" else None, **style)
                axes.fill_between(places, mean - sd, mean + sd, color=style["color"], alpha=0.15, linewidth=0)
            axes.set_title(words + (", validation" if held_out else ", training"))
            axes.set_xlabel(unit)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
            if key == "loss":
                axes.set_ylim(0.0, axes.get_ylim()[1])
            else:
                accuracy_axis(axes, label="")
        figure.legend(loc="outside lower center", ncols=1 if _long(groups) else 2)
    return figure


def _sweeps(comparison: Comparison) -> Figure | None:
    lines: dict[str, dict[str, dict[float, list[tuple[float, int]]]]] = {}  # channel, group, strength
    for group in comparison.groups:
        for sweep in (sweep for run in group.runs for sweep in run["sweeps"]):
            for point in sweep["points"]:
                own = lines.setdefault(channel_name(point["channel"]), {}).setdefault(group.label, {})
                own.setdefault(float(point["strength"]), []).append(
                    (float(point["accuracy"]), int(sweep["n_images"]))
                )
    if not lines:
        return None
    labels = [group.label for group in comparison.groups if any(group.label in of for of in lines.values())]
    with house_style():
        figure = new_figure(PAGE if len(lines) > 1 else COLUMN, 2.7 + 0.17 * len(labels), "")
        panels = figure.subplots(1, len(lines), squeeze=False, sharey=True)[0]
        for axes, (channel, of) in zip(panels, lines.items(), strict=True):
            for label, by_strength in of.items():
                strengths = sorted(by_strength)
                points = [np.array(by_strength[strength]) for strength in strengths]  # accuracy, images
                mean = np.array([point[:, 0].mean() for point in points])
                error = np.array(
                    [
                        point[:, 0].std(ddof=1) if len(point) > 1 else standard_error(*point[0]).item()
                        for point in points
                    ]
                )
                style = line_style(labels.index(label), marked=True)
                first = axes is panels[0]
                axes.plot(strengths, mean, label=label if first else None, **style)
                axes.fill_between(
                    strengths, mean - error, mean + error, color=style["color"], alpha=0.15, linewidth=0
                )
            axes.set_title(channel)
            axes.set_xlabel("strength after each gate")
            percent_axis(axes.xaxis)
        accuracy_axis(panels[0])
        figure.legend(loc="outside lower center", ncols=1 if max(map(len, labels)) > 28 else 2)
    return figure


def _variance(comparison: Comparison) -> Figure | None:
    """Before training against the number of qubits (figure 5), where the runs have three sizes or more; else
    while training goes on (figure 4).
    """
    groups = [group for group in comparison.groups if any(run["variance"] for run in group.runs)]
    if not groups:
        return None
    if len({run["n_qubits"] for group in groups for run in group.runs}) < 3:
        return training_variance_figure({group.label: _mean_rows(group) for group in groups})
    lines: dict[str, dict[int, list[float]]] = {}
    for group in groups:
        name = ", ".join(
            _said(key, value)
            for key, value in group.settings.items()
            if key != "circuit" and _said(key, value)
        )
        for run in group.runs:
            if run["variance"]:
                of = lines.setdefault(name or "all runs", {})
                of.setdefault(int(run["n_qubits"]), []).append(float(run["variance"][0]["circuit"]))
    with house_style():
        figure = new_figure(COLUMN, 2.9, "")
        axes = figure.subplots()
        for number, (name, by_size) in enumerate(lines.items()):
            sizes = sorted(by_size)
            mean = np.array([np.mean(by_size[n]) for n in sizes])
            sd = np.array([np.std(by_size[n], ddof=1) if len(by_size[n]) > 1 else 0.0 for n in sizes])
            style = line_style(number, marked=True)
            axes.plot(sizes, mean, label=name, **style)
            low = np.maximum(mean - sd, mean / 10)
            axes.fill_between(sizes, low, mean + sd, color=style["color"], alpha=0.15, linewidth=0)
        log_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.set_xlabel("qubits")
        axes.set_ylabel("variance of ∂⟨Z⟩/∂w before training")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _mean_rows(group: Group) -> list[dict[str, float]]:
    """Rows of a group's variance logs, averaged over its runs as far as all of them go."""
    logs = [run["variance"] for run in group.runs if run["variance"]]
    return [
        {
            key: float(np.mean([float(row[key]) for row in rows]))
            for key in rows[0]
            if all(key in row for row in rows)
        }
        for rows in zip(*logs, strict=False)
    ]


def _long(groups: Sequence[Group]) -> bool:
    return max(len(group.label) for group in groups) > 28


def _jitter(place: int, n: int) -> np.ndarray:
    """Heights around a row's, so that equal values stay apart; the same each time."""
    return place + 0.24 * (np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1))


def _names_down(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda place, _: names[int(place)] if 0 <= place < len(names) else "")
    )


def _history(run: Run) -> list[Mapping[str, Any]]:
    """A row for each step where the run noted its steps, else for each epoch."""
    steps = [step for row in run["history"] for step in row.get("steps", ())]
    return steps or list(run["history"])


# ---- the page and the files --------------------------------------------------------------------------------

_NOTE = (
    "Test accuracy, mean ± sample standard deviation over seeds; each run looks at the test images once, at "
    "its end. Differences are of paired seeds, with 95 % percentile-bootstrap intervals, Wilcoxon's "
    "signed-rank test and Holm's correction for all comparisons here. The paper's numbers are its validation "
    "accuracies after 100 epochs (Luu et al., arXiv 2512.03895)."
)


def _page(
    comparison: Comparison, figures: Mapping[str, tuple[str, Figure]], *, title: str, command: str
) -> str:
    shown = [
        (words, figure_img(figure, words), figure.get_figwidth() > COLUMN)
        for words, figure in figures.values()
    ]
    n_runs = sum(len(group.runs) for group in comparison.groups)
    differences = comparison.differences_table()
    return render(
        "comparison.html",
        {
            "title": title,
            "subtitle": f"{n_runs} runs, {len(comparison.groups)} ways of training or testing",
            "table": comparison.table(),
            "differences": differences if differences.rows else None,
            "verdicts": comparison.verdicts,
            "figures": shown,
            "commands": list(
                dict.fromkeys(run["command"] for group in comparison.groups for run in group.runs)
            ),
            "runs": runs_table([run for group in comparison.groups for run in group.runs]),
            "made_by": {
                "command": command,
                **records.versions(("sqdr-qiskit", "numpy", "scipy", "matplotlib")),
            },
            "note": _NOTE,
        },
    )


def _scalars(comparison: Comparison) -> Table:
    """Every number of every epoch of every run, and the test's, one to a row."""
    rows = []
    for group in comparison.groups:
        for run in group.runs:
            head = (str(run["run"]), group.label, str(run["seed"]))
            for row in run["history"]:
                for name, value in row.items():
                    if name != "epoch" and isinstance(value, int | float):
                        rows.append((*head, str(row["epoch"]), name, repr(value)))
            if run["accuracy"] is not None:
                rows.append((*head, "", "test_accuracy", repr(run["accuracy"])))
    return Table(("run", "group", "seed", "epoch", "scalar", "value"), tuple(rows))


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


def _said(key: str, value: Any) -> str:
    words = key.replace("_", " ")
    if value is None:
        return f"no {words}" if key in ("noise", "control", "shots") else ""
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if key in _PLAIN:
        return str(value)
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"


def _paper(run: Run) -> Mapping[str, Any] | None:
    job = run["job"]
    if run["task"] != "train" or not job.get("head", True) or job.get("model") not in (None, "circuit"):
        return None
    given = {key: run["job"].get(key) for key in ("optimiser", "initialisation", "noise")}
    return paper_accuracy({**given, "circuit": run["circuit"], "dataset": run["dataset"]})


def _pairs(groups: Sequence[Group], reference: str | None) -> dict[tuple[str, str], Paired | None]:
    chosen: Group | None = None
    if reference is not None:
        chosen = next(
            (
                g
                for g in groups
                if reference == g.label or any(reference in (r["run"], r["folder"]) for r in g.runs)
            ),
            None,
        )
        if chosen is None:
            names = "; ".join(group.label for group in groups)
            raise ArgumentError(f"Argument `reference` must be one of {names}, but is {reference!r}.")
    by_data: dict[str, list[Group]] = {}
    for group in groups:
        if group.by_seed:
            by_data.setdefault(str(group.runs[0]["dataset"]), []).append(group)
    found: dict[tuple[str, str], Paired | None] = {}
    for own in by_data.values():
        first = chosen if chosen in own else own[0]
        assert first is not None
        others = {group.label: group.by_seed for group in own if group is not first}
        found |= {(first.label, name): pair for name, pair in compare_pairs(first.by_seed, others).items()}
    return found


def _with_spread(found: Spread | None) -> str:
    if found is None:
        return NONE
    return f"{100 * found.mean:.2f}" + ("" if found.sd is None else f" ± {100 * found.sd:.2f}")
