"""A page as a browser shows it: what it asked for, what went wrong in it, what is too wide."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["WIDTHS", "Shown", "needs_browser", "screenshot", "show"]

_CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)

needs_browser = pytest.mark.skipif(_CHROMIUM is None, reason="Chromium is not installed")
"""Marks a test that shows pages."""

WIDTHS = (390, 820, 1400)
"""A phone's, a tablet's and a desktop's, in pixels."""

_PROBE = """<script>
addEventListener('error', event => (window.faults ??= []).push(event.message || 'a file is missing'), true);
addEventListener('load', () => {
  const root = document.documentElement, all = selector => [...document.querySelectorAll(selector)];
  const scrolls = one => one && (one.scrollWidth > one.clientWidth + 1
    && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX) || scrolls(one.parentElement));
  const wide = all('body *').filter(one =>
    one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest('svg svg, svg *')
    && !scrolls(one.parentElement));
  document.title = JSON.stringify({
    overflow: root.scrollWidth - root.clientWidth,
    wide: wide.map(one => one.tagName.toLowerCase() + (one.className.baseVal ?? one.className)),
    requests: performance.getEntriesByType('resource').map(entry => entry.name),
    faults: window.faults ?? [],
    images: all('img').length,
    missing: all('img').filter(one => !one.complete || !one.naturalWidth).length,
    empty: all('svg').filter(one => one.closest('details:not([open])') === null
      && one.getBoundingClientRect().width < 40).length,
    counts: Object.fromEntries(SELECTORS.map(selector => [selector, all(selector).length])),
  });
});
</script>"""


@dataclass(frozen=True)
class Shown:
    """What a browser made of a page.

    Attributes:
        overflow: Pixels by which the page is wider than its window.
        wide: Elements that reach beyond the window and do not scroll in a box of their own.
        requests: Addresses that were asked for; data URIs ask nobody.
        faults: Errors of scripts, resources that did not load, and what the console says.
        images: Number of `img` elements.
        missing: Number of those that show nothing.
        empty: Number of visible `svg` elements without a size.
        counts: For each selector asked about, the number of elements.
    """

    overflow: int
    wide: list[str]
    requests: list[str]
    faults: list[str]
    images: int
    missing: int
    empty: int
    counts: dict[str, int]

    @property
    def wrong(self) -> dict[str, object]:
        """What a page that works offline, on any screen, must not have; empty if it has none of it."""
        facts: dict[str, object] = {
            "requests": self.requests,
            "faults": self.faults,
            "missing": self.missing,
            "empty": self.empty,
            "wide": self.wide,
            "overflow": self.overflow,
        }
        return {name: value for name, value in facts.items() if value}


def show(page: str, folder: Path, *, width: int, count: Sequence[str] = ()) -> Shown:
    """Open a page in headless Chromium, without a network, in a window of a width.

    Args:
        page: HTML.
        folder: Where files may be put, the test's `tmp_path`.
        width: Of the window, pixels.
        count: CSS selectors whose elements are counted.
    """
    # Headless Chromium has a least window width of 500: the page is shown in a frame of its own.
    probe = _PROBE.replace("SELECTORS", json.dumps(list(count)))
    (folder / "page.html").write_text(page.replace("</head>", probe + "</head>", 1), encoding="utf-8")
    frame = (
        f"<iframe id='f' src='page.html' style='border:0' width='{width}' height='3000'></iframe><script>"
        "onload=()=>setTimeout(()=>{const found=document.createElement('pre');found.id='found';"
        "found.textContent=f.contentDocument.title;document.body.replaceChildren(found)},300)</script>"
    )
    (folder / "frame.html").write_text(frame, encoding="utf-8")
    done = _chromium(folder, "--virtual-time-budget=3000", "--dump-dom", (folder / "frame.html").as_uri())
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match is not None, f"{done.stdout[-500:]}\n{done.stderr[-500:]}"
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Shown(**{**found, "faults": found["faults"] + said})


def screenshot(page: str, target: Path, *, width: int, height: int) -> Path:
    """Draw a page as a PNG file of a width and height, for a person to look at."""
    folder = target.parent
    (folder / "page.html").write_text(page, encoding="utf-8")
    frame = (
        f"<body style='margin:0'><iframe src='page.html' style='border:0' width='{width}' "
        f"height='{height}'></iframe>"
    )
    (folder / "frame.html").write_text(frame, encoding="utf-8")
    _chromium(
        folder,
        f"--window-size={max(width, 500)},{height}",
        "--hide-scrollbars",
        f"--screenshot={target}",
        (folder / "frame.html").as_uri(),
    )
    return target


def _chromium(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert _CHROMIUM is not None
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
    )
    return subprocess.run(
        [_CHROMIUM, *options, *words], capture_output=True, text=True, timeout=120, check=True
    )
