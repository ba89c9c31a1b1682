"""Figures of runs: learning curves, confusion, noise sweeps, a device beside the exact engine, error budgets.

Every function takes plain values, as they stand in a run's JSON files, and returns a figure for
`save_figure`. Accuracies start at 0 or the figure says that they do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.page import COLOURS, COLUMN, DASHES, MARKERS, PAGE, house_style, new_figure
from sqdr_qiskit.reports.tables import channel_name, percent

__all__ = [
    "MANY_CLASSES",
    "accuracy_axis",
    "column",
    "confusion_figure",
    "draw_band",
    "error_budget_figure",
    "expectation_figure",
    "learnt_figure",
    "line_style",
    "noise_sweep_figure",
    "output_error_figure",
    "percent_axis",
    "standard_error",
    "training_curves",
]

Row = Mapping[str, Any]

_GREY = "#888888"
_MANY = 1500  # points; as vectors they would make a page megabytes long
_SHORT_PERCENT = FuncFormatter(lambda value, place: f"{round(100 * value, 6):g} %")
MANY_CLASSES = 40  # up to here a confusion matrix has room for names and numbers


@house_style()
def training_curves(
    history: Sequence[Row],
    *,
    title: str = "",
    curves: Sequence[str] = ("loss", "accuracy"),
) -> Figure:
    """Loss and accuracy over the epochs, of training and, where there is one, of validation.

    Args:
        history: One row per epoch with `epoch`, `loss` (nats), `accuracy` (0 to 1) and, or None for them,
            `validation_loss` and `validation_accuracy`; or one per step with `step` in its place.
        title: Says which run.
        curves: Which of the two, side by side over both columns of a journal; one alone fits one column.

    Raises:
        ArgumentError: If there is no row.
    """
    if not history:
        raise ArgumentError("Argument `history` must have at least one epoch, but is empty.")
    unit = "epoch" if "epoch" in history[0] else "step"
    places = column(history, unit)
    figure = new_figure(PAGE if len(curves) > 1 else COLUMN, 2.7, title)
    for axes, key in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        for number, (name, words) in enumerate(((key, "training"), (f"validation_{key}", "validation"))):
            values = column(history, name)
            known = np.isfinite(values)
            if known.any():
                style = line_style(number, marked=int(known.sum()) <= 25)
                axes.plot(places[known], values[known], label=words, **style)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03)
        if key == "loss":
            axes.set_title("Loss (cross entropy)")
            axes.set_ylim(0.0, 1.05 * axes.get_ylim()[1])
        else:
            axes.set_title("Accuracy")
            accuracy_axis(axes, label="")
            _mark_best(axes, unit, places, column(history, "validation_accuracy"))
        axes.legend(loc="best")
    return figure


@house_style()
def confusion_figure(confusion: ArrayLike, class_names: Sequence[str], *, title: str = "") -> Figure:
    """What was taken for what: image counts, coloured by their share of the true class.

    Args:
        confusion: Integer array of shape (classes, classes): images of the row's class taken for the
            column's.
        class_names: One name per class.
        title: Says which run and which images; a second line says the accuracy and the number of images.

    Raises:
        ArgumentError: If the matrix is not square, or the names do not match it.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    n_classes = len(class_names)
    if counts.shape != (n_classes, n_classes) or n_classes == 0:
        raise ArgumentError(
            f"Argument `confusion` must be of shape ({n_classes}, {n_classes}), one row and column "
            f"for each of the class names, but is of shape {counts.shape}."
        )
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    right = int(np.trace(counts))
    subtitle = f"{percent(right / max(int(counts.sum()), 1))} of {counts.sum():,} images right"
    longest = max(map(len, class_names))
    many = n_classes > MANY_CLASSES  # names and numbers would be too small to read
    width = max(COLUMN, 0.9 + 0.275 * min(n_classes, MANY_CLASSES) + 0.055 * longest)
    figure = new_figure(width, width + 0.1, title, subtitle)
    axes = figure.subplots()
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    # The square root lets rare mistakes show beside a full diagonal.
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
    for row, place in zip(*np.nonzero(counts if not many else np.zeros((1, 1))), strict=True):
        dark = math.sqrt(shares[row, place]) > 0.55
        count = int(counts[row, place])
        text = f"{count:,}" if count < 1000 else str(count) if count < 10_000 else f"{count:.0e}"
        ink = "white" if dark else "#333333"
        axes.text(place, row, text, ha="center", va="center", fontsize=6.5, color=ink)
    for row in range(0 if many else n_classes):
        recall = percent(shares[row, row], 1) if totals[row, 0] else "–"
        axes.text(n_classes - 0.35, row, recall, ha="left", va="center", fontsize=7)
    if not many:
        axes.text(n_classes - 0.35, -0.75, "right", ha="left", va="center", fontsize=7)
        axes.set_xticks(range(n_classes), class_names, rotation=45 if longest > 3 else 0)
        axes.set_yticks(range(n_classes), class_names)
    if not many and longest > 3:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    return figure


