"""How pages and figures look, and how they are written: templates, the style of figures, a circuit's drawing.

A page is one HTML file that needs nothing else, no network and no script: its templates stand beside this
file, its figures are SVG inside it.
"""

from __future__ import annotations

import base64
import io
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.records import write_bytes
from sqdr_qiskit.reports.tables import duration, percent

__all__ = [
    "COLOURS",
    "COLUMN",
    "DASHES",
    "INK",
    "MARKERS",
    "PAGE",
    "PALE",
    "circuit_drawing",
    "figure_img",
    "figure_svg",
    "house_style",
    "new_figure",
    "pixels_img",
    "render",
    "require_figure_path",
    "save_figure",
    "svg_drawing",
]

# ---- pages -------------------------------------------------------------------------------------------------

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from a template; every value is escaped unless it is `Markup`.

    Args:
        template: Name of a file in `templates/`.
        context: What the template asks for; a name that is missing is an error, never an empty space.
    """
    return _environment().get_template(template).render(context)


def svg_drawing(template: str, context: Mapping[str, Any]) -> Markup:
    """The same for a drawing inside a page."""
    return Markup(render(template, context))  # autoescaped where it was made


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["duration"] = duration
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    # A stylesheet is no HTML: escaping it would spoil its quotation marks.
    environment.globals["style"] = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment


# ---- how figures look --------------------------------------------------------------------------------------

# Widths in inches, one column of a journal and both: drawn at the size that they are printed in, so that
# text of 7 to 8 points stays as large as that.
COLUMN, PAGE = 3.5, 7.1

# Okabe and Ito's palette, strongest contrasts first; markers and dashes say the same without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

INK, PALE = "#333333", "#DDDDDD"
_SETTINGS: Any = {  # matplotlib types the keys differently from version to version
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
    "font.size": 8,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "pdf.fonttype": 42,  # letters stay letters: journals refuse Type 3 fonts, and text can be searched
    "svg.hashsalt": "sqdr-qiskit",
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "xtick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.color": INK,
    "ytick.major.width": 0.7,
}

# Suffix -> matplotlib's format and the metadata to leave out, so that the same figure gives the same bytes.
_FORMATS: dict[str, tuple[str, dict[str, None]]] = {
    ".png": ("png", {"Software": None}),
    ".pdf": ("pdf", {"Creator": None, "Producer": None, "CreationDate": None}),
    ".svg": ("svg", {"Creator": None, "Date": None}),
}

# On a dark page: each colour of a figure, as matplotlib writes it, and the one that takes its place.
_DARK = {
    "#333333": "#d5dbe3",
    "#dddddd": "#38424e",
    "#888888": "#8d98a5",
    "#666666": "#aab4c0",
    "#000000": "#f2f4f7",
    "#ffffff": "#1b222b",
    "#0072b2": "#56b4e9",
    "#56b4e9": "#2f86b8",
    "#d55e00": "#ff8a3c",
    "#009e73": "#2cc79b",
}
_DARK_STYLE = "<style>@media screen and (prefers-color-scheme:dark){%s}</style>" % "".join(  # noqa: UP031
    f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
    for light, dark in _DARK.items()
    for what in ("fill", "stroke")
)


@contextmanager
def house_style() -> Iterator[None]:
    """A context, or a function's decorator, in which new figures look like ours; then all is as it was."""
    with matplotlib.style.context(_SETTINGS, after_reset=True):
        yield


def new_figure(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """An empty figure of `width` x `height` inches with its title, which nothing global remembers."""
    figure = Figure(figsize=(width, height), dpi=300, layout="constrained")
    FigureCanvasAgg(figure)
    columns = int(width / 0.068)  # inches a letter takes on average at this size
    lines = [textwrap.fill(line, columns) for line in (title, subtitle) if line]
    if lines:
        figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=8.5, linespacing=1.3)
    return figure


# ---- how figures are written -------------------------------------------------------------------------------


def require_figure_path(path: str | os.PathLike[str], *, argument: str = "path") -> Path:
    """The path of a figure to come, judged before any work is done for it.

    Raises:
        ArgumentError: Its suffix is none of `.png`, `.pdf` and `.svg`, or it is a folder.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        found = f"ends in {path.suffix}" if path.suffix else "has no suffix"
        raise ArgumentError(
            f"Argument `{argument}` must end in .png, .pdf or .svg, but {path.name!r} {found}."
        )
    if path.is_dir():
        raise ArgumentError(f"Argument `{argument}` must name a file, but {path.name!r} is a folder.")
    return path


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, PDF or SVG by the path's suffix, whole or not at all; the same figure gives the
    same bytes.

    Returns:
        The path.

    Raises:
        ArgumentError: The suffix is another one.
        StorageError: If the file cannot be written.
    """
    path = require_figure_path(path)
    kind, metadata = _FORMATS[path.suffix.lower()]
    return write_bytes(path, _drawn(figure, kind, metadata))


def figure_svg(figure: Figure) -> str:
    """A figure as SVG without a ground, that follows the reader's dark mode; the same text each time."""
    drawn = _drawn(figure, "svg", _FORMATS[".svg"][1], transparent=True).decode("utf-8")
    return re.sub(r"(<svg [^>]*>)", lambda found: found[1] + _DARK_STYLE, drawn, count=1)


