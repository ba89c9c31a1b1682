from __future__ import annotations

from pathlib import Path

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports import save_figure
from sqdr_qiskit.reports.variance import variance_figure, variance_table

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