@house_style()
def noise_sweep_figure(
    points: Sequence[Row],
    *,
    title: str = "",
    noiseless: float | None = None,
    chance: float | None = None,
) -> Figure:
    """Accuracy against the strength of the noise, a line for each channel and a band for its error.

    Args:
        points: Rows with `channel` (kind), `strength` (error probability or damping, 0 to 1), `accuracy` (0
            to 1) and, if known, `n_images`, of which the band shows one binomial standard error; in any
            order.
        title: Says which run.
        noiseless: Accuracy without noise, as a line of its own.
        chance: Accuracy of guessing, as a line of its own.

    Raises:
        ArgumentError: If there is no point to show.
    """
    if not points:
        raise ArgumentError("Argument `points` must have at least one point to show, but has none.")
    figure = new_figure(COLUMN, 2.9, title)
    axes = figure.subplots()
    for number, channel in enumerate(dict.fromkeys(str(point["channel"]) for point in points)):
        line = sorted((p for p in points if p["channel"] == channel), key=lambda p: float(p["strength"]))
        strengths, heights = column(line, "strength"), column(line, "accuracy")
        error = standard_error(heights, column(line, "n_images"))
        draw_band(
            axes, strengths, heights, heights - error, heights + error, number=number,
            label=channel_name(channel),
        )  # fmt: skip
    # In the legend and not beside their lines, where curves pass.
    for value, words, dashes in ((noiseless, "no noise", (4, 2)), (chance, "guessing", (1, 1.5))):
        if value is not None:
            label = f"{words}, {percent(value, 1)}"
            axes.axhline(value, color=_GREY, linewidth=0.9, linestyle=(0, dashes), zorder=1, label=label)
    percent_axis(axes.xaxis)
    axes.set_xlabel("noise strength after each gate")
    accuracy_axis(axes)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@house_style()
def expectation_figure(found: Row) -> Figure:
    """Each expectation value of a run against the exact one, with the line of equal values.

    Args:
        found: `ran` and `exact`, rows of expectation values; `slope`; `backend`.
    """
    exact, ran = np.asarray(found["exact"]).ravel(), np.asarray(found["ran"]).ravel()
    figure = new_figure(COLUMN, 3.4, "")
    axes = figure.subplots()
    axes.grid(True, axis="both")
    axes.plot([-1, 1], [-1, 1], color=_GREY, linewidth=0.9, label="equal")
    slope = float(found["slope"])
    words = f"slope {slope:.3f}"
    axes.plot([-1, 1], [-slope, slope], color=COLOURS[1], linewidth=1.1, linestyle="--", label=words)
    size, opacity = (9, 0.75) if len(exact) <= 500 else (4, 0.3)
    axes.scatter(
        exact, ran, s=size, color=COLOURS[0], alpha=opacity, linewidths=0, zorder=3,
        rasterized=len(exact) > _MANY,
    )  # fmt: skip
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.set_xlabel("⟨Z⟩, exact engine")
    axes.set_ylabel(f"⟨Z⟩, {found['backend']}")
    axes.legend(loc="upper left")
    return figure


@house_style()
def learnt_figure(held_out: Sequence[Sequence[float]]) -> Figure:
    """Deviations of measured values from two predictions, in standard errors, over what is predicted.

    Args:
        held_out: Rows of: measured, predicted by the calibration, predicted as learnt, standard error.
    """
    table = np.asarray(held_out, dtype=float)
    deviations = (table[:, :1] - table[:, 1:3]) / table[:, 3:]
    widest = max(4.0, 1.1 * float(np.abs(deviations).max()))
    figure = new_figure(PAGE, 2.9, "")
    both = figure.subplots(1, 2, sharey=True)
    for number, (axes, words) in enumerate(zip(both, ("by the calibration", "as learnt"), strict=True)):
        axes.axhspan(-1.96, 1.96, color=_GREY, alpha=0.2, linewidth=0)
        axes.scatter(
            table[:, 1 + number], deviations[:, number], s=8, color=COLOURS[number], alpha=0.6,
            linewidths=0, zorder=3, rasterized=len(table) > _MANY,
        )  # fmt: skip
        axes.set(xlim=(-1.05, 1.05), ylim=(-widest, widest))
        axes.set_xlabel(f"⟨Z⟩, predicted {words}")
    both[0].set_ylabel("deviation, standard errors")
    return figure


