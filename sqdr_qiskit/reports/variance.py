"""Variance of the circuit's gradient: against its size (figure 5), and while training beside the bound of
theorem 2 (figure 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.figures import draw_band
from sqdr_qiskit.reports.page import COLOURS, COLUMN, PAGE, house_style, new_figure
from sqdr_qiskit.reports.tables import NONE, Table

__all__ = [
    "log_axis",
    "training_variance_figure",
    "training_variance_table",
    "variance_figure",
    "variance_table",
]

Row = Mapping[str, Any]

_NAMES = {
    "uniform-2pi": "U(0, 2π)",
    "normal-2pi": "N(0, 1) in [0, 2π]",
    "uniform-1": "U(0, 1)",
    "normal-1": "N(0, 1) in [0, 1]",
}
_PANELS = {"local": "Z on one qubit", "global": "Z on all qubits"}

_SHOWN = 12
# What theorem 2 compares: key of a row -> line and words. The bound is the derivative without a head.
_THEOREM: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "head": ({"linestyle": "-"}, "W f′, with head"),
    "theorem_2": ({"linestyle": "", "marker": "o", "fillstyle": "none"}, "by equation 11"),
    "circuit": ({"linestyle": "--"}, "f′, the bound"),
    "logits": ({"linestyle": "-.", "linewidth": 0.9}, "logits, Σ W f′"),
}


@house_style()
def variance_figure(points: Sequence[Row], *, title: str = "") -> Figure:
    """Variance of the first weight's derivative against the number of qubits, a line for each initialisation.

    Args:
        points: Rows with `n_qubits`, `initialisation`, `observable`, `variance_first` and `standard_error`.
        title: Says what was measured.

    Raises:
        ArgumentError: If there is no point.
    """
    if not points:
        raise ArgumentError("Argument `points` must have at least one point, but is empty.")
    kinds = list(dict.fromkeys(str(point["observable"]) for point in points))
    names = list(dict.fromkeys(str(point["initialisation"]) for point in points))
    figure = new_figure(COLUMN if len(kinds) == 1 else PAGE, 3.1, title)
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
            low = np.maximum(heights - errors, heights / 10)
            draw_band(axes, n, heights, low, heights + errors, number=number, label=_NAMES.get(name, name))
        log_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.set_title(_PANELS.get(kind, kind))
        axes.set_xlabel("qubits")
        axes.set_ylabel("variance of ∂⟨O⟩/∂θ₁")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(kinds))
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


@house_style()
def training_variance_figure(runs: Mapping[str, Sequence[Row]], *, title: str = "") -> Figure:
    """Two panels: the variance of the loss's gradient over training, a line for each run, dashed its mean
    over the run; and, if a run has a head, the two sides of theorem 2.

    Args:
        runs: By name, rows with `step` and `loss`, and with a head `circuit`, `head`, `theorem_2` and maybe
            `logits`; see `training.gradient_studies.training_variance`.
        title: Says which runs.

    Raises:
        ArgumentError: If there is no row.

    Source: Luu et al., arXiv 2512.03895, figure 4 and theorem 2.
    """
    if not any(runs.values()):
        raise ArgumentError("Argument `runs` must have at least one row, but has none.")
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(runs)}
    headed = {name: rows for name, rows in runs.items() if rows and "head" in rows[0]}
    figure = new_figure(PAGE if headed else COLUMN, 3.1, title)
    panels = figure.subplots(1, 2 if headed else 1, squeeze=False)[0]
    for name, rows in runs.items():
        heights = _draw(panels[0], rows, "loss", colours[name], {})
        panels[0].axhline(float(heights.mean()), color=colours[name], linestyle="--", linewidth=0.9)
    panels[0].set_title("gradient of the loss")
    panels[0].set_ylabel("variance")
    if headed:
        keys = [key for key in _THEOREM if any(key in row for rows in headed.values() for row in rows)]
        for name, rows in headed.items():
            for key in keys:
                _draw(panels[1], rows, key, colours[name], _THEOREM[key][0])
        panels[1].set_title("theorem 2")
        panels[1].legend(
            [Line2D([], [], **{"color": "#333333", "linewidth": 1.2, **_THEOREM[key][0]}) for key in keys],
            [_THEOREM[key][1] for key in keys],
        )
    for axes in panels:
        log_axis(axes)
        axes.set_xlabel("training steps")
    handles = [Line2D([], [], color=colour) for colour in colours.values()]
    figure.legend(handles, list(colours), loc="outside lower center", ncols=2)
    return figure


def training_variance_table(runs: Mapping[str, Sequence[Row]], *, title: str = "") -> Table:
    """At most twelve epochs of each run, the first and the last among them, then the run's means.

    Columns: the variance of the loss's gradient; theorem 2's two sides, Var[W f'] and its bound Var[f'];
    equation 11 for the first; Var[W] + E[W]^2, and whether it is at least 1, the theorem's condition; and
    whether the bound was met.
    """
    table = []
    for name, rows in runs.items():
        places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SHOWN)).round().astype(int))
        for place in places:
            row = rows[place]
            table.append((name, str(row["epoch"]), f"{row['step']:,}", *_cells(row)))
        if len(rows) > 1:
            shared = [key for key in rows[-1] if all(key in row for row in rows)]
            table.append(
                (name, "mean", "", *_cells({k: float(np.mean([r[k] for r in rows])) for k in shared}))
            )
    headers = (
        "run", "epoch", "step", "Var ∂loss/∂w", "Var W f′", "bound Var f′", "equation 11", "Var W + (E W)²",
        "condition", "bound met",
    )  # fmt: skip
    return Table(headers, tuple(table), frozenset(range(1, 8)), title)


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


def _cells(row: Row) -> tuple[str, ...]:
    numbers = tuple(
        f"{row[key]:.2e}" if key in row else NONE for key in ("loss", "head", "circuit", "theorem_2")
    )
    if "head" not in row:
        return (*numbers, NONE, NONE, NONE)
    condition = f"{row['condition']:.3f}"
    return (*numbers, condition, _yes(row["condition"] >= 1.0), _yes(row["head"] >= row["circuit"]))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _draw(axes: Axes, rows: Sequence[Row], key: str, colour: str, look: Mapping[str, Any]) -> np.ndarray:
    some = [row for row in rows if key in row]
    heights = np.array([float(row[key]) for row in some])
    every = max(1, len(some) // _SHOWN) if "marker" in look else None
    style = {"color": colour, "linewidth": 1.2, "markevery": every, **look}
    axes.plot([float(row["step"]) for row in some], heights, **style)
    return heights
