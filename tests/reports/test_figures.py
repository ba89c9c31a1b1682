from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.reports.figures import (
    confusion_figure,
    error_budget_figure,
    noise_sweep_figure,
    training_curves,
)
from sqdr_qiskit.reports.page import save_figure

HISTORY: list[dict[str, Any]] = [
    {"epoch": 1, "loss": 1.9, "accuracy": 0.4, "validation_loss": 1.7, "validation_accuracy": 0.5},
    {"epoch": 2, "loss": 1.1, "accuracy": 0.7, "validation_loss": 1.0, "validation_accuracy": 0.8},
    {"epoch": 3, "loss": 0.9, "accuracy": 0.8, "validation_loss": 0.9, "validation_accuracy": 0.8},
]
POINTS: list[dict[str, Any]] = [
    {"channel": channel, "strength": strength, "accuracy": 0.9 - slope * strength, "n_images": 900}
    for channel, slope in (("bit flip", 4.0), ("depolarizing", 5.0))
    for strength in (0.05, 0.0, 0.02)
]
FIGURES: dict[str, Callable[[], Figure]] = {
    "curves": lambda: training_curves(HISTORY, title="digits · 2b-9q"),
    "one epoch": lambda: training_curves(HISTORY[:1], title="digits · 2b-9q"),
    "no validation": lambda: training_curves(
        [{"epoch": 1, "loss": 2.0, "accuracy": 0.1}], title="digits · 2b-9q"
    ),
    "confusion": lambda: confusion_figure(
        [[9, 1], [0, 12345]], ["T-shirt/top", "$x_1$"], title="digits · 2b-9q"
    ),
    "class without images": lambda: confusion_figure([[9, 1], [0, 0]], "ab", title="digits · 2b-9q"),
    "noise": lambda: noise_sweep_figure(POINTS, title="digits · 2b-9q", noiseless=0.9, chance=0.1),
    "long title": lambda: noise_sweep_figure(
        POINTS[:1], title="digits · 2b-9q" + " · recipe ours" * 9 + " words" * 30
    ),
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize("name", list(FIGURES))
def test_figure_is_titled_and_written_whole(name: str, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    assert any(text.startswith("digits · 2b-9q") for text in texts(figure))
    path = save_figure(figure, tmp_path / "new" / "figure.png")
    assert path == tmp_path / "new" / "figure.png"
    with Image.open(path) as image:
        image.load()
        assert min(image.size) >= 400
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20
    assert [path.name for path in path.parent.iterdir()] == ["figure.png"]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", list(FIGURES))
def test_no_text_leaves_the_figure(name: str) -> None:
    figure = FIGURES[name]()
    figure.savefig(io.BytesIO(), format="png")
    drawn = figure.get_tightbbox()  # inches, as is the figure's own size
    assert drawn.x0 >= 0.0
    assert drawn.y0 >= 0.0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()


def test_curves_show_what_the_history_says() -> None:
    figure = training_curves(HISTORY)
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [1.9, 1.1, 0.9])
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), [0.5, 0.8, 0.8])
    assert "Accuracy; best validation 80.00 %, epoch 2" in texts(figure)  # the first of equals


def test_curves_without_validation_show_training_alone() -> None:
    rows = [{**row, "validation_loss": None, "validation_accuracy": None} for row in HISTORY]
    figure = training_curves(rows)
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]
    assert not [text for text in texts(figure) if "validation" in text]


def test_a_short_run_s_validation_stands_at_the_steps_that_it_is_of() -> None:
    rows = [{"step": step, "loss": 2.0 / step, "accuracy": 0.1 * step} for step in range(1, 5)]
    for row in (rows[1], rows[3]):
        row.update(validation_loss=1.0, validation_accuracy=0.15 * row["step"])
    figure = training_curves(rows)
    (training, validation, _) = figure.axes[1].lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(validation.get_xdata(), [2, 4])
    assert "Accuracy; best validation 60.00 %, step 4" in texts(figure)


