"""Runs side by side, shown: the page, its tables in every format, and its figures."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sqdr_qiskit import records
from sqdr_qiskit.reports.comparison import Comparison, Group, Run
from sqdr_qiskit.reports.figures import accuracy_axis, column, draw_band, percent_axis, standard_error
from sqdr_qiskit.reports.page import (
    COLOURS,
    COLUMN,
    PAGE,
    PALE,
    figure_img,
    house_style,
    new_figure,
    render,
    save_figure,
)
from sqdr_qiskit.reports.tables import Table, channel_name, runs_table
from sqdr_qiskit.reports.variance import log_axis, training_variance_figure

__all__ = ["comparison_figures", "write_comparison"]

_NOTE = (
    "Test accuracy, mean ± sample standard deviation over seeds; each run looks at the test images once, at "
    "its end. Differences are of paired seeds, with 95 % percentile-bootstrap intervals, Wilcoxon's "
    "signed-rank test and Holm's correction for all comparisons here. The paper's numbers are its validation "
    "accuracies after 100 epochs (Luu et al., arXiv 2512.03895)."
)


def write_comparison(
    comparison: Comparison,
    folder: str | os.PathLike[str],
    *,
    title: str,
    command: str = "",
) -> list[Path]:
    """Write the page, the tables as Markdown, CSV and LaTeX, every scalar of every run as CSV, the figures as
    PDF.

    Args:
        comparison: What to write.
        folder: Where to; made if it is missing.
        title: Of the page.
        command: The words typed.

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
        "report.html": _page(comparison, figures, title=title, command=command),
        "report.md": text + f"\n{_NOTE}\n",
        "report.csv": table.csv(),
        "report.tex": table.latex(),
        "runs.csv": _scalars(comparison).csv(),
        "report.json": records.dump_json({"schema": 1, "title": title, **comparison.to_dict()}),
    }
    written = [records.write_text(place / name, words) for name, words in content.items()]
    return written + [save_figure(figure, place / f"{name}.pdf") for name, (_, figure) in figures.items()]


