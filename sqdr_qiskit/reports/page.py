"""The frame of an HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["escape", "made_by", "page"]


def page(title: str, parts: Iterable[str], *, style: str = "") -> str:
    """A whole page, readable on a phone and in print.

    Args:
        title: Plain text for the browser's tab.
        parts: HTML of the body: `h1`, `section`s.
        style: CSS besides that of all pages.
    """
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<link rel='icon' href='data:,'><title>{escape(title)}</title>"
        f"<style>{_STYLE}{style}</style></head><body><main>" + "".join(parts) + "</main></body></html>\n"
    )


def made_by(facts: Mapping[str, Any], note: str = "") -> str:
    """The last section of a page: what made it."""
    parts = ["<section><h2>What made it</h2><dl>"]
    parts += [f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items()]
    parts.append("</dl>" + (f"<p>{escape(note)}</p>" if note else "") + "</section>")
    return "".join(parts)


def escape(text: str) -> str:
    """Plain text as HTML."""
    return html.escape(text)


_STYLE = "".join(
    (
        ":root{color-scheme:light}",
        "body{margin:0;background:#f6f7f9;color:#222;font:16px/1.5 system-ui,sans-serif}",
        "main{max-width:60rem;margin:0 auto;padding:1rem}h1{font-size:1.7rem;margin:.5rem 0}",
        "h2{font-size:1.25rem;margin:0 0 .5rem}h3{font-size:1.05rem;margin:1.2rem 0 .3rem}",
        ".lead{color:#555;margin-top:0}",
        "section{background:#fff;border:1px solid #e3e6ea;border-radius:.6rem;padding:1rem;margin:1rem 0}",
        ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;white-space:nowrap}",
        "th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid #e8eaed}",
        "th:first-child,td:first-child{text-align:left}th{color:#555;font-weight:600}",
        "figure{margin:1.2rem 0;break-inside:avoid}svg{max-width:100%;height:auto;display:block}",
        "svg.map{width:100%;max-height:80vh}svg.bars{width:100%}",
        "figcaption,.legend,dl{font-size:.9rem;color:#555}",
        ".legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:.9em;",
        "height:.9em;margin-right:.35em;border-radius:.2em;vertical-align:-.1em}",
        "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}",
        "dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}.refused{color:#8a1c1c}",
        "@media print{body{background:#fff}section{border:0;padding:0}.wide{overflow:visible}",
        "table{font-size:.7rem}}",
        "@media(max-width:30rem){main{padding:.5rem}section{padding:.7rem}dl{grid-template-columns:1fr}}",
    )
)
