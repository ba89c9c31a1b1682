from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.browser import WIDTHS, needs_browser, show

_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
_PAGE = (
    "<!doctype html><html><head><link rel='icon' href='data:,'><style>body{margin:0}.wide{overflow-x:auto}"
    "</style></head><body>%s</body></html>"
)
_SOUND = [
    "<section><h1>Title</h1><div class='wide'><div style='width:2000px'>wide</div></div>",
    f"<img src='{_PIXEL}' alt=''></section>",
]


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_sound_page_is_found_sound(width: int, tmp_path: Path) -> None:
    shown = show(_PAGE % "".join(_SOUND), tmp_path, width=width, count=("section", "svg"))
    assert shown.wrong == {}
    assert shown.images == 1
    assert shown.counts == {"section": 1, "svg": 0}


@needs_browser
@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("<p style='width:900px'>x</p>", "wide"),
        ("<img src='nowhere.png' alt=''>", "missing"),
        ("<script src='https://example.com/a.js'></script>", "requests"),
        ("<script>console.error('oh')</script>", "faults"),
        ("<script>throw new Error('oh')</script>", "faults"),
        ("<svg style='width:0' viewBox='0 0 1 1'></svg>", "empty"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(part: str, field: str, tmp_path: Path) -> None:
    shown = show(_PAGE % "".join([*_SOUND, part]), tmp_path, width=390)
    assert field in shown.wrong
