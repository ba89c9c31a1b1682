from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.reports.transpile_page import (
    coordinates,
    device_map,
    error_scale,
    transpile_markdown,
    transpile_page,
)
from sqdr_qiskit.reports.transpile_tables import (
    best_rows,
    changes_table,
    percent_of,
    pulses,
    spread,
    transpile_table,
    verdicts,
)
from tests.reports.browser import WIDTHS, needs_browser, show


def _row(
    layout: str, level: int | None, seed: int | None, gates: int, success: float, variation: str = ""
) -> dict[str, Any]:
    return {
        "circuit": "2b-9q",
        "device": "fake_<small>",
        "layout": layout,
        "level": level,
        "seed": seed,
        "variation": variation,
        "tiles": [[[[0, 1, 2], [3, 4]]]] if layout == "tiled" else [[[[0, 1, 2, 3]]]],
        "gates": {"sx": 2 * gates, "ecr": gates, "rz": 99},
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
        "seconds": 0.05,
        "losses": {"two-qubit gates": 0.1, "one-qubit gates": 0.02, "idle": 0.03, "readout": 0.05},
    }


_ROWS = [
    _row("tiled", None, None, 4, 0.975),
    _row("whole", 3, 0, 20, 0.5),
    _row("whole", 3, 1, 18, 0.6),
    _row("whole", 3, 2, 28, 0.4),
    _row("unfused", 3, 1, 18, 0.55),
    _row("as written", 3, 0, 36, 0.3),
    _row("as written", 3, 0, 18, 0.45, "last layer off"),
    _row("whole", 3, 0, 8, 0.7, "entangler line"),
    _row("tiled", None, None, 3, 0.975, "entangler line"),
]
_PICTURE: dict[str, Any] = {
    "wires": ["1", "2<"],
    "measured": [1],
    "gates": [["sx", [0], []], ["rz", [0], ["a + π"]], ["ecr", [0, 1], []], ["cz", [1, 0], []]]
    + [["cx", [0, 1], []], ["swap", [0, 1], []], ["barrier", [0, 1], []]]
    + 90 * [["u", [0], ["a", "b", "c"]]],
}
_RECORD: dict[str, Any] = {
    "subtitle": "2b-9q & more",
    "rows": _ROWS,
    "refused": ["too wide <for it>"],
    "same": {"2b-9q": ["last layer off"]},
    "devices": {
        "fake_<small>": {
            "n_qubits": 5,
            "calibrated": "2025-02-26T01:02:03",
            "edges": [[0, 1, 0.01], [1, 2, 0.02], [2, 3, 0.3], [3, 4, 0.01]],
            "readout": [0.01, 0.02, 0.03, 0.04, 0.2],
        }
    },
    "drawings": {"2b-9q": _PICTURE},
    "chosen": [
        {
            "circuit": "2b-9q",
            "device": "fake_<small>",
            "layout": "tiled",
            "level": None,
            "seed": None,
            "files": ["2b-9q-fake.qpy", "2b-9q-fake.qasm"],
            "drawing": _PICTURE,
            "drawing_title": "2b-9q on fake_<small>: the largest tile",
            "cost": [
                {
                    "what": "a training step",
                    "circuits": 144,
                    "shots": 589_824,
                    "jobs": 1,
                    "qpu_seconds": 208.4,
                    "open_plan_share": 0.347,
                }
            ],
        }
    ],
    "made_by": {"command": "sqdr-qiskit transpile"},
}


def test_the_best_seed_stands_for_its_setting() -> None:
    assert [row["seed"] for row in best_rows(_ROWS)] == [None, 1, 1, 0, 0, 0, None]
    assert spread(_ROWS, _ROWS[1], "two_qubit_gates") == (18, 20, 28)
    assert spread(_ROWS, _ROWS[1], "success") == (0.4, 0.5, 0.6)
    assert pulses(_ROWS[0]) == 8


def test_tables_show_the_spread_over_seeds() -> None:
    lines = transpile_table(_ROWS, title="t").text().splitlines()
    assert lines[0] == "t"
    assert len(lines) == 4
    assert "97.5 %" in lines[2]
    assert "40.0 / 50.0 / 60.0" in lines[3]
    assert "18 / 20 / 28" in lines[3]
    assert "50 ms" in lines[3]
    changes = changes_table(_ROWS).text()
    assert len(changes.splitlines()) == 8
    assert "whole, Rots not fused" in changes
    assert "as written, last layer off" in changes


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.9778, "97.8 %"), (0.0123, "1.2 %"), (3.6e-6, "0.00036 %"), (5.2e-7, "0.000052 %"), (0.0, "0.0 %")],
)
def test_a_small_success_keeps_its_digits(value: float, words: str) -> None:
    assert percent_of(value) == words


