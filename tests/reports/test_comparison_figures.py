from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np

from sqdr_qiskit.reports.comparison import compare_runs
from sqdr_qiskit.reports.comparison_page import comparison_figures
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
