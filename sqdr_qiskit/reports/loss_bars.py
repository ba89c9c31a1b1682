"""Where a circuit's errors come from, as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqdr_qiskit.reports.page import escape
from sqdr_qiskit.reports.transpile_table import percent_of

__all__ = ["loss_bars"]

_COLOURS = {
    "two-qubit gates": "#0072B2",
    "one-qubit gates": "#56B4E9",
    "idle": "#E69F00",
    "readout": "#009E73",
}


def loss_bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """Stacked bars of a circuit's losses on a device: one for each row (a finding), of one output each."""
    shares = []
    for row in rows:
        n = sum(len(copies[0]) for copies in row["lines"])
        shares.append({name: float(value) / n for name, value in row["losses"].items()})
    longest = max(sum(share.values()) for share in shares)
    parts = [
        f"<svg viewBox='0 0 420 {54 * len(rows) + 6}' role='img' class='bars'><title>Losses by source</title>"
    ]
    for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
        y, x = 54 * number + 22, 0.0
        total = sum(share.values())
        parts.append(
            f"<text x='0' y='{y - 7}' font-size='14'>{escape(str(row['layout']))}: "
            f"{percent_of(1.0 - math.exp(-total))} go wrong</text>"
        )
        for name, value in share.items():
            width = 420 * value / longest
            parts.append(
                f"<rect x='{x:.1f}' y='{y}' width='{max(width, 0.5):.1f}' height='20' "
                f"fill='{_COLOURS[name]}'>"
                f"<title>{name}: {value:.3g}</title></rect>"
            )
            x += width
    parts.append("</svg><p class='legend'>")
    parts += [f"<span><i style='background:{colour}'></i>{name}</span>" for name, colour in _COLOURS.items()]
    return (
        "".join(parts)
        + "</p><p>Of one tile (the mean) or of the whole circuit; bars: −log of the fidelity.</p>"
    )
