from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from sqdr_qiskit.reports.drawings import circuit_drawing, coordinates, device_map, error_scale, spike_strip

from sqdr_qiskit.reports import drawings as module

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


def test_a_strip_shows_every_spike_in_its_step(rng: np.random.Generator) -> None:
    words = rng.integers(0, 8, (1, 4, 7))
    strip = spike_strip(words.tolist(), 3)
    assert strip.shape == (4 * 8, 3 * 56 + 2 * 8, 4)
    for step in range(3):
        tile = strip[::8, step * 64 : step * 64 + 56 : 8]
        assert np.array_equal(tile[:, :, 0] == 0, words[0] >> step & 1)  # a spike has no red


@pytest.mark.parametrize(
    ("n_maps", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (8, 2, 4)]
)
def test_maps_stand_side_by_side(n_maps: int, rows: int, columns: int) -> None:
    strip = spike_strip(np.zeros((n_maps, 2, 2), int).tolist(), 1)
    scale = 56 // (2 * columns)
    assert strip.shape == (rows * 2 * scale, columns * 2 * scale, 4)