@house_style()
def output_error_figure(found: Row) -> Figure:
    """Mean error of each output's expectation values, beside what sampling alone would give.

    Args:
        found: `per_output`, mean |error| of each; `sampling_error` (root mean square), or None.
    """
    errors = np.asarray(found["per_output"])
    figure = new_figure(COLUMN, 3.4, "")
    axes = figure.subplots()
    axes.bar(np.arange(len(errors)), errors, 0.75, color=COLOURS[0])
    if found["sampling_error"]:
        # the mean of |x| is sqrt(2 / pi) of the root mean square, for a normal distribution
        level = float(np.sqrt(2.0 / np.pi) * found["sampling_error"])
        axes.axhline(level, color=COLOURS[1], linewidth=1.1, linestyle="--", label="sampling alone")
        axes.legend(loc="upper right")
    axes.set_ylim(0.0, 1.25 * max(float(errors.max()), found["sampling_error"] or 0.0, 1e-9))
    axes.set_xticks(range(0, len(errors), 1 if len(errors) <= 12 else 2))
    axes.set_xlabel("output (qubit)")
    axes.set_ylabel("mean error of ⟨Z⟩")
    return figure


@house_style()
def error_budget_figure(budgets: Mapping[str, Mapping[str, float]]) -> Figure:
    """Where errors come from: a bar for each layout as long as its probability of an error, in per cent.

    Args:
        budgets: Layout -> source of errors -> -log of the fidelity that it leaves. Fidelities multiply, so
            each source's part of a bar is its share of the sum of the logarithms.
    """
    sources = list(dict.fromkeys(source for budget in budgets.values() for source in budget))
    figure = new_figure(COLUMN, 0.85 + 0.42 * len(budgets), "")
    axes = figure.subplots()
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    ends = np.zeros(len(budgets))
    totals = np.array([sum(budget.values()) for budget in budgets.values()])
    failed = -np.expm1(-totals)
    for number, source in enumerate(sources):
        losses = np.array([budget.get(source, 0.0) for budget in budgets.values()])
        parts = failed * losses / np.maximum(totals, 1e-300)
        colour = COLOURS[(0, 5, 4, 2, 1, 3, 6)[number % 7]]
        axes.barh(range(len(budgets)), parts, 0.6, left=ends, label=source, color=colour)
        ends += parts
    axes.set_yticks(range(len(budgets)), list(budgets))
    axes.invert_yaxis()
    for place, end in enumerate(ends):
        axes.annotate(
            _percent_short(end), (end, place), (3, 0), textcoords="offset points", va="center", fontsize=7
        )
    axes.set_xlim(0.0, 1.17 * float(ends.max()) or 1.0)
    percent_axis(axes.xaxis)
    axes.set_xlabel("probability of an error")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


# ---- what the figures of this and of other files share -----------------------------------------------------


def column(rows: Sequence[Row], key: str) -> NDArray[np.float64]:
    """One value per row, not-a-number where a row has none: shape (rows,)."""
    return np.array([math.nan if row.get(key) is None else float(row[key]) for row in rows])


def line_style(number: int, *, marked: bool) -> dict[str, Any]:
    """Colour, dash and marker of the line of that number."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[(number + number // len(COLOURS)) % len(DASHES)],  # no pair twice among 49
        "marker": MARKERS[number % len(MARKERS)] if marked else "",
    }


def draw_band(
    axes: Axes, x: ArrayLike, heights: ArrayLike, low: ArrayLike, high: ArrayLike, *, number: int,
    label: str | None, marked: bool = True,
) -> None:  # fmt: skip
    """The line of that number, over a band from low to high; no band where these are not numbers."""
    style = line_style(number, marked=marked)
    axes.plot(x, heights, label=label, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)


def standard_error(accuracy: ArrayLike, n_images: ArrayLike) -> NDArray[np.float64]:
    """Binomial standard error of an accuracy, sqrt(a (1 - a) / n)."""
    a = np.asarray(accuracy, dtype=np.float64)
    return np.asarray(np.sqrt(a * (1.0 - a) / np.asarray(n_images, dtype=np.float64)))


def accuracy_axis(axes: Axes, *, label: str = "accuracy") -> None:
    """Per cent, from 0 if the lower half of the axis is in use; where it starts higher, it says so."""
    percent_axis(axes.yaxis)
    axes.set_ylabel(label)
    low, high = axes.get_ylim()
    if low < 0.45:
        axes.set_ylim(0.0, min(max(high, 1e-3), 1.02))
        return
    axes.set_ylim(low, min(high, 1.0 + 0.02 * (1.0 - low)))
    axes.set_ylabel(f"{label} (axis cut)".strip())


def percent_axis(axis: Axis) -> None:
    """Ticks in per cent."""
    axis.set_major_formatter(_SHORT_PERCENT)


def _percent_short(value: float) -> str:
    """A probability as per cent with three digits, more where it is close to 1."""
    if value > 0.999:
        return f"{100 * value:.4g} %"
    return f"{100 * value:.3g} %"


def _mark_best(axes: Axes, unit: str, places: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Point out the best validation accuracy, the first of equals."""
    if not np.isfinite(values).any():
        return
    best = int(np.nanargmax(values))
    axes.plot(
        places[best], values[best], marker="o", markersize=8, markerfacecolor="none", markeredgewidth=1.2,
        color=COLOURS[1],
    )  # fmt: skip
    axes.set_title(f"Accuracy; best validation {percent(values[best])}, {unit} {places[best]:.0f}")
