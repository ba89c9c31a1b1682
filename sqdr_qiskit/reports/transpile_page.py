"""The report on a transpilation: one self-contained HTML page, the same in Markdown, the map of a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rustworkx
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, to_hex
from scipy.spatial.distance import pdist

from sqdr_qiskit.reports.figures import error_budget_figure
from sqdr_qiskit.reports.page import circuit_drawing, figure_img, render, svg_drawing
from sqdr_qiskit.reports.tables import NONE, Table, percent
from sqdr_qiskit.reports.transpile_tables import (
    Row,
    Verdict,
    best_of,
    best_rows,
    changes_table,
    mitigation_table,
    mitigation_words,
    percent_of,
    transpile_table,
    verdicts,
)

__all__ = ["coordinates", "device_map", "error_scale", "transpile_markdown", "transpile_page"]

_TITLE = "Circuits on devices"
_NOTE = (
    "Success, of a single output: the estimated probability that nothing it depends on goes wrong, the "
    "product of all gate, readout and idle fidelities; what a calibration does not hold (crosstalk, drift, "
    "leakage) is not in it. Every circuit here was found equal to its own source at random angles before it "
    "was counted."
)


def transpile_page(record: Mapping[str, Any]) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        record: `subtitle`; `rows` (findings as plain values), `refused` (sentences); `same` (circuit -> the
            variations with the same gates); `devices` (name -> `n_qubits`, `edges`, `readout`, `calibrated`);
            `drawings` (circuit -> picture of it as given); `chosen` (for each circuit and device `circuit`,
            `device`, `layout`, `level`, `seed`, `files`, `drawing`, `drawing_title` and `cost`: rows of
            words, circuits, jobs and quantum seconds); `made_by` (name -> value).
    """
    parts, shown = [], set()
    for said in verdicts(record["rows"], record["same"]):
        part = _part(said, record)
        if said.circuit not in shown:  # a circuit as given is drawn where it comes first
            shown.add(said.circuit)
            part["circuits"] += _drawn(record["drawings"].get(said.circuit), f"{said.circuit} as given")
        parts.append(part)
    return render(
        "transpile.html",
        {
            "title": _TITLE,
            "subtitle": record["subtitle"],
            "refused": record["refused"],
            "parts": parts,
            "made_by": record["made_by"],
            "note": _NOTE,
        },
    )


def transpile_markdown(record: Mapping[str, Any]) -> str:
    """The same in Markdown, without drawings; `record` as in `transpile_page`."""
    lines = [f"# {_TITLE}", "", record["subtitle"], ""]
    for said in verdicts(record["rows"], record["same"]):
        chosen = _chosen(record, said)
        lines += [
            f"## {said.circuit} on {said.device}",
            "",
            *(f"- {what}: {why}" for what, why in said.lines),
        ]
        lines += ["", transpile_table(said.rows).markdown()]
        lines += ["One change at a time:", "", changes_table(said.rows).markdown()]
        if chosen["cost"]:
            lines += [_cost(chosen["cost"]).markdown()]
        if chosen.get("mitigation"):
            budget = float(chosen["mitigation_budget_s"])
            lines += [mitigation_table(chosen["mitigation"], budget).markdown()]
            lines += [mitigation_words(chosen["mitigation"], budget), ""]
        lines += [f"The device's circuit: {', '.join(f'`{name}`' for name in chosen['files'])}", ""]
    lines += [*(f"- left out: {line}" for line in record["refused"]), "", _NOTE, ""]
    lines += [f"- {key}: {value}" for key, value in record["made_by"].items()]
    return "\n".join(lines) + "\n"


def _chosen(record: Mapping[str, Any], said: Verdict) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        c for c in record["chosen"] if (c["circuit"], c["device"]) == (said.circuit, said.device)
    )
    return found


def _part(said: Verdict, record: Mapping[str, Any]) -> dict[str, Any]:
    """All that the template shows of one circuit on one device."""
    rows, device, chosen = said.rows, record["devices"][said.device], _chosen(record, said)
    mitigation, budget_s = chosen.get("mitigation"), float(chosen.get("mitigation_budget_s", 0.0))
    layouts = transpile_table(rows)
    wins = tuple(NONE if value is None else str(value) for value in _place(chosen))
    best = [row for layout in ("tiled", "whole", "as written") if (row := best_of(rows, layout)) is not None]
    budgets = {str(row["layout"]): _losses(row) for row in best}
    words = []
    for what, text in said.lines:
        first, colon, rest = text.replace(" %", "\u00a0%").partition(":")
        words.append((what, first if colon else "", rest if colon else first))
    return {
        "circuit": said.circuit,
        "device": said.device,
        "n_qubits": device["n_qubits"],
        "calibrated": (device["calibrated"] or "at an unknown time").replace("T", " "),
        "facts": _facts(rows, chosen),
        "words": words,
        "layouts": layouts,
        "marked": [number for number, row in enumerate(layouts.rows) if row[:3] == wins],
        "changes": changes_table(rows) if {"unfused", "as written"} & {r["layout"] for r in rows} else None,
        "gates": _gates(rows),
        "cost": _cost(chosen["cost"]) if chosen["cost"] else None,
        "mitigation": mitigation_table(mitigation, budget_s) if mitigation else None,
        "mitigation_words": mitigation_words(mitigation, budget_s) if mitigation else "",
        "shots": chosen["cost"][0]["shots"] // chosen["cost"][0]["circuits"] if chosen["cost"] else 0,
        "budget": figure_img(
            error_budget_figure(budgets),
            "; ".join(
                f"{layout}: {percent_of(-math.expm1(-sum(budget.values())))} go wrong"
                for layout, budget in budgets.items()
            ),
        ),
        "maps": [_map(row, said, device) for row in best if row["layout"] != "as written"],
        "circuits": _drawn(chosen["drawing"], chosen["drawing_title"]),
        "files": chosen["files"],
    }


