"""Tables from records: cells as text, laid out as Markdown, CSV, LaTeX or plain; the paper's results."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sqdr_qiskit.errors import ArgumentError

__all__ = [
    "channel_name",
    "duration",
    "noise_sweep_table",
    "NONE",
    "PAPER",
    "paper_accuracy",
    "per_class_table",
    "percent",
    "results_table",
    "runs_table",
    "Table",
]


NONE = "–"


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        headers: One per column.
        rows: Each with one cell per column.
        right: Columns, by number, that hold figures and line up on the right.
        title: What it shows; may be empty.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    title: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headers):
                raise ArgumentError(
                    f"Argument `rows` must have {len(self.headers)} cells in each row, "
                    f"but has {len(row)} in {row}."
                )

    def markdown(self) -> str:
        """The table in GitHub's Markdown, with a final newline; without the title."""
        rule = ["---:" if column in self.right else "---" for column in range(len(self.headers))]
        lines = [self.headers, rule, *self.rows]
        return "".join(
            "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines
        )

    def csv(self) -> str:
        """The table as RFC 4180 says, but with line feeds alone; without the title."""
        page = io.StringIO()
        csv.writer(page, lineterminator="\n").writerows((self.headers, *self.rows))
        return page.getvalue()

    def latex(self) -> str:
        """The table as a LaTeX `tabular` with the rules of package booktabs, with a final newline."""
        columns = "".join("r" if column in self.right else "l" for column in range(len(self.headers)))

        def line(cells: Sequence[str]) -> str:
            written = " & ".join(_latex(cell) for cell in cells) + r" \\"
            # braces: else the line end before it would take a bracket or an asterisk for its option
            return "{}" + written if written[0] in "[*" else written

        body = "\n".join(line(row) for row in self.rows)
        title = " ".join(self.title.split())  # a comment ends with its line
        return (
            f"% {title or 'Needs'}{': needs' if title else ''} \\usepackage{{booktabs}}\n"
            f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{line(self.headers)}\n\\midrule\n{body}\n"
            "\\bottomrule\n\\end{tabular}\n"
        )

    def text(self) -> str:
        """The table in columns of equal width, the title above it, with a final newline."""
        lines = [self.headers, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headers))]
        page = [self.title] if self.title else []
        for line in lines:
            cells = [
                cell.rjust(width) if column in self.right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            page.append("  ".join(cells).rstrip())
        return "\n".join(page) + "\n"


def percent(value: float | None, decimals: int = 2) -> str:
    """A fraction as per cent, `0.9153` as `91.53 %`; a dash for None and not-a-number."""
    return NONE if value is None or math.isnan(value) else f"{100 * value:.{decimals}f} %"


def duration(seconds: float) -> str:
    """Seconds as one reads them: `8.2 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def channel_name(kind: str) -> str:
    """A noise channel as pages and figures call it: `bit_flip` is the kind, `bit flip` its name."""
    return kind.replace("_", " ")


def per_class_table(confusion: ArrayLike, class_names: Sequence[str], *, title: str = "") -> Table:
    """What became of each class.

    Args:
        confusion: Integer array of shape (classes, classes): images of the row's class taken for the
            column's.
        class_names: One name per class.
        title: What it shows.

    Returns:
        For each class its images, how many were right, the share of them (recall), the share of the images
        taken for it that are of it (precision), and the class it was most often mistaken for; then the sums.

    Raises:
        ArgumentError: If the matrix does not match the names.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    if counts.shape != (len(class_names), len(class_names)):
        raise ArgumentError(
            f"Argument `confusion` must be of shape ({len(class_names)}, {len(class_names)}) "
            f"for {len(class_names)} class names, but is of shape {counts.shape}."
        )
    rows = []
    for number, name in enumerate(class_names):
        wrong = counts[number].copy()
        images, right, taken = int(wrong.sum()), int(wrong[number]), int(counts[:, number].sum())
        wrong[number] = 0
        worst = f"{class_names[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else NONE
        recall = percent(right / images if images else None)
        precision = percent(right / taken if taken else None)
        rows.append((name, f"{images:,}", f"{right:,}", recall, precision, worst))
    total, right = int(counts.sum()), int(np.trace(counts))
    rows.append(("all", f"{total:,}", f"{right:,}", percent(right / total if total else None), "", ""))
    headers = ("class", "images", "right", "recall", "precision", "most often taken for")
    return Table(headers, tuple(rows), frozenset({1, 2, 3, 4}), title)


def noise_sweep_table(points: Sequence[Mapping[str, Any]], *, title: str = "") -> Table:
    """Accuracy by channel (rows) and strength (columns).

    Args:
        points: Rows with `channel`, `strength` (0 to 1) and `accuracy` (0 to 1), in any order; a dash where a
            channel has no point at a strength.
        title: What it shows.
    """
    strengths = sorted({float(point["strength"]) for point in points})
    channels = list(dict.fromkeys(str(point["channel"]) for point in points))
    found = {(str(point["channel"]), float(point["strength"])): point["accuracy"] for point in points}
    rows = tuple(
        (channel_name(name), *(percent(found.get((name, p))) for p in strengths)) for name in channels
    )
    headers = ("channel", *(f"{round(100 * p, 6):g} %" for p in strengths))
    return Table(headers, rows, frozenset(range(1, len(headers))), title)


def results_table(
    records: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | Sequence[str], *, title: str = ""
) -> Table:
    """One row per record, one column per key.

    Args:
        records: Plain records; a missing key or None gives a dash.
        columns: The keys to show, in order, or a mapping from key to header. Keys that end in `accuracy` are
            shown as per cent; numbers line up on the right.
        title: What it shows.
    """
    headers = (
        dict(columns) if isinstance(columns, Mapping) else {key: key.replace("_", " ") for key in columns}
    )
    rows = tuple(tuple(_cell(key, record.get(key)) for key in headers) for record in records)
    numbers = frozenset(
        column
        for column, key in enumerate(headers)
        if any(isinstance(record.get(key), int | float) for record in records)
    )
    return Table(tuple(headers.values()), rows, numbers, title)


def runs_table(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Table:
    """A list of runs: accuracy, circuit, data, backend, noise, time, state."""
    cells = tuple(
        (
            str(row["run"]),
            percent(row.get("accuracy")),
            *(str(row.get(key) or NONE) for key in ("task", "circuit", "dataset", "backend", "noise")),
            NONE if row.get("seed") is None else str(row["seed"]),
            duration(row["seconds"]) if row.get("seconds") else NONE,
            str(row["state"]),
        )
        for row in rows
    )
    headers = ("run", "accuracy", "task", "circuit", "data", "backend", "noise", "seed", "time", "state")
    return Table(headers, cells, frozenset({1, 7, 8}), title)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and key.endswith("accuracy"):
        return percent(float(value))
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return NONE if math.isnan(value) else f"{value:.4g}"
    return str(value)


# What LaTeX would take for a command, and the letters that its standard encoding lacks.
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "−": "$-$",
    "µ": r"$\mu$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "≤": r"$\leq$", "≥": r"$\geq$", "<": "$<$",
    ">": "$>$", "λ": r"$\lambda$", **{
        letter: f"$\\{unicodedata.name(letter).split()[-1].lower()}$" for letter in "αβγδεζηθικμνξπρστυφχψω"
    },
}  # fmt: skip


def _latex(text: str) -> str:
    return re.sub("[" + re.escape("".join(_LATEX)) + "]", lambda found: _LATEX[found[0]], text)


# ---- the paper's results: Luu et al., arXiv 2512.03895, Tables 2 to 5 (validation accuracy) ----------------

_DATASETS = ("mnist", "fashion-mnist", "kmnist")
_STARTS = ("normal-2pi", "uniform-2pi", "uniform-1", "normal-1")


def _paper_rows(table: int, noise: str | None, columns: tuple[str, ...], lines: str) -> list[dict[str, Any]]:
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
    *_paper_rows(3, None, _DATASETS, _TABLE_3),
    *_paper_rows(4, "paper", _DATASETS, _TABLE_4),
    *_paper_rows(2, None, _DATASETS, _TABLE_2),
    *(
        {
            "table": 5, "circuit": "2b-9q", "dataset": "mnist", "noise": None, "optimiser": row["circuit"],
            "initialisation": row["dataset"], "accuracy": row["accuracy"],
        }
        for row in _paper_rows(5, None, _STARTS, _TABLE_5)
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
    wanted = {key: settings.get(key) for key in ("circuit", "dataset", "noise")}
    optimiser, start = settings.get("optimiser"), settings.get("initialisation")
    in_table_5 = optimiser is not None or start is not None
    if in_table_5:
        wanted |= {"optimiser": optimiser or "adam", "initialisation": start or "uniform-2pi"}
    rows = (row for row in PAPER if (row["table"] == 5) == in_table_5)
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)
