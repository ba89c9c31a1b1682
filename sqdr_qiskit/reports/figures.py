"""Figures from records.

Every function takes plain values, as they stand in a run's JSON files, and returns a figure for
`save_figure`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.style import COLOURS, DASHES, MARKERS, house_style, new_figure

__all__ = ["accuracy_bars", "confusion_figure", "noise_sweep_figure", "training_curves"]

Row = Mapping[str, Any]

_SHORT_PERCENT = FuncFormatter(lambda value, place: f"{round(100 * value, 6):g} %")


def training_curves(
    history: Sequence[Row],
    *,
    title: str = "",
    subtitle: str = "",
    curves: Sequence[str] = ("loss", "accuracy"),
) -> Figure:
    """Loss and accuracy over the epochs, of training and, where there is one, of validation.

    Args:
        history: One row per epoch with `epoch`, `loss` (nats), `accuracy` (0 to 1) and, or None for them,
            `validation_loss` and `validation_accuracy`.
        title: Says which run.
        subtitle: A second line.
        curves: Which of the two, side by side.

    Raises:
        ArgumentError: If there is no row.
    """
    if not history:
        raise ArgumentError("Argument `history` must have at least one epoch, but is empty.")
    epochs = _column(history, "epoch")
    with house_style():
        figure = new_figure(4.0 * len(curves), 3.7, title, subtitle)
        labels = {"loss": "Loss (cross entropy)", "accuracy": "Accuracy"}
        for axes, key in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
            for number, (name, words) in enumerate(((key, "training"), (f"validation_{key}", "validation"))):
                values = _column(history, name)
                if np.isfinite(values).any():
                    axes.plot(epochs, values, label=words, **_line(number, marked=len(epochs) <= 25))
            axes.set_title(labels[key])
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
            axes.margins(x=0.03)
            if key == "loss":
                axes.set_ylim(0.0, 1.05 * axes.get_ylim()[1])
                axes.legend(loc="best")
            else:
                axes.yaxis.set_major_formatter(_SHORT_PERCENT)
                if len(epochs) == 1:
                    axes.set_ylim(0.0, 1.05)
                _mark_best(axes, epochs, _column(history, "validation_accuracy"))
    return figure


def confusion_figure(
    confusion: ArrayLike, class_names: Sequence[str], *, title: str = "", subtitle: str = ""
) -> Figure:
    """What was taken for what: image counts, coloured by their share of the true class.

    Args:
        confusion: Integer array of shape (classes, classes): images of the row's class taken for the
            column's.
        class_names: One name per class.
        title: Says which run and which images.
        subtitle: A second line; without one, the accuracy and the number of images.

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
    subtitle = subtitle or f"{_percent(right / max(int(counts.sum()), 1))} of {counts.sum():,} images right"
    longest = max(map(len, class_names))
    width = max(4.8, 1.9 + 0.58 * n_classes + 0.085 * longest)
    with house_style():
        figure = new_figure(width, width - 0.15, title, subtitle)
        axes = figure.subplots()
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        # The square root lets rare mistakes show beside a full diagonal.
        axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = math.sqrt(shares[row, column]) > 0.55
            text = (
                f"{counts[row, column]:,}" if counts[row, column] < 10_000 else f"{counts[row, column]:.0e}"
            )
            axes.text(
                column, row, text, ha="center", va="center", fontsize=9, color="white" if dark else "#333333"
            )
        for row in range(n_classes):
            recall = _percent(shares[row, row], 1) if totals[row, 0] else "–"
            axes.text(n_classes - 0.35, row, recall, ha="left", va="center", fontsize=9)
        axes.text(n_classes - 0.35, -0.75, "right", ha="left", va="center", fontsize=9)
        axes.set_xticks(range(n_classes), class_names, rotation=45 if longest > 3 else 0)
        if longest > 3:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n_classes), class_names)
        axes.tick_params(length=0)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class")
    return figure


