"""Variance of the circuit's gradient against its size (figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.style import COLOURS, DASHES, MARKERS, house_style, new_figure
from sqdr_qiskit.reports.tables import Table

__all__ = ["log_axis", "variance_figure", "variance_table"]

Row = Mapping[str, Any]

_NAMES = {
    "uniform-2pi": "U(0, 2π)",
    "normal-2pi": "N(0, 1) in [0, 2π]",
    "uniform-1": "U(0, 1)",
    "normal-1": "N(0, 1) in [0, 1]",
}
_PANELS = {"local": "Z on one qubit", "global": "Z on all qubits"}


def variance_figure(points: Sequence[Row], *, title: str = "", subtitle: str = "") -> Figure:
    """Variance of the first weight's derivative against the number of qubits, a line for each initialisation.

    Args:
        points: Rows with `n_qubits`, `initialisation`, `observable`, `variance_first` and `standard_error`.
        title: Says what was measured.
        subtitle: A second line.

    Raises:
        ArgumentError: If there is no point.
    """
    if not points:
        raise ArgumentError("Argument `points` must have at least one point, but is empty.")
    kinds = list(dict.fromkeys(str(point["observable"]) for point in points))
    names = list(dict.fromkeys(str(point["initialisation"]) for point in points))
    with house_style():
        figure = new_figure(1.4 + 4.6 * len(kinds), 4.3, title, subtitle)
        for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
            for number, name in enumerate(names):
                own = [p for p in points if p["observable"] == kind and p["initialisation"] == name]
                own.sort(key=lambda point: int(point["n_qubits"]))
                own = [point for point in own if point["variance_first"] > 0.0]
                if not own:
                    continue
                n = [int(point["n_qubits"]) for point in own]
                heights = np.array([point["variance_first"] for point in own])
                errors = np.array([point["standard_error"] for point in own])
                colour = COLOURS[number % len(COLOURS)]
                axes.plot(
                    n, heights, label=_NAMES.get(name, name), color=colour, marker=MARKERS[number],
                    linestyle=DASHES[number],
                )  # fmt: skip
                low = np.maximum(heights - errors, heights / 10)
                axes.fill_between(n, low, heights + errors, color=colour, alpha=0.15, linewidth=0)
            log_axis(axes)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
            axes.set_title(_PANELS.get(kind, kind))
            axes.set_xlabel("qubits")
            axes.set_ylabel("variance of ∂⟨O⟩/∂θ₁")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(names), 2 * len(kinds)))
    return figure


def variance_table(points: Sequence[Row], *, title: str = "") -> Table:
    """Variances by size, initialisation and observable."""
    rows = [
        (
            str(point["n_qubits"]),
            str(point["observable"]),
            _NAMES.get(str(point["initialisation"]), str(point["initialisation"])),
            f"{point['variance_first']:.3e}",
            f"{point['standard_error']:.0e}",
            f"{point['variance_reached']:.3e}",
            f"{point['variance_mean']:.3e}",
        )
        for point in points
    ]
    return Table(
        ("qubits", "observable", "weights", "variance, θ1", "±", "mean, light cone", "mean, all weights"),
        tuple(rows),
        right=frozenset({0, 3, 4, 5, 6}),
        title=title,
    )


def log_axis(axes: Axes) -> None:
    """Logarithmic heights over two decades at least, so that scatter does not look like a trend."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    middle = float(np.sqrt(low * high))
    axes.set_ylim(min(low, middle / 10), max(high, middle * 10))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, place: f"{value:.0e}" if value < 1e-3 else f"{value:g}")
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
