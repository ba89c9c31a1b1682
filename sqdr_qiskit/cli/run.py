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
    from sqdr_qiskit.cli.evaluate import evaluate
    from sqdr_qiskit.cli.infer import infer
    from sqdr_qiskit.cli.train import show, train_and_show
    from sqdr_qiskit.errors import CheckpointError
    from sqdr_qiskit.jobs.training import job_of_run

    if job.task == "train":
        if resume is not None and job_of_run(resume) != job:
            raise CheckpointError(f"{resume}: its record describes another job than the file.")
        show(train_and_show(job, folder=resume or out, resume=resume is not None), as_json=as_json)
        return
    if out is not None or resume is not None:
        option = "--out" if out is not None else "--resume"
        raise ArgumentError(
            f"Option `{option}` must be left out for a job of task {job.task}, which makes no folder."
        )
    common = {
        "checkpoint": job.checkpoint,
        "dataset": job.dataset,
        "data_dir": job.data_dir,
        "limit": job.limit,
        "backend": job.backend,
        "noise": job.noise,
        "shots": job.shots,
        "layout": job.layout,
        "seed": job.seed,
        "device": job.device,
        "as_json": as_json,
    }
    command = evaluate if job.task == "evaluate" else infer
    command(**common)  # type: ignore[arg-type]


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
