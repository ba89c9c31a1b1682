"""What circuits became on devices, as tables: the best seed of each setting, and the spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from sqdr_qiskit.reports.tables import Table

__all__ = [
    "Row",
    "best_of",
    "best_rows",
    "changes_table",
    "pairs",
    "percent_of",
    "pulses",
    "spread",
    "transpile_table",
]

Row = Mapping[str, Any]

_SETTING = ("circuit", "device", "layout", "level", "variation")


def pairs(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Circuits and devices, in order of appearance."""
    return list(dict.fromkeys((str(row["circuit"]), str(row["device"])) for row in rows))


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
        "layout", "level", "seed", "success", "over seeds", "of all", "2q gates", "over seeds", "2q depth",
        "depth", "SWAPs", "pulses", "qubits", "µs", "time",
    )  # fmt: skip
    cells = tuple(
        (
            str(row["layout"]),
            "–" if row["level"] is None else str(row["level"]),
            "–" if row["seed"] is None else str(row["seed"]),
            percent_of(row["success"]),
            _spread(rows, row, "success"),
            percent_of(row["success_all"]),
            str(row["two_qubit_gates"]),
            _spread(rows, row, "two_qubit_gates"),
            str(row["two_qubit_depth"]),
            str(row["depth"]),
            f"{row['swaps']:.3g}",
            str(pulses(row)),
            str(row["n_qubits"]),
            f"{row['duration_us']:.2f}",
            f"{1e3 * spread(rows, row, 'seconds')[1]:.0f} ms",
        )
        for row in best_rows(rows)
        if not row["variation"] and row["layout"] in ("tiled", "whole")
    )
    return Table(headers, cells, frozenset(range(1, len(headers))), title)


def changes_table(rows: Sequence[Row], *, title: str = "") -> Table:
    """One circuit on one device with one thing changed at a time, at the highest level."""
    headers = ("what", "seed", "success", "over seeds", "2q gates", "over seeds", "2q depth", "pulses", "µs")
    levels = [row["level"] for row in rows if row["level"] is not None]
    cells = tuple(
        (
            ", ".join(word for word in (_named(row["layout"]), row["variation"]) if word),
            "–" if row["seed"] is None else str(row["seed"]),
            percent_of(row["success"]),
            _spread(rows, row, "success"),
            str(row["two_qubit_gates"]),
            _spread(rows, row, "two_qubit_gates"),
            str(row["two_qubit_depth"]),
            str(pulses(row)),
            f"{row['duration_us']:.2f}",
        )
        for layout in ("tiled", "whole", "unfused", "as written")
        for row in best_rows(rows)
        if row["layout"] == layout and row["level"] in (None, max(levels, default=None))
    )
    return Table(headers, cells, frozenset(range(1, len(headers))), title)


def percent_of(value: float) -> str:
    """A success as per cent, with as many digits as say something."""
    if value >= 0.0995 or value <= 0:
        return f"{100 * value:.1f} %"
    if value < 1e-4:
        return f"{100 * value:.{1 - math.floor(math.log10(100 * value))}f} %"
    return f"{100 * value:.2g} %"


def _named(layout: str) -> str:
    return {"unfused": "whole, Rots not fused"}.get(layout, layout)


def _spread(rows: Sequence[Row], row: Row, what: str) -> str:
    if row["seed"] is None:
        return "–"
    values = spread(rows, row, what)
    if what == "success":
        return " / ".join(percent_of(value).removesuffix(" %") for value in values)
    return " / ".join(f"{value:g}" for value in values)