def _page(
    comparison: Comparison, figures: Mapping[str, tuple[str, Figure]], *, title: str, command: str
) -> str:
    shown = [
        (words, figure_img(figure, words), figure.get_figwidth() > COLUMN)
        for words, figure in figures.values()
    ]
    runs = [run for group in comparison.groups for run in group.runs]
    differences = comparison.differences_table()
    return render(
        "comparison.html",
        {
            "title": title,
            "subtitle": f"{len(runs)} runs, {len(comparison.groups)} ways of training or testing",
            "table": comparison.table(),
            "differences": differences if differences.rows else None,
            "verdicts": comparison.verdicts,
            "figures": shown,
            "commands": list(dict.fromkeys(run["command"] for run in runs)),
            "runs": runs_table(runs),
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


# ---- figures -----------------------------------------------------------------------------------------------


def comparison_figures(comparison: Comparison) -> dict[str, tuple[str, Figure]]:
    """Name -> words and figure, of those that there is something to show in."""
    figures = {
        "variance": (
            "Variance of the gradient: mean over seeds, at the start or while training",
            _variance(comparison),
        ),
        "seeds": (
            "Seeds: each run a point, the mean with one standard deviation, the paper's number",
            _seeds(comparison),
        ),
        "differences": (
            "Paired differences: each seed a point, the mean with its 95 % interval",
            _differences(comparison),
        ),
        "curves": (
            "Learning curves: mean over seeds, band of one standard deviation",
            _curves(comparison),
        ),
        "noise": (
            "Accuracy against noise: mean over runs; band: standard deviation, of one run error",
            _sweeps(comparison),
        ),
    }
    return {name: (words, figure) for name, (words, figure) in figures.items() if figure is not None}


@house_style()
def _seeds(comparison: Comparison) -> Figure | None:
    spreads = {group: group.spread for group in comparison.groups if group.spread is not None}
    if not spreads:
        return None
    rows = [(list(g.by_seed.values()), spread.mean, spread.sd) for g, spread in spreads.items()]
    figure, axes = _forest_plot([group.label for group in spreads], rows, "mean ± sd")
    paper = [(g.paper["accuracy"], place) for place, g in enumerate(spreads) if g.paper is not None]
    if paper:
        axes.plot(
            *zip(*paper, strict=True), label="paper", marker="|", markersize=10, markeredgewidth=1.8,
            linestyle="", color=COLOURS[2],
        )  # fmt: skip
    percent_axis(axes.xaxis)
    axes.set_xlabel("test accuracy" + (" (axis cut)" if axes.get_xlim()[0] > 0.0 else ""))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@house_style()
def _differences(comparison: Comparison) -> Figure | None:
    pairs = {names: pair for names, pair in comparison.pairs.items() if pair is not None}
    if not pairs:
        return None
    reference = next(iter(pairs))[0]
    several = any(other != reference for other, _ in pairs)
    rows = []
    for pair in pairs.values():
        ends = [pair.mean if end is None else end for end in (pair.low, pair.high)]
        error = [[max(100 * (pair.mean - ends[0]), 0.0)], [max(100 * (ends[1] - pair.mean), 0.0)]]
        rows.append((100 * np.asarray(pair.differences), 100 * pair.mean, error))
    labels = [f"{b} − {a}" if several else b for a, b in pairs]
    figure, axes = _forest_plot(labels, rows, "mean, 95 % interval")
    axes.axvline(0.0, color="#888888", linewidth=0.9, zorder=1.5)  # below the means
    axes.set_xlabel("points of test accuracy" + ("" if several else f"\nabove {reference}"))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _forest_plot(labels: Sequence[str], rows: Sequence[tuple[Any, float, Any]], mean: str) -> Any:
    """Figure and axes with a row for each label: its values as points, their mean with its error."""
    figure = new_figure(PAGE if _long(labels) else COLUMN, 0.9 + 0.3 * len(labels), "")
    axes = figure.subplots()
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    for place, (values, centre, error) in enumerate(rows):
        # around the row's height, so that equal values stay apart; the same each time
        heights = place + 0.24 * (np.linspace(-0.5, 0.5, len(values)) if len(values) > 1 else np.zeros(1))
        axes.scatter(
            values, heights, s=11, color=COLOURS[0], alpha=0.6, linewidths=0,
            label="a seed" if place == 0 else None,
        )  # fmt: skip
        axes.errorbar(
            centre, place, xerr=error, fmt="D", color=COLOURS[1], markersize=4, capsize=2.5, elinewidth=1.2,
            label=mean if place == 0 else None,
        )  # fmt: skip
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    return figure, axes


@house_style()
def _curves(comparison: Comparison) -> Figure | None:
    """Loss and accuracy, of many groups in a row of panels for each data set and seven of its groups: the
    row's own in colours, the data set's others pale behind them.
    """
    groups = [group for group in comparison.groups if any(_history(run) for run in group.runs)]
    if not groups:
        return None
    steps = all("step" in _history(run)[0] for group in groups for run in group.runs if _history(run))
    rows, fits = [groups], len(groups) <= len(COLOURS)
    if not fits:
        data = list(dict.fromkeys(str(group.runs[0]["dataset"]) for group in groups))
        of = [[group for group in groups if str(group.runs[0]["dataset"]) == name] for name in data]
        size = len(COLOURS)
        rows = [own[first : first + size] for own in of for first in range(0, len(own), size)]
    columns = 1 if _long([group.label for group in groups]) else 2
    below = 0.17 * math.ceil(len(groups) / columns)
    figure = new_figure(PAGE, 2.9 + below if fits else 2.1 * len(rows), "")
    ratios = [3.0, 3.0] if fits else [3.0, 3.0, 2.6]
    panels = figure.subplots(
        len(rows), len(ratios), squeeze=False, sharex="col", width_ratios=ratios, sharey="col"
    )
    for row, (loss, accuracy, *legend) in zip(rows, panels, strict=True):
        own_data = {str(group.runs[0]["dataset"]) for group in row}
        behind = [] if fits else [g for g in groups if str(g.runs[0]["dataset"]) in own_data]
        for axes, key in ((loss, "loss"), (accuracy, "accuracy")):
            for group in behind:
                if group not in row:
                    mean, _, _ = _mean_curve(group, key, steps=steps)
                    axes.plot(np.arange(1, len(mean) + 1), mean, color=PALE, linewidth=0.8, zorder=1)
            held_out = False
            for number, group in enumerate(row):
                mean, sd, validated = _mean_curve(group, key, steps=steps)
                held_out = held_out or validated
                draw_band(
                    axes, np.arange(1, len(mean) + 1), mean, mean - sd, mean + sd, number=number,
                    label=group.label if key == "loss" else None, marked=len(mean) <= 12,
                )  # fmt: skip
            if row is rows[0]:
                words = "Loss (cross entropy)" if key == "loss" else "Accuracy"
                axes.set_title(words + (", validation" if held_out else ", training"))
            if row is rows[-1]:
                axes.set_xlabel("step" if steps else "epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        for place in legend:
            place.axis("off")
            place.legend(*loss.get_legend_handles_labels(), loc="center left", borderaxespad=0.0)
    for loss, accuracy, *_ in panels:  # they share their scales
        loss.set_ylim(0.0, loss.get_ylim()[1])
        accuracy_axis(accuracy, label="")
    if fits:
        figure.legend(loc="outside lower center", ncols=columns)
    return figure


def _mean_curve(group: Group, key: str, *, steps: bool) -> tuple[np.ndarray, np.ndarray, bool]:
    """Mean and standard deviation over a group's runs, of the validation where there is one, and whether."""
    rows = [_history(run) if steps else run["history"] for run in group.runs if run["history"]]
    held_out = rows[0][0].get(f"validation_{key}") is not None
    values = np.full((len(rows), max(map(len, rows))), math.nan)
    for row, own in zip(values, rows, strict=True):
        row[: len(own)] = column(own, f"validation_{key}" if held_out else key)
    with np.errstate(invalid="ignore"):
        mean = np.nanmean(values, axis=0)
        sd = np.nanstd(values, axis=0, ddof=1) if len(rows) > 1 else np.zeros(values.shape[1])
    return mean, sd, held_out


@house_style()
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
            draw_band(
                axes, strengths, mean, mean - error, mean + error, number=labels.index(label),
                label=label if axes is panels[0] else None,
            )  # fmt: skip
        axes.set_title(channel)
        axes.set_xlabel("strength after each gate")
        percent_axis(axes.xaxis)
    accuracy_axis(panels[0])
    figure.legend(loc="outside lower center", ncols=1 if _long(labels) else 2)
    return figure


@house_style()
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
        name = group.said(but="circuit")
        for run in group.runs:
            if run["variance"]:
                of = lines.setdefault(name or "all runs", {})
                of.setdefault(int(run["n_qubits"]), []).append(float(run["variance"][0]["circuit"]))
    figure = new_figure(COLUMN, 2.9, "")
    axes = figure.subplots()
    for number, (name, by_size) in enumerate(lines.items()):
        sizes = sorted(by_size)
        mean = np.array([np.mean(by_size[n]) for n in sizes])
        sd = np.array([np.std(by_size[n], ddof=1) if len(by_size[n]) > 1 else 0.0 for n in sizes])
        low = np.maximum(mean - sd, mean / 10)
        draw_band(axes, sizes, mean, low, mean + sd, number=number, label=name)
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


def _long(labels: Sequence[str]) -> bool:
    """Whether they need the width of a page."""
    return max(map(len, labels)) > 28


def _history(run: Run) -> list[Mapping[str, Any]]:
    """A row for each step where the run noted its steps, else for each epoch."""
    steps = [step for row in run["history"] for step in row.get("steps", ())]
    return steps or list(run["history"])