def noise_sweep_figure(
    points: Sequence[Row],
    *,
    title: str = "",
    subtitle: str = "",
    noiseless: float | None = None,
    chance: float | None = None,
    log: bool = False,
    width: float = 6.6,
) -> Figure:
    """Accuracy against the strength of the noise, a line for each channel.

    Args:
        points: Rows with `channel` (name), `strength` (error probability or damping, 0 to 1), `accuracy` (0
            to 1) and, if known, `spread` (standard deviation over runs), in any order.
        title: Says which run.
        subtitle: A second line.
        noiseless: Accuracy without noise, as a line of its own.
        chance: Accuracy of guessing, as a line of its own.
        log: Logarithmic strengths; a point at strength 0 is then left out.
        width: Of the figure, inches.

    Raises:
        ArgumentError: If there is no point to show.
    """
    shown = [point for point in points if not log or point["strength"] > 0.0]
    if not shown:
        raise ArgumentError("Argument `points` must have at least one point to show, but has none.")
    with house_style():
        figure = new_figure(width, 4.1, title, subtitle)
        axes = figure.subplots()
        for value, words in ((noiseless, "no noise"), (chance, "guessing")):
            if value is not None:
                axes.axhline(value, color="#888888", linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
                axes.annotate(
                    f"{words} {_percent(value, 1)}", (1.0, value), (0, 3), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", va="bottom", fontsize=9, color="#666666",
                )  # fmt: skip
        for number, channel in enumerate(dict.fromkeys(str(point["channel"]) for point in shown)):
            line = sorted((p for p in shown if p["channel"] == channel), key=lambda p: float(p["strength"]))
            strengths, heights = _column(line, "strength"), _column(line, "accuracy")
            axes.plot(strengths, heights, label=channel, **_line(number, marked=True))
            spread = _column(line, "spread")
            if np.isfinite(spread).any():
                low, high = heights - np.nan_to_num(spread), heights + np.nan_to_num(spread)
                colour = COLOURS[number % len(COLOURS)]
                axes.fill_between(strengths, low, high, color=colour, alpha=0.15, linewidth=0)
        if log:
            axes.set_xscale("log")
            axes.set_xticks(sorted({float(point["strength"]) for point in shown}))
            axes.minorticks_off()
        axes.xaxis.set_major_formatter(_SHORT_PERCENT)
        more = " (error probability or damping, each gate)" if width > 6.0 else ", each gate"
        axes.set_xlabel(f"noise strength{more}")
        _accuracy_axis(axes)
        figure.legend(loc="outside lower center", ncols=4 if width > 6.0 else 2)
    return figure


def accuracy_bars(rows: Sequence[Row], *, title: str = "", subtitle: str = "") -> Figure:
    """Accuracies side by side: a group for each model, in it a bar for each backend.

    Args:
        rows: Rows with `model` (name of the group), `backend` (name of the bar), `accuracy` (0 to 1) and, if
            known, `n_images`: then a whisker shows one binomial standard error, sqrt(a (1 - a) / n_images).
        title: Says which images.
        subtitle: A second line.

    Raises:
        ArgumentError: If there is no row.
    """
    if not rows:
        raise ArgumentError("Argument `rows` must have at least one row, but is empty.")
    models = list(dict.fromkeys(str(row["model"]) for row in rows))
    backends = list(dict.fromkeys(str(row["backend"]) for row in rows))
    step = 0.8 / len(backends)
    with house_style():
        figure = new_figure(max(4.4, 1.4 + 0.62 * len(models) * (len(backends) + 0.6)), 4.1, title, subtitle)
        axes = figure.subplots()
        for number, backend in enumerate(backends):
            own = [row for row in rows if row["backend"] == backend]
            places = [
                models.index(str(row["model"])) + (number - (len(backends) - 1) / 2) * step for row in own
            ]
            heights = _column(own, "accuracy")
            images = _column(own, "n_images")
            errors = np.nan_to_num(np.sqrt(heights * (1.0 - heights) / images))
            axes.bar(
                places, heights, 0.92 * step, label=backend, color=COLOURS[number % len(COLOURS)],
                yerr=errors if errors.any() else None,
                error_kw={"elinewidth": 1.2, "capsize": 2.5, "ecolor": "#333333"},
            )  # fmt: skip
            for place, height, error in zip(places, heights, errors, strict=True):
                axes.annotate(
                    f"{100 * height:.1f}", (place, height + error), (0, 2), textcoords="offset points",
                    ha="center", va="bottom", fontsize=9,
                )  # fmt: skip
        axes.set_xticks(range(len(models)), models)
        axes.tick_params(axis="x", length=0)
        _accuracy_axis(axes)
        axes.set_ylim(0.0, 1.08)
        axes.set_yticks(np.linspace(0.0, 1.0, 6))
        figure.legend(loc="outside lower center", ncols=min(len(backends), 4))
    return figure


def _column(rows: Sequence[Row], key: str) -> NDArray[np.float64]:
    """One value per row, not-a-number where a row has none: shape (rows,)."""
    return np.array([math.nan if row.get(key) is None else float(row[key]) for row in rows])


def _line(number: int, *, marked: bool) -> dict[str, Any]:
    """Colour, dash and marker of the line of that number."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)] if marked else "",
    }


def _mark_best(axes: Axes, epochs: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Point out the best validation accuracy, the first of equals."""
    if not np.isfinite(values).any():
        return
    best = int(np.nanargmax(values))
    axes.plot(
        epochs[best], values[best], marker="o", markersize=11, markerfacecolor="none", markeredgewidth=1.6,
        color=COLOURS[1],
    )  # fmt: skip
    axes.text(
        0.98, 0.04, f"best validation {_percent(values[best])}, epoch {epochs[best]:.0f}",
        transform=axes.transAxes, ha="right", va="bottom", fontsize=10, color=COLOURS[1],
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def _accuracy_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(_SHORT_PERCENT)
    axes.set_ylabel("accuracy")


def _percent(value: float, decimals: int = 2) -> str:
    return f"{100 * value:.{decimals}f} %"
