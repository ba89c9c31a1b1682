"""`sqdr-qiskit run`: carry out a job file, one run or a grid of runs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqdr_qiskit.cli.console import (
    JsonOption,
    Progress,
    download_progress,
    going_on,
    on_hardware,
    print_json,
    print_note,
    print_text,
    training_progress,
)
from sqdr_qiskit.cli.options import OutOption, ResumeOption, typed_command
from sqdr_qiskit.errors import ArgumentError, CheckpointError, RunError

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.grid import GridResult
    from sqdr_qiskit.specs.job import JobSpec
    from sqdr_qiskit.specs.job_file import JobFile

__all__ = ["MOST_UNASKED", "run"]

MOST_UNASKED = 500
"""Runs of a grid that are carried out without `--yes`."""

_WORK = "grid"
_PARTS = "parts"
_NAMED = 5  # runs that are still to do, in one line


def run(
    job: Annotated[str, typer.Argument(help="A catalogue name, or the path of a job's TOML file.")],
    *,
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that share a grid, each with its share of the threads.", rich_help_panel=_WORK
        ),
    ] = 1,
    index: Annotated[
        int | None,
        typer.Option(
            help="Carry out this run of the grid alone, from 1, in --out: one task of many, such as "
            "$SLURM_ARRAY_TASK_ID.",
            show_default="all of them",
            rich_help_panel=_WORK,
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            help="Carry the grid out on the Dask cluster of this scheduler, tcp://HOST:PORT.",
            metavar="ADDRESS",
            show_default="this machine",
            rich_help_panel=_WORK,
        ),
    ] = None,
    collect: Annotated[
        bool,
        typer.Option("--collect", help="Gather the results in --out; run nothing.", rich_help_panel=_WORK),
    ] = False,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="List the runs and the time they will take, measured on a few steps; run nothing.",
            rich_help_panel=_WORK,
        ),
    ] = False,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke",
            help="Cut every run to 200 images and one epoch, to see them all run.",
            rich_help_panel=_WORK,
        ),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help=f"Carry out more than {MOST_UNASKED} runs.", rich_help_panel=_WORK),
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Of a list of parts: another device, or fake_<device> to rehearse it for nothing.",
            show_default="the file's",
            rich_help_panel=_PARTS,
        ),
    ] = None,
    max_qpu_seconds: Annotated[
        float | None,
        typer.Option(
            help="Of a list of parts: quantum seconds that all of them may use together.",
            show_default="the file's",
            rich_help_panel=_PARTS,
        ),
    ] = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry out a job file: one run, a grid of runs, or a list of parts.

    What is finished is never done again; a run that fails is tried once more, reported, and does not stop the
    others. Killed at any moment, --resume FOLDER goes on. Any number of runners may work on one folder.
    """
    from sqdr_qiskit import catalog
    from sqdr_qiskit.specs.job_file import read_job

    if out is not None and resume is not None:
        raise ArgumentError(
            "Option `--out` must be left out with --resume, which goes on in the run's own folder."
        )
    if workers < 1:
        raise ArgumentError(f"Option `--workers` must be at least 1, but is {workers}.")
    ways = {"--index": index is not None, "--dask": dask, "--plan": plan, "--collect": collect}
    chosen = [name for name, given in ways.items() if given]
    if len(chosen) > 1:
        raise ArgumentError(f"Option `{chosen[0]}` must be left out with {chosen[1]}.")
    file = read_job(catalog.find("jobs", job))
    where: Any = {"folder": resume or out, "resume": resume is not None, "as_json": as_json}
    if file.parts:
        for name in [*chosen, *["--workers"] * (workers > 1), *["--smoke"] * smoke]:
            raise ArgumentError(f"Option `{name}` must be left out for a list of parts.")
        _run_parts(file, backend, max_qpu_seconds, **where)
        return
    for name, value in (("--backend", backend), ("--max-qpu-seconds", max_qpu_seconds)):
        if value is not None:
            raise ArgumentError(
                f"Option `{name}` must come with a list of parts ([[part]]), but {job} is none."
            )
    if smoke:
        from sqdr_qiskit.jobs.grid import smoke as cut

        file = cut(file)
    if plan:
        _plan(file, workers, as_json=as_json)
    elif collect or index is not None:
        folder = resume or out
        if folder is None:
            raise ArgumentError(
                f"Option `{chosen[0]}` must come with --out, the folder that all tasks share."
            )
        if index is None:
            from sqdr_qiskit.jobs.grid import collect_grid

            _show_grid(file, collect_grid(file, folder), as_json=as_json)
        else:
            _one_of(file, index, folder, as_json=as_json)
    elif len(file.jobs) == 1 and not file.axes:
        for option, given in (("--workers", workers > 1), ("--dask", dask is not None)):
            if given:
                raise ArgumentError(f"Option `{option}` must be left out for a job that is no grid.")
        _run_one(file.jobs[0], **where)
    else:
        if len(file.jobs) > MOST_UNASKED and not yes:
            raise ArgumentError(
                f"Option `--yes` must be given for {len(file.jobs):,} runs, more than {MOST_UNASKED}; --plan "
                "says what they take."
            )
        _run_grid(file, job, workers=workers, dask=dask, **where)


