from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from sqdr_qiskit.reports.comparison import compare_runs
from sqdr_qiskit.reports.comparison_page import comparison_figures, write_comparison
from tests.reports.browser import WIDTHS, needs_browser, show
from tests.reports.test_comparison import run, runs

__all__ = ["runs"]


def test_figures_show_seeds_differences_curves_and_sweeps(runs: list[dict[str, Any]]) -> None:
    figures = {name: figure for name, (_, figure) in comparison_figures(compare_runs(runs)).items()}
    assert list(figures) == ["seeds", "differences", "curves", "noise"]
    for name, figure in figures.items():
        figure.savefig("/dev/null", format="png")
        drawn = figure.get_tightbbox()
        assert drawn.x0 >= -0.01, name
        assert drawn.x1 <= figure.get_figwidth() + 0.01, name
    words = [text.get_text() for text in figures["seeds"].findobj(matplotlib.text.Text)]
    assert "test accuracy (axis cut)" in words
    assert "paper" in words
    bare = [{**one, "history": [], "sweeps": []} for one in runs[:1]]
    assert list(comparison_figures(compare_runs(bare))) == ["seeds"]


def test_the_gradient_s_variance_is_shown_against_the_size_or_over_training() -> None:
    def noted(circuit: str, n_qubits: int, seed: int, epochs: int) -> dict[str, Any]:
        rows = [
            {"epoch": e, "step": 10 * e, "loss": 0.1 / n_qubits, "circuit": 1 / n_qubits + 0.01 * seed}
            for e in range(epochs)
        ]
        return {**run(seed, 0.9, circuit=circuit), "n_qubits": n_qubits, "variance": rows, "history": []}

    sizes = [noted(f"2b-{n}q", n, seed, 1) for n in (3, 6, 9) for seed in (0, 1)]
    _, figure = comparison_figures(compare_runs(sizes))["variance"]
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [3, 6, 9])
    heights = np.asarray(line.get_ydata(), dtype=float)
    np.testing.assert_allclose(heights, [1 / 3 + 0.005, 1 / 6 + 0.005, 1 / 9 + 0.005])
    longer = [noted("2b-9q", 9, seed, 4) for seed in (0, 1)]
    _, figure = comparison_figures(compare_runs(longer))["variance"]
    assert figure.axes[0].get_xlabel() == "training steps"


def test_short_runs_show_their_steps() -> None:
    steps = [{"step": step, "loss": 1 / step, "accuracy": 0.5} for step in (1, 2, 3, 4)]
    history = [{"epoch": 1, "loss": 0.5, "accuracy": 0.5, "steps": steps}]
    _, figure = comparison_figures(compare_runs([{**run(0, 0.9), "history": history}]))["curves"]
    assert figure.axes[0].get_xlabel() == "step"
    heights = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(heights, [1, 1 / 2, 1 / 3, 1 / 4])


def test_many_groups_have_rows_of_their_own_and_lines_that_differ() -> None:
    models = (
        "circuit",
        "features",
        "convnet",
        "local-cosines",
        "grouped-tanh",
        "plain-encoder",
        "a",
        "b",
        "c",
    )
    data = ("mnist", "fashion-mnist")
    many = [run(0, 0.9, dataset=name, model=model) for name in data for model in models]
    _, figure = comparison_figures(compare_runs(many))["curves"]
    figure.savefig("/dev/null", format="png")
    assert figure.get_tightbbox().x1 <= figure.get_figwidth() + 0.01
    told = []
    for loss, _, legend in np.reshape(np.array(figure.axes), (4, 3)):
        words = [text.get_text() for text in legend.get_legend().get_texts()]
        drawn = [line for line in loss.lines if line.get_label() in words]
        assert len({(line.get_color(), str(line.get_linestyle())) for line in drawn}) == len(drawn) <= 7
        assert len(loss.lines) == len(models)  # the data set's others, pale
        told += words
    assert told == [f"{name}, model {model}" for name in data for model in models]
    _, figure = comparison_figures(compare_runs(many[:8]))["curves"]  # eight of one data set
    assert len(figure.axes) == 6


def test_the_files_hold_the_same_in_every_format(runs: list[dict[str, Any]], tmp_path: Path) -> None:
    written = write_comparison(compare_runs(runs), tmp_path / "new", title="a & b", command="typed")
    assert [path.name for path in written] == [
        "report.html", "report.md", "report.csv", "report.tex", "runs.csv", "report.json",
        "seeds.pdf", "differences.pdf", "curves.pdf", "noise.pdf",
    ]  # fmt: skip
    read = {path.name: path.read_bytes() for path in written}
    assert "| 2b-9q, no noise | 803 | 7 | 90.30 ± 0.22 |" in read["report.md"].decode()
    tex = read["report.tex"].decode()
    assert r"2b-9q, no noise & 803 & 7 & 90.30 $\pm$ 0.22 & " in tex
    assert r"test \% & lowest to highest" in tex
    rows = list(csv.DictReader(read["report.csv"].decode().splitlines()))
    assert rows[0]["test %"] == "90.30 ± 0.22"
    scalars = list(csv.DictReader(read["runs.csv"].decode().splitlines()))
    assert len(scalars) == 17 * 3 * 4 + 16
    assert float(scalars[0]["value"]) == 1.0
    assert json.loads(read["report.json"])["groups"][0]["by_seed"]["6"] == pytest.approx(0.906)
    page = read["report.html"].decode()
    assert "a &amp; b" in page
    assert "--seed 3 &lt;x&gt;" in page
    assert "established." in page


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_shows_the_page(width: int, runs: list[dict[str, Any]], tmp_path: Path) -> None:
    page = write_comparison(compare_runs(runs), tmp_path / "new", title="t")[0].read_text(encoding="utf-8")
    assert show(page, tmp_path, width=width).wrong == {}
