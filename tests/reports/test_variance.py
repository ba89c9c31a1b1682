from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.page import save_figure
from sqdr_qiskit.reports.variance import (
    training_variance_figure,
    training_variance_table,
    variance_figure,
    variance_table,
)

_POINTS = [
    {
        "n_qubits": n, "observable": kind, "initialisation": name, "variance_first": 0.1 / n,
        "standard_error": 0.001, "variance_reached": 0.05, "variance_mean": 0.01,
    }
    for n in (2, 4, 8)
    for kind in ("local", "global")
    for name in ("uniform-2pi", "normal-1")
]  # fmt: skip


def test_a_panel_for_each_observable_and_a_line_for_each_initialisation(tmp_path: Path) -> None:
    figure = variance_figure(_POINTS, title="variance")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Z on one qubit", "Z on all qubits"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 2]
    assert save_figure(figure, tmp_path / "variance.png").stat().st_size > 5_000
    with pytest.raises(ArgumentError, match="`points` must have at least one point"):
        variance_figure([])


def test_the_table_has_a_row_for_each_point() -> None:
    table = variance_table(_POINTS)
    assert len(table.rows) == len(_POINTS)
    assert table.rows[0][0] == "2"


def _rows(n: int, *, head: bool) -> list[dict[str, Any]]:
    rows = []
    for epoch in range(n):
        row: dict[str, Any] = {"epoch": epoch, "step": 10 * epoch, "loss": 0.1 / (1 + epoch), "circuit": 0.01}
        if head:
            condition = 0.5 + 0.25 * epoch
            row |= {"head": 0.01 * condition, "theorem_2": 0.01 * condition, "condition": condition}
        rows.append(row)
    return rows


def test_the_loss_s_gradient_of_each_run_with_its_mean_and_the_theorem_s_two_sides(tmp_path: Path) -> None:
    figure = training_variance_figure({"with": _rows(5, head=True), "without": _rows(5, head=False)})
    loss, theorem = figure.axes
    assert len(loss.get_lines()) == 4
    assert len(theorem.get_lines()) == 3
    assert save_figure(figure, tmp_path / "variance.png").stat().st_size > 5_000
    assert len(training_variance_figure({"without": _rows(5, head=False)}).axes) == 1
    with pytest.raises(ArgumentError, match="`runs` must have at least one row"):
        training_variance_figure({"empty": []})


def test_the_table_says_where_the_condition_held() -> None:
    table = training_variance_table({"with": _rows(4, head=True), "without": _rows(1, head=False)})
    assert [row[-3:] for row in table.rows] == [
        ("0.500", "no", "no"),
        ("0.750", "no", "no"),
        ("1.000", "yes", "yes"),
        ("1.250", "yes", "yes"),
        ("0.875", "no", "no"),
        ("–", "–", "–"),
    ]
    assert [row[1] for row in table.rows] == ["0", "1", "2", "3", "mean", "0"]


def test_a_long_run_is_shown_in_twelve_rows_from_first_to_last() -> None:
    rows = training_variance_table({"run": _rows(100, head=False)}).rows
    assert len(rows) == 13
    assert (rows[0][1], rows[11][1], rows[11][2]) == ("0", "99", "990")
