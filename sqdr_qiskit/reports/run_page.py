"""The report on a run: one self-contained HTML page, how well it did first, then what it ran and its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from sqdr_qiskit.reports.figures import (
    MANY_CLASSES,
    confusion_figure,
    expectation_figure,
    noise_sweep_figure,
    output_error_figure,
    training_curves,
)
from sqdr_qiskit.reports.page import (
    COLOURS,
    circuit_drawing,
    figure_img,
    pixels_img,
    render,
    svg_drawing,
)
from sqdr_qiskit.reports.run_summary import (
    agreement_words,
    cards,
    cost_of,
    headline,
    is_rehearsal,
    settings,
    subtitle,
)
from sqdr_qiskit.reports.tables import NONE, Table, channel_name, per_class_table, percent

__all__ = ["example_ways", "run_page", "spike_strip"]

Record = Mapping[str, Any]

_MOST_ROWS = 40
_MOST_ODD = 10
_MOST_LIKELY = 3
_PACKAGES = ("sqdr-qiskit", "torch", "qiskit", "qiskit-aer", "qiskit-ibm-runtime", "snntorch", "python")


def run_page(record: Record) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        record: What `jobs.run_report.collect_run` gave, or the same read back from JSON. Each section is made
            where the record has something for it; what could not be made says so in one line.
    """
    left_out = dict(record["left_out"])
    where = str((record.get("agreement") or {}).get("backend", "where it ran"))
    sections = []
    for key, (name, heading, make) in _SECTIONS.items():
        reason = left_out.pop(name, None)
        if record.get(key):
            sections.append({"key": key, "heading": heading.format(where=where), **make(record)})
        elif reason is not None:
            sections.append({"key": "left out", "heading": heading.format(where=where), "reason": reason})
    return render(
        "run.html",
        {
            "title": f"{record['name']}: {headline(record)}",
            "headline": headline(record),
            "subtitle": subtitle(record),
            "cards": cards(record),
            "sections": sections,
            "left_out": [f"{name}: {reason}" for name, reason in left_out.items()],
            "settings": settings(record),
            "made_by": _facts(record),
            "note": "",
        },
    )


# ---- sections: each gives the template what it shows -------------------------------------------------------


def _curves(record: Record) -> dict[str, Any]:
    history: list[dict[str, Any]] = []
    for row in record["history"]:  # a short run's steps, with each epoch's validation at its last
        *steps, last = row.get("steps") or [row]
        held_out = {key: row.get(key) for key in ("validation_loss", "validation_accuracy")}
        history += [*steps, {**last, **held_out}]
    unit = "steps" if "step" in history[0] else "epochs"
    figures = []
    for key in ("loss", "accuracy"):
        values = [row[key] for row in history]
        words = f"{key} over {len(history)} {unit}, in training from {values[0]:.3f} to {values[-1]:.3f}"
        figures.append(figure_img(training_curves(history, curves=(key,)), words))
    return {"figures": figures, "so_far": not record["finished"]}


def _test(record: Record) -> dict[str, Any]:
    confusion, names = record["test"]["confusion"], record["class_names"]
    longest = max(map(len, names))
    rows = []
    many = len(names) > MANY_CLASSES
    for number, (name, counts) in enumerate(() if many else zip(names, confusion, strict=True)):
        total = sum(counts)
        # the square root lets rare mistakes show
        cells = [{"count": count, "shade": round((count / max(total, 1)) ** 0.5, 2)} for count in counts]
        right = percent(counts[number] / total, 0) if total else NONE
        rows.append({"name": name, "cells": cells, "right": right})
    whole = per_class_table(confusion, names)
    shown = [number for number, word in enumerate(whole.headers) if word != "right"]  # the matrix has it
    table = Table(
        tuple(whole.headers[number] for number in shown),
        tuple(tuple(row[number] for number in shown) for row in whole.rows),
        frozenset(range(1, len(shown))),
    )
    return {
        "names": names,
        "upright": longest > 3,
        "first_em": 0.6 * longest + 0.7,
        "rows": rows,
        "figure": figure_img(confusion_figure(confusion, names), "confusion matrix") if many else None,
        "classes": table,
    }