def figure_img(figure: Figure, alt: str) -> Markup:
    """A figure as an `img` of the SVG that `figure_svg` gives."""
    return _img(figure_svg(figure).encode("utf-8"), "image/svg+xml", alt, "drawn")


def pixels_img(pixels: NDArray[np.uint8], alt: str, kind: str) -> Markup:
    """Pixels as an `img` of PNG, not smoothed.

    Args:
        pixels: uint8 array of shape (height, width) (grey), (height, width, 3) or (height, width, 4).
        alt: Words in its place.
        kind: CSS class.
    """
    colours = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    picture = io.BytesIO()
    metadata: Any = {"Software": None}  # matplotlib types it without None
    imsave(picture, np.ascontiguousarray(colours), format="png", metadata=metadata)
    return _img(picture.getvalue(), "image/png", alt, f"pixels {kind}")


def _drawn(figure: Figure, kind: str, metadata: Any, *, transparent: bool = False) -> bytes:
    picture = io.BytesIO()
    with house_style():
        figure.savefig(picture, format=kind, metadata=metadata, transparent=transparent)
    return picture.getvalue()


def _img(content: bytes, media: str, alt: str, kind: str) -> Markup:
    data = base64.b64encode(content).decode("ascii")
    return Markup("<img class='{}' alt='{}' src='data:{};base64,{}'>").format(kind, alt, media, data)


# ---- a circuit, drawn --------------------------------------------------------------------------------------

# Drawings are templates of our own and not matplotlib's because they answer a pointer: a gate, a qubit or a
# rate says what it is, with its numbers, where one rests on it.
_ROW, _WIDE, _NARROW, _LEFT = 34, 38, 16, 46
_MOST_GATES = 3000  # a page with more is slow
_VECTOR = re.compile(r"([^\W\d_]+)\[\d+\]")


def circuit_drawing(picture: Mapping[str, Any], *, title: str) -> Markup:
    """The circuit as an SVG element of its natural size; put it in a box that scrolls.

    Pulses are boxes, virtual RZ turns are dots, a gate on two qubits is a line between its two ends. A box
    whose angles come from one vector names it: `U(x)` turns by data, `U(w)` by weights.

    Args:
        picture: `wires` (labels), `gates` (name, wires, angles), `measured` (wires).
        title: For readers that cannot see it.
    """
    wires: Sequence[str] = picture["wires"]
    gates = [gate for gate in picture["gates"][:_MOST_GATES] if gate[0] != "barrier"]
    columns = _columns(gates, len(wires))
    widths = [_NARROW] * (max(columns, default=-1) + 1)
    for (name, _, _), column in zip(gates, columns, strict=True):
        if name != "rz":
            widths[column] = _WIDE
    edges = list(accumulate(widths, initial=float(_LEFT)))
    return svg_drawing(
        "circuit.svg",
        {
            "title": title,
            "wires": [{"y": _y(number), "label": label} for number, label in enumerate(wires)],
            "gates": [
                {"x": edges[column] + widths[column] / 2, **_gate(name, where, angles, wires)}
                for (name, where, angles), column in zip(gates, columns, strict=True)
            ],
            "measured": [{"y": _y(wire), "label": wires[wire]} for wire in picture["measured"]],
            "left": _LEFT,
            "end": edges[-1] + (_WIDE if picture["measured"] else 8),
            "height": _ROW * len(wires) + 8,
            "left_out": max(len(picture["gates"]) - _MOST_GATES, 0),
        },
    )


def _columns(gates: Sequence[Any], n_wires: int) -> list[int]:
    """For each gate the first column that is free on all wires that it spans."""
    free = [0] * n_wires
    columns = []
    for _, where, _ in gates:
        span = range(min(where), max(where) + 1)
        column = max(free[wire] for wire in span)
        columns.append(column)
        for wire in span:
            free[wire] = column + 1
    return columns


def _gate(name: str, where: Sequence[int], angles: Sequence[str], wires: Sequence[str]) -> dict[str, Any]:
    """What the template draws: `ends` each with a mark at a height, `vector` the angles' parameter vector."""
    said = f"{name}({', '.join(angles)})" if angles else name
    vectors = set(_VECTOR.findall(" ".join(angles)))
    vector = vectors.pop() if len(vectors) == 1 else ""
    label = name.upper() if len(name) < 4 else name[:3]
    if vector and len(name) + len(vector) <= 3:
        label += f"({vector})"
    heights = [_y(wire) for wire in where]
    if len(where) == 1:
        marks = ["turn" if name == "rz" else "box"]
    elif name.strip("c") in ("z", "x") and name.startswith("c"):
        marks = ["dot"] * (len(where) - 1) + ["dot" if name.endswith("z") else "plus"]
    else:
        marks = ["swap" if name == "swap" else "box"] * len(where)
    return {
        "title": f"{said} on {', '.join(wires[wire] for wire in where)}",
        "label": label,
        "vector": vector,
        "top": min(heights),
        "bottom": max(heights),
        "ends": [{"y": y, "mark": mark} for y, mark in zip(heights, marks, strict=True)],
    }


def _y(wire: int) -> int:
    return _ROW * wire + _ROW // 2 + 4