def test_confusion_shows_counts_recall_and_accuracy() -> None:
    found = texts(confusion_figure([[8, 2], [0, 30]], ["cat", "dog"]))
    for expected in ("8", "2", "30", "80.0 %", "100.0 %", "95.00 % of 40 images right", "cat", "dog"):
        assert expected in found
    assert "0" not in found  # empty cells stay empty


def test_noise_sweep_draws_each_channel_in_order_of_strength() -> None:
    axes = noise_sweep_figure(POINTS).axes[0]
    assert [line.get_label() for line in axes.lines] == ["bit flip", "depolarizing"]
    named = noise_sweep_figure(POINTS, noiseless=0.9, chance=0.1)  # as what is in the way of no curve
    assert {"no noise, 90.0 %", "guessing, 10.0 %"} < {line.get_label() for line in named.axes[0].lines}
    assert not named.axes[0].texts
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0.0, 0.02, 0.05])
    np.testing.assert_allclose(np.array(axes.lines[0].get_ydata(), dtype=float), np.array([0.9, 0.82, 0.7]))


@pytest.mark.parametrize(("lowest", "label"), [(0.1, "accuracy"), (0.9, "accuracy (axis cut)")])
def test_an_accuracy_axis_starts_at_0_or_says_that_it_does_not(lowest: float, label: str) -> None:
    points = [{"channel": "bit_flip", "strength": p, "accuracy": lowest + p} for p in (0.0, 0.02)]
    axes = noise_sweep_figure(points).axes[0]
    assert axes.get_ylabel() == label
    assert (axes.get_ylim()[0] == 0.0) == (label == "accuracy")


def test_a_sweep_s_band_is_the_standard_error_and_a_channel_has_one_spelling() -> None:
    points = [{"channel": "bit_flip", "strength": p, "accuracy": 0.8, "n_images": 400} for p in (0.0, 0.1)]
    axes = noise_sweep_figure(points).axes[0]
    assert [line.get_label() for line in axes.lines] == ["bit flip"]
    (band,) = axes.collections
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.78, 0.82))


def test_an_error_budget_is_drawn_in_per_cent() -> None:
    figure = error_budget_figure(
        {"tiled": {"idle": 0.0, "readout": 0.02}, "whole": {"idle": 3.0, "readout": 1.0}}
    )
    ends: dict[float, float] = {}
    for bar in figure.axes[0].patches:
        assert isinstance(bar, Rectangle)
        ends[bar.get_y()] = max(ends.get(bar.get_y(), 0.0), bar.get_x() + bar.get_width())
    assert sorted(ends.values()) == pytest.approx([1 - math.exp(-0.02), 1 - math.exp(-4.0)])
    assert "98.2 %" in texts(figure)


@pytest.mark.parametrize("name", ["curves", "confusion", "noise"])
def test_text_is_readable_at_one_column_of_a_paper(name: str) -> None:
    figure = FIGURES[name]()
    assert figure.get_figwidth() <= 7.2  # inches: both columns; nothing is scaled down in print
    assert min(float(text.get_fontsize()) for text in figure.findobj(matplotlib.text.Text)) >= 6.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training_curves([]), "Argument `history` must have at least one epoch"),
        (lambda: noise_sweep_figure([]), "Argument `points` must have at least one point"),
        (lambda: confusion_figure([[1, 2]], ["a"]), r"must be of shape \(1, 1\).*but is of shape \(1, 2\)"),
    ],
)
def test_nothing_to_show_is_refused(call: Callable[[], Figure], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


def test_reports_import_neither_pyplot_nor_torch_nor_qiskit() -> None:
    code = (
        "import sys; from sqdr_qiskit.reports import comparison_page, device_pages, run_page, transpile_page;"
        "print([m for m in ('matplotlib.pyplot', 'torch', 'qiskit', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