def _answers(record: Record) -> dict[str, Any]:
    answers = record["answers"]
    known = any(answer.get("truth") is not None for answer in answers)
    exact = record.get("agreement")
    order = sorted(range(len(answers)), key=lambda number: float(answers[number]["probability"]))
    pictures = record.get("thumbnails") or {}
    rows = []
    for number in order[:_MOST_ROWS]:
        answer = answers[number]
        pixels = pictures.get(answer["image"])
        rows.append(
            {
                "image": answer["image"],
                "picture": None if pixels is None else _pixels(pixels, answer["image"], "thumb"),
                "label": answer["class"],
                "probability": percent(answer["probability"], 1) + (" ?" if answer.get("uncertain") else ""),
                "truth": answer.get("truth") or NONE,
                "exact": exact["exact_labels"][number] if exact and number < exact["n_samples"] else NONE,
                "wrong": known and answer.get("truth") != answer["class"],
            }
        )
    half = -(-len(rows) // 2) if len(rows) > 12 else len(rows)
    return {
        "halves": [part for part in (rows[:half], rows[half:]) if part],
        "known": known,
        "beside_exact": exact is not None,
        "pictured": bool(pictures),
        "n": len(answers),
        "n_uncertain": sum(bool(answer.get("uncertain")) for answer in answers),
        "shown": len(rows),
    }


def _agreement(record: Record) -> dict[str, Any]:
    found = record["agreement"]
    against = f"expectation values from {found['backend']} against exact ones, slope {found['slope']:.3f}"
    scatter = figure_img(expectation_figure(found), f"{found['n_samples']} samples' {against}")
    errors = ", ".join(f"{error:.3f}" for error in found["per_output"])
    bars = figure_img(output_error_figure(found), f"mean error of each output: {errors}")
    odd = [i for i in range(found["n_samples"]) if found["labels"][i] != found["exact_labels"][i]]
    truths = found["truths"]
    columns = {
        "image": found["images"],
        **({"truth": truths} if truths else {}),
        str(found["backend"]): found["labels"],
        "exact engine": found["exact_labels"],
    }
    rows = tuple(tuple(column[i] for column in columns.values()) for i in odd[:_MOST_ODD])
    return {
        "lines": agreement_words(found),
        "figures": [scatter, bars],
        "odd": Table(tuple(columns), rows) if odd else None,
        "n_odd": len(odd),
    }


def _sweeps(record: Record) -> dict[str, Any]:
    shown = []
    for sweep in record["sweeps"]:
        points = [{"n_images": sweep["n_images"], **point} for point in sweep["points"]]
        channels = list(dict.fromkeys(str(point["channel"]) for point in points))
        names = [channel_name(channel) for channel in channels]
        figure = noise_sweep_figure(points, noiseless=sweep["noiseless"], chance=sweep["chance"])
        found = {(p["channel"], p["strength"]): p["accuracy"] for p in points}
        rows = tuple(
            (f"{100 * p:.4g} %", *(percent(found.get((channel, p)), 1) for channel in channels))
            for p in sorted({float(point["strength"]) for point in points})
        )
        shown.append(
            {
                **sweep,
                "figure": figure_img(figure, f"accuracy against noise strength for {', '.join(names)}"),
                "table": Table(("strength", *names), rows, frozenset(range(1, len(names) + 1))),
            }
        )
    return {"sweeps": shown}


def _jobs(record: Record) -> dict[str, Any]:
    jobs = record["hardware"]["jobs"]
    states = Counter(job["state"] for job in jobs)
    rows = tuple(
        (
            job["request"],
            job["state"],
            f"{job['planned_s']:.1f}",
            NONE if job["used_s"] is None else f"{job['used_s']:.1f}",
            job["job"] or NONE,
            NONE if job["executions"] is None else f"{job['executions']:,}",
            job["made"][:16].replace("T", " "),
        )
        for job in jobs[:_MOST_ROWS]
    )
    headers = ("request", "state", "estimated s", "used s", "job", "executions", "made (UTC)")
    return {
        "device": record["hardware"]["device"],
        "rehearsed": is_rehearsal(record),
        "counts": ", ".join(f"{number} {state}" for state, number in states.items()),
        "sums": cost_of(jobs),
        "n": len(jobs),
        "table": Table(headers, rows, frozenset({2, 3, 5})),
        "wrong": [n for n, job in enumerate(jobs) if job["state"] in ("failed", "refused", "cancelled")],
        "reasons": list(dict.fromkeys(f"{job['request']}: {job['reason']}" for job in jobs if job["reason"])),
        "most": _MOST_ROWS,
    }


def _circuit(record: Record) -> dict[str, Any]:
    circuit = record.get("circuit") or {}
    title = f"{circuit.get('name', 'the circuit')} as it is trained"
    return {
        "drawing": circuit_drawing(record["drawing"], title=title),
        "words": str(circuit.get("title", "")),
        "n_parameters": record.get("n_parameters"),
    }


def _examples(record: Record) -> dict[str, Any]:
    where = str((record.get("agreement") or {}).get("backend", "exact"))
    return {
        "of": record["examples_of"],
        "where": where,
        "ran": any(example["ran"] is not None for example in record["examples"]),
        "examples": [_example(example, where) for example in record["examples"]],
    }


def _example(example: Mapping[str, Any], where: str) -> dict[str, Any]:
    """One image and what happens to it: its picture, its classes, its spikes layer by layer."""
    n_steps = int(example["n_steps"])
    found = example["ran"] or example["exact"]
    layers = []
    for number, layer in enumerate(example["layers"]):
        n_maps, share = len(layer["words"]), percent(layer["fired"], 0)
        if number == 0:
            words = f"in: one bit of each pixel a step, {example['n_phases']} bits; {share} on"
        else:
            words = (
                f"layer {number}, {n_maps} map{'s' if n_maps > 1 else ''}: {share} of neurons fire in a step"
            )
        strip = pixels_img(spike_strip(layer["words"], n_steps), words, "strip")
        layers.append({"words": words, "strip": strip})
    likely = sorted(found["probabilities"].items(), key=lambda item: -item[1])[:_MOST_LIKELY]
    return {
        "image": example["image"],
        "why": example.get("why", ""),
        "picture": _pixels(example["pixels"], example["image"], "look"),
        "truth": example["truth"],
        "label": found["label"],
        "exact_label": example["exact"]["label"] if example["ran"] is not None else found["label"],
        "chances": [{"name": name, "share": chance} for name, chance in likely],
        "n_steps": n_steps,
        "layers": layers,
        "features": example_ways(example, where),
    }


def _pixels(values: Sequence[Any], image: str, kind: str) -> Markup:
    """An image of shape (C, H, W), C 1 or 3."""
    pixels = np.asarray(values, dtype=np.uint8)
    shown = pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]
    return pixels_img(shown, f"the image {image}", kind)


