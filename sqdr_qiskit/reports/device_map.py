"""A device drawn as SVG: qubits and couplings coloured by error, the layout on it, tiles numbered."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence

__all__ = ["coordinates", "device_map"]

_ROWS = {  # heavy-hex chips: qubits of each long row, and where the links below it hang
    127: ([14, 15, 15, 15, 15, 15, 14], [(0, 4, 8, 12), (2, 6, 10, 14)], (0, 0, 0, 0, 0, 0, 1)),
    133: ([15] * 7, [(0, 4, 8, 12), (2, 6, 10, 14)], (0,) * 7),
    156: ([16] * 8, [(3, 7, 11, 15), (1, 5, 9, 13)], (0,) * 8),
}
_STEP = 40


def coordinates(n_qubits: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Places of a device's qubits on the page, in steps: known chips as they are, others by their couplings.

    Args:
        n_qubits: Number of qubits.
        pairs: Coupled pairs.
    """
    if n_qubits in _ROWS:
        rows, links, starts = _ROWS[n_qubits]
        places: list[tuple[float, float]] = []
        for number, (length, start) in enumerate(zip(rows, starts, strict=True)):
            places += [(float(start + i), 2.0 * number) for i in range(length)]
            if number < len(rows) - 1:
                # The last row of links of a 133-qubit chip hangs free.
                places += [(float(x), 2.0 * number + 1) for x in links[number % 2]]
        places += [(float(x), 2.0 * len(rows) - 1) for x in links[(len(rows) - 1) % 2]][
            : n_qubits - len(places)
        ]
        return places
    if n_qubits == 120:
        return [(float(i % 10), float(i // 10)) for i in range(120)]
    return _relaxed(n_qubits, pairs)


def device_map(
    n_qubits: int,
    edges: Mapping[tuple[int, int], float],
    readout: Sequence[float],
    lines: Sequence[Sequence[int]] = (),
    *,
    title: str,
) -> str:
    """The device as an SVG element.

    Args:
        n_qubits: Number of qubits.
        edges: Error of the two-qubit gate of each working pair.
        readout: Readout error of each qubit.
        lines: Qubits of each tile, drawn and numbered from 1.
        title: For readers that cannot see it.
    """
    places = coordinates(n_qubits, list(edges))
    x0, y0 = min(x for x, _ in places), min(y for _, y in places)
    spots = [(_STEP * (x - x0 + 0.7), _STEP * (y - y0 + 0.7)) for x, y in places]
    width = max(x for x, _ in spots) + 0.7 * _STEP
    height = max(y for _, y in spots) + 0.7 * _STEP
    worst_edge, worst_readout = _high(list(edges.values())), _high(list(readout))
    of = {qubit: number for number, line in enumerate(lines, start=1) for qubit in line}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'class="map"><title>{html.escape(title)}</title>'
    ]
    for (first, second), error in edges.items():
        used = first in of and of.get(first) == of.get(second)
        (x1, y1), (x2, y2) = spots[first], spots[second]
        if used:
            parts.append(
                f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="#111" '
                'stroke-width="15" stroke-linecap="round" opacity="0.25"/>'
            )
        colour, words = _colour(error / worst_edge), f"{first}-{second}: error {100 * error:.2f} %"
        parts.append(
            f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{colour}" '
            f'stroke-width="6"><title>{words}</title></line>'
        )
    for qubit, (x, y) in enumerate(spots):
        inside = qubit in of
        parts.append(
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="14" fill="{_colour(readout[qubit] / worst_readout)}" '
            f'stroke="{"#111" if inside else "#bbb"}" stroke-width="{3 if inside else 1}">'
            f"<title>qubit {qubit}: readout error {100 * readout[qubit]:.2f} %</title></circle>"
            f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" font-size="11" '
            f'fill="{"#fff" if readout[qubit] / worst_readout > 0.6 else "#222"}">{qubit}</text>'
        )
    if len(lines) > 1:
        for number, line in enumerate(lines, start=1):
            x, y = spots[line[len(line) // 2]]
            parts.append(
                f'<circle cx="{x + 13:.0f}" cy="{y - 13:.0f}" r="9" fill="#111"/><text x="{x + 13:.0f}" '
                f'y="{y - 9:.0f}" text-anchor="middle" font-size="11" font-weight="700" '
                f'fill="#fff">{number}</text>'
            )
    return "".join(parts) + "</svg>"


def _high(values: Sequence[float]) -> float:
    """An error that is high here: the 95th percentile, so that one outlier does not hide the rest."""
    ordered = sorted(values)
    return max(ordered[int(0.95 * (len(ordered) - 1))], 1e-6) if ordered else 1.0


def _colour(share: float) -> str:
    """From pale blue through yellow to dark red."""
    share = min(max(share, 0.0), 1.0)
    stops = [(0.0, (199, 224, 244)), (0.45, (254, 224, 144)), (0.75, (244, 109, 67)), (1.0, (165, 0, 38))]
    for (low, first), (high, second) in itertools.pairwise(stops):
        if share <= high:
            mix = (share - low) / (high - low)
            return "#" + "".join(
                f"{round(a + mix * (b - a)):02x}" for a, b in zip(first, second, strict=True)
            )
    return "#a50026"


def _relaxed(n_qubits: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Places by springs between coupled qubits and repulsion between all (Fruchterman and Reingold, 1991)."""
    places = [
        (math.cos(2 * math.pi * i / n_qubits), math.sin(2 * math.pi * i / n_qubits)) for i in range(n_qubits)
    ]
    places = [(x * math.sqrt(n_qubits) / 2, y * math.sqrt(n_qubits) / 2) for x, y in places]
    coupled = {tuple(sorted(pair)) for pair in pairs}
    for round_ in range(300):
        heat = 0.3 * (1 - round_ / 300)
        forces = [[0.0, 0.0] for _ in range(n_qubits)]
        for a in range(n_qubits):
            for b in range(a):
                dx, dy = places[a][0] - places[b][0], places[a][1] - places[b][1]
                distance = max(math.hypot(dx, dy), 1e-3)
                push = 1.0 / distance - (distance**2 if (b, a) in coupled else 0.0)
                for qubit, sign in ((a, 1), (b, -1)):
                    forces[qubit][0] += sign * push * dx / distance
                    forces[qubit][1] += sign * push * dy / distance
        moved = []
        for (x, y), (fx, fy) in zip(places, forces, strict=True):
            size = max(math.hypot(fx, fy), 1e-9)
            moved.append((x + fx / size * min(size, heat), y + fy / size * min(size, heat)))
        places = moved
    return places
