from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.reports.device_map import coordinates, device_map
from sqdr_qiskit.reports.transpile_page import best_rows, spread, transpile_page, transpile_table, verdicts
from tests.reports.browser import WIDTHS, needs_browser, show


def _row(layout: str, level: int | None, seed: int | None, gates: int, success: float) -> dict[str, Any]:
    return {
        "circuit": "2b-9q",
        "device": "fake_<small>",
        "layout": layout,
        "level": level,
        "seed": seed,
        "lines": [[[[0, 1, 2], [3, 4]]]] if layout == "tiled" else [[[[0, 1, 2, 3]]]],
        "gates": {"sx": 2 * gates, "ecr": gates},
        "two_qubit_gates": gates,
        "two_qubit_depth": gates // 2,
        "depth": 9,
        "swaps": 0.0,
        "n_qubits": 5,
        "copies": 2 if layout == "tiled" else 1,
        "rounds": 1,
        "duration_us": 3.25,
        "success": success,
        "success_all": success**2 if layout == "tiled" else success,
        "losses": {"two-qubit gates": 0.1, "one-qubit gates": 0.02, "idle": 0.03, "readout": 0.05},
    }


_ROWS = [
    _row("tiled", None, None, 4, 0.975),
    _row("whole", 3, 0, 20, 0.5),
    _row("whole", 3, 1, 18, 0.6),
    _row("as written", 3, 0, 36, 0.3),
]
_RECORD: dict[str, Any] = {
    "subtitle": "2b-9q & more",
    "rows": _ROWS,
    "refused": ["too wide <for it>"],
    "devices": {
        "fake_<small>": {
            "n_qubits": 5,
            "calibrated": "2025-02-26",
            "edges": [[0, 1, 0.01], [1, 2, 0.02], [2, 3, 0.3], [3, 4, 0.01]],
            "readout": [0.01, 0.02, 0.03, 0.04, 0.2],
        }
    },
    "made_by": {"command": "sqdr-qiskit transpile"},
}


def test_the_best_seed_stands_for_its_setting() -> None:
    assert [row["seed"] for row in best_rows(_ROWS)] == [None, 1, 0]
    assert spread(_ROWS, _ROWS[1]) == (18, 20, 0.5, 0.6)
    text = transpile_table(_ROWS, title="t").text()
    assert text.splitlines()[0] == "t"
    assert "97.5 %" in text


def test_words_say_what_wins_and_by_how_much() -> None:
    (line,) = verdicts(_ROWS)
    assert "tiles win: an output comes out right with an estimated 97.5 % from a tile (2 two-qubit" in line
    assert "60.0 % from the whole circuit (18 at depth 9, level 3, seed 1)" in line
    assert "2 samples fit side by side" in line
    assert "from 36 to 18 two-qubit gates and from 72 to 36 SX pulses" in line
    (only,) = verdicts(_ROWS[:1])
    assert "only tiles can be laid out" in only


@pytest.mark.parametrize("n_qubits", [127, 133, 156, 120, 7])
def test_every_qubit_has_a_place_of_its_own(n_qubits: int) -> None:
    places = coordinates(n_qubits, [(i, i + 1) for i in range(n_qubits - 1)])
    assert len(places) == n_qubits
    assert min(math.dist(a, b) for i, a in enumerate(places) for b in places[:i]) > 0.3


def test_the_map_numbers_its_tiles() -> None:
    drawn = device_map(5, {(0, 1): 0.01, (3, 4): 0.02}, [0.01] * 5, [[0, 1], [3, 4]], title="a <map>")
    root = ET.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["0", "1", "2", "3", "4", "1", "2"]
    assert "a &lt;map&gt;" in drawn


def test_the_page_needs_nothing_else() -> None:
    page = transpile_page(_RECORD)
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert "<script" not in page
    assert "too wide &lt;for it&gt;" in page
    assert "fake_&lt;small&gt;" in page
    assert "<small>" not in page


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_the_page(width: int, tmp_path: Path) -> None:
    """No request leaves the page, the console is empty, nothing is wider than the window."""
    shown = show(transpile_page(_RECORD), tmp_path, width=width, count=("svg.map",))
    assert shown.wrong == {}
    assert shown.counts == {"svg.map": 2}
