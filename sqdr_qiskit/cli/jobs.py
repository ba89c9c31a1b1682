"""`sqdr-qiskit jobs`: the hardware jobs of all runs, from any later process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.cli.help import HelpCommand
from sqdr_qiskit.errors import ArgumentError, CatalogError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.hardware import Collected
    from sqdr_qiskit.runtime.ledger import Entry

__all__ = ["app", "cancel", "collect", "list_all", "show"]

app = typer.Typer(help="List, show, collect and cancel hardware jobs.", no_args_is_help=True)

_RUNS = Path("runs")
_Root = Annotated[
    Path, typer.Argument(help="A run's folder, or a folder of runs.", metavar="FOLDER", show_default=True)
]
_Run = Annotated[Path, typer.Argument(help="The run's folder.", metavar="FOLDER")]


@app.command("list", cls=HelpCommand)
def list_all(root: _Root = _RUNS, *, as_json: JsonOption = False) -> None:
    """List the hardware jobs of all runs, newest run first; needs neither network nor account."""
    from sqdr_qiskit.reports import Table

    if root != _RUNS and not root.is_dir():  # no run yet is an answer, a slip of the pen is not
        raise ArgumentError(f"Argument `FOLDER` must be a folder, but there is none at {root}.")
    found, damaged = _all_entries(root)
    for folder, why in damaged:
        print_note(f"left out {folder}: {why}")
    if as_json:
        jobs = [{"folder": str(folder), **_facts(entry)} for folder, entry in found]
        print_json({"jobs": jobs, "damaged": [str(folder) for folder, _ in damaged]})
        return
    if not found:
        print_text(f"no hardware jobs in {root}")
        return
    rows = tuple(
        (
            str(folder),
            entry.label,
            entry.device,
            entry.state,
            entry.job_id or "",
            f"{entry.planned_s:.1f}",
            "" if entry.used_s is None else f"{entry.used_s:.1f}",
            entry.created[:19],
        )
        for folder, entry in found
    )
    headers = ("run", "request", "device", "state", "job", "planned s", "used s", "made (UTC)")
    print_text(Table(headers, rows, frozenset({5, 6})).text().rstrip())


@app.command(cls=HelpCommand)
def show(
    job: Annotated[str, typer.Argument(help="A job's id, or the beginning of it.")],
    root: _Root = Path("runs"),
    *,
    as_json: JsonOption = False,
) -> None:
    """Say all that the ledgers know of one job; needs neither network nor account."""
    found, damaged = _all_entries(root)
    for folder, entry in found:
        if job and (entry.job_id or "").startswith(job):
            facts = {"folder": str(folder), **_facts(entry)}
            if as_json:
                print_json(facts)
            else:
                for name, value in facts.items():
                    print_text(f"{name:<12}{value}")
            return
    for folder, why in damaged:
        print_note(f"left out {folder}: {why}")
    raise CatalogError(
        f"There is no hardware job {job!r} in {str(root)!r}; `sqdr-qiskit jobs list` names them."
    )


@app.command(cls=HelpCommand)
def collect(folder: _Run, *, as_json: JsonOption = False) -> int:
    """Wait for a run's jobs and keep their results; `--resume` of the run then uses them. Sends nothing."""
    from sqdr_qiskit.cli.console import leaving_allowed, show_waiting
    from sqdr_qiskit.jobs.hardware import collect_jobs
    from sqdr_qiskit.runtime import Attention

    attention = Attention()
    with leaving_allowed(attention):
        _report(collect_jobs(folder, watch=show_waiting(), attention=attention), as_json=as_json)
    return 0


@app.command(cls=HelpCommand)
def cancel(folder: _Run, *, as_json: JsonOption = False) -> int:
    """Cancel a run's jobs that are under way; results that were collected stay."""
    from sqdr_qiskit.cli.console import show_waiting
    from sqdr_qiskit.jobs.hardware import cancel_jobs

    done = cancel_jobs(folder, watch=show_waiting())
    _report(done, as_json=as_json)
    return int(bool(done.failed))


def _all_entries(root: Path) -> tuple[list[tuple[Path, Entry]], list[tuple[Path, str]]]:
    """Entries of all ledgers below a folder, and the ledgers that cannot be read, with the reason."""
    from sqdr_qiskit.errors import SqdrError
    from sqdr_qiskit.runtime.ledger import Ledger, ledger_folders

    found: list[tuple[Path, Entry]] = []
    damaged: list[tuple[Path, str]] = []
    for folder in ledger_folders(root):
        try:
            with Ledger(folder, read_only=True) as ledger:
                found += [(folder, entry) for entry in ledger.entries()]
        except SqdrError as error:
            damaged.append((folder, str(error)))
    return found, damaged


def _report(done: Collected, *, as_json: bool) -> None:
    if as_json:
        print_json({"jobs": [_facts(entry) for entry in done.entries]})
        return
    for entry, reason in done.failed:
        print_note(f"{entry.label} ({entry.job_id or 'no job'}): {reason}")
    states = [entry.state for entry in done.entries]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print_text(f"{len(states)} requests: {counts or 'none'}")


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "job": entry.job_id,
        "request": entry.label,
        "device": entry.device,
        "state": entry.state,
        "planned_s": entry.planned_s,
        "used_s": entry.used_s,
        "calibrated": entry.calibrated,
        "made": entry.created,
        "tag": entry.tag,
        "digest": entry.digest,
        "reason": entry.reason,
        **{name: value for name, value in entry.facts.items() if name not in ("shapes", "bounds")},
    }
