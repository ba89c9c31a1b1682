"""`sqdr-qiskit backends`, `doctor` and `jobs`: what there is to run on, the way to it, what went there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import (
    JsonOption,
    leaving_allowed,
    print_json,
    print_note,
    print_text,
    show_waiting,
)
from sqdr_qiskit.cli.inference import infer_on_hardware
from sqdr_qiskit.cli.options import HelpCommand, OutOption, ResumeOption, resumed_job
from sqdr_qiskit.errors import ArgumentError, CatalogError, SqdrError

if TYPE_CHECKING:
    from sqdr_qiskit.devices.names import Listed
    from sqdr_qiskit.devices.twin import Comparison
    from sqdr_qiskit.jobs.doctor import Finding
    from sqdr_qiskit.jobs.hardware import Collected
    from sqdr_qiskit.runtime.ledger import Entry

__all__ = ["backends", "cancel", "collect", "doctor", "jobs", "list_all", "show"]


def backends(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="List simulators and snapshots only; ask nobody.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List simulators, snapshots of devices, and the devices of your IBM Quantum account.

    With qubits, native two-qubit gate, median errors, and the length of the queue. Without an account or a
    network the snapshots are listed all the same.
    """
    print_note("loading Qiskit")
    from sqdr_qiskit.backends import BACKENDS
    from sqdr_qiskit.devices.names import snapshots

    simulators = [name for name in BACKENDS if "<" not in name]
    devices: list[Listed] = []
    why_none = "not asked for" if offline else None
    if not offline:
        from sqdr_qiskit.runtime.accounts import account_devices

        try:
            devices = account_devices()
        except SqdrError as error:
            why_none = str(error)
    fakes = snapshots()
    if as_json:
        print_json(
            {
                "simulators": simulators,
                "devices": [row.to_dict() for row in devices],
                "no_devices_because": why_none,
                "snapshots": [row.to_dict() for row in fakes],
            }
        )
        return
    print_text(f"simulators: {', '.join(simulators)}\n")
    if devices:
        print_text(_devices_table(devices, "devices of your account (least_busy takes the shortest queue)"))
    print_text(_devices_table(fakes, "snapshots of devices, simulated on this machine").rstrip())
    if why_none and not offline:
        print_note(f"no devices listed: {why_none}")


def _devices_table(rows: Sequence[Listed], title: str) -> str:
    from sqdr_qiskit.reports.tables import Table, percent

    live = any(row.queue is not None for row in rows)
    body = tuple(
        (
            row.name,
            str(row.n_qubits),
            row.gate,
            percent(row.gate_error),
            percent(row.readout_error),
            row.calibrated,
            row.status,
            *((str(row.queue),) if live else ()),
        )
        for row in rows
    )
    headers = ("name", "qubits", "gate", "gate error", "readout error", "calibrated", "status")
    queue = ("queue",) if live else ()
    return Table((*headers, *queue), body, frozenset({1, 3, 4, 7}), f"{title}:").text()


# ---- doctor ------------------------------------------------------------------------------------------------


