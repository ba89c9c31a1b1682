"""The paper's results, once: Luu et al., arXiv 2512.03895, Tables 2 to 5 (validation accuracy)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PAPER", "paper_accuracy"]

_DATASETS = ("mnist", "fashion-mnist", "kmnist")
_STARTS = ("normal-2pi", "uniform-2pi", "uniform-1", "normal-1")


def _rows(table: int, noise: str | None, columns: tuple[str, ...], lines: str) -> list[dict[str, Any]]:
    """Rows of a table: each line a name, then per cent by column."""
    found = []
    for name, *values in (line.split() for line in lines.strip().splitlines()):
        for column, value in zip(columns, values, strict=True):
            row = {"table": table, "circuit": name, "dataset": column, "noise": noise}
            found.append({**row, "accuracy": round(float(value) / 100, 6)})
    return found


_TABLE_2 = "hea-9q 80.30 72.85 76.26\nsqnn-9q 82.45 74.50 77.55\n2b-9q 84.03 76.18 80.04"
_TABLE_3 = """
2b-9q 84.03 76.18 80.04
4b-9q 88.32 79.99 84.36
2b-18q 86.55 77.80 82.01
4b-18q 88.32 82.18 83.93
"""
_TABLE_4 = """
2b-9q 82.67 73.86 77.54
4b-9q 81.95 72.52 77.17
2b-18q 84.36 74.46 78.47
4b-18q 84.70 74.97 79.41
"""
_TABLE_5 = """
adam 81.41 84.03 82.57 82.07
adamw 58.40 60.57 58.45 54.99
sgd 39.93 47.36 38.49 27.61
sgdr 25.24 36.96 25.25 22.41
adagrad 31.01 28.17 25.16 20.24
"""

PAPER: tuple[Mapping[str, Any], ...] = (
    *_rows(3, None, _DATASETS, _TABLE_3),
    *_rows(4, "paper", _DATASETS, _TABLE_4),
    *_rows(2, None, _DATASETS, _TABLE_2),
    *(
        {
            "table": 5, "circuit": "2b-9q", "dataset": "mnist", "noise": None, "optimiser": row["circuit"],
            "initialisation": row["dataset"], "accuracy": row["accuracy"],
        }
        for row in _rows(5, None, _STARTS, _TABLE_5)
    ),
)  # fmt: skip
"""One row for each cell: `table`, `circuit`, `dataset`, `noise`, `accuracy` (0 to 1); in Table 5 also
`optimiser` and `initialisation`.
"""


def paper_accuracy(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The paper's row for a run, or None if the paper has no such run.

    Args:
        settings: `circuit`, `dataset`, `noise`; `optimiser` and `initialisation`, if the run sets them: then
            Table 5 is looked into, else Tables 3, 4 and 2.
    """
    keys = ["circuit", "dataset", "noise"]
    optimiser, start = settings.get("optimiser"), settings.get("initialisation")
    wanted = {key: settings.get(key) for key in keys}
    if optimiser is not None or start is not None:
        wanted |= {"optimiser": optimiser or "adam", "initialisation": start or "uniform-2pi"}
    for row in PAPER:
        if all(row.get(key) == value for key, value in wanted.items()) and (
            (row["table"] == 5) == ("optimiser" in wanted)
        ):
            return row
    return None
