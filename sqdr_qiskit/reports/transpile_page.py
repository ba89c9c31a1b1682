"""The transpilation report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqdr_qiskit.reports.circuit_drawing import circuit_drawing
from sqdr_qiskit.reports.device_map import device_map
from sqdr_qiskit.reports.loss_bars import loss_bars
from sqdr_qiskit.reports.page import escape, made_by, page
from sqdr_qiskit.reports.tables import Table
from sqdr_qiskit.reports.transpile_table import (
    Row,
    best_of,
    best_rows,
    changes_table,
    percent_of,
    transpile_table,
)
from sqdr_qiskit.reports.transpile_words import Verdict, verdicts

__all__ = ["transpile_markdown", "transpile_page"]

_TITLE = "Circuits on devices"
_NOTE = (
    "Success, of a single output: the estimated probability that nothing it depends on goes wrong, the "
    "product of all gate, readout and idle fidelities; what a calibration does not hold (crosstalk, drift, "
    "leakage) is not in it. Every circuit here was found equal to its own source at random angles before it "
    "was counted."
)

_STYLE = "".join(
    (
        "svg.circuit{max-width:none}details{margin:.8rem 0}summary{cursor:pointer;font-weight:600}",
        "nav{display:flex;flex-wrap:wrap;gap:.4rem}nav a{background:#fff;border:1px solid #cfd6df;",
        "color:#0b4f79;border-radius:1rem;padding:.15rem .8rem;text-decoration:none;font-size:.9rem}",
        ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;",
        "margin:.8rem 0}",
        ".cards div{background:#f1f6fb;border-radius:.5rem;padding:.6rem .8rem;font-size:.85rem;color:#555}",
        ".cards b{display:block;font-size:1.35rem;color:#0b4f79;line-height:1.3}",
        "tr.wins td{background:#eaf6ee;font-weight:600}code{overflow-wrap:anywhere}",
        "svg.bars{max-width:32rem}dl.words{color:#222;font-size:.95rem;gap:.45rem 1rem}",
        ".maps{display:grid;gap:1rem;",
        "grid-template-columns:repeat(auto-fit,minmax(min(25rem,100%),1fr))}",
        ".maps figure{margin:0;min-width:0}@media(max-width:30rem){.maps svg{min-width:34rem}}",
        "@media print{nav{display:none}svg.circuit{max-width:100%}}",
    )
)


def transpile_page(record: Mapping[str, Any]) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        record: `subtitle`; `rows` (findings as plain values), `refused` (sentences); `same` (circuit -> the
            variations with the same gates); `devices` (name -> `n_qubits`, `edges`, `readout`, `calibrated`);
            `drawings` (circuit -> picture of it as given); `chosen` (for each circuit and device `circuit`,
            `device`, `layout`, `level`, `seed`, `files`, `drawing`, `drawing_title` and `cost`: rows of
            words, circuits, jobs and quantum seconds); `made_by` (name -> value).
    """
    rows: Sequence[Row] = record["rows"]
    said = verdicts(rows, record["same"])
    parts = [f"<h1>{_TITLE}</h1><p class='lead'>{escape(record['subtitle'])}</p>"]
    if len(said) > 1:
        links = (
            f"<a href='#s{number}'>{escape(one.circuit)} on {escape(one.device)}</a>"
            for number, one in enumerate(said, start=1)
        )
        parts.append(f"<nav>{''.join(links)}</nav>")
    if record["refused"]:
        lines = "".join(f"<li>{escape(line)}</li>" for line in record["refused"])
        parts.append(f"<section class='refused'><h2>Left out</h2><ul>{lines}</ul></section>")
    shown: set[str] = set()
    for number, one in enumerate(said, start=1):
        own = [row for row in rows if (row["circuit"], row["device"]) == (one.circuit, one.device)]
        parts.append(f"<section id='s{number}'>")
        parts += _section(one, own, record)
        if one.circuit not in shown:
            shown.add(one.circuit)
            title = f"{one.circuit} as given"
            parts.append(_drawn(record["drawings"].get(one.circuit), title, is_open=True))
        parts.append("</section>")
    parts.append(made_by(record["made_by"], _NOTE))
    return page(_TITLE, parts, style=_STYLE)


