"""What circuits became on devices, as tables and in words: the best seed of each setting, the spread over
seeds, which choice wins, each separately, and by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqdr_qiskit.reports.tables import NONE, Table

__all__ = [
    "Row",
    "Verdict",
    "best_of",
    "best_rows",
    "changes_table",
    "mitigation_table",
    "mitigation_words",
    "percent_of",
    "pulses",
    "spread",
    "transpile_table",
    "verdicts",
]

Row = Mapping[str, Any]

_SETTING = ("circuit", "device", "layout", "level", "variation")


def best_rows(rows: Sequence[Row]) -> list[Row]:
    """Of each circuit, device, layout, level and variation the row with the best estimated success."""
    best: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in _SETTING)
        if key not in best or row["success"] > best[key]["success"]:
            best[key] = row
    return list(best.values())


def best_of(rows: Sequence[Row], layout: str, variation: str = "", *, level: int | None = None) -> Row | None:
    """The best row of a layout and variation; of one level, if it is given and the layout has levels."""
    own = [
        row
        for row in rows
        if row["layout"] == layout
        and row["variation"] == variation
        and (level is None or row["level"] in (None, level))
    ]
    return max(own, key=lambda row: float(row["success"]), default=None)


def spread(rows: Sequence[Row], of: Row, what: str) -> tuple[float, float, float]:
    """Least, median and most of a figure over the seeds of a row's setting."""
    values = [float(row[what]) for row in rows if all(row[key] == of[key] for key in _SETTING)]
    return min(values), median(values), max(values)


def pulses(row: Row) -> int:
    """Pulses on single qubits: all one-qubit gates but the virtual RZ."""
    on_pairs = int(row["two_qubit_gates"])
    return sum(int(number) for name, number in row["gates"].items() if name != "rz") - on_pairs


def transpile_table(rows: Sequence[Row], *, title: str = "") -> Table:
    """One line per setting of one circuit on one device: its best seed, and the spread over all seeds."""
    headers = (
        "layout", "level", "seed", "success", "success over seeds", "of all", "2q gates", "2q over seeds",
        "2q depth", "depth", "SWAPs", "pulses", "qubits", "µs", "time",
    )  # fmt: skip
    shown = [r for r in best_rows(rows) if not r["variation"] and r["layout"] in ("tiled", "whole")]
    return _table(headers, shown, rows, title)


def changes_table(rows: Sequence[Row], *, title: str = "") -> Table:
    """One circuit on one device with one thing changed at a time, at the highest level."""
    headers = (
        "what", "seed", "success", "success over seeds", "2q gates", "2q over seeds", "2q depth", "pulses",
        "µs",
    )  # fmt: skip
    highest = max((row["level"] for row in rows if row["level"] is not None), default=None)
    shown = [
        row
        for layout in ("tiled", "whole", "unfused", "as written")
        for row in best_rows(rows)
        if row["layout"] == layout and row["level"] in (None, highest)
    ]
    return _table(headers, shown, rows, title)


def _table(headers: Sequence[str], shown: Sequence[Row], rows: Sequence[Row], title: str) -> Table:
    said = (_cells(row, rows) for row in shown)
    cells = tuple(tuple(words[header] for header in headers) for words in said)
    return Table(tuple(headers), cells, frozenset(range(1, len(headers))), title)


def _cells(row: Row, rows: Sequence[Row]) -> dict[str, str]:
    """Header -> what a table says of a row, among the rows of all seeds."""
    what = {"unfused": "whole, Rots not fused"}.get(row["layout"], row["layout"])
    return {
        "what": ", ".join(word for word in (what, row["variation"]) if word),
        "layout": str(row["layout"]),
        "level": NONE if row["level"] is None else str(row["level"]),
        "seed": NONE if row["seed"] is None else str(row["seed"]),
        "success": percent_of(row["success"]),
        "success over seeds": _spread(rows, row, "success"),
        "of all": percent_of(row["success_all"]),
        "2q gates": str(row["two_qubit_gates"]),
        "2q over seeds": _spread(rows, row, "two_qubit_gates"),
        "2q depth": str(row["two_qubit_depth"]),
        "depth": str(row["depth"]),
        "SWAPs": f"{row['swaps']:.3g}",
        "pulses": str(pulses(row)),
        "qubits": str(row["n_qubits"]),
        "µs": f"{row['duration_us']:.2f}",
        "time": f"{1e3 * spread(rows, row, 'seconds')[1]:.0f} ms",
    }


def percent_of(value: float) -> str:
    """A success as per cent, with as many digits as say something."""
    if value >= 0.0995 or value <= 0:
        return f"{100 * value:.1f} %"
    if value < 1e-4:
        return f"{100 * value:.{1 - math.floor(math.log10(100 * value))}f} %"
    return f"{100 * value:.2g} %"


