"""The report on a run: one self-contained HTML page, how well it did first, then what it ran and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqdr_qiskit.reports.page import escape, made_by, page
from sqdr_qiskit.reports.run_cost import Card
from sqdr_qiskit.reports.run_examples import STYLE as EXAMPLES_STYLE
from sqdr_qiskit.reports.run_parts import PARTS
from sqdr_qiskit.reports.run_words import cards, headline, settings, subtitle

__all__ = ["run_page"]

_PACKAGES = ("sqdr-qiskit", "torch", "qiskit", "qiskit-aer", "qiskit-ibm-runtime", "snntorch", "python")

_STYLE = (
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),1fr));gap:1rem;"
    "margin:1rem 0}.cards section{margin:0;break-inside:avoid}.cards h2{font-size:.9rem;color:#555;margin:0}"
    ".answer{font-size:1.6rem;font-weight:650;line-height:1.2;margin:.2rem 0 .4rem;overflow-wrap:anywhere}"
    ".cards ul{margin:0;padding:0;list-style:none;font-size:.9rem;color:#444}.cards li+li{margin-top:.2rem}"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:0 1.5rem;"
    "align-items:start}.two>*{min-width:0}.two figure{margin:.3rem 0}img{max-width:100%;height:auto}"
    "img.drawn{width:100%;max-width:30rem;display:block}"
    ".classes{margin-top:.8rem}.two table{font-size:.82rem}.two .wide :is(th,td){padding:.3rem .4rem}"
    ".two .wide th,.classes td:last-child{white-space:normal}table.confusion{width:100%;max-width:32rem;"
    "table-layout:fixed;border-collapse:separate;border-spacing:1px;font-size:.8rem}"
    ".confusion caption{text-align:left;font-size:.85rem;color:#555;padding-bottom:.3rem;white-space:normal}"
    ".confusion th,.confusion td{padding:.25rem .1rem;text-align:center;border:0;"
    "print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    ".confusion th:first-child{text-align:right;padding-right:.3rem}.confusion td:last-child{color:#555}"
    ".upright{vertical-align:bottom}.upright span{writing-mode:vertical-rl;transform:rotate(180deg)}"
    "tr.wrong{font-weight:400}tr.wrong td{color:#a33c00}.confusion tbody td:first-child{text-align:center}"
    "@media(max-width:30rem){.two table.confusion{font-size:.64rem}.answer{font-size:1.35rem}"
    "h1{font-size:1.4rem}.wide table{font-size:.8rem}.wide :is(th,td){padding:.3rem .35rem}"
    "ul{padding-left:1.2rem}}"
    "@media print{.cards{grid-template-columns:repeat(3,1fr)}.cards section{border:1px solid #ccc;"
    "padding:.6rem}.examples{grid-template-columns:1fr 1fr}h2{break-after:avoid}}"
)


def run_page(record: Mapping[str, Any]) -> str:
    """One HTML page that needs nothing else: no network, no script.

    Args:
        record: What `jobs.run_report.collect_run` gave, or the same read back from JSON. Each section is made
            where the record has something for it; what could not be made says so in one line.
    """
    title = headline(record)
    parts = [f"<h1>{escape(title)}</h1><p class='lead'>{escape(subtitle(record))}</p>"]
    parts += ["<div class='cards'>", *(_card(card) for card in cards(record)), "</div>"]
    left_out = dict(record["left_out"])
    where = str((record.get("agreement") or {}).get("backend", "where it ran"))
    for key, (name, heading, make) in PARTS.items():
        heading = heading.format(where=where)
        reason = left_out.pop(name, None)
        if record.get(key):
            parts.append(f"<section><h2>{escape(heading)}</h2>{make(record)}</section>")
        elif reason is not None:
            parts.append(f"<section><h2>{escape(heading)}</h2>{_left_out(reason)}</section>")
    parts += [f"<section>{_left_out(f'{name}: {reason}')}</section>" for name, reason in left_out.items()]
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in settings(record).items())
    parts.append(f"<section><h2>Settings</h2><dl>{facts}</dl></section>")
    parts.append(made_by(_facts(record)))
    return page(f"{record['name']}: {title}", parts, style=EXAMPLES_STYLE + _STYLE)


def _card(card: Card) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in card.lines)
    return (
        f"<section><h2>{escape(card.question)}</h2><p class='answer'>{escape(card.answer)}</p>"
        f"<ul>{lines}</ul></section>"
    )


def _left_out(reason: str) -> str:
    return f"<p class='refused'>Left out: {escape(reason)}</p>"


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
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