def _facts(record: Record) -> dict[str, str]:
    """What made the run."""
    made = record["made_by"]
    host, versions = made["host"], made["versions"]
    facts = {"command": record["command"], "last written": record["written"].replace("T", " ")}
    facts |= {f"{name}": versions[name] for name in _PACKAGES if name in versions}
    facts |= {f"seed of the {name}": str(seed) for name, seed in made["seeds"].items()}
    if host:
        facts["machine"] = f"{host.get('processor')}, {host.get('cores')} cores, {host.get('system')}"
    data = record["inputs"].get("data", {})
    if data.get("source"):
        facts["data"] = str(data["source"])
    facts |= {f"SHA-256 of {name}": digest for name, digest in made["digests"].items()}
    if record["inputs"].get("checkpoint_sha256"):
        facts["SHA-256 of the checkpoint"] = record["inputs"]["checkpoint_sha256"]
    return {name: value for name, value in facts.items() if value}


# ---- an example: spikes and what comes of them -----------------------------------------------------------

_SPIKE = np.array([0x00, 0x72, 0xB2, 0xFF], dtype=np.uint8)
_SILENT = np.array([0x80, 0x98, 0xB0, 0x38], dtype=np.uint8)  # a veil: right on white and on black
_TILE, _GAP = 56, 8  # width of a step's picture and between two of them, in the strip's own pixels