def transpile_markdown(record: Mapping[str, Any]) -> str:
    """The same in Markdown, without drawings; `record` as in `transpile_page`."""
    rows: Sequence[Row] = record["rows"]
    lines = [f"# {_TITLE}", "", record["subtitle"], ""]
    for said in verdicts(rows, record["same"]):
        own = [row for row in rows if (row["circuit"], row["device"]) == (said.circuit, said.device)]
        chosen = _chosen(record, said)
        lines += [f"## {said.circuit} on {said.device}", ""]
        lines += [*(f"- {what}: {words}" for what, words in said.lines), "", transpile_table(own).markdown()]
        lines += ["One change at a time:", "", changes_table(own).markdown()]
        if chosen["cost"]:
            lines += [_cost(chosen["cost"]).markdown()]
        lines += [f"The device's circuit: {', '.join(f'`{name}`' for name in chosen['files'])}", ""]
    lines += [*(f"- left out: {line}" for line in record["refused"]), "", _NOTE, ""]
    lines += [f"- {key}: {value}" for key, value in record["made_by"].items()]
    return "\n".join(lines) + "\n"


def _chosen(record: Mapping[str, Any], said: Verdict) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        c for c in record["chosen"] if (c["circuit"], c["device"]) == (said.circuit, said.device)
    )
    return found


def _section(said: Verdict, rows: Sequence[Row], record: Mapping[str, Any]) -> list[str]:
    facts = record["devices"][said.device]
    chosen = _chosen(record, said)
    calibrated = escape((facts["calibrated"] or "at an unknown time").replace("T", " "))
    parts = [
        f"<h2>{escape(said.circuit)} on {escape(said.device)}</h2>",
        f"<p>{facts['n_qubits']} qubits, calibrated {calibrated}.</p>",
        _cards(rows, chosen),
        "<dl class='words'>",
        *(
            f"<dt>{escape(what[0].upper() + what[1:])}</dt><dd>{_told(words)}</dd>"
            for what, words in said.lines
        ),
        "</dl><h3>Layouts and levels</h3>",
        _table(transpile_table(rows), marked=_place(chosen)),
        "<p>Each line is its best seed; over seeds: least / median / most. Success is an output's, “of all” "
        "that of all outputs together. Depth leaves virtual RZs out; time is Qiskit's and ours, the median."
        "</p>",
    ]
    if any(row["layout"] in ("unfused", "as written") for row in rows):
        parts += ["<h3>One change at a time</h3>", _table(changes_table(rows))]
    parts += ["<details><summary>Counts per gate</summary>", _table(_gates(rows)), "</details>"]
    if chosen["cost"]:
        shots = chosen["cost"][0]["shots"] // chosen["cost"][0]["circuits"]
        words = f"With {shots:,} shots a circuit; on a snapshot nothing is spent."
        parts += ["<h3>What it costs on the device</h3>", _table(_cost(chosen["cost"])), f"<p>{words}</p>"]
    best = [row for layout in ("tiled", "whole", "as written") if (row := best_of(rows, layout)) is not None]
    parts += ["<h3>Where errors come from</h3>", loss_bars(best)]
    parts.append("<h3>Where it stands</h3><div class='maps'>")
    edges = {(int(a), int(b)): float(e) for a, b, e in facts["edges"]}
    for row in best:
        if row["layout"] == "as written":
            continue
        words = (
            "tiles of one sample, numbered" if row["layout"] == "tiled" else "qubits of the routed circuit"
        )
        name = f"{said.circuit} on {said.device}, {row['layout']}: {words}"
        drawn = device_map(facts["n_qubits"], edges, facts["readout"], row["lines"][0][0], title=name)
        parts.append(
            f"<figure><div class='wide'>{drawn}</div><figcaption>{escape(name[0].upper() + name[1:])}. "
            "Lines: two-qubit error, discs: readout error, from blue (low) to red (high); outlined: in use."
            "</figcaption></figure>"
        )
    parts.append("</div><h3>As circuits</h3>")
    parts.append(_drawn(chosen["drawing"], chosen["drawing_title"], is_open=True))
    if chosen["files"]:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in chosen["files"])
        parts.append(f"<p>The device's circuit with its parameters free: {names}.</p>")
    return parts


