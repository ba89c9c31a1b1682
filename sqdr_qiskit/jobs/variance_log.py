"""What trainings noted of their gradient's variance (`--log-gradient-variance`), read back."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.folders import read_record
from sqdr_qiskit.records import METRICS, RECORD

__all__ = ["VarianceLog", "read_variance_logs"]

_NOTED = "gradient_variance"


@dataclass(frozen=True, kw_only=True)
class VarianceLog:
    """The log of one run.

    Attributes:
        folder: The run's.
        name: Circuit and head, and what else tells the run from those read with it.
        dataset: What it was trained on.
        rows: Before training (epoch 0) and after each epoch: `epoch`, `step` and what
            `training.gradient_variance.training_variance` found.
    """

    folder: Path
    name: str
    dataset: str
    rows: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rows = [dict(row) for row in self.rows]
        return {"folder": self.folder.name, "name": self.name, "dataset": self.dataset, "rows": rows}


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
    inputs = record.get("inputs", {})
    if not inputs.get("job", {}).get("log_gradient_variance"):
        raise ArgumentError(
            f"Option `--run` must name a training with --log-gradient-variance, but {os.fspath(path)!r} is "
            "none."
        )
    steps = math.ceil(inputs["data"]["train"]["images"] / inputs["recipe"]["batch_size"])
    found: list[Mapping[str, Any]] = []
    if _NOTED in record["results"]:
        found.append({"epoch": 0, "step": 0, **record["results"][_NOTED]})
    for row in _history(path / METRICS):
        epoch = int(row["epoch"])
        found.append({"epoch": epoch, "step": epoch * steps, **row[_NOTED]})
    if not found:
        raise ArgumentError(
            f"Option `--run` must name a training that has begun, but {os.fspath(path)!r} is not."
        )
    return tuple(found)


def _history(path: Path) -> list[dict[str, Any]]:
    """Rows of the finished epochs; none before the first."""
    if not path.exists():
        return []
    with records.intact(path, "file of metrics"):
        rows = records.read_json(path, "file of metrics")["history"]
        return [dict(row) for row in rows if _NOTED in row]


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
