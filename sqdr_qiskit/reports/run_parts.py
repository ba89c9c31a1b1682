"""The sections of a run's page, each made only where the record has something for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqdr_qiskit.reports.agreement import agreement_figure, error_bars
from sqdr_qiskit.reports.embed import figure_img
from sqdr_qiskit.reports.figures import noise_sweep_figure, training_curves
from sqdr_qiskit.reports.page import escape
from sqdr_qiskit.reports.run_cost import cost_of, rehearsed
from sqdr_qiskit.reports.run_examples import example_card
from sqdr_qiskit.reports.run_words import agreement_words
from sqdr_qiskit.reports.tables import Table, per_class_table, percent

__all__ = ["PARTS", "html_table"]

Record = Mapping[str, Any]

_MOST_ROWS = 40
_MOST_ODD = 10


def _curves(record: Record) -> str:
    history = record["history"]
    pictures = []
    for key in ("loss", "accuracy"):
        values = [row[key] for row in history]
        words = f"{key} over {len(history)} epochs, in training from {values[0]:.3f} to {values[-1]:.3f}"
        pictures.append(f"<figure>{figure_img(training_curves(history, curves=(key,)), words)}</figure>")
    so_far = "" if record["finished"] else "<p>So far: the run is not finished.</p>"
    return f"{so_far}<div class='two'>{''.join(pictures)}</div>"


def _test(record: Record) -> str:
    confusion, names = record["test"]["confusion"], record["class_names"]
    return (
        f"<div class='two'><div>{_confusion(confusion, names)}</div>"
        f"<div class='classes'>{html_table(_classes(confusion, names))}</div></div>"
    )


def _classes(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Table:
    """The table by class without the column that the confusion matrix has."""
    whole = per_class_table(confusion, names)
    shown = [number for number, word in enumerate(whole.headers) if word != "right"]
    rows = tuple(tuple(row[number] for number in shown) for row in whole.rows)
    return Table(tuple(whole.headers[number] for number in shown), rows)


def _confusion(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Image counts, coloured by their share of the true class."""
    longest = max(map(len, names))
    upright = " class='upright'" if longest > 3 else ""
    head = "".join(f"<th{upright} scope='col'><span>{escape(name)}</span></th>" for name in names)
    lines = []
    for number, (name, row) in enumerate(zip(names, confusion, strict=True)):
        total = max(sum(row), 1)
        cells = []
        for count in row:
            shade = (count / total) ** 0.5  # the square root lets rare mistakes show
            ink = ";color:#fff" if shade > 0.6 else ""
            colour = f" style='background:rgba(0,114,178,{shade:.2f}){ink}'" if count else ""
            cells.append(f"<td{colour}>{count or ''}</td>")
        right = percent(row[number] / total, 0) if sum(row) else "–"
        lines.append(f"<tr><th scope='row'>{escape(name)}</th>{''.join(cells)}<td>{right}</td></tr>")
    return (
        "<table class='confusion'><caption>Rows: true class. Columns: taken for. Last: share right.</caption>"
        f"<colgroup><col style='width:{0.6 * longest + 0.7:.1f}em'><col span='{len(names)}'>"
        f"<col style='width:3.2em'></colgroup><thead><tr><td></td>{head}<td></td></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _answers(record: Record) -> str:
    answers = record["answers"]
    known = any(answer.get("truth") is not None for answer in answers)
    exact = record.get("agreement")
    rows = []
    for number, answer in enumerate(answers[:_MOST_ROWS]):
        cells = [answer["image"], answer["class"], percent(answer["probability"], 1)]
        cells += [answer.get("truth") or "–"] if known else []
        if exact is not None:
            cells.append(exact["exact_labels"][number] if number < exact["n_samples"] else "–")
        wrong = known and answer.get("truth") != answer["class"]
        rows.append((cells, wrong))
    headers = ["image", "taken for", "probability", *(["truth"] if known else [])]
    headers += ["exact engine"] if exact is not None else []
    half = -(-len(rows) // 2) if len(rows) > 12 else len(rows)
    tables = [_rows(headers, part) for part in (rows[:half], rows[half:]) if part]
    return f"<div class='two'>{''.join(tables)}</div>{_more(len(answers), 'answers')}"


def _examples(record: Record) -> str:
    ran = any(example["ran"] is not None for example in record["examples"])
    where = str((record.get("agreement") or {}).get("backend", "exact"))
    of = record["examples_of"]
    words = (
        f"{of[0].upper()}{of[1:]} on their way through the network. Time runs from left to right: an image "
        "comes in bit by bit, the most significant first; blue is a spike. Each row of the last picture is a "
        "neuron whose firing rate turns a qubit; green bars are the qubits' expectation values from the "
        "exact engine" + (f", orange marks those from {where}." if ran else ".")
    )
    cards = "".join(example_card(example, where=where) for example in record["examples"])
    return f"<p>{escape(words)}</p><div class='examples'>{cards}</div>"


def _agreement(record: Record) -> str:
    found = record["agreement"]
    lines = "".join(f"<li>{escape(line)}</li>" for line in agreement_words(found))
    scatter = figure_img(
        agreement_figure(found),
        f"{found['n_samples']} samples' expectation values from {found['backend']} against exact ones, slope "
        f"{found['slope']:.3f}",
    )
    bars = figure_img(
        error_bars(found), "mean error of each output: " + ", ".join(f"{e:.3f}" for e in found["per_output"])
    )
    text = f"<ul>{lines}</ul><div class='two'><figure>{scatter}</figure><figure>{bars}</figure></div>"
    odd = [i for i in range(found["n_samples"]) if found["labels"][i] != found["exact_labels"][i]]
    if odd:
        truths = found["truths"]
        headers = ["image", *(["truth"] if truths else []), str(found["backend"]), "exact engine"]
        rows = []
        for i in odd[:_MOST_ODD]:
            truth = [truths[i]] if truths else []
            cells = [found["images"][i], *truth, found["labels"][i], found["exact_labels"][i]]
            rows.append((cells, False))
        text += f"<h3>Samples with different classes</h3>{_rows(headers, rows)}"
        text += _more(len(odd), "samples", _MOST_ODD)
    return text


def _sweeps(record: Record) -> str:
    parts = []
    for sweep in record["sweeps"]:
        points = sweep["points"]
        figure = noise_sweep_figure(points, noiseless=sweep["noiseless"], chance=sweep["chance"], width=4.4)
        words = (
            f"accuracy against noise strength for {', '.join(dict.fromkeys(p['channel'] for p in points))}"
        )
        channels = list(dict.fromkeys(str(point["channel"]) for point in points))
        found = {(p["channel"], p["strength"]): p["accuracy"] for p in points}
        strengths = sorted({float(point["strength"]) for point in points})
        rows = tuple(
            (f"{100 * p:.4g} %", *(percent(found.get((name, p)), 1) for name in channels)) for p in strengths
        )
        headers = ("strength", *(name.replace("_", " ") for name in channels))
        table = html_table(Table(headers, rows, frozenset(range(1, len(headers)))))
        parts.append(
            f"<p>Accuracy on {sweep['n_images']:,} test images of {escape(sweep['dataset'])} with noise "
            f"after every gate, backend {escape(sweep['backend'])}; run {escape(sweep['name'])}.</p>"
            f"<div class='two'><figure>{figure_img(figure, words)}</figure><div>{table}</div></div>"
        )
    return "".join(parts)


def _jobs(record: Record) -> str:
    jobs = record["hardware"]["jobs"]
    if not jobs:
        return "<p>No job was planned.</p>"
    sums = cost_of(jobs)
    states = [job["state"] for job in jobs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    device = escape(str(record["hardware"]["device"]))
    if rehearsed(record):
        text = (
            f"<p>{len(jobs)} requests rehearsed on {device}: {counts}. Nothing was spent; the device would "
            f"take an estimated {sums['planned_s']:.1f} s of quantum time.</p>"
        )
    else:
        text = (
            f"<p>{len(jobs)} requests to {device}: {counts}. Quantum time: estimated "
            f"{sums['planned_s']:.1f} s, used {sums['used_s']:.1f} s.</p>"
        )
    headers = ["request", "state", "estimated s", "used s", "job", "executions", "made (UTC)"]
    rows = [
        (
            [
                job["request"],
                job["state"],
                f"{job['planned_s']:.1f}",
                "–" if job["used_s"] is None else f"{job['used_s']:.1f}",
                job["job"] or "–",
                "–" if job["executions"] is None else f"{job['executions']:,}",
                job["made"][:16].replace("T", " "),
            ],
            job["state"] in ("failed", "refused", "cancelled"),
        )
        for job in jobs[:_MOST_ROWS]
    ]
    reasons = dict.fromkeys(f"{job['request']}: {job['reason']}" for job in jobs if job["reason"])
    text += _rows(headers, rows) + _more(len(jobs), "requests; `sqdr-qiskit jobs list` names all")
    return text + "".join(f"<p class='refused'>{escape(reason)}</p>" for reason in reasons)


def html_table(table: Table) -> str:
    """A table, scrolling sideways where it is too wide."""
    return _rows(table.headers, [(row, False) for row in table.rows])


def _rows(headers: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in headers)
    lines = [
        f"<tr{' class=wrong' if marked else ''}>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        + "</tr>"
        for cells, marked in rows
    ]
    return (
        f"<div class='wide' tabindex='0'><table><thead><tr>{head}</tr></thead><tbody>"
        f"{''.join(lines)}</tbody></table></div>"
    )


def _more(number: int, what: str, shown: int = _MOST_ROWS) -> str:
    return f"<p>The first {shown} of {number:,} {escape(what)}.</p>" if number > shown else ""


# Key of the record -> the section's name in `left_out`, its heading, and what makes it; in the page's order.
PARTS: Mapping[str, tuple[str, str, Callable[[Record], str]]] = {
    "history": ("curves", "Learning curves", _curves),
    "test": ("results", "Test images, class by class", _test),
    "answers": ("answers", "Answers", _answers),
    "agreement": ("agreement", "{where} against the exact engine", _agreement),
    "sweeps": ("noise sweeps", "Under noise", _sweeps),
    "hardware": ("jobs", "Jobs and their cost", _jobs),
    "examples": ("examples", "Examples, spike by spike", _examples),
}
