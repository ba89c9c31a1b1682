"""The report on a run: one self-contained HTML page, how well it did first, then what it ran and its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from sqdr_qiskit.reports.drawings import circuit_drawing, example_ways, spike_strip
from sqdr_qiskit.reports.figures import (
    MANY_CLASSES,
    confusion_figure,
    expectation_figure,
    noise_sweep_figure,
    output_error_figure,
    training_curves,
)
from sqdr_qiskit.reports.page import render
from sqdr_qiskit.reports.run_summary import (
    agreement_words,
    cards,
    cost_of,
    headline,
    is_rehearsal,
    settings,
    subtitle,
)
from sqdr_qiskit.reports.page import figure_img, pixels_img
from sqdr_qiskit.reports.tables import Table, channel_name, per_class_table, percent

__all__ = ["run_page"]

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
        right = percent(counts[number] / total, 0) if total else "–"
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
                "truth": answer.get("truth") or "–",
                "exact": exact["exact_labels"][number] if exact and number < exact["n_samples"] else "–",
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
    scatter = figure_img(
        expectation_figure(found),
        f"{found['n_samples']} samples' expectation values from {found['backend']} against exact ones, slope "
        f"{found['slope']:.3f}",
    )
    bars = figure_img(
        output_error_figure(found),
        "mean error of each output: " + ", ".join(f"{e:.3f}" for e in found["per_output"]),
    )
    odd = [i for i in range(found["n_samples"]) if found["labels"][i] != found["exact_labels"][i]]
    truths = found["truths"]
    headers = ["image", *(["truth"] if truths else []), str(found["backend"]), "exact engine"]
    rows = [
        (
            found["images"][i],
            *([truths[i]] if truths else []),
            found["labels"][i],
            found["exact_labels"][i],
        )
        for i in odd[:_MOST_ODD]
    ]
    return {
        "lines": agreement_words(found),
        "figures": [scatter, bars],
        "odd": Table(tuple(headers), tuple(rows)) if odd else None,
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
    states = [job["state"] for job in jobs]
    rows = tuple(
        (
            job["request"],
            job["state"],
            f"{job['planned_s']:.1f}",
            "–" if job["used_s"] is None else f"{job['used_s']:.1f}",
            job["job"] or "–",
            "–" if job["executions"] is None else f"{job['executions']:,}",
            job["made"][:16].replace("T", " "),
        )
        for job in jobs[:_MOST_ROWS]
    )
    headers = ("request", "state", "estimated s", "used s", "job", "executions", "made (UTC)")
    return {
        "device": record["hardware"]["device"],
        "rehearsed": is_rehearsal(record),
        "counts": ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        "sums": cost_of(jobs),
        "n": len(jobs),
        "table": Table(headers, rows, frozenset({2, 3, 5})),
        "wrong": [
            number
            for number, job in enumerate(jobs[:_MOST_ROWS])
            if job["state"] in ("failed", "refused", "cancelled")
        ],
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
