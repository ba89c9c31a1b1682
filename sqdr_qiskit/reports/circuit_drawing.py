"""A circuit drawn as SVG, from plain values."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["circuit_drawing"]

_ROW, _BOX, _WIDE, _NARROW, _LEFT = 34, 26, 36, 16, 46
_MOST = 3000  # gates; a page with more is slow
_WIRE, _INK, _TURN, _PAIR = "#9aa4b1", "#1c2733", "#dbeafe", "#0072B2"


def circuit_drawing(picture: Mapping[str, Any], *, title: str) -> str:
    """The circuit as an SVG element of its natural size; put it in a box that scrolls.

    Pulses are boxes, virtual RZ turns are dots, a gate on two qubits is a line between its two ends. What a
    gate is, with its angles, is said where the pointer rests on it.

    Args:
        picture: `wires` (labels), `gates` (name, wires, angles), `measured` (wires).
        title: For readers that cannot see it.
    """
    wires: Sequence[str] = picture["wires"]
    gates = picture["gates"][:_MOST]
    columns = _columns(gates, len(wires))
    widths: dict[int, int] = {}
    for (name, _, _), column in zip(gates, columns, strict=True):
        widths[column] = max(widths.get(column, 0), _NARROW if name == "rz" else _WIDE)
    centres: dict[int, float] = {}
    x = float(_LEFT)
    for column in sorted(widths):
        centres[column] = x + widths[column] / 2
        x += widths[column]
    end = x + (_WIDE if picture["measured"] else 8)
    height = _ROW * len(wires) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{end + 6:.0f}" height="{height}" '
        f'viewBox="0 0 {end + 6:.0f} {height}" role="img" class="circuit"><title>{html.escape(title)}</title>'
        f'<g font-size="11" text-anchor="middle" fill="{_INK}">'
    ]
    for wire, label in enumerate(wires):
        y = _y(wire)
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{html.escape(label)}</text>'
            f'<path d="M{_LEFT - 4} {y}H{end:.0f}" stroke="{_WIRE}"/>'
        )
    for (name, where, angles), column in zip(gates, columns, strict=True):
        said = f"{name}({', '.join(angles)})" if angles else name
        said += f" on {', '.join(wires[wire] for wire in where)}"
        parts.append(f"<g><title>{html.escape(said)}</title>{_gate(name, where, centres[column])}</g>")
    for wire in picture["measured"]:
        x0, y = end - _BOX - 4, _y(wire)
        parts.append(
            f'<g><title>read {html.escape(wires[wire])}</title><rect x="{x0:.0f}" y="{y - 13}" width="26" '
            f'height="26" rx="4" fill="#fff" stroke="{_INK}"/><path d="M{x0 + 5:.0f} {y + 6}a8 8 0 0 1 16 0'
            f'M{x0 + 13:.0f} {y + 6}l6-11" fill="none" stroke="{_INK}" stroke-width="1.5"/></g>'
        )
    parts.append("</g></svg>")
    left_out = len(picture["gates"]) - len(gates)
    return "".join(parts) + (f"<p>{left_out} further gates are not drawn.</p>" if left_out else "")


def _columns(gates: Sequence[Any], n_wires: int) -> list[int]:
    """For each gate the first column that is free on all wires that it spans."""
    free = [0] * n_wires
    columns = []
    for _, where, _ in gates:
        span = range(min(where), max(where) + 1)
        column = max(free[wire] for wire in span)
        columns.append(column)
        for wire in span:
            free[wire] = column + 1
    return columns


def _gate(name: str, where: Sequence[int], x: float) -> str:
    if name == "barrier":
        return ""
    if len(where) == 1:
        y = _y(where[0])
        if name == "rz":
            return f'<circle cx="{x:.0f}" cy="{y}" r="5" fill="#fff" stroke="{_INK}"/>'
        return _box(x, y, name.upper() if len(name) < 4 else name[:3], _TURN)
    top, bottom = _y(min(where)), _y(max(where))
    line = f'<path d="M{x:.0f} {top}V{bottom}" stroke="{_PAIR}" stroke-width="2"/>'
    first, *middle, last = (_y(wire) for wire in where)
    dots = [f'<circle cx="{x:.0f}" cy="{y}" r="5" fill="{_PAIR}"/>' for y in (first, *middle)]
    if name == "cz" or (name.startswith("c") and name.strip("c") == "z"):
        dots.append(f'<circle cx="{x:.0f}" cy="{last}" r="5" fill="{_PAIR}"/>')
    elif name.startswith("c") and name.strip("c") == "x":
        dots.append(
            f'<circle cx="{x:.0f}" cy="{last}" r="9" fill="#fff" stroke="{_PAIR}" stroke-width="2"/>'
            f'<path d="M{x:.0f} {last - 9}v18M{x - 9:.0f} {last}h18" stroke="{_PAIR}" stroke-width="2"/>'
        )
    elif name == "swap":
        dots = [
            f'<path d="M{x - 6:.0f} {y - 6}l12 12m0-12l-12 12" stroke="{_PAIR}" stroke-width="2"/>'
            for y in (first, last)
        ]
    else:
        dots = [_box(x, y, name.upper()[:4], "#d3ecf9") for y in (first, *middle, last)]
    return line + "".join(dots)


def _box(x: float, y: int, text: str, fill: str) -> str:
    return (
        f'<rect x="{x - _BOX / 2 - 2:.0f}" y="{y - 11}" width="{_BOX + 4}" height="22" rx="4" fill="{fill}" '
        f'stroke="{_PAIR}"/><text x="{x:.0f}" y="{y + 4}">{html.escape(text)}</text>'
    )


def _y(wire: int) -> int:
    return _ROW * wire + _ROW // 2 + 4