def test_words_say_what_wins_and_by_how_much() -> None:
    (said,) = verdicts(_ROWS, {"2b-9q": ["last layer off"]})
    words = dict(said.lines)
    assert words["layout"].startswith(
        "Tiles win: an output comes out right with 97.5 % instead of 60.0 % (94 % fewer errors), with 2 two-"
    )
    assert "instead of 18 at depth 9 (level 3, seed 1). 2 samples fit side by side" in words["layout"]
    assert words["fusing turns"].startswith("Fused wins against not fused: 60")
    assert words["last entangling layer"].endswith(
        "By Qiskit alone: Off wins against on: 45.0 % instead of 30.0 % (1.5 times as likely); "
        "with 18 two-qubit gates, not 36; 36 pulses, not 72."
    )
    assert words["entangler"].startswith("Whole: the line wins against the ring: 70.0 %")
    assert (
        "Tiled: the ring or the line is all the same: 97.5 %, 4 and 3 two-qubit gates." in words["entangler"]
    )
    assert "(2 times as likely)" in words["against Qiskit alone"]


def test_words_do_not_hide_what_loses() -> None:
    rows = [_row("whole", 3, 0, 28, 0.7), _row("unfused", 3, 0, 18, 0.8), _row("tiled", None, None, 4, 0.6)]
    (said,) = verdicts(rows)
    words = dict(said.lines)
    assert "Not fused wins against fused" in words["fusing turns"]
    assert words["layout"].startswith("The whole circuit wins: an output comes out right with 70.0 % instead")
    assert "despite" in dict(verdicts([rows[0], _row("unfused", 3, 0, 36, 0.8)])[0].lines)["fusing turns"]
    assert dict(verdicts(rows[2:])[0].lines) == {"layout": "Only tiles can be laid out."}


def test_markdown_says_the_same() -> None:
    text = transpile_markdown(_RECORD)
    assert "- layout: Tiles win" in text
    assert "| a training step | 144 | 589,824 | 1 | 208 s | 34.7 % |" in text
    assert "`2b-9q-fake.qasm`" in text


def test_the_page_needs_nothing_else() -> None:
    page = transpile_page(_RECORD)
    assert not re.findall(r"(?:src|href)=['\"](?!data:|#)", page)
    assert "<script" not in page
    assert "too wide &lt;for it&gt;" in page
    assert "fake_&lt;small&gt;" in page
    assert "<small>" not in page


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_the_page(width: int, tmp_path: Path) -> None:
    """No request leaves the page, the console is empty, nothing is wider than the window."""
    shown = show(transpile_page(_RECORD), tmp_path, width=width, count=("svg.map", "svg.circuit", "table"))
    assert shown.wrong == {}
    assert shown.counts == {"svg.map": 2, "svg.circuit": 2, "table": 4}


@pytest.mark.parametrize("n_qubits", [127, 133, 156, 120, 7])
def test_every_qubit_has_a_place_of_its_own(n_qubits: int) -> None:
    places = coordinates(n_qubits, [(i, i + 1) for i in range(n_qubits - 1)])
    assert coordinates(n_qubits, [(i, i + 1) for i in range(n_qubits - 1)]) == places
    assert len(places) == n_qubits
    assert min(math.dist(a, b) for i, a in enumerate(places) for b in places[:i]) > 0.3


def test_the_map_numbers_its_tiles() -> None:
    drawn = device_map(5, {(0, 1): 0.01, (3, 4): 0.02}, [0.01] * 5, [[0, 1], [3, 4]], title="a <map>")
    root = ET.fromstring(f"<div>{drawn}</div>")
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["0", "1", "2", "3", "4", "1", "2"]
    assert "a &lt;map&gt;" in drawn
    assert "number of the tile" in drawn


def test_the_map_s_scales_have_numbers() -> None:
    drawn = device_map(3, {(0, 1): 0.012, (1, 2): 0.012}, [0.05] * 3, title="map")
    for text in ("≥ 1.2 %", "0.6 %", "≥ 5.0 %", "2.5 %", "qubit in use", "error of the readout"):
        assert text in drawn, text
    assert "number of the tile" not in drawn
    assert error_scale([0.01] * 19 + [0.9]) == 0.01  # one outlier does not hide the rest
