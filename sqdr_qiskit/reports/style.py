"""How every figure looks, and how it is written: quiet axes, colours that colour-blind readers tell apart."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sqdr_qiskit.records import write_bytes

__all__ = ["COLOURS", "DASHES", "MARKERS", "house_style", "new_figure", "save_figure"]

# Okabe and Ito's palette, strongest contrasts first; markers and dashes say the same without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

_INK, _PALE = "#333333", "#DDDDDD"
_SETTINGS: Any = {  # matplotlib types the keys differently from version to version
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": _INK,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
    "font.size": 11,
    "grid.color": _PALE,
    "grid.linewidth": 0.8,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.5,
    "text.color": _INK,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@contextmanager
def house_style() -> Iterator[None]:
    """While the context lasts, new figures look like ours; the caller's own settings come back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """An empty figure of `width` x `height` inches with its title, which nothing global remembers."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    columns = int(width / 0.105)  # inches a letter takes on average at this size
    lines = [textwrap.fill(line, columns) for line in (title, subtitle) if line]
    if lines:
        figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=12.5, linespacing=1.35)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes.

    Returns:
        The path.

    Raises:
        StorageError: If the file cannot be written.
    """
    picture = io.BytesIO()
    with house_style():
        figure.savefig(picture, format="png", metadata={"Software": None})
    return write_bytes(path, picture.getvalue())
