from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.reports.device_pages import parts_markdown, parts_page
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
