"""A grid of runs, one after the other; what is finished is never done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.folders import RECORD, is_finished, job_of_run, make_folder, read_record
from sqdr_qiskit.jobs.settings import recipe_of
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.specs.job import JobFile, JobSpec
from sqdr_qiskit.training.outcome import TrainingProgress

__all__ = ["GRID", "GridResult", "carry_out_grid", "run_folders"]

GRID = "grid.json"


@dataclass(frozen=True, eq=False)
class GridResult:
    """A finished grid.

    Attributes:
        folder: Where its runs' folders are.
        rows: One for each run, in the file's order: circuit, dataset, seed, recipe, accuracies, parameters.
        skipped: How many runs were finished before.
    """

    folder: Path
    rows: tuple[Mapping[str, Any], ...]
    skipped: int


def run_folders(jobs: Sequence[JobSpec]) -> tuple[str, ...]:
    """Names of the runs' folders, in order: `001-<circuit>-<dataset>-seed<seed>`."""
    return tuple(
        f"{number:03d}-{circuit_spec(job.circuit).name}-{job.dataset}-seed{job.seed}"
        for number, job in enumerate(jobs, 1)
    )


def carry_out_grid(
    file: JobFile,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    command: Sequence[str] = (),
    run_started: Callable[[int, int, JobSpec], None] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> GridResult:
    """Carry out all runs of a job file, each in its own folder.

    Args:
        file: The job file; all its runs are trainings.
        folder: The grid's folder; None makes `runs/<time>-<file's name>`.
        resume: Go on in `folder`: finished runs are skipped, one under way goes on where it was.
        command: The words typed, for the records.
        run_started: Called with the run's number from 1, the number of runs, and the job.
        progress: Called after every step of a run.
        download_progress: Called while data are downloaded.

    Raises:
        CheckpointError: If the folder holds another grid.
        SqdrError: What a run raises; the runs before it stand.
    """
    for job in file.jobs:  # all inputs are judged before anything is made
        recipe_of(job)
        if job.task != "train":
            raise ArgumentError(
                f"{file.name}: every run of a grid must have task train, but one has {job.task}."
            )
    plan = {"schema": 1, "name": file.name, "jobs": [job.to_dict() for job in file.jobs]}
    if resume:
        path = Path(folder or ".")
        _require_same(path, plan)
    else:
        path = make_folder(folder, file.name)
        records.write_json(path / GRID, plan)
    rows, skipped = [], 0
    for number, (job, name) in enumerate(zip(file.jobs, run_folders(file.jobs), strict=True), 1):
        place = path / name
        if is_finished(place):
            skipped += 1
        else:
            if run_started is not None:
                run_started(number, len(file.jobs), job)
            begun = (place / RECORD).exists()
            if begun and job_of_run(place) != job:
                raise CheckpointError(f"{place.name}: its record describes another job than the grid.")
            carry_out_training(
                job,
                folder=place,
                resume=begun,
                command=command,
                progress=progress,
                download_progress=download_progress,
            )
        rows.append(_row(job, place))
        records.write_json(path / "results.json", {"schema": 1, "rows": rows})
    return GridResult(path, tuple(rows), skipped)


def _row(job: JobSpec, folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    results = record["results"]
    return {
        "circuit": job.circuit,
        "dataset": job.dataset,
        "recipe": record["inputs"]["recipe"]["name"],
        "seed": job.seed,
        "parameters": results["n_parameters"],
        "epochs": results["epochs"],
        "validation_accuracy": results["validation_accuracy"],
        "test_accuracy": results["test_accuracy"],
        "folder": folder.name,
    }


def _require_same(folder: Path, plan: Mapping[str, Any]) -> None:
    path = folder / GRID
    if not path.is_file():
        raise CheckpointError(f"There is no grid in {os.fspath(folder)!r}: it has no file {GRID}.")
    if path.read_text(encoding="utf-8") != records.dump_json(plan):
        raise CheckpointError(f"{path}: field `jobs` differs from the job file's; start the grid anew.")
