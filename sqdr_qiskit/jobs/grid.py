"""A grid of runs: planned, carried out by one process or many, gathered; nothing finished is done again.

Every run has a folder of its own, named by what differs, and goes on there where it was. Whoever works on a
run holds its lock, so any number of runners - processes here, tasks of a SLURM array, workers of a Dask
cluster - may work on one grid's folder. A run that fails is tried once more, reported, and does not stop the
others.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import ArgumentError, BusyError, CheckpointError, SqdrError, StorageError
from sqdr_qiskit.jobs.folders import is_finished, job_of_run, locked, make_folder, read_record
from sqdr_qiskit.jobs.settings import backend_of, data_of, fitted_recipe, model_settings_of, recipe_of
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.jobs.workers import RunOutcome, on_dask, on_processes
from sqdr_qiskit.records import GRID, RECORD, RESULTS
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec
from sqdr_qiskit.specs.job_file import JobFile
from sqdr_qiskit.training.state import TrainingProgress

__all__ = [
    "DATA_OPTIONS",
    "Forecasted",
    "GridResult",
    "carry_out_grid",
    "carry_out_one",
    "collect_grid",
    "judge_grid",
    "one_of_grid",
    "plan_grid",
    "run_folders",
    "smoke",
]

_ATTEMPTS = 2
_MEASURED_STEPS = 12
# Options that do not change how long a step takes.
_QUICK = {
    "seed",
    "learning_rate",
    "weight_decay",
    "initialisation",
    "epochs",
    "flip",
    "averaging",
    "patience",
}
_STAGES = ("first_step", "encoder", "circuit", "rest", "validation")
# A Dask worker may have several threads, and a training sets torch as a whole.
_IN_THIS_PROCESS = threading.Lock()


@dataclass(frozen=True, eq=False)
class GridResult:
    """A grid as it stands.

    Attributes:
        folder: Where its runs' folders are.
        rows: One for each finished run, in the file's order: the options that vary, circuit, dataset, seed,
            recipe, accuracies, parameters, seconds, folder.
        skipped: How many runs were finished before.
        failed: Folder and reason of each run that failed.
        missing: Folders of the runs that are not finished: nobody began them, or another process is at work.
    """

    folder: Path
    rows: tuple[Mapping[str, Any], ...]
    skipped: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecasted:
    """What a run of a grid will take: its folder's name, its steps, and seconds, measured on a few steps."""

    folder: str
    steps: int
    seconds: float


DATA_OPTIONS = ("dataset", "data_dir", "image_size", "skip_damaged", "limit", "validation")
"""What the data of a run depend on, but for which of the images its seed takes."""


def run_folders(file: JobFile) -> tuple[str, ...]:
    """Names of the runs' folders, in order: a number, and what differs: `003-mnist-4b-9q-seed2`.

    A text stands for itself, another value after its option's name. Where nothing varies: circuit, data set
    and seed.
    """
    axes = file.axes or ("circuit", "dataset", "seed")
    width = max(3, len(str(len(file.jobs))))
    names = []
    for number, job in enumerate(file.jobs, 1):
        parts = [_part(axis, getattr(job, axis)) for axis in axes]
        name = re.sub(r"[^A-Za-z0-9._+-]+", "_", "-".join(part for part in parts if part))
        names.append(f"{number:0{width}d}-{name[:120]}".rstrip("-"))
    return tuple(names)


