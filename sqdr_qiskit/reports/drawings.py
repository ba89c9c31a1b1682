"""Drawings inside a page, as SVG and pixels: circuits, devices with a layout on them, spikes of an example.

They are templates of our own and not matplotlib's because they answer a pointer: a gate, a qubit or a rate
says what it is, with its numbers, where one rests on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rustworkx
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, to_hex
from numpy.typing import NDArray

from sqdr_qiskit.reports.page import svg_drawing
from sqdr_qiskit.reports.page import COLOURS
from sqdr_qiskit.reports.tables import percent

__all__ = ["circuit_drawing", "coordinates", "device_map", "error_scale", "example_ways", "spike_strip"]

# ---- a circuit ---------------------------------------------------------------------------------------------

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
    widths: dict[int, int] = {}
    for (name, _, _), column in zip(gates, columns, strict=True):
        widths[column] = max(widths.get(column, 0), _NARROW if name == "rz" else _WIDE)
    centres: dict[int, float] = {}
    x = float(_LEFT)
    for column in sorted(widths):
        centres[column] = x + widths[column] / 2
        x += widths[column]
    end = x + (_WIDE if picture["measured"] else 8)
    return svg_drawing(
        "circuit.svg",
        {
            "title": title,
            "wires": [{"y": _y(number), "label": label} for number, label in enumerate(wires)],
            "gates": [
                {"x": centres[column], **_gate(name, where, angles, wires)}
                for (name, where, angles), column in zip(gates, columns, strict=True)
            ],
            "measured": [{"y": _y(wire), "label": wires[wire]} for wire in picture["measured"]],
            "left": _LEFT,
            "end": end,
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


# ---- a device ----------------------------------------------------------------------------------------------

_HEAVY_HEX = {  # qubits of each long row, where the links below it hang, where each row starts
    127: ([14, 15, 15, 15, 15, 15, 14], [(0, 4, 8, 12), (2, 6, 10, 14)], (0, 0, 0, 0, 0, 0, 1)),
    133: ([15] * 7, [(0, 4, 8, 12), (2, 6, 10, 14)], (0,) * 7),
    156: ([16] * 8, [(3, 7, 11, 15), (1, 5, 9, 13)], (0,) * 8),
}
_STEP = 40
_ERRORS = LinearSegmentedColormap.from_list(
    "errors", [(0.0, "#c7e0f4"), (0.45, "#fee090"), (0.75, "#f46d43"), (1.0, "#a50026")]
)


def coordinates(n_qubits: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Places of a device's qubits on the page, in steps: known chips as they are, others by their couplings.

    Args:
        n_qubits: Number of qubits.
        pairs: Coupled pairs.
    """
    if n_qubits in _HEAVY_HEX:
        rows, links, starts = _HEAVY_HEX[n_qubits]
        places: list[tuple[float, float]] = []
        for number, (length, start) in enumerate(zip(rows, starts, strict=True)):
            places += [(float(start + i), 2.0 * number) for i in range(length)]
            if number < len(rows) - 1:
                # The last row of links of a 133-qubit chip hangs free.
                places += [(float(x), 2.0 * number + 1) for x in links[number % 2]]
        places += [(float(x), 2.0 * len(rows) - 1) for x in links[(len(rows) - 1) % 2]][
            : n_qubits - len(places)
        ]
        return places
    if n_qubits == 120:
        return [(float(i % 10), float(i // 10)) for i in range(120)]
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(n_qubits))
    graph.add_edges_from_no_data(list(pairs))
    found = rustworkx.spring_layout(graph, seed=1, num_iter=300)
    spots = np.array([found[qubit] for qubit in range(n_qubits)])
    apart = np.linalg.norm(spots[:, None] - spots[None], axis=2)[~np.eye(n_qubits, dtype=bool)]
    spots = spots / max(float(apart.min(initial=np.inf)) if n_qubits > 1 else 1.0, 1e-6)
    return [(float(x), float(y)) for x, y in spots]


def error_scale(values: Sequence[float]) -> float:
    """An error that is high here: the 95th percentile, so that one outlier does not hide the rest."""
    ordered = sorted(values)
    return max(ordered[int(0.95 * (len(ordered) - 1))], 1e-6) if ordered else 1.0


def device_map(
    n_qubits: int,
    edges: Mapping[tuple[int, int], float],
    readout: Sequence[float],
    tiles: Sequence[Sequence[int]] = (),
    *,
    title: str,
) -> Markup:
    """The device as an SVG element as wide as its box, with scales for both errors below it.

    Args:
        n_qubits: Number of qubits.
        edges: Error of the two-qubit gate of each working pair.
        readout: Readout error of each qubit.
        tiles: Qubits of each tile, outlined and, if there are several, numbered from 1.
        title: For readers that cannot see it.
    """
    places = coordinates(n_qubits, list(edges))
    x0, y0 = min(x for x, _ in places), min(y for _, y in places)
    spots = [(_STEP * (x - x0 + 0.7), _STEP * (y - y0 + 0.7)) for x, y in places]
    worst_edge, worst_readout = error_scale(list(edges.values())), error_scale(list(readout))
    tile_of = {qubit: number for number, tile in enumerate(tiles) for qubit in tile}
    stops = [f"{to_hex(_ERRORS(i / 10))} {10 * i}%" for i in range(11)]
    return svg_drawing(
        "device.svg",
        {
            "title": title,
            "width": max(x for x, _ in spots) + 0.7 * _STEP,
            "height": max(y for _, y in spots) + 0.7 * _STEP,
            "edges": [
                {
                    "ends": (*spots[first], *spots[second]),
                    "used": first in tile_of and tile_of[first] == tile_of.get(second),
                    "colour": to_hex(_ERRORS(error / worst_edge)),
                    "title": f"{first}-{second}: error {percent(error)}",
                }
                for (first, second), error in edges.items()
            ],
            "qubits": [
                {
                    "x": x,
                    "y": y,
                    "label": qubit,
                    "used": qubit in tile_of,
                    "colour": to_hex(_ERRORS(readout[qubit] / worst_readout)),
                    "bright": readout[qubit] / worst_readout > 0.6,
                    "title": f"qubit {qubit}: readout error {percent(readout[qubit])}",
                }
                for qubit, (x, y) in enumerate(spots)
            ],
            "badges": [
                {"x": spots[tile[len(tile) // 2]][0] + 14, "y": spots[tile[len(tile) // 2]][1] - 14, "n": n}
                for n, tile in enumerate(tiles, start=1)
                if len(tiles) > 1
            ],
            "gradient": ", ".join(stops),
            "scales": [
                {
                    "what": what,
                    "numbers": [percent(worst * i / 2, 1 if worst > 0.002 else 2) for i in range(3)],
                }
                for what, worst in (
                    ("links: error of the two-qubit gate", worst_edge),
                    ("circles: error of the readout", worst_readout),
                )
            ],
        },
    )


# ---- an example of a run -----------------------------------------------------------------------------------

_SPIKE = np.array([0x00, 0x72, 0xB2, 0xFF], dtype=np.uint8)
_SILENT = np.array([0x80, 0x98, 0xB0, 0x38], dtype=np.uint8)  # a veil: right on white and on black
_TILE, _GAP = 56, 8  # width of a step's picture and between two of them, in the strip's own pixels


def spike_strip(words: Sequence[Any], n_steps: int) -> NDArray[np.uint8]:
    """Spikes of a layer as a strip of pictures, one for each step, from left to right.

    Args:
        words: Integers of shape (C, H, W), bit t set where the neuron fires in step t.
        n_steps: T.

    Returns:
        uint8 array of shape (height, width, 4), red to opacity: the maps of a step side by side, in rows
        where there are more than two.
    """
    packed = np.asarray(words, dtype=np.int64)
    n_maps, height, width = packed.shape
    columns = 1 << (max(n_maps - 1, 0).bit_length() + 1) // 2
    rows = -(-n_maps // columns)
    scale = max(1, _TILE // (columns * width))
    step_high, step_wide = rows * height * scale, columns * width * scale
    strip = np.zeros((step_high, n_steps * (step_wide + _GAP) - _GAP, 4), dtype=np.uint8)
    for step in range(n_steps):
        for number in range(n_maps):
            fired = (packed[number] >> step & 1).astype(bool)
            tile = np.where(fired[:, :, None], _SPIKE, _SILENT).astype(np.uint8)
            tile = tile.repeat(scale, axis=0).repeat(scale, axis=1)
            if n_maps > 1:  # a border, so that maps are told apart
                tile[-1, :], tile[:, -1] = 0, 0
            top = number // columns * height * scale
            left = step * (step_wide + _GAP) + number % columns * width * scale
            strip[top : top + height * scale, left : left + width * scale] = tile
    return strip


def example_ways(example: Mapping[str, Any], where: str) -> Markup:
    """Spikes of the features, their rates, and the expectation values they lead to, qubit by qubit.

    Args:
        example: See `jobs.run_report.examples`.
        where: What the run ran on.
    """
    exact, ran = example["exact"]["expectations"], (example["ran"] or {}).get("expectations")
    n_steps, n_rows = int(example["n_steps"]), len(example["features"])
    high = min(max(round(190 / n_rows), 5), 14)
    top, left, cell, zero, half = 24, 24, 11, 296.0, 50.0
    rate_at = left + n_steps * cell + 8
    tall = n_rows * high
    band = tall / len(exact)
    return svg_drawing(
        "features.svg",
        {
            "title": "Spikes of the last layer, firing rates and expectation values: "
            + ", ".join(f"⟨Z{qubit}⟩ = {value:+.2f}" for qubit, value in enumerate(exact)),
            "colours": {"spike": COLOURS[0], "rate": COLOURS[5], "exact": COLOURS[2], "ran": COLOURS[1]},
            "top": top,
            "left": left,
            "cell": cell,
            "high": high,
            "zero": zero,
            "half": half,
            "tall": tall,
            "band": band,
            "rate_at": rate_at,
            "rate_wide": zero - half - 14 - rate_at,
            "thick": min(band - 3, 11.0),
            "where": where,
            "rows": [
                {"spikes": [step for step in range(n_steps) if word >> step & 1], "rate": rate}
                for word, rate in zip(example["features"], example["rates"], strict=True)
            ],
            "qubits": [
                {"exact": value, "ran": None if ran is None else ran[qubit]}
                for qubit, value in enumerate(exact)
            ],
        },
    )
