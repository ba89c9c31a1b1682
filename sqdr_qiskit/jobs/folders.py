"""Folders of runs: what they are called, which are finished, which is the newest."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqdr_qiskit.errors import ArgumentError, CheckpointError, StorageError

__all__ = [
    "RECORD",
    "RUNS",
    "is_finished",
    "make_folder",
    "newest_finished_run",
    "newest_run",
    "read_record",
    "run_name",
]

RUNS = Path("runs")
RECORD = "run.json"


def run_name(*parts: str, now: datetime | None = None) -> str:
    """Name of a new run: the time in UTC, then the parts, made fit for a file name."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    return "-".join(
        [
            stamp,
            *(re.sub(r"[^A-Za-z0-9._+-]+", "_", Path(part).stem if "/" in part else part) for part in parts),
        ]
    )


def make_folder(folder: str | os.PathLike[str] | None, *parts: str, root: Path | None = None) -> Path:
    """Make the folder of a new run.

    Args:
        folder: The folder the user wants, which must not exist or be empty; None makes `root/<time>-<parts>`.
        parts: What the run is, for its name.
        root: Folder of all runs, by default `runs` in the working directory.

    Raises:
        ArgumentError: If the folder has something in it.
        StorageError: If it cannot be made.
    """
    try:
        if folder is not None:
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise ArgumentError(
                    f"Argument `out` must be a new or an empty folder, but {os.fspath(folder)!r} has "
                    f"something in it; "
                    "to go on with a run use --resume."
                )
            return path
        root = root or RUNS
        root.mkdir(parents=True, exist_ok=True)
        name = run_name(*parts)
        for number in range(1, 1000):
            path = root / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise StorageError(
            f"Cannot make the run's folder: {error.strerror or error}: {error.filename!r}."
        ) from error
    raise StorageError(f"Cannot make the run's folder: {name} and 999 more like it exist in {root}.")


def read_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of a run, as plain values.

    Raises:
        CheckpointError: If the folder is no run or its record is damaged.
    """
    path = Path(folder) / RECORD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"There is no run in {os.fspath(folder)!r}: it has no readable file {RECORD}."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: is no intact run record.") from error
    if not isinstance(values, dict) or not isinstance(values.get("results"), dict):
        raise CheckpointError(f"{path}: is no run record.")
    return values


def is_finished(folder: str | os.PathLike[str]) -> bool:
    """Whether a run has come to its end."""
    try:
        return read_record(folder)["results"].get("status") == "finished"
    except CheckpointError:
        return False


def newest_finished_run(
    root: str | os.PathLike[str] | None = None, *, holding: str, dataset: str | None = None
) -> Path | None:
    """The finished run that ended last, or None.

    Args:
        root: Folder of all runs, by default `runs` in the working directory; grids in it are looked into.
        holding: A file that the run must have.
        dataset: The data set it must have been trained on; None takes any.
    """
    fit = [folder for folder in _runs(root) if (folder / holding).is_file() and is_finished(folder)]
    if dataset is not None:
        fit = [
            folder for folder in fit if read_record(folder)["inputs"].get("job", {}).get("dataset") == dataset
        ]
    return max(fit, key=_written, default=None)


def newest_run(root: str | os.PathLike[str] | None = None) -> Path | None:
    """The run, finished or not, whose record was written last, or None.

    Args:
        root: Folder of all runs, by default `runs` in the working directory; grids in it are looked into.
    """
    return max(_runs(root), key=_written, default=None)


def _runs(root: str | os.PathLike[str] | None) -> list[Path]:
    root = Path(root) if root is not None else RUNS
    return [path.parent for pattern in (f"*/{RECORD}", f"*/*/{RECORD}") for path in root.glob(pattern)]


def _written(folder: Path) -> tuple[int, str]:
    return (folder / RECORD).stat().st_mtime_ns, folder.name
