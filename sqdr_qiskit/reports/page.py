"""HTML pages that need nothing else, no network and no script, from the templates beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sqdr_qiskit.reports.tables import duration, percent

__all__ = ["drawing", "render"]

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from a template; every value is escaped unless it is `Markup`.

    Args:
        template: Name of a file in `templates/`.
        context: What the template asks for; a name that is missing is an error, never an empty space.
    """
    return _environment().get_template(template).render(context)


def drawing(template: str, context: Mapping[str, Any]) -> Markup:
    """The same for a part of a page, such as an SVG drawing."""
    return Markup(render(template, context))  # autoescaped where it was made


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["duration"] = duration
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    # A stylesheet is no HTML: escaping it would spoil its quotation marks.
    environment.globals["style"] = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment
