"""A device's expectation values against exact ones, as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sqdr_qiskit.reports.style import COLOURS, house_style, new_figure

__all__ = ["agreement_figure", "error_bars"]


def agreement_figure(found: Mapping[str, Any]) -> Figure:
    """Each expectation value of a run against the exact one, with the line of equal values.

    Args:
        found: `ran` and `exact`, rows of expectation values; `slope`; `backend`.
    """
    exact, ran = np.asarray(found["exact"]).ravel(), np.asarray(found["ran"]).ravel()
    with house_style():
        figure = new_figure(4.0, 3.9, "")
        axes = figure.subplots()
        axes.grid(True, axis="both")
        axes.plot([-1, 1], [-1, 1], color="#888888", linewidth=1.2, label="equal")
        slope = float(found["slope"])
        words = f"slope {slope:.3f}"
        axes.plot([-1, 1], [-slope, slope], color=COLOURS[1], linewidth=1.4, linestyle="--", label=words)
        size, opacity = (14, 0.75) if len(exact) <= 500 else (6, 0.3)
        many = len(exact) > 1500  # as vectors they would make the page megabytes long
        axes.scatter(
            exact, ran, s=size, color=COLOURS[0], alpha=opacity, linewidths=0, zorder=3, rasterized=many
        )
        axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
        axes.set_xticks([-1, -0.5, 0, 0.5, 1])
        axes.set_yticks([-1, -0.5, 0, 0.5, 1])
        axes.set_xlabel("exact engine")
        axes.set_ylabel(str(found["backend"]))
        axes.legend(loc="upper left")
    return figure


def error_bars(found: Mapping[str, Any]) -> Figure:
    """Mean error of each output's expectation values, beside what sampling alone would give.

    Args:
        found: `per_output`, mean |error| of each; `sampling_error` (root mean square), or None.
    """
    errors = np.asarray(found["per_output"])
    with house_style():
        figure = new_figure(4.0, 3.9, "")
        axes = figure.subplots()
        axes.bar(np.arange(len(errors)), errors, 0.75, color=COLOURS[0])
        if found["sampling_error"]:
            # the mean of |x| is sqrt(2 / pi) of the root mean square, for a normal distribution
            level = float(np.sqrt(2.0 / np.pi) * found["sampling_error"])
            axes.axhline(level, color=COLOURS[1], linewidth=1.4, linestyle="--", label="sampling alone")
            axes.legend(loc="upper right")
        axes.set_ylim(0.0, 1.25 * max(float(errors.max()), found["sampling_error"] or 0.0, 1e-9))
        axes.set_xticks(range(0, len(errors), 1 if len(errors) <= 12 else 2))
        axes.set_xlabel("output (qubit)")
        axes.set_ylabel("mean error of <Z>")
    return figure