def _losses(row: Row) -> dict[str, float]:
    """By source, -log of the fidelity of one output: of a tile the mean."""
    n_parts = sum(len(copies[0]) for copies in row["tiles"])
    return {source: float(value) / n_parts for source, value in row["losses"].items()}


def _map(row: Row, said: Verdict, device: Mapping[str, Any]) -> dict[str, Any]:
    words = "tiles of one sample, numbered" if row["layout"] == "tiled" else "qubits of the routed circuit"
    title = f"{said.circuit} on {said.device}, {row['layout']}: {words}"
    edges = {(int(a), int(b)): float(error) for a, b, error in device["edges"]}
    tiles = row["tiles"][0][0]
    return {
        "title": title,
        "drawing": device_map(device["n_qubits"], edges, device["readout"], tiles, title=title),
    }


def _drawn(picture: Mapping[str, Any] | None, title: str) -> list[dict[str, Any]]:
    if picture is None or not picture["wires"]:
        return []
    return [{"title": title, "drawing": circuit_drawing(picture, title=title)}]


def _facts(rows: Sequence[Row], chosen: Mapping[str, Any]) -> list[tuple[str, str]]:
    row = next(row for row in rows if not row["variation"] and _place(row) == _place(chosen))
    n_outputs = sum(len(copies[0]) for copies in row["tiles"])
    tiled = row["layout"] == "tiled"
    per = row["two_qubit_gates"] / n_outputs
    return [
        (percent_of(row["success"]), "estimated success of an output"),
        (str(row["layout"]), "wins" if row["level"] is None else f"level {row['level']}, seed {row['seed']}"),
        (f"{per:.3g}", f"two-qubit gates{' a tile' if tiled else ''}, depth {row['two_qubit_depth']}"),
        (f"{row['duration_us']:.2f} µs", "from the first gate to the end of the readout"),
        (str(row["copies"]), "sample at once" if row["copies"] == 1 else "samples at once"),
        *([(f"{row['rounds']} rounds", "for all outputs")] if row["rounds"] > 1 else []),
    ]


def _place(of: Mapping[str, Any]) -> tuple[Any, ...]:
    return of["layout"], of["level"], of["seed"]


def _gates(rows: Sequence[Row]) -> Table:
    best = best_rows(rows)
    names = sorted({name for row in best for name in row["gates"]})
    cells = tuple(
        (
            ", ".join(word for word in (row["layout"], row["variation"]) if word),
            NONE if row["level"] is None else str(row["level"]),
            *(str(row["gates"].get(name, 0)) for name in names),
        )
        for row in best
    )
    return Table(("what", "level", *names), cells, frozenset(range(1, len(names) + 2)))


def _cost(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = tuple(
        (
            str(row["what"]),
            f"{row['circuits']:,}",
            f"{row['shots']:,}",
            f"{row['jobs']:,}",
            f"{row['qpu_seconds']:,.0f} s",
            f"{100 * row['open_plan_share']:.3g} %",
        )
        for row in rows
    )
    headers = ("what", "circuits", "shots", "jobs", "quantum time", "of the Open plan's 28 days")
    return Table(headers, cells, frozenset(range(1, 6)))


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
        places: list[tuple[float, float]] = []
        rows, links, starts = _HEAVY_HEX[n_qubits]
        for number, (length, start) in enumerate(zip(rows, starts, strict=True)):
            places += [(float(start + i), 2.0 * number) for i in range(length)]
            places += [(float(x), 2.0 * number + 1) for x in links[number % 2]]
        return places[:n_qubits]  # below the last row links hang free, on 133 qubits alone
    if n_qubits == 120:
        return [(float(i % 10), float(i // 10)) for i in range(120)]
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(n_qubits))
    graph.add_edges_from_no_data(list(pairs))
    found = rustworkx.spring_layout(graph, seed=1, num_iter=300)
    spots = np.array([found[qubit] for qubit in range(n_qubits)])
    spots = spots / max(pdist(spots).min(initial=np.inf), 1e-6)  # the nearest two are a step apart
    return [(float(x), float(y)) for x, y in spots]


def error_scale(values: Sequence[float]) -> float:
    """An error that is high here: the 95th percentile, so that one outlier does not hide the rest."""
    return max(float(np.percentile(values, 95, method="lower")), 1e-6) if len(values) else 1.0


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
                {"x": spots[middle][0] + 14, "y": spots[middle][1] - 14, "n": number}
                for number, middle in enumerate((tile[len(tile) // 2] for tile in tiles), start=1)
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