def _told(words: str) -> str:
    """A verdict with what wins in bold."""
    what, colon, why = words.partition(":")
    told = f"<b>{escape(what)}{colon}</b>{escape(why)}" if colon else escape(words)
    return told.replace(" %", "&nbsp;%")


def _cards(rows: Sequence[Row], chosen: Mapping[str, Any]) -> str:
    row = next(row for row in rows if not row["variation"] and _place(row) == _place(chosen))
    n_outputs = sum(len(copies[0]) for copies in row["lines"])
    tiled = row["layout"] == "tiled"
    per = row["two_qubit_gates"] / n_outputs
    facts = [
        (percent_of(row["success"]), "estimated success of an output"),
        (str(row["layout"]), "wins" if row["level"] is None else f"level {row['level']}, seed {row['seed']}"),
        (f"{per:.3g}", f"two-qubit gates{' a tile' if tiled else ''}, depth {row['two_qubit_depth']}"),
        (f"{row['duration_us']:.2f} µs", "from the first gate to the end of the readout"),
        (str(row["copies"]), "sample at once" if row["copies"] == 1 else "samples at once"),
        *([(f"{row['rounds']} rounds", "for all outputs")] if row["rounds"] > 1 else []),
    ]
    return (
        "<div class='cards'>"
        + "".join(f"<div><b>{escape(big)}</b>{escape(small)}</div>" for big, small in facts)
        + "</div>"
    )


def _place(of: Mapping[str, Any]) -> tuple[Any, ...]:
    return of["layout"], of["level"], of["seed"]


def _table(table: Table, *, marked: tuple[Any, ...] | None = None) -> str:
    wins = tuple("–" if value is None else str(value) for value in marked or ())
    lines = [
        f"<tr{' class=wins' if marked and row[:3] == wins else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in table.rows
    ]
    head = "".join(f"<th>{escape(word)}</th>" for word in table.headers)
    body = "".join(lines)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _gates(rows: Sequence[Row]) -> Table:
    best = best_rows(rows)
    names = sorted({name for row in best for name in row["gates"]})
    cells = tuple(
        (
            ", ".join(word for word in (row["layout"], row["variation"]) if word),
            "–" if row["level"] is None else str(row["level"]),
            *(str(row["gates"].get(name, 0)) for name in names),
        )
        for row in best
    )
    return Table(("what", "level", *names), cells, frozenset(range(1, len(names) + 2)))


def _cost(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = tuple(
        (
            str(row["what"]),
            f"{row['circuits']:,}",
            f"{row['shots']:,}",
            f"{row['jobs']:,}",
            f"{row['qpu_seconds']:,.0f} s",
            f"{100 * row['open_plan_share']:.3g} %",
        )
        for row in rows
    )
    headers = ("what", "circuits", "shots", "jobs", "quantum time", "of the Open plan's 28 days")
    return Table(headers, cells, frozenset(range(1, 6)))


def _drawn(picture: Mapping[str, Any] | None, title: str, *, is_open: bool) -> str:
    if picture is None or not picture["wires"]:
        return ""
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(title[0].upper() + title[1:])}</summary>"
        f"<div class='wide'>{circuit_drawing(picture, title=title)}</div></details>"
    )