def _run_parts(
    file: JobFile,
    backend: str | None,
    max_qpu_seconds: float | None,
    *,
    folder: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Carry out parts one after the other, and write one page about all of them."""
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit import records
    from sqdr_qiskit.jobs.parts import PARTS_RECORD, carry_out_parts, on_backend
    from sqdr_qiskit.reports.device_pages import parts_markdown, parts_page

    if max_qpu_seconds is not None and not 0 < max_qpu_seconds < float("inf"):
        raise ArgumentError(f"Argument `max_qpu_seconds` must be above 0, but is {max_qpu_seconds:g}.")
    folder = carry_out_parts(
        file if backend is None else on_backend(file, backend),
        folder,
        on_hardware,
        resume=resume,
        ceiling_s=max_qpu_seconds,
        command=typed_command(),
        notice=print_note,
    )
    record = records.read_json(folder / PARTS_RECORD, "report of parts")
    said = parts_markdown(record)
    records.write_text(folder / "report.html", parts_page(record))
    records.write_text(folder / "report.md", said)
    if as_json:
        print_json({"folder": str(folder), **record})
    else:
        print_text(said.rstrip())
        print_note(f"in {folder}: report.html, report.md, report.json, and each part's folder")


def _run_one(job: JobSpec, *, folder: Path | None, resume: bool, as_json: bool) -> None:
    from sqdr_qiskit.cli.inference import perform_evaluation, perform_inference, require_resumable
    from sqdr_qiskit.cli.train import perform_training
    from sqdr_qiskit.jobs.folders import job_of_run

    if folder is not None and resume and job_of_run(folder).defining() != job.defining():
        raise CheckpointError(f"{folder}: its record describes another job than the file.")
    if job.task == "train":
        perform_training(job, folder=folder, resume=resume, as_json=as_json)
    elif job.task == "infer":
        if folder is not None and resume:
            require_resumable(job, folder)
        perform_inference(job, folder=folder, resume=resume, as_json=as_json)
    elif resume:
        raise ArgumentError("Option `--resume` must be left out for a job of task evaluate; start it anew.")
    else:
        perform_evaluation(job, folder=folder, as_json=as_json)


def _run_grid(
    file: JobFile,
    job: str,
    *,
    workers: int,
    dask: str | None,
    folder: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.grid import carry_out_grid
    from sqdr_qiskit.jobs.workers import RunOutcome

    done, place = 0, folder

    def again() -> str | None:
        return None if place is None else f"sqdr-qiskit run {job} --resume {place}"

    def folder_made(path: Path) -> None:
        nonlocal place
        place = path
        print_note(f"grid {path}: {len(file.jobs)} runs")

    with going_on(again), ExitStack() as stack:
        alone = workers == 1 and dask is None
        progress = stack.enter_context(training_progress()) if alone else None
        bar = None if alone else stack.enter_context(Progress("grid", total=len(file.jobs), unit="runs"))

        def started(number: int, n_runs: int, name: str) -> None:
            print_note(f"run {number}/{n_runs}: {name}")

        def ended(number: int, outcome: RunOutcome) -> None:
            nonlocal done
            done += 1
            if outcome.error is not None:
                what = "left alone" if outcome.elsewhere else f"failed after {outcome.attempts} attempts"
                print_note(f"run {number} {what}: {outcome.error}")
            if bar is not None:
                bar.update(done)

        result = carry_out_grid(
            file,
            folder=folder,
            resume=resume,
            workers=workers,
            dask=dask,
            command=typed_command(),
            grid_started=folder_made,
            run_started=started,
            run_ended=ended,
            progress=progress,
            download_progress=download_progress(),
        )
    _show_grid(file, result, as_json=as_json)


def _one_of(file: JobFile, index: int, folder: Path, *, as_json: bool) -> None:
    """Carry out one run of a grid, and say how it ended."""
    from sqdr_qiskit.jobs.grid import one_of_grid

    with training_progress() as progress:
        place, outcome = one_of_grid(
            file,
            index,
            folder=folder,
            command=typed_command(),
            progress=progress,
            download_progress=download_progress(),
        )
    if outcome.error is not None:
        raise RunError(f"Run {index} of {file.name} failed: {outcome.error}")
    if as_json:
        print_json({"folder": str(place), "attempts": outcome.attempts})
    else:
        print_text(f"in {place}; --collect gathers all runs of {folder}")


def _plan(file: JobFile, workers: int, *, as_json: bool) -> None:
    """List the runs and what they will take."""
    from sqdr_qiskit.jobs.grid import plan_grid
    from sqdr_qiskit.reports.tables import Table, duration

    rows, seconds = plan_grid(file, workers=workers)
    if as_json:
        print_json({"runs": [asdict(row) for row in rows], "workers": workers, "seconds": seconds})
        return
    body = tuple((row.folder, f"{row.steps:,}", duration(row.seconds)) for row in rows)
    print_text(Table(("run", "steps", "about"), body, frozenset({1, 2}), title=file.title).text().rstrip())
    shared = f" by {workers} processes" if workers > 1 else ""
    print_text(
        f"{len(rows)} runs, about {duration(seconds)} in all{shared}, measured on a few steps of each kind"
    )


def _show_grid(file: JobFile, result: GridResult, *, as_json: bool) -> None:
    """Print a grid's results.

    Raises:
        RunError: Runs failed; the others are shown all the same.
    """
    from sqdr_qiskit.reports.tables import results_table

    if as_json and not result.failed:
        facts = {"folder": str(result.folder), "rows": result.rows}
        print_json({**facts, "skipped": result.skipped, "missing": result.missing})
    elif not as_json:
        if result.rows:
            print_text(results_table(result.rows, tuple(result.rows[0]), title=file.title).text())
        before = f", {result.skipped} of them before" if result.skipped else ""
        print_text(f"in {result.folder}: {len(result.rows)} of {len(file.jobs)} runs are finished{before}")
        if result.missing:
            first = ", ".join(result.missing[:_NAMED])
            more = len(result.missing) - _NAMED
            print_note(f"not finished: {first}" + (f" and {more} more" if more > 0 else ""))
    if result.failed:
        told = "; ".join(f"{name}: {error}" for name, error in result.failed)
        raise RunError(f"{len(result.failed)} of {len(file.jobs)} runs failed: {told}")
