"""The transpilation report as one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqdr_qiskit.reports.drawings import circuit_drawing, device_map
from sqdr_qiskit.reports.figures import error_budget_figure
from sqdr_qiskit.reports.page import render
from sqdr_qiskit.reports.page import figure_img
from sqdr_qiskit.reports.tables import Table
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

__all__ = ["transpile_markdown", "transpile_page"]

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
    rows: Sequence[Row] = record["rows"]
    lines = [f"# {_TITLE}", "", record["subtitle"], ""]
    for said in verdicts(rows, record["same"]):
        own = [row for row in rows if (row["circuit"], row["device"]) == (said.circuit, said.device)]
        chosen = _chosen(record, said)
        lines += [f"## {said.circuit} on {said.device}", ""]
        lines += [*(f"- {what}: {words}" for what, words in said.lines), "", transpile_table(own).markdown()]
        lines += ["One change at a time:", "", changes_table(own).markdown()]
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
    rows = [row for row in record["rows"] if (row["circuit"], row["device"]) == (said.circuit, said.device)]
    device, chosen = record["devices"][said.device], _chosen(record, said)
    layouts = transpile_table(rows)
    wins = tuple("–" if value is None else str(value) for value in _place(chosen))
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
        "changes": changes_table(rows)
        if any(row["layout"] in ("unfused", "as written") for row in rows)
        else None,
        "gates": _gates(rows),
        "cost": _cost(chosen["cost"]) if chosen["cost"] else None,
        "mitigation": mitigation_table(chosen["mitigation"], float(chosen["mitigation_budget_s"]))
        if chosen.get("mitigation")
        else None,
        "mitigation_words": mitigation_words(chosen["mitigation"], float(chosen["mitigation_budget_s"]))
        if chosen.get("mitigation")
        else "",
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
            "–" if row["level"] is None else str(row["level"]),
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
