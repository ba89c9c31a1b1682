from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from sqdr_qiskit.errors import ArgumentError, StorageError
from sqdr_qiskit.reports import save_figure, training_curves
from sqdr_qiskit.reports.page import figure_img, pixels_img, require_figure_path

HISTORY = [{"epoch": epoch, "loss": 2.0 / epoch, "accuracy": 0.3 * epoch} for epoch in (1, 2, 3)]


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")])
def test_the_suffix_says_the_format_and_the_bytes_are_the_same_each_time(
    suffix: str, magic: bytes, tmp_path: Path
) -> None:
    first = save_figure(training_curves(HISTORY), tmp_path / f"a{suffix}").read_bytes()
    assert first.startswith(magic)
    assert first == save_figure(training_curves(HISTORY), tmp_path / f"b{suffix}").read_bytes()
    assert b"/Type3" not in first


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png.txt"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"Argument `figure` must end in \.png, \.pdf or \.svg, but"):
        require_figure_path(tmp_path / name, argument="figure")
    with pytest.raises(ArgumentError, match=r"must end in \.png, \.pdf or \.svg"):
        save_figure(training_curves(HISTORY), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ArgumentError, match=r"must name a file, but 'a\.png' is a folder"):
        require_figure_path(tmp_path / "a.png")


def test_an_unwritable_figure_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Cannot write 'figure\.png'"):
        save_figure(training_curves(HISTORY), tmp_path / "file" / "figure.png")


def test_a_page_s_figure_follows_the_reader_s_dark_mode() -> None:
    img = figure_img(training_curves(HISTORY), "it's <loss>")
    assert "alt='it&#39;s &lt;loss&gt;'" in img
    drawn = base64.b64decode(re.findall(r"base64,([^']*)'", img)[0]).decode()
    assert "prefers-color-scheme:dark" in drawn
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", drawn.split("</style>", 1)[1]))
    assert {"#333333", "#0072b2"} <= used
    assert all(f'"stroke: {colour}"' in drawn or f'"fill: {colour}"' in drawn for colour in used)


def test_pixels_are_data(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (4, 5), dtype=np.uint8)
    assert pixels_img(pixels, "a picture", "look").startswith("<img class='pixels look' alt='a picture'")
