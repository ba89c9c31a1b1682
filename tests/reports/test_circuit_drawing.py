from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from sqdr_qiskit.reports import circuit_drawing as module
from sqdr_qiskit.reports.circuit_drawing import circuit_drawing

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
    monkeypatch.setattr(module, "_MOST", 2)
    drawn = circuit_drawing({"wires": ["0"], "measured": [], "gates": 5 * [["sx", [0], []]]}, title="t")
    assert "3 further gates are not drawn" in drawn
    assert drawn.count("<rect") == 2
