"""The transpilation report: tables in words, text, Markdown and one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqdr_qiskit.reports.device_map import device_map
from sqdr_qiskit.reports.page import escape, made_by, page
from sqdr_qiskit.reports.tables import Table

__all__ = ["best_rows", "spread", "transpile_page", "transpile_table", "verdicts"]

Row = Mapping[str, Any]

_HEADERS = (
    "circuit",
    "device",
    "layout",
    "level",
    "seed",
    "2q gates",
    "2q depth",
    "depth",
    "SWAPs",
    "qubits",
    "µs",
    "success of an output",
    "of all",
)


def best_rows(rows: Sequence[Row]) -> list[Row]:
    """Of each circuit, device, layout and level the row with the best estimated success."""
    best: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row["circuit"], row["device"], row["layout"], row["level"])
        if key not in best or row["success_all"] > best[key]["success_all"]:
            best[key] = row
    return list(best.values())


def spread(rows: Sequence[Row], of: Row) -> tuple[int, int, float, float]:
    """Least and most two-qubit gates, and least and best success, over the seeds of a row's setting."""
    keys = ("circuit", "device", "layout", "level")
    same = [row for row in rows if all(row[key] == of[key] for key in keys)]
    gates = [int(row["two_qubit_gates"]) for row in same]
    successes = [float(row["success_all"]) for row in same]
    return min(gates), max(gates), min(successes), max(successes)


def transpile_table(rows: Sequence[Row], *, title: str = "") -> Table:
    """One line per setting, its best seed."""
    cells = tuple(
        (
            str(row["circuit"]),
            str(row["device"]),
            str(row["layout"]),
            "–" if row["level"] is None else str(row["level"]),
            "–" if row["seed"] is None else str(row["seed"]),
            str(row["two_qubit_gates"]),
            str(row["two_qubit_depth"]),
            str(row["depth"]),
            f"{row['swaps']:.3g}",
            str(row["n_qubits"]),
            f"{row['duration_us']:.2f}",
            _percent(row["success"]),
            _percent(row["success_all"]),
        )
        for row in best_rows(rows)
    )
    return Table(_HEADERS, cells, frozenset(range(3, len(_HEADERS))), title)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """In words, which layout wins for each circuit and device, and by how much."""
    lines = []
    for circuit, device in dict.fromkeys((row["circuit"], row["device"]) for row in rows):
        own = [row for row in best_rows(rows) if (row["circuit"], row["device"]) == (circuit, device)]
        best = {
            layout: max(
                (r for r in own if r["layout"] == layout), key=lambda r: float(r["success"]), default=None
            )
            for layout in ("tiled", "whole", "as written")
        }
        tiled, whole, written = best["tiled"], best["whole"], best["as written"]
        words = []
        if tiled is not None and whole is not None:
            winner = "tiles win" if tiled["success"] > whole["success"] else "the whole circuit wins"
            n_outputs = sum(len(copies[0]) for copies in tiled["lines"])
            words.append(
                f"{winner}: an output comes out right with an estimated {_percent(tiled['success'])} from a "
                f"tile ({tiled['two_qubit_gates'] / n_outputs:.3g} two-qubit gates at depth "
                f"{tiled['two_qubit_depth']}) and "
                f"{_percent(whole['success'])} from the whole circuit ({whole['two_qubit_gates']} at depth "
                f"{whole['two_qubit_depth']}, level {whole['level']}, seed {whole['seed']})"
            )
            if tiled["copies"] > 1:
                words.append(f"{tiled['copies']} samples fit side by side")
            if tiled["rounds"] > 1:
                words.append(f"its cones run in {tiled['rounds']} rounds")
        elif tiled is not None or whole is not None:
            words.append(f"only {'tiles' if tiled is not None else 'the whole circuit'} can be laid out")
        if whole is not None and written is not None:
            words.append(
                f"fusing Rots and leaving the dead last layer out takes the routed circuit from "
                f"{written['two_qubit_gates']} to {whole['two_qubit_gates']} two-qubit gates and from "
                f"{written['gates'].get('sx', 0)} to {whole['gates'].get('sx', 0)} SX pulses"
            )
        if words:
            lines.append(f"{circuit} on {device}: " + "; ".join(words) + ".")
    return lines


