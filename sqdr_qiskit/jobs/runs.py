"""Runs side by side: what each folder of runs holds, as plain values; nothing is computed anew.

Among it what trainings noted of their gradient's variance (`--log-gradient-variance`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.errors import ArgumentError, BusyError, CheckpointError, SqdrError
from sqdr_qiskit.jobs.folders import RUNS, locked, read_record
from sqdr_qiskit.records import BEST, EVALUATION, GRID, METRICS, RECORD, SWEEP
from sqdr_qiskit.specs.job import JobSpec

__all__ = [
    "collect_runs",
    "is_grid",
    "list_runs",
    "read_kept",
    "read_variance_logs",
    "run_row",
    "sweeps_of",
    "VarianceLog",
]


def list_runs(root: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """All runs under a folder, those of grids among them, the newest first.

    Args:
        root: Folder of runs, by default `runs` in the working directory.

    Returns:
        Their rows, see `run_row`; of one whose record is damaged only `run`, `folder`, `state` and `written`.

    Raises:
        CheckpointError: If there is no such folder.
    """
    top = Path(root) if root is not None else RUNS
    if root is not None and not top.is_dir():
        raise CheckpointError(f"There is no folder {os.fspath(top)!r}.")
    folders = {
        path.parent for pattern in (RECORD, f"*/{RECORD}", f"*/*/{RECORD}") for path in top.glob(pattern)
    }
    rows = [_row_or_damage(folder, top) for folder in folders]
    return sorted(rows, key=lambda row: (row["written"], row["run"]), reverse=True)


def run_row(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """A run in one row.

    Returns:
        `run` (its name), `folder`, `task`, `state` (finished, running, or unfinished: cut short), `circuit`,
        `dataset`, `backend`, `noise`, `recipe`, `seed`, `parameters`, `accuracy` (on test images, of an
        inference on those whose truth is known, of a sweep without noise; None where there is none),
        `n_images`, `validation_accuracy`, `epochs` done, `seconds`, `written` (ISO 8601, UTC), `command`.

    Raises:
        CheckpointError: If the folder is no run, or its record is damaged.
    """
    path = Path(folder)
    with records.intact(path, "run"):
        return _row(path)


def _row(path: Path) -> dict[str, Any]:
    record = read_record(path)
    inputs, results, timings = record["inputs"], record["results"], record["timings_s"]
    job, kept = inputs["job"], read_kept(path / METRICS)
    accuracy, n_images = _accuracy(path, results, kept)
    seconds = sum(value for stage, value in timings.items() if stage != "this_sitting")
    if results.get("sittings", 1) == 1:
        seconds = timings.get("this_sitting", seconds)
    history = kept.get("history", [])
    circuit = _circuit(record)
    return {
        "run": path.resolve().name,
        "folder": os.fspath(path),
        "task": job.get("task"),
        "state": _state(path, results),
        "circuit": circuit.get("name", job.get("circuit")),
        "dataset": inputs.get("data", {}).get("name", job.get("dataset")),
        "backend": job.get("backend"),
        "noise": job.get("noise"),
        "recipe": inputs.get("recipe", {}).get("name"),
        "seed": job.get("seed"),
        "parameters": results.get("n_parameters", inputs.get("n_parameters")),
        "accuracy": accuracy,
        "n_images": n_images,
        "validation_accuracy": (kept.get("best") or {}).get("validation_accuracy"),
        "epochs": len(history) if history else None,
        "seconds": seconds or None,
        "written": _written(path),
        "command": " ".join(records.public_command(record["command"])),
    }


def collect_runs(folders: Sequence[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """Runs with what is compared of them; a grid's folder stands for all of its runs.

    Args:
        folders: Folders of runs and of grids, each once.

    Returns:
        For each run its row (`run_row`) with `job` and `recipe_settings` (as they were understood), `history`
        `sweeps` (its own noise sweep, and those beside it that were made of its checkpoint), `n_qubits`, and
        `variance` (what was noted of the gradient, `jobs.runs`; empty if nothing was).

    Raises:
        CheckpointError: If one is no run, its record is damaged, or a grid has no run yet.
    """
    places: dict[Path, Path] = {}
    for folder in map(Path, folders):
        for place in _expanded(folder):
            places.setdefault(place.resolve(), place)
    sweeps = sweeps_of(places.values())
    found = []
    for place in places.values():
        record = read_record(place)
        with records.intact(place, "run"):
            found.append(
                {
                    **run_row(place),
                    "job": _understood(record["inputs"]["job"]),
                    "recipe_settings": record["inputs"].get("recipe", {}),
                    "history": read_kept(place / METRICS).get("history", []),
                    "sweeps": sweeps[place],
                    "n_qubits": _circuit(record).get("n_qubits"),
                    "variance": _variance(place, record),
                }
            )
    return found


def sweeps_of(places: Iterable[Path]) -> dict[Path, list[dict[str, Any]]]:
    """Noise sweeps of each run: its own, or those in folders beside it that were made of its checkpoint."""
    places = list(places)
    beside: dict[str, list[dict[str, Any]]] = {}  # by the SHA-256 of the checkpoint
    for parent in {place.resolve().parent for place in places}:
        for file in sorted(parent.glob(f"*/{SWEEP}")):
            with suppress(CheckpointError):  # another run's fault is no fault of these
                digest = str(read_record(file.parent)["inputs"].get("checkpoint_sha256"))
                beside.setdefault(digest, []).append({"name": file.parent.name, **read_kept(file)})
    found = {}
    for place in places:
        own, best = read_kept(place / SWEEP), place / BEST
        made = beside.get(records.digest_file(best), []) if beside and best.is_file() else []
        found[place] = [{"name": place.resolve().name, **own}] if own else made
    return found


def read_kept(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run; empty if there is no such file.

    Raises:
        CheckpointError: It is damaged.
    """
    return records.read_json(path, "file of this run") if path.is_file() else {}


