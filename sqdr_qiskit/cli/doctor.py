"""`sqdr-qiskit doctor`: whether the way to a quantum computer is open, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.cli.options import OutOption, ResumeOption, resumed_job, typed_command

if TYPE_CHECKING:
    from sqdr_qiskit.devices.twin import Comparison
    from sqdr_qiskit.jobs.doctor import Finding
    from sqdr_qiskit.specs.job import JobSpec

__all__ = ["doctor"]


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
    from sqdr_qiskit.errors import ArgumentError
    from sqdr_qiskit.jobs.doctor import examine, smoke_job

    if not send and resume is None and out is not None:
        raise ArgumentError("Option `--out` must come with --send, which makes the folder.")
    if out is not None and resume is not None:
        raise ArgumentError("Option `--out` must be left out with --resume, which goes on in its own folder.")
    if resume is not None:
        job = resumed_job(resume, "infer", {})
        found: tuple[Finding, ...] = ()
        passed = True
    else:
        examined = examine(backend, watch=lambda now: print_note(now.text))
        job, found, passed = smoke_job(examined.device), examined.findings, examined.passed
        if not as_json:
            print_text("\n".join(_lines(found)))
    facts: dict[str, Any] = {"passed": passed, "findings": [one.to_dict() for one in found]}
    if (send or resume is not None) and passed:
        folder, comparison = _sent(job, out, resume)
        facts |= {"folder": str(folder), "comparison": {**asdict(comparison), "agrees": comparison.agrees}}
        if not as_json:
            print_text(_words(comparison, folder))
    elif send and not as_json:
        print_note("nothing was sent: what is bad comes first")
    if as_json:
        print_json(facts)
    return 0 if passed else 1


def _sent(job: JobSpec, out: Path | None, resume: Path | None) -> tuple[Path, Comparison]:
    """Send the smoke job, or go on with it, and hold it against the twin."""
    from sqdr_qiskit.cli.console import on_hardware
    from sqdr_qiskit.jobs.inference import carry_out_inference
    from sqdr_qiskit.jobs.noise_learning import compare_with_twin
    from sqdr_qiskit.jobs.settings import choose_checkpoint

    with on_hardware(job.backend) as hardware:
        run = carry_out_inference(
            job,
            choose_checkpoint(job.checkpoint, dataset=job.dataset or None),
            hardware=hardware,
            folder=resume or out,
            resume=resume is not None,
            command=typed_command(),
            notice=print_note,
            started=lambda path: print_note(f"run {path} on {job.backend}"),
        )
    return run.folder, compare_with_twin(run.folder)


def _lines(findings: tuple[Finding, ...]) -> list[str]:
    marks = {"good": "ok", "warning": "!", "bad": "BAD"}
    lines = []
    for one in findings:
        lines.append(f"{marks[one.state]:<4}{one.check:<13}{one.says}")
        if one.advice:
            lines.append(f"{'':17}-> {one.advice}")
    return lines


def _words(found: Comparison, folder: Path) -> str:
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
