"""`sqdr-qiskit run`: carry out a job file, one run or a grid of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.cli.options import download_progress, training_progress, typed_command
from sqdr_qiskit.errors import ArgumentError

if TYPE_CHECKING:
    from sqdr_qiskit.specs.job import JobFile, JobSpec

__all__ = ["run"]


def run(
    job: Annotated[str, typer.Argument(help="A catalogue name, or the path of a job's TOML file.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the run or grid. [default: in runs/]")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the run or grid in this folder; finished runs are skipped."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Carry out a job file: one run, or a grid of runs one after the other."""
    from sqdr_qiskit import catalog
    from sqdr_qiskit.specs.job import read_job

    if out is not None and resume is not None:
        raise ArgumentError(
            "Option `--out` must be left out with --resume, which goes on in the run's own folder."
        )
    file = read_job(catalog.find("jobs", job))
    if len(file.jobs) == 1:
        _run_one(file.jobs[0], out=out, resume=resume, as_json=as_json)
    else:
        _run_grid(file, out=out, resume=resume, as_json=as_json)


def _run_one(job: JobSpec, *, out: Path | None, resume: Path | None, as_json: bool) -> None:
    from sqdr_qiskit.cli import evaluate, infer, train
    from sqdr_qiskit.errors import CheckpointError
    from sqdr_qiskit.jobs.folders import job_of_run

    folder = resume or out
    if resume is not None and job_of_run(resume).defining() != job.defining():
        raise CheckpointError(f"{resume}: its record describes another job than the file.")
    if job.task == "train":
        train.perform(job, folder=folder, resume=resume is not None, as_json=as_json)
    elif job.task == "infer":
        if resume is not None:
            infer.require_resumable(job, resume)
        infer.perform(job, folder=folder, resume=resume is not None, as_json=as_json)
    elif resume is not None:
        raise ArgumentError("Option `--resume` must be left out for a job of task evaluate; start it anew.")
    else:
        evaluate.perform(job, folder=folder, as_json=as_json)


def _run_grid(file: JobFile, *, out: Path | None, resume: Path | None, as_json: bool) -> None:
    from sqdr_qiskit.jobs import carry_out_grid
    from sqdr_qiskit.reports import results_table

    with training_progress() as progress:
        result = carry_out_grid(
            file,
            folder=resume or out,
            resume=resume is not None,
            command=typed_command(),
            run_started=_announce,
            progress=progress,
            download_progress=download_progress(),
        )
    if as_json:
        print_json({"folder": str(result.folder), "skipped": result.skipped, "rows": result.rows})
        return
    print_text(results_table(result.rows, tuple(result.rows[0]), title=file.title).text())
    print_text(f"in {result.folder}: {len(result.rows)} runs, {result.skipped} of them finished before")


def _announce(number: int, n_runs: int, job: JobSpec) -> None:
    print_note(f"run {number}/{n_runs}: {job.circuit} on {job.dataset}, recipe {job.recipe}, seed {job.seed}")