def is_grid(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a grid of runs, not a run."""
    return (Path(folder) / GRID).is_file() and not (Path(folder) / RECORD).is_file()


def _state(path: Path, results: Mapping[str, Any]) -> str:
    if results.get("status") == "finished":
        return "finished"
    try:
        with locked(path):
            return "unfinished"
    except BusyError:
        return "running"


def _circuit(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the record says of the network's circuit; empty if it has none."""
    return record["inputs"].get("model", {}).get("circuit") or {}


def _variance(place: Path, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not record["inputs"]["job"].get("log_gradient_variance"):
        return []
    with suppress(ArgumentError):  # the run has not begun
        return list(read_variance_logs([place])[0].rows)
    return []


def _understood(job: Mapping[str, Any]) -> dict[str, Any]:
    """A record's job with the defaults of options that came after it."""
    try:
        return JobSpec.from_dict(job, where=RECORD).to_dict()
    except SqdrError:  # of another version: what it says is compared as it stands
        return dict(job)


def _expanded(folder: Path) -> list[Path]:
    """The runs of a grid, or the one run that the folder is."""
    if not is_grid(folder):
        read_record(folder)  # says what is wrong with it
        return [folder]
    runs = sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
    if not runs:
        raise CheckpointError(f"The grid {os.fspath(folder)!r} has no run yet.")
    return runs


def _row_or_damage(folder: Path, top: Path) -> dict[str, Any]:
    try:
        row = run_row(folder)
    except CheckpointError:
        row = {"folder": os.fspath(folder), "state": "damaged", "written": _written(folder)}
    name = folder.resolve().name if folder == top else folder.relative_to(top).as_posix()
    return {**row, "run": name}


def _accuracy(
    path: Path, results: Mapping[str, Any], kept: Mapping[str, Any]
) -> tuple[float | None, int | None]:
    """Accuracy and the number of images it was found on."""
    tested = kept.get("test") or read_kept(path / EVALUATION).get("test") or {}
    if tested:
        return tested.get("accuracy"), sum(map(sum, tested.get("confusion", [])))
    if results.get("right") is not None and results.get("images"):
        return results["right"] / results["images"], results["images"]
    if results.get("noiseless_accuracy") is not None:
        return results["noiseless_accuracy"], read_kept(path / SWEEP).get("n_images")
    return None, None


def _written(folder: Path) -> str:
    moment = datetime.fromtimestamp((folder / RECORD).stat().st_mtime, UTC)
    return moment.isoformat(timespec="seconds")


# ---- what trainings noted of their gradient's variance -----------------------------------------------------

_NOTED = "gradient_variance"


@dataclass(frozen=True, kw_only=True)
class VarianceLog:
    """The log of one run.

    Attributes:
        folder: The run's.
        name: Circuit and head, and what else tells the run from those read with it.
        dataset: What it was trained on.
        rows: Before training (epoch 0) and after each epoch: `epoch`, `step` and what
            `training.gradient_studies.training_variance` found.
    """

    folder: Path
    name: str
    dataset: str
    rows: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, for a record."""
        return asdict(self)


def read_variance_logs(folders: Sequence[str | os.PathLike[str]]) -> tuple[VarianceLog, ...]:
    """The logs of runs, finished or not, in the order of `folders`.

    Raises:
        CheckpointError: A folder holds no run, or its record is damaged.
        ArgumentError: A run noted no variance.
    """
    paths = [Path(folder) for folder in folders]
    made = [read_record(path) for path in paths]
    with records.intact(paths[0] / RECORD, "run record"):
        rows = [_rows(path, record) for path, record in zip(paths, made, strict=True)]
        names = _names(paths, [record["inputs"] for record in made])
        return tuple(
            VarianceLog(folder=path, name=name, dataset=record["inputs"]["data"]["name"], rows=found)
            for path, name, record, found in zip(paths, names, made, rows, strict=True)
        )


def _rows(path: Path, record: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    inputs = record["inputs"]
    if not inputs["job"].get("log_gradient_variance"):
        raise ArgumentError(
            f"Option `--run` must name a training with --log-gradient-variance, but {os.fspath(path)!r} is "
            "none."
        )
    steps = math.ceil(inputs["data"]["train"]["images"] / inputs["recipe"]["batch_size"])
    found: list[Mapping[str, Any]] = []
    if _NOTED in record["results"]:
        found.append({"epoch": 0, "step": 0, **record["results"][_NOTED]})
    for row in read_kept(path / METRICS).get("history", []):
        if _NOTED in row:
            epoch = int(row["epoch"])
            found.append({"epoch": epoch, "step": epoch * steps, **row[_NOTED]})
    if not found:
        raise ArgumentError(
            f"Option `--run` must name a training that has begun, but {os.fspath(path)!r} is not."
        )
    return tuple(found)


def _names(paths: Sequence[Path], inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Circuit and head; data, seed and folder where those leave two runs alike."""
    parts = [
        (
            f"{one['model']['circuit']['name']} {'with' if one['model']['head'] else 'without'} head",
            f"{one['data']['name']}",
            f"seed {one['job'].get('seed', 0)}",
            path.name,
        )
        for path, one in zip(paths, inputs, strict=True)
    ]
    chosen = [0]
    for place in (1, 2, 3):
        names = [", ".join(part[i] for i in chosen) for part in parts]
        if len(set(names)) == len(names):
            break
        if len({part[place] for part in parts}) > 1:
            chosen.append(place)
    return [", ".join(part[i] for i in chosen) for part in parts]
