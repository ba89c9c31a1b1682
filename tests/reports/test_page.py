from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit.errors import ArgumentError, StorageError
from sqdr_qiskit.reports import page as module
from sqdr_qiskit.reports.figures import training_curves
from sqdr_qiskit.reports.page import circuit_drawing, figure_img, pixels_img, require_figure_path, save_figure

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


_SVG = "{http://www.w3.org/2000/svg}"


def _titles(picture: dict[str, Any]) -> list[str | None]:
    root = ET.fromstring(circuit_drawing(picture, title="a <circuit>"))
    return [element.text for element in root.iter(f"{_SVG}title")]


def test_every_gate_says_what_it_is() -> None:
    gates = [["rz", [1], ["a + π"]], ["ecr", [0, 1], []], ["sx", [0], []]]
    picture = {"wires": ["12", "13"], "measured": [1], "gates": gates}
    assert _titles(picture) == ["a <circuit>", "rz(a + π) on 13", "ecr on 12, 13", "sx on 12", "read 13"]


def test_gates_stand_side_by_side_where_they_can() -> None:
    one = {"wires": ["0", "1", "2"], "measured": []}
    widths = []
    for gates in (
        [["sx", [0], []], ["sx", [1], []]],
        [["sx", [0], []], ["sx", [0], []]],
        [["cz", [0, 2], []], ["sx", [1], []]],  # the line passes the wire between
    ):
        root = ET.fromstring(circuit_drawing({**one, "gates": gates}, title="t"))
        widths.append(float(root.attrib["width"]))
    assert widths[0] < widths[1] == widths[2]


def test_a_very_long_circuit_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_GATES", 2)
    drawn = circuit_drawing({"wires": ["0"], "measured": [], "gates": 5 * [["sx", [0], []]]}, title="t")
    assert "3 further gates are not drawn" in drawn
    assert drawn.count("<rect") == 2


@pytest.mark.parametrize(
    ("angles", "label"),
    [
        (["x[1]", "x[2]", "x[0]"], "U(x)"),
        (["w[0]", "π/2", "w[1]"], "U(w)"),
        (["x[0]", "w[0]", "0"], "U"),
        (["1", "2", "3"], "U"),
    ],
)
def test_a_turn_says_whether_data_or_weights_turn_it(angles: list[str], label: str) -> None:
    picture = {"wires": ["0"], "measured": [], "gates": [["u", [0], angles]]}
    root = ET.fromstring(circuit_drawing(picture, title="t"))
    assert [element.text for element in root.iter(f"{_SVG}text")] == ["0", label]
