"""How every figure looks, and how it is written: quiet axes, colours that colour-blind readers tell apart."""

from __future__ import annotations
import base64
import io
import os
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.records import write_bytes
from collections.abc import Mapping
from functools import cache
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqdr_qiskit.reports.tables import duration, percent

__all__ = ['COLOURS', 'COLUMN', 'DASHES', 'figure_img', 'figure_svg', 'house_style', 'INK', 'MARKERS', 'new_figure', 'PAGE', 'PALE', 'pixels_img', 'render', 'require_figure_path', 'save_figure', 'svg_drawing']


_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from a template; every value is escaped unless it is `Markup`.

    Args:
        template: Name of a file in `templates/`.
        context: What the template asks for; a name that is missing is an error, never an empty space.
    """
    return _environment().get_template(template).render(context)


def svg_drawing(template: str, context: Mapping[str, Any]) -> Markup:
    """The same for a part of a page, such as an SVG drawing."""
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
    """While the context lasts, new figures look like ours; the caller's own settings come back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
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