def _part(axis: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return axis if value else f"no_{axis}"
    return Path(value).stem if isinstance(value, str) else f"{axis}{value}"


def smoke(file: JobFile) -> JobFile:
    """The same grid with every run cut to less than a minute: 200 images, one epoch."""
    jobs = [replace(job, limit=min(job.limit or 200, 200), epochs=1, steps=None) for job in file.jobs]
    return replace(file, jobs=tuple(jobs))


def judge_grid(file: JobFile, *, progress: DownloadProgress | None = None) -> None:
    """Refuse a grid in which a run cannot be, before anything is made; download its data, once.

    Raises:
        InputError: A run is no training, or something in it cannot be.
    """
    judged: set[str] = set()
    read_last: tuple[tuple[Any, ...], Any] = ((), None)

    def is_new(*of: object) -> bool:
        key = repr(of)
        new = key not in judged
        judged.add(key)
        return new

    for job in file.jobs:
        if job.task != "train":
            raise ArgumentError(
                f"{file.name}: every run of a grid must have task train, but one has {job.task}."
            )
        if is_hardware(job.backend):
            raise ArgumentError(
                f"{file.name}: every run of a grid must run on a simulator, but one has backend "
                f"{job.backend}: runs on quantum computers cost, so start them one by one with "
                "`sqdr-qiskit train`."
            )
        recipe = recipe_of(job)
        if is_new("circuit", job.circuit) and job.checkpoint is None:
            circuit_spec(job.circuit)
        asked = tuple(getattr(job, name) for name in DATA_OPTIONS)
        if asked != read_last[0]:
            read_last = (asked, data_of(job, progress=progress))
        if is_new("backend", job.backend, job.noise, job.shots, job.layout, job.fractional, job.device):
            backend_of(job)
        if is_new("model", job.circuit, *asked, job.head) and job.checkpoint is None:
            model_settings_of(job, recipe, read_last[1])


def carry_out_grid(
    file: JobFile,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    workers: int = 1,
    dask: str | None = None,
    command: Sequence[str] = (),
    grid_started: Callable[[Path], None] | None = None,
    run_started: Callable[[int, int, str], None] | None = None,
    run_ended: Callable[[int, RunOutcome], None] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> GridResult:
    """Carry out all runs of a job file, each in its own folder.

    Args:
        file: The job file; all its runs are trainings on simulators.
        folder: The grid's folder; None makes `runs/<time>-<file's name>`.
        resume: Go on in `folder`: finished runs are skipped, one under way goes on where it was.
        workers: Processes on this machine, each with its share of the threads.
        dask: Address of a Dask scheduler whose workers carry the runs out instead; they must see `folder`.
        command: The words typed, for the records.
        grid_started: Called with the grid's folder before any run.
        run_started: Called with a run's number from 1, the number of runs, and the run's folder.
        run_ended: Called with a run's number and its outcome.
        progress: Called after every step of a run, with one worker in this process.
        download_progress: Called while data are downloaded.

    Raises:
        CheckpointError: The folder holds another grid.
        BackendError: The Dask scheduler cannot be reached.
        InputError: A run of the grid cannot be; nothing was made.
    """
    if resume:  # whether it is there costs less to know than whether it can be
        _grid_folder(file, folder, resume=True)
    judge_grid(file, progress=download_progress)
    path = _grid_folder(file, folder, resume=resume)
    if grid_started is not None:
        grid_started(path)
    names = run_folders(file)
    finished = {name for name in names if is_finished(path / name)}
    tasks = [
        (number, (os.fspath(path.resolve() / name), job.to_dict(), tuple(records.public_command(command))))
        for number, (job, name) in enumerate(zip(file.jobs, names, strict=True), 1)
        if name not in finished
    ]

    def started(number: int) -> None:
        if run_started is not None:
            run_started(number, len(names), names[number - 1])

    failed: dict[str, str] = {}

    def ended(number: int, outcome: RunOutcome) -> None:
        if outcome.error is not None and not outcome.elsewhere:
            failed[names[number - 1]] = outcome.error
        if run_ended is not None:
            run_ended(number, outcome)
        _write_results(file, path, failed)

    if dask is not None:
        on_dask(dask, carry_out_one, tasks, started=started, ended=ended)
    elif workers > 1:
        on_processes(workers, carry_out_one, tasks, started=started, ended=ended, attempts=_ATTEMPTS)
    else:
        for number, arguments in tasks:
            started(number)
            ended(number, carry_out_one(*arguments, progress=progress))
    return _write_results(file, path, failed, skipped=len(finished))


def carry_out_one(
    folder: str,
    job: Mapping[str, Any],
    command: Sequence[str] = (),
    *,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> RunOutcome:
    """One run of a grid, begun or gone on with, at most twice if it fails; the unit of work of every runner.

    Args:
        folder: The run's folder.
        job: The job, as `JobSpec.to_dict` gives it.
        command: The words typed, for the record.
        progress: Called after every step.
    """
    path, spec = Path(folder), JobSpec.from_dict(job)
    error = ""
    for attempt in range(_ATTEMPTS):  # the second goes on where the first failed
        try:
            path.mkdir(parents=True, exist_ok=True)
            with _IN_THIS_PROCESS, locked(path, inside=True):
                # Looked at under the lock only: until then another runner may finish it, or begin.
                if is_finished(path):
                    return RunOutcome(attempts=attempt)
                begun = (path / RECORD).is_file()
                if begun and job_of_run(path).defining() != spec.defining():
                    raise CheckpointError(f"{path.name}: its record describes another job than the grid.")
                if not begun:  # killed before it wrote its record: nothing to go on from
                    for file in path.iterdir():
                        if file.is_file():
                            file.unlink()
                carry_out_training(spec, folder=path, resume=begun, command=command, progress=progress)
                return RunOutcome(attempts=attempt + 1)
        except BusyError as caught:
            return RunOutcome(error=str(caught), elsewhere=True, attempts=attempt)
        except SqdrError as caught:
            error = str(caught)
        except OSError as caught:
            error = f"{caught.strerror or caught}"
        except MemoryError:
            error = "there is not enough memory for it"
    return RunOutcome(error=error, attempts=_ATTEMPTS)


def collect_grid(file: JobFile, folder: str | os.PathLike[str]) -> GridResult:
    """Gather the rows of a grid's runs, however they were carried out.

    Raises:
        CheckpointError: The folder holds no grid, or another.
    """
    return _write_results(file, _grid_folder(file, folder, resume=True), {})


def one_of_grid(
    file: JobFile,
    index: int,
    *,
    folder: str | os.PathLike[str],
    command: Sequence[str] = (),
    progress: Callable[[TrainingProgress], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> tuple[Path, RunOutcome]:
    """Carry out one run of a grid, as one task of many that share the folder.

    Args:
        file: The job file.
        index: Number of the run, from 1.
        folder: The grid's folder; made by whoever comes first.
        command: The words typed, for the record.
        progress: Called after every step.
        download_progress: Called while data are downloaded.

    Returns:
        The run's folder and how it ended.

    Raises:
        ArgumentError: There is no such run.
        CheckpointError: The folder holds another grid.
    """
    if not 1 <= index <= len(file.jobs):
        raise ArgumentError(f"Argument `index` must be from 1 to {len(file.jobs)}, but is {index}.")
    job = file.jobs[index - 1]
    judge_grid(replace(file, jobs=(job,)), progress=download_progress)
    path = _grid_folder(file, folder, resume=True, make=True)
    place = path / run_folders(file)[index - 1]
    return place, carry_out_one(os.fspath(place), job.to_dict(), tuple(command), progress=progress)


def plan_grid(file: JobFile, *, workers: int = 1) -> tuple[list[Forecasted], float]:
    """What every run will take, measured on a few steps of each kind of run, and all of them together.

    Args:
        file: The job file.
        workers: Processes that the runs are shared among.

    Returns:
        A row for each run, and seconds for the whole grid, with `workers` processes that do not slow each
        other down.

    Raises:
        InputError: A run cannot be.
    """
    judge_grid(file)
    measured: dict[str, tuple[float, int, int]] = {}
    rows = []
    for job, name in zip(file.jobs, run_folders(file), strict=True):
        kind = records.digest({key: value for key, value in job.to_dict().items() if key not in _QUICK})
        if kind not in measured:
            measured[kind] = _measured(job)
        per_step, steps_per_epoch, n_images = measured[kind]
        recipe = fitted_recipe(job, n_images)
        steps = job.steps or recipe.epochs * steps_per_epoch
        rows.append(Forecasted(name, steps, steps * per_step))
    return rows, math.fsum(row.seconds for row in rows) / max(workers, 1)


class _EnoughError(Exception):
    """A few steps were measured."""


def _measured(job: JobSpec) -> tuple[float, int, int]:
    """Seconds a step, steps an epoch, and training images (rounded up to whole batches)."""
    moments: list[float] = []
    seen: dict[str, int] = {}

    def begun(folder: Path, inputs: Mapping[str, Any]) -> None:
        seen["batch"] = inputs["recipe"]["batch_size"]

    def note(now: TrainingProgress) -> None:
        moments.append(perf_counter())
        seen["steps"] = now.n_steps // now.n_epochs
        if len(moments) > _MEASURED_STEPS:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        carry_out_training(job, folder=folder, started=begun, progress=note)
    spans = [after - before for before, after in itertools.pairwise(moments)]
    return (median(spans) if spans else 0.0), seen["steps"], seen["steps"] * seen["batch"]


# ---- the grid's folder -------------------------------------------------------------------------------------


def _grid_folder(
    file: JobFile, folder: str | os.PathLike[str] | None, *, resume: bool, make: bool = False
) -> Path:
    """The grid's folder, new, or the same grid's."""
    plan = {"schema": 1, "name": file.name, "jobs": [job.to_dict() for job in file.jobs]}
    if not resume:
        path = make_folder(folder, file.name)
        records.write_json(path / GRID, plan)
        return path
    path = Path(folder or ".")
    if make and not (path / GRID).exists():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot make the grid's folder {os.fspath(path)!r}: {error.strerror}."
            ) from error
        # Tasks of an array may all come first. Each writes the same bytes, whole.
        records.write_json(path / GRID, plan)
    if not (path / GRID).is_file():
        raise CheckpointError(f"There is no grid in {os.fspath(path)!r}: it has no file {GRID}.")
    with records.intact(path / GRID, "grid"):
        kept = [
            JobSpec.from_dict(job, where=GRID).defining()
            for job in records.read_json(path / GRID, "grid")["jobs"]
        ]
    if kept != [job.defining() for job in file.jobs]:
        raise CheckpointError(
            f"{path / GRID}: field `jobs` differs from the job file's; start the grid anew."
        )
    return path


def _write_results(file: JobFile, path: Path, failed: Mapping[str, str], *, skipped: int = 0) -> GridResult:
    """Gather what is finished, and write it."""
    rows, missing = [], []
    for job, name in zip(file.jobs, run_folders(file), strict=True):
        if is_finished(path / name):
            rows.append(_row(file, job, path / name))
        elif name not in failed:
            missing.append(name)
    told = [{"folder": name, "error": error} for name, error in failed.items()]
    kept = {"schema": 1, "axes": file.axes, "rows": rows, "failed": told, "missing": missing}
    records.write_json(path / RESULTS, kept)
    return GridResult(path, tuple(rows), skipped, tuple(failed.items()), tuple(missing))


def _row(file: JobFile, job: JobSpec, folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    with records.intact(folder / RECORD, "run record"):
        results = record["results"]
        return {
            **{axis: getattr(job, axis) for axis in file.axes if axis in JOB_OPTIONS},
            "circuit": record["inputs"]["model"]["circuit"]["name"],
            "dataset": job.dataset,
            "recipe": record["inputs"]["recipe"]["name"],
            "seed": job.seed,
            "parameters": results["n_parameters"],
            "epochs": results["epochs"],
            "validation_accuracy": results["validation_accuracy"],
            "test_accuracy": results["test_accuracy"],
            "seconds": round(math.fsum(record["timings_s"].get(k, 0.0) for k in _STAGES), 1),
            "folder": folder.name,
        }