def doctor(
    *,
    backend: Annotated[
        str,
        typer.Option(
            help="The quantum computer: ibm_<device> or least_busy.",
            rich_help_panel="hardware",
            metavar="NAME",
        ),
    ] = "least_busy",
    send: Annotated[
        bool,
        typer.Option(
            "--send",
            help="Send one job of at most two seconds and compare it with the twin.",
            rich_help_panel="hardware",
        ),
    ] = False,
    out: OutOption = None,
    resume: ResumeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Look at account, instance, plan, seconds left, device and versions; say what to do about each.

    Nothing is sent without --send. The job of --send is an inference of four digits with a folder and a
    ledger of its own: cut short at any moment, --resume FOLDER goes on.
    """
    print_note("loading Qiskit")
    from sqdr_qiskit.jobs.doctor import examine, smoke_job
    from sqdr_qiskit.jobs.noise_learning import compare_with_twin
    from sqdr_qiskit.jobs.settings import choose_checkpoint

    if not send and resume is None and out is not None:
        raise ArgumentError("Option `--out` must come with --send, which makes the folder.")
    if out is not None and resume is not None:
        raise ArgumentError("Option `--out` must be left out with --resume, which goes on in its own folder.")
    findings: tuple[Finding, ...] = ()
    if resume is not None:
        job, passed = resumed_job(resume, "infer", {}), True
    else:
        examined = examine(backend, watch=lambda now: print_note(now.text))
        job, findings, passed = smoke_job(examined.device), examined.findings, examined.passed
        if not as_json:
            print_text(_findings_text(findings))
    facts: dict[str, Any] = {"passed": passed, "findings": [one.to_dict() for one in findings]}
    if (send or resume is not None) and passed:
        chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None)
        folder = infer_on_hardware(job, chosen, folder=resume or out, resume=resume is not None).folder
        comparison = compare_with_twin(folder)
        facts |= {"folder": str(folder), "comparison": {**asdict(comparison), "agrees": comparison.agrees}}
        if not as_json:
            print_text(_comparison_text(comparison, folder))
    elif send and not as_json:
        print_note("nothing was sent: what is bad comes first")
    if as_json:
        print_json(facts)
    return 0 if passed else 1


def _findings_text(findings: tuple[Finding, ...]) -> str:
    marks = {"good": "ok", "warning": "!", "bad": "BAD"}
    lines = []
    for one in findings:
        lines.append(f"{marks[one.state]:<4}{one.check:<13}{one.says}")
        if one.advice:
            lines.append(f"{'':17}-> {one.advice}")
    return "\n".join(lines)


def _comparison_text(found: Comparison, folder: Path) -> str:
    head = (
        f"{found.n_values} values in {found.shots} shots against the twin: mean z^2 {found.chi_square:.2f} "
        f"(p = {found.p_value:.2g}), largest |z| {found.largest_z:.1f} (output {found.output}), error "
        f"{found.rms_error:.4f}, slope {found.slope:.3f}."
    )
    if found.agrees:
        return f"{head}\nThe device reads as it is calibrated. In {folder}."
    return (
        f"{head}\nThe device does not read as it is calibrated: learn its noise from a longer run (`infer "
        f"--resilience 0 --limit 100`, then `sqdr-qiskit noise learn`), or wait for the next calibration. In "
        f"{folder}."
    )


# ---- jobs --------------------------------------------------------------------------------------------------

jobs = typer.Typer(help="List, show, collect and cancel hardware jobs.", no_args_is_help=True)

_RUNS = Path("runs")
_Root = Annotated[
    Path, typer.Argument(help="A run's folder, or a folder of runs.", metavar="FOLDER", show_default=True)
]
_Run = Annotated[Path, typer.Argument(help="The run's folder.", metavar="FOLDER")]


@jobs.command("list", cls=HelpCommand)
def list_all(root: _Root = _RUNS, *, as_json: JsonOption = False) -> None:
    """List the hardware jobs of all runs, newest run first; needs neither network nor account."""
    from sqdr_qiskit.reports.tables import Table

    if root != _RUNS and not root.is_dir():  # no run yet is an answer, a slip of the pen is not
        raise ArgumentError(f"Argument `FOLDER` must be a folder, but there is none at {root}.")
    found, damaged = _all_entries(root)
    for folder, why in damaged:
        print_note(f"left out {folder}: {why}")
    if as_json:
        listed = [{"folder": str(folder), **_entry_facts(entry)} for folder, entry in found]
        print_json({"jobs": listed, "damaged": [str(folder) for folder, _ in damaged]})
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


@jobs.command(cls=HelpCommand)
def show(
    job: Annotated[str, typer.Argument(help="A job's id, or the beginning of it.")],
    root: _Root = _RUNS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say all that the ledgers know of one job; needs neither network nor account."""
    found, damaged = _all_entries(root)
    for folder, entry in found:
        if job and (entry.job_id or "").startswith(job):
            facts = {"folder": str(folder), **_entry_facts(entry)}
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


@jobs.command(cls=HelpCommand)
def collect(folder: _Run, *, as_json: JsonOption = False) -> int:
    """Wait for a run's jobs and keep their results; `--resume` of the run then uses them. Sends nothing."""
    from sqdr_qiskit.jobs.hardware import collect_jobs
    from sqdr_qiskit.runtime import Attention

    attention = Attention()
    with leaving_allowed(attention):
        _print_collected(collect_jobs(folder, watch=show_waiting(), attention=attention), as_json=as_json)
    return 0


@jobs.command(cls=HelpCommand)
def cancel(folder: _Run, *, as_json: JsonOption = False) -> int:
    """Cancel a run's jobs that are under way; results that were collected stay."""
    from sqdr_qiskit.jobs.hardware import cancel_jobs

    done = cancel_jobs(folder, watch=show_waiting())
    _print_collected(done, as_json=as_json)
    return int(bool(done.failed))


def _all_entries(root: Path) -> tuple[list[tuple[Path, Entry]], list[tuple[Path, str]]]:
    """Entries of all ledgers below a folder, and the ledgers that cannot be read, with the reason."""
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


def _print_collected(done: Collected, *, as_json: bool) -> None:
    if as_json:
        print_json({"jobs": [_entry_facts(entry) for entry in done.entries]})
        return
    for entry, reason in done.failed:
        print_note(f"{entry.label} ({entry.job_id or 'no job'}): {reason}")
    states = Counter(entry.state for entry in done.entries)
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    print_text(f"{len(done.entries)} requests: {counts or 'none'}")


def _entry_facts(entry: Entry) -> dict[str, Any]:
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
