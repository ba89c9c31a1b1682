"""Pictures inside a page: as data, so that nothing has to be fetched, each with words in its place."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from sqdr_qiskit.reports.page import escape
from sqdr_qiskit.reports.style import house_style

__all__ = ["figure_img", "pixels_img"]


def figure_img(figure: Figure, alt: str) -> str:
    """A figure as an `img` of SVG; the same figure gives the same text."""
    picture = io.BytesIO()
    with house_style():
        metadata: Any = {"Date": None, "Creator": None}  # matplotlib types it without None
        matplotlib.rcParams["svg.hashsalt"] = "sqdr-qiskit"
        figure.savefig(picture, format="svg", metadata=metadata)
    return _img(picture.getvalue(), "image/svg+xml", alt, "drawn")


def pixels_img(pixels: NDArray[np.uint8], alt: str, kind: str) -> str:
    """Pixels as an `img` of PNG, not smoothed.

    Args:
        pixels: uint8 array of shape (height, width) (grey) or (height, width, 3).
        alt: Words in its place.
        kind: CSS class.
    """
    colours = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    picture = io.BytesIO()
    metadata: Any = {"Software": None}
    imsave(picture, np.ascontiguousarray(colours), format="png", metadata=metadata)
    return _img(picture.getvalue(), "image/png", alt, f"pixels {kind}")


def _img(content: bytes, media: str, alt: str, kind: str) -> str:
    data = base64.b64encode(content).decode("ascii")
    return f"<img class='{kind}' alt='{escape(alt)}' src='data:{media};base64,{data}'>"