def _spread(rows: Sequence[Row], row: Row, what: str) -> str:
    if row["seed"] is None:
        return NONE
    values = spread(rows, row, what)
    if what == "success":
        return " / ".join(percent_of(value).removesuffix(" %") for value in values)
    return " / ".join(f"{value:g}" for value in values)


# ---- in words ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a circuit on a device.

    Attributes:
        circuit: The circuit.
        device: The device.
        rows: The findings of both.
        lines: What was chosen between, and what wins by how much.
    """

    circuit: str
    device: str
    rows: Sequence[Row]
    lines: tuple[tuple[str, str], ...]


def verdicts(rows: Sequence[Row], same: Mapping[str, Sequence[str]] | None = None) -> list[Verdict]:
    """Which choice wins for each circuit and device, and by how much; always the best seed of each.

    Args:
        rows: Findings as plain values.
        same: For each circuit the variations that come to the same gates as the circuit as given.
    """
    found = []
    for circuit, device in dict.fromkeys((str(row["circuit"]), str(row["device"])) for row in rows):
        own = [row for row in rows if (row["circuit"], row["device"]) == (circuit, device)]
        level = max((row["level"] for row in own if row["level"] is not None), default=None)
        whole, written = best_of(own, "whole", level=level), best_of(own, "as written")
        lines = {
            "layout": _layout(own),
            "fusing turns": _against("Fused", whole, "not fused", best_of(own, "unfused")),
            "last entangling layer": _last(own, level, (same or {}).get(circuit, ())),
            "entangler": _entangler(own, level),
            "against Qiskit alone": _against(
                "Fusing and leaving dead gates out", whole, "Qiskit alone", written
            ),
        }
        said = tuple((what, words) for what, words in lines.items() if words)
        found.append(Verdict(circuit, device, own, said))
    return found


def _layout(rows: Sequence[Row]) -> str:
    tiled, whole = best_of(rows, "tiled"), best_of(rows, "whole")
    if tiled is None or whole is None:
        if tiled is None and whole is None:
            return ""
        return f"Only {'tiles' if tiled is not None else 'the whole circuit'} can be laid out."
    n_outputs = sum(len(copies[0]) for copies in tiled["tiles"])
    mean = tiled["two_qubit_gates"] / n_outputs
    in_tiles = f"{mean:.3g} two-qubit gates at depth {tiled['two_qubit_depth']} a tile"
    in_whole = (
        f"{whole['two_qubit_gates']} at depth {whole['two_qubit_depth']} (level {whole['level']}, "
        f"seed {whole['seed']})"
    )
    right = "an output comes out right with"
    better, worse = float(tiled["success"]), float(whole["success"])
    if _as_good(better, worse):
        words = f"Tiles or the whole circuit are as good: {percent_of(better)}, {in_tiles} and {in_whole}."
    elif better > worse:
        words = f"Tiles win: {right} {_chance(better, worse)}, with {in_tiles} instead of {in_whole}."
    else:
        words = f"The whole circuit wins: {right} {_chance(worse, better)}, "
        words += f"with {in_whole} instead of {in_tiles}."
    if tiled["copies"] > 1:
        words += f" {tiled['copies']} samples fit side by side in tiles."
    if tiled["rounds"] > 1:
        words += f" As tiles it takes {tiled['rounds']} rounds."
    return words


def _last(rows: Sequence[Row], level: int | None, same: Sequence[str]) -> str:
    name = next((n for n in (*same, *_variations(rows)) if n.startswith("last layer ")), None)
    if name is None:
        return ""
    one, other = ("On", "off") if name.endswith("off") else ("Off", "on")
    if name in same:
        words = "It reaches no output: tiles and the whole circuit leave it out by themselves, on or off."
        written = _against(one, best_of(rows, "as written"), other, best_of(rows, "as written", name))
        return f"{words} By Qiskit alone: {written}" if written else words
    return _both(*_varied(rows, level, name, one, other))


def _entangler(rows: Sequence[Row], level: int | None) -> str:
    name = next((n for n in _variations(rows) if n.startswith("entangler ")), None)
    if name is None:
        return ""
    one, other = ("The ring", "the line") if name.endswith("line") else ("The line", "the ring")
    words, tiles = _varied(rows, level, name, one, other)
    if tiles:
        tiles += " A line's two ends have one neighbour, so their tiles are smaller; all others are the same."
    return _both(words, tiles)


def _variations(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["variation"]) for row in rows if row["variation"]))


def _varied(rows: Sequence[Row], level: int | None, name: str, one: str, other: str) -> tuple[str, str]:
    """The circuit as given (`one`) against a variation of it, whole and in tiles."""
    whole, changed = best_of(rows, "whole", level=level), best_of(rows, "whole", name, level=level)
    tiles = _against(one, best_of(rows, "tiled"), other, best_of(rows, "tiled", name))
    return _against(one, whole, other, changed), tiles


def _both(whole: str, tiles: str) -> str:
    parts = [
        f"{place}: {words[0].lower()}{words[1:]}"
        for place, words in (("Whole", whole), ("Tiled", tiles))
        if words
    ]
    return " ".join((*parts, "It is another circuit, to be trained as such.")) if parts else ""


def _against(one: str, first: Row | None, other: str, second: Row | None) -> str:
    """Which of two wins and by how much; `one` begins a sentence."""
    if first is None or second is None:
        return ""
    if _as_good(float(first["success"]), float(second["success"])):
        return (
            f"{one} or {other} is all the same: {percent_of(first['success'])}, "
            f"{first['two_qubit_gates']} and {second['two_qubit_gates']} two-qubit gates."
        )
    if first["success"] < second["success"]:
        one, other = other[0].upper() + other[1:], one[0].lower() + one[1:]
        first, second = second, first
    fewer: list[str] = []
    more: list[str] = []
    for word, mine, others in (
        ("two-qubit gates", first["two_qubit_gates"], second["two_qubit_gates"]),
        ("pulses", pulses(first), pulses(second)),
        ("µs", round(first["duration_us"], 2), round(second["duration_us"], 2)),
    ):
        if mine != others:
            (fewer if mine < others else more).append(f"{mine} {word}, not {others}")
    reasons = [f"with {'; '.join(fewer)}"] if fewer else []
    reasons += [f"despite {'; '.join(more)}"] if more else []
    chance = _chance(float(first["success"]), float(second["success"]))
    return f"{'; '.join((f'{one} wins against {other}: {chance}', *reasons))}."


def _as_good(first: float, second: float) -> bool:
    """Whether two successes are within half a per cent of each other, of the errors where these are few."""
    worse, better = sorted((first, second))
    if worse < 0.5:
        return better <= 1.005 * worse
    return 1 - worse <= 1.005 * (1 - better)


def _chance(better: float, worse: float) -> str:
    """Two successes and what lies between them."""
    words = f"{percent_of(better)} instead of {percent_of(worse)}"
    if worse < 0.5:
        ratio = better / worse if worse > 0 else float("inf")
        size = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.{2 if ratio >= 1.1 else 3}g}"
        return f"{words} ({size} times as likely)"
    fewer = (1 - worse) / (1 - better) if better < 1 else float("inf")
    return f"{words} ({100 * (1 - 1 / fewer):.0f} % fewer errors)"


# ---- error mitigation --------------------------------------------------------------------------------------


def mitigation_table(rows: Sequence[Mapping[str, Any]], budget_s: float) -> Table:
    """Error mitigation compared: rows of `jobs.transpile_report.MitigationRow` as plain values."""
    headers = (
        "mitigation", "bias", "by shots", "error", "executions", "quantum time", f"shots in {budget_s:g} s",
        "error then",
    )  # fmt: skip
    cells = tuple(
        (
            _how(row),
            f"{row['bias']:.4f}",
            f"{row['spread']:.4f}",
            f"{row['rms_error']:.4f}",
            f"{row['overhead']:.3g} x",
            f"{row['qpu_seconds']:,.1f} s",
            NONE if row["shots_at_budget"] is None else f"{row['shots_at_budget']:,}",
            NONE if row["rms_error_at_budget"] is None else f"{row['rms_error_at_budget']:.4f}",
        )
        for row in rows
    )
    return Table(headers, cells, frozenset(range(1, 8)))


def _how(row: Mapping[str, Any]) -> str:
    return f"{row['method']}{', RX' if row.get('fractional') else ''}"


def mitigation_words(rows: Sequence[Mapping[str, Any]], budget_s: float) -> str:
    """Which method wins, in one line."""
    best = next((row for row in rows if row["wins"]), None)
    if best is None:
        return f"{budget_s:g} s allow no method as much as 64 shots a circuit."
    first, gain = rows[0]["rms_error_at_budget"], ""
    if best is not rows[0] and rows[0]["method"] == "none" and first is not None:
        gain = f", {first / best['rms_error_at_budget']:.2f} times less than without"
    words = (
        f"{_how(best)} wins at {budget_s:g} s: error {best['rms_error_at_budget']:.4f} (root mean square "
        f"of an output){gain}. By the calibration, at random angles; what it does not hold is not in it."
    )
    if any(row.get("fractional") for row in rows):
        words += " RX: qubits turned with one pulse instead of two (--fractional)."
    return words
