"""The pages about work on a device, from plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit.reports.device_pages import learnt_noise_page, learnt_noise_text, parts_markdown, parts_page
from tests.reports.browser import WIDTHS, needs_browser, show

_RUN = {
    "state": "done", "task": "infer", "backend": "ibm_kingston", "device": "ibm_kingston", "layout": "tiled",
    "calibrated": "2026-04-15", "jobs": ["job-1", "job-2"], "executions": 102400, "planned_s": 37.84,
    "used_s": 36.0, "images": 100, "right": 96, "exact_right": 95, "rms_error": 0.01932,
    "sampling_error": 0.01322, "slope": 0.978, "twin": {"chi_square": 1.087},
}  # fmt: skip


@pytest.fixture
def record() -> dict[str, Any]:
    learning = {"before": 4.2, "after": 1.05, "fits": True}
    return {
        "title": "Ten <minutes>",
        "source": "a plan",
        "max_qpu_seconds": 600,
        "parts": [
            {"part": "tiled", "title": "each cone by itself", **_RUN},
            {"part": "noise", "title": "learnt", "state": "done", "learning": learning},
            {"part": "again", "title": "the same once more", "state": "not begun"},
        ],
        "made_by": {"qiskit": "2.6.1"},
    }


def test_page_and_markdown_say_what_was_sent_and_what_came_of_it(record: dict[str, Any]) -> None:
    page, markdown = parts_page(record), parts_markdown(record)
    assert "<h1>Ten &lt;minutes&gt;</h1>" in page
    assert "# Ten <minutes>" in markdown
    for said in ("96 of 100 right, noiseless 95", "chi-square held out 4.20, as learnt 1.05", "not begun",
                 "job-1, job-2", "102,400", "0.0193", "1.09", "calibrated 2026-04-15"):  # fmt: skip
        assert said in page
        assert said in markdown


def test_before_anything_ran_there_are_no_values(record: dict[str, Any]) -> None:
    record["parts"] = record["parts"][2:]
    for said in (parts_page(record), parts_markdown(record)):
        assert "Nothing ran yet" in said
        assert "Expectation values" not in said
        assert "Job ids" not in said


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_finds_nothing_wrong(width: int, record: dict[str, Any], tmp_path: Path) -> None:
    assert show(parts_page(record), tmp_path, width=width, count=()).wrong == {}


def _found(*, fits: bool, told: bool) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    held_out = np.stack([*rng.uniform(-1, 1, (3, 20)), np.full(20, 0.01)], axis=1)
    estimate = {"qubits": (3, 4), "calibrated": 0.0, "value": 0.03, "low": 0.02, "high": 0.04, "told": told}
    t1 = {"what": "T1", "qubits": (3,), "calibrated": 1e-4, "value": 9e-5, "low": 4e-5, "high": 1e3}
    return {
        "backend": "ibm_<b>kingston",
        "circuit": "2b-9q",
        "calibrated": "2026-11-01",
        "n_samples": 160,
        "n_probes": 8,
        "shots": 4096,
        "file": "learnt.toml",
        "estimates": [{"what": "over_rotation", **estimate}, {**t1, "told": False}],
        "n_fitted": 80,
        "n_held_out": 20,
        "before": 3.456,
        "after": 1.02 if fits else 2.5,
        "p_value": 0.4 if fits else 1e-9,
        "fits": fits,
        "held_out": held_out.tolist(),
        "made_by": {"command": "noise learn"},
    }


def test_the_page_says_what_is_known_and_what_is_not() -> None:
    page = learnt_noise_page(_found(fits=True, told=True))
    assert "What was learnt explains what was held out" in page
    assert "3.46" in page
    assert "1.02" in page
    assert "two-qubit gate, over-rotation" in page
    assert "20 to 40" in page
    assert "mrad" in page
    assert "40 to –" in page  # a relaxation time without an upper end, among those that are not told
    assert "<b>kingston" not in page
    assert page.count("<img") + page.count("<svg") >= 1
    assert 'src="http' not in page


def test_a_bad_fit_is_said_on_the_page_and_in_the_terminal() -> None:
    found = _found(fits=False, told=False)
    page = learnt_noise_page(found)
    assert '<section class="refused"><h2>The fit is bad</h2>' in page
    assert "Do not rely on the file" in page
    assert "The data tell no parameter apart from its prior" in page
    text = learnt_noise_text(found)
    assert "The fit is bad" in text
    assert "The data tell 0 of 2 parameters" in text
    assert "160 samples of ibm_<b>kingston, 8 of them probes, in 4096 shots: 80 values fitted" in text
