"""Example images of a run, each with its spikes step by step, its firing rates and its expectation values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.reports.embed import pixels_img
from sqdr_qiskit.reports.page import escape
from sqdr_qiskit.reports.style import COLOURS
from sqdr_qiskit.reports.tables import percent

__all__ = ["STYLE", "example_card", "spike_strip"]

_SPIKE = np.array([0x00, 0x72, 0xB2], dtype=np.uint8)
_SILENT = np.array([0xE3, 0xEA, 0xF1], dtype=np.uint8)
_TILE, _GAP = 56, 8  # width of a step's picture and between two of them, in the strip's own pixels
_MOST_LIKELY = 3

STYLE = (
    ".examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr));gap:1rem}"
    ".example{border:1px solid #e3e6ea;border-radius:.5rem;padding:.7rem;break-inside:avoid;min-width:0}"
    ".example h3{margin:0;font-size:1rem;overflow-wrap:anywhere}.example p{margin:.15rem 0;font-size:.9rem}"
    ".who{display:flex;gap:.8rem;align-items:flex-start}.who>div{flex:1;min-width:0}"
    ".pixels{image-rendering:pixelated;display:block}.look{width:5.5rem;height:auto;border-radius:.3rem}"
    ".strip{width:100%;height:auto;margin:0}.steps{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;"
    "text-align:center;font-size:.62rem;color:#555;margin-top:.4rem}"
    ".example .layer{font-size:.75rem;color:#555;margin:.3rem 0 .1rem}"
    ".chance{display:grid;grid-template-columns:minmax(2rem,max-content) 1fr max-content;gap:.1rem .4rem;"
    "align-items:center;font-size:.8rem}.chance i{display:block;height:.55rem;background:#0072B2;"
    "border-radius:.15rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    ".chance span:nth-child(3n){text-align:right;white-space:nowrap}"
    ".wrong{color:#a33c00;font-weight:600}.way{width:100%;margin-top:.4rem}"
)


def example_card(example: Mapping[str, Any], *, where: str) -> str:
    """One image and what happens to it.

    Args:
        example: See `jobs.examples.examples`.
        where: What the run ran on.
    """
    return (
        f"<article class='example'><div class='who'>{_picture(example)}<div>"
        f"<h3>{escape(str(example['image']))}</h3>{_verdict(example, where)}"
        f"{_chances((example['ran'] or example['exact'])['probabilities'])}</div></div>"
        f"{_time(example)}{_way(example, where)}</article>"
    )


def spike_strip(words: Sequence[Any], n_steps: int) -> NDArray[np.uint8]:
    """Spikes of a layer as a strip of pictures, one for each step, from left to right.

    Args:
        words: Integers of shape (C, H, W), bit t set where the neuron fires in step t.
        n_steps: T.

    Returns:
        uint8 array of shape (height, width, 3): the maps of a step side by side, in rows where there are
        more than two.
    """
    packed = np.asarray(words, dtype=np.int64)
    n_maps, height, width = packed.shape
    columns = 1 << (max(n_maps - 1, 0).bit_length() + 1) // 2
    rows = -(-n_maps // columns)
    scale = max(1, _TILE // (columns * width))
    step_high, step_wide = rows * height * scale, columns * width * scale
    strip = np.full((step_high, n_steps * (step_wide + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for step in range(n_steps):
        for number in range(n_maps):
            fired = (packed[number] >> step & 1).astype(bool)
            tile = np.where(fired[:, :, None], _SPIKE, _SILENT).astype(np.uint8)
            tile = tile.repeat(scale, axis=0).repeat(scale, axis=1)
            if n_maps > 1:  # a border, so that maps are told apart
                tile[-1, :], tile[:, -1] = 255, 255
            top = number // columns * height * scale
            left = step * (step_wide + _GAP) + number % columns * width * scale
            strip[top : top + height * scale, left : left + width * scale] = tile
    return strip


def _picture(example: Mapping[str, Any]) -> str:
    pixels = np.asarray(example["pixels"], dtype=np.uint8)
    shown = pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]
    return pixels_img(shown, f"the image {example['image']}", "look")


def _verdict(example: Mapping[str, Any], where: str) -> str:
    """What it is and what it was taken for."""
    truth, exact, ran = example["truth"], example["exact"], example["ran"]
    found = ran or exact
    label = escape(str(found["label"]))
    if truth is None:
        text = f"taken for <b>{label}</b>"
    elif truth == found["label"]:
        text = f"is <b>{escape(str(truth))}</b>, taken for {label}"
    else:
        text = f"is <b>{escape(str(truth))}</b>, <span class='wrong'>taken for {label}</span>"
    parts = [f"<p>{text}</p>"]
    if ran is not None and exact["label"] != ran["label"]:
        other = escape(str(exact["label"]))
        parts.append(f"<p class='wrong'>exact engine: {other}, not {label} as {escape(where)} says</p>")
    return "".join(parts)


def _chances(probabilities: Mapping[str, float]) -> str:
    """The likeliest classes as bars."""
    likely = sorted(probabilities.items(), key=lambda item: -item[1])[:_MOST_LIKELY]
    bars = "".join(
        f"<span>{escape(name)}</span><i style='width:{100 * chance:.1f}%'></i>"
        f"<span>{percent(chance, 1)}</span>"
        for name, chance in likely
    )
    return f"<div class='chance'>{bars}</div>"


def _time(example: Mapping[str, Any]) -> str:
    """The spikes of the phase code and the convolutions, steps from left to right."""
    n_steps, n_phases = int(example["n_steps"]), int(example["n_phases"])
    parts = ["<div class='steps'>", *(f"<span>{step + 1}</span>" for step in range(n_steps)), "</div>"]
    for number, layer in enumerate(example["layers"]):
        n_maps, share = len(layer["words"]), percent(layer["fired"], 0)
        if number == 0:
            words = f"in: one bit of each pixel a step, {n_phases} bits; {share} on"
        else:
            words = (
                f"layer {number}, {n_maps} map{'s' if n_maps > 1 else ''}: {share} of neurons fire in a step"
            )
        strip = pixels_img(spike_strip(layer["words"], n_steps), words, "strip")
        parts.append(f"<p class='layer'>{escape(words)}</p>{strip}")
    return "".join(parts)


def _way(example: Mapping[str, Any], where: str) -> str:
    """Spikes of the features, their rates, and the expectation values they lead to, qubit by qubit."""
    features, rates = example["features"], example["rates"]
    exact, ran = example["exact"]["expectations"], (example["ran"] or {}).get("expectations")
    n_steps, n_rows = int(example["n_steps"]), len(features)
    high = min(max(round(190 / n_rows), 5), 14)
    top, left, cell = 24, 24, 11
    rate_at = left + n_steps * cell + 8
    zero_at, half = 296.0, 50.0
    rate_wide = zero_at - half - 14 - rate_at
    tall = n_rows * high
    band = tall / len(exact)
    title = "Spikes of the last layer, firing rates and expectation values: " + ", ".join(
        f"<Z{qubit}> = {value:+.2f}" for qubit, value in enumerate(exact)
    )
    parts = [
        f"<svg class='way' viewBox='0 0 350 {top + tall + 4:.0f}' role='img' font-size='10' fill='#555'>"
        f"<title>{escape(title)}</title>",
        f"<text x='{left}' y='10'>spikes</text><text x='{rate_at}' y='10'>rate</text>"
        f"<text x='{zero_at}' y='10' text-anchor='middle'>⟨Z⟩</text>"
        f"<text x='{zero_at - half}' y='20' text-anchor='middle' font-size='8'>−1</text>"
        f"<text x='{zero_at + half}' y='20' text-anchor='middle' font-size='8'>1</text>",
    ]
    for qubit in range(len(exact)):
        y = top + qubit * band
        if qubit % 2 == 0:
            parts.append(f"<rect x='0' y='{y:.1f}' width='350' height='{band:.1f}' fill='#f1f4f7'/>")
        parts.append(f"<text x='2' y='{y + band / 2 + 3.5:.1f}'>q{qubit}</text>")
    for row, (word, rate) in enumerate(zip(features, rates, strict=True)):
        y = top + row * high
        parts += [
            f"<rect x='{left + step * cell + 0.5}' y='{y + 0.5}' width='{cell - 1.5}' height='{high - 1}' "
            f"fill='{COLOURS[0]}'/>"
            for step in range(n_steps)
            if word >> step & 1
        ]
        parts.append(
            f"<rect x='{rate_at}' y='{y + 0.5}' width='{rate_wide * rate:.1f}' height='{high - 1}' "
            f"fill='{COLOURS[5]}'><title>rate {rate:g}</title></rect>"
        )
    parts.append(f"<path d='M{zero_at} {top}v{tall}' stroke='#888' stroke-width='1'/>")
    thick = min(band - 3, 11.0)
    for qubit, value in enumerate(exact):
        middle = top + (qubit + 0.5) * band
        parts.append(
            f"<rect x='{zero_at + min(value, 0.0) * half:.1f}' y='{middle - thick / 2:.1f}' "
            f"width='{abs(value) * half:.1f}' height='{thick:.1f}' fill='{COLOURS[2]}'>"
            f"<title>exact {value:+.3f}</title></rect>"
        )
        if ran is not None:
            x = zero_at + ran[qubit] * half
            parts.append(
                f"<path d='M{x:.1f} {middle - 5:.1f}l4 5l-4 5l-4-5z' fill='{COLOURS[1]}' stroke='#fff'>"
                f"<title>{escape(where)} {ran[qubit]:+.3f}</title></path>"
            )
    return "".join(parts) + "</svg>"