def spike_strip(words: Sequence[Any], n_steps: int) -> NDArray[np.uint8]:
    """Spikes of a layer as a strip of pictures, one for each step, from left to right.

    Args:
        words: Integers of shape (C, H, W), bit t set where the neuron fires in step t.
        n_steps: T.

    Returns:
        uint8 array of shape (height, width, 4), red to opacity: the maps of a step side by side, in rows
        where there are more than two.
    """
    packed = np.asarray(words, dtype=np.int64)
    n_maps, _, width = packed.shape
    columns = 1 << (max(n_maps - 1, 0).bit_length() + 1) // 2
    rows = -(-n_maps // columns)
    scale = max(1, _TILE // (columns * width))
    fired = packed[..., None] >> np.arange(n_steps) & 1  # (maps, H, W, steps)
    tiles = np.where(fired[..., None] == 1, _SPIKE, _SILENT).repeat(scale, axis=1).repeat(scale, axis=2)
    if n_maps > 1:  # a border, so that maps are told apart
        tiles[:, -1], tiles[:, :, -1] = 0, 0
    tiles = np.pad(tiles, [(0, rows * columns - n_maps), *[(0, 0)] * 4])
    high, wide = tiles.shape[1:3]
    steps = tiles.reshape(rows, columns, high, wide, n_steps, 4).transpose(0, 2, 4, 1, 3, 5)
    steps = steps.reshape(rows * high, n_steps, columns * wide, 4)
    strip = np.pad(steps, [(0, 0), (0, 0), (0, _GAP), (0, 0)]).reshape(rows * high, -1, 4)
    return np.ascontiguousarray(strip[:, :-_GAP])


def example_ways(example: Mapping[str, Any], where: str) -> Markup:
    """Spikes of the features, their rates, and the expectation values they lead to, qubit by qubit.

    Args:
        example: See `jobs.run_report.examples`.
        where: What the run ran on.
    """
    exact, ran = example["exact"]["expectations"], (example["ran"] or {}).get("expectations")
    n_steps, n_rows = int(example["n_steps"]), len(example["features"])
    high = min(max(round(190 / n_rows), 5), 14)
    top, left, cell, zero, half = 24, 24, 11, 296.0, 50.0
    rate_at = left + n_steps * cell + 8
    tall = n_rows * high
    band = tall / len(exact)
    return svg_drawing(
        "features.svg",
        {
            "title": "Spikes of the last layer, firing rates and expectation values: "
            + ", ".join(f"⟨Z{qubit}⟩ = {value:+.2f}" for qubit, value in enumerate(exact)),
            "colours": {"spike": COLOURS[0], "rate": COLOURS[5], "exact": COLOURS[2], "ran": COLOURS[1]},
            "top": top,
            "left": left,
            "cell": cell,
            "high": high,
            "zero": zero,
            "half": half,
            "tall": tall,
            "band": band,
            "rate_at": rate_at,
            "rate_wide": zero - half - 14 - rate_at,
            "thick": min(band - 3, 11.0),
            "where": where,
            "rows": [
                {"spikes": [step for step in range(n_steps) if word >> step & 1], "rate": rate}
                for word, rate in zip(example["features"], example["rates"], strict=True)
            ],
            "qubits": [
                {"exact": value, "ran": None if ran is None else ran[qubit]}
                for qubit, value in enumerate(exact)
            ],
        },
    )


# Key of the record -> the section's name in `left_out`, its heading, and what it shows; in the page's order.
_SECTIONS: Mapping[str, tuple[str, str, Callable[[Record], dict[str, Any]]]] = {
    "history": ("curves", "Learning curves", _curves),
    "test": ("results", "Test images, class by class", _test),
    "answers": ("answers", "Answers", _answers),
    "agreement": ("agreement", "{where} against the exact engine", _agreement),
    "sweeps": ("noise sweeps", "Under noise", _sweeps),
    "hardware": ("jobs", "Jobs and their cost", _jobs),
    "drawing": ("circuit", "The circuit", _circuit),
    "examples": ("examples", "Examples, spike by spike", _examples),
}