def transpile_page(record: Mapping[str, Any]) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        record: `rows` (findings as plain values), `devices` (name -> `n_qubits`, `edges`, `readout`,
            `calibrated`), `refused` (sentences), `made_by` (name -> value).
    """
    rows: Sequence[Row] = record["rows"]
    parts = [f"<h1>Circuits on devices</h1><p class='lead'>{escape(record['subtitle'])}</p>"]
    parts += ["<section><h2>In words</h2><ul>", *(f"<li>{escape(w)}</li>" for w in verdicts(rows)), "</ul>"]
    parts += [f"<p class='refused'>{escape(line)}</p>" for line in record["refused"]]
    parts.append("</section>")
    for circuit, device in dict.fromkeys((row["circuit"], row["device"]) for row in rows):
        own = [row for row in rows if (row["circuit"], row["device"]) == (circuit, device)]
        parts.append(_section(circuit, device, own, record["devices"][device]))
    parts.append(
        made_by(
            record["made_by"],
            "Success, of a single output: the estimated probability that nothing it depends on goes wrong, "
            "the product of all gate, readout and idle fidelities; what a calibration does not hold "
            "(crosstalk, drift, leakage) is not in it. Every circuit here was found equal to its source at "
            "random angles before it was counted.",
        )
    )
    return page("Circuits on devices", parts)


def _section(circuit: str, device: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    parts = [f"<section><h2>{escape(circuit)} on {escape(device)}</h2>"]
    calibrated = facts["calibrated"] or "at an unknown time"
    parts.append(f"<p>{facts['n_qubits']} qubits, calibrated {escape(calibrated)}.</p>")
    parts.append(_html_table(rows))
    parts.append("<h3>Where errors come from</h3>")
    best = best_rows(rows)
    shown = [
        max(own, key=lambda r: float(r["success"]))
        for layout in ("tiled", "whole", "as written")
        if (own := [row for row in best if row["layout"] == layout])
    ]
    parts.append(_bars(shown))
    edges = {(int(a), int(b)): float(e) for a, b, e in facts["edges"]}
    for row in shown[:2]:
        first_round = row["lines"][0][0]
        words = (
            "tiles of one sample, numbered" if row["layout"] == "tiled" else "qubits of the routed circuit"
        )
        name = f"{circuit} on {device}, {row['layout']}: {words}"
        parts.append(
            f"<figure>{device_map(facts['n_qubits'], edges, facts['readout'], first_round, title=name)}"
        )
        parts.append(
            f"<figcaption>{escape(name[0].upper() + name[1:])}. Lines: two-qubit error, discs: readout "
            "error, from blue (low) to red (high); outlined: in use.</figcaption></figure>"
        )
    return "".join(parts) + "</section>"


def _html_table(rows: Sequence[Row]) -> str:
    head = (
        "layout", "level", "success", "of all outputs", "2q gates", "best seed", "all seeds", "2q depth",
        "depth", "qubits", "µs", "samples at once",
    )  # fmt: skip
    lines = []
    for row in best_rows(rows):
        low, high, _, _ = spread(rows, row)
        cells = (
            row["layout"],
            "–" if row["level"] is None else row["level"],
            _percent(row["success"]),
            _percent(row["success_all"]),
            row["two_qubit_gates"],
            "–" if row["seed"] is None else row["seed"],
            "–" if row["seed"] is None else f"{low} to {high}",
            row["two_qubit_depth"],
            row["depth"],
            row["n_qubits"],
            f"{row['duration_us']:.2f}",
            row["copies"] if row["rounds"] == 1 else f"1/{row['rounds']}",
        )
        lines.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    return (
        "<div class='wide'><table><thead><tr>"
        + "".join(f"<th>{escape(word)}</th>" for word in head)
        + "</tr></thead><tbody>"
        + "".join(lines)
        + "</tbody></table></div>"
    )


def _bars(rows: Sequence[Row]) -> str:
    """Stacked bars of the losses by source, each for one output."""
    colours = {
        "two-qubit gates": "#0072B2",
        "one-qubit gates": "#56B4E9",
        "idle": "#E69F00",
        "readout": "#009E73",
    }
    shares = []
    for row in rows:
        n = sum(len(copies[0]) for copies in row["lines"])
        shares.append({name: float(value) / n for name, value in row["losses"].items()})
    longest = max(sum(share.values()) for share in shares)
    parts = [
        f"<svg viewBox='0 0 640 {54 * len(rows) + 6}' role='img' class='bars'><title>Losses by source</title>"
    ]
    for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
        y, x = 54 * number + 22, 0.0
        total = sum(share.values())
        parts.append(
            f"<text x='0' y='{y - 7}' font-size='15'>{escape(str(row['layout']))}: {total:.3g}</text>"
        )
        for name, value in share.items():
            width = 640 * value / longest
            parts.append(
                f"<rect x='{x:.1f}' y='{y}' width='{max(width, 0.5):.1f}' height='20' fill='{colours[name]}'>"
                f"<title>{name}: {value:.3g}</title></rect>"
            )
            x += width
    parts.append("</svg><p class='legend'>")
    parts += [f"<span><i style='background:{colour}'></i>{name}</span>" for name, colour in colours.items()]
    return "".join(parts) + "</p><p>Bars: −log of the fidelity, of one tile or of the whole circuit.</p>"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if value >= 0.0995 else f"{100 * value:.2g} %"
