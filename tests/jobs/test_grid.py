from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.grid import GRID, carry_out_grid, run_folders
from sqdr_qiskit.specs.job import JobFile, JobSpec


@pytest.fixture
def grid(job: JobSpec) -> JobFile:
    """Two runs of a second each."""
    short = replace(job, limit=60, epochs=1)
    return JobFile("small", "Two seeds", "made up", (replace(short, seed=1), replace(short, seed=2)))


def test_a_grid_goes_on_and_skips_what_is_finished(grid: JobFile, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    started: list[int] = []

    def stop(number: int, n_runs: int, job: JobSpec) -> None:
        started.append(number)
        if started == [1, 2]:
            raise StopError

    with pytest.raises(StopError):
        carry_out_grid(grid, folder=tmp_path / "grid", run_started=stop)
    first = (tmp_path / "grid" / run_folders(grid.jobs)[0] / "run.json").read_bytes()
    result = carry_out_grid(grid, folder=tmp_path / "grid", resume=True, run_started=stop)
    assert started == [1, 2, 2]
    assert (tmp_path / "grid" / run_folders(grid.jobs)[0] / "run.json").read_bytes() == first
    assert result.skipped == 1
    assert [row["seed"] for row in result.rows] == [1, 2]
    assert all(0.0 <= row["test_accuracy"] <= 1.0 for row in result.rows)
    stored = json.loads((tmp_path / "grid" / "results.json").read_text())
    assert stored["rows"] == [dict(row) for row in result.rows]


def test_another_grid_is_not_gone_on_with(grid: JobFile, tmp_path: Path) -> None:
    carry_out_grid(replace(grid, jobs=grid.jobs[:1]), folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"grid.json: field `jobs` differs from the job file's"):
        carry_out_grid(grid, folder=tmp_path, resume=True)
    (tmp_path / GRID).unlink()
    with pytest.raises(CheckpointError, match=r"There is no grid in .* it has no file grid.json"):
        carry_out_grid(grid, folder=tmp_path, resume=True)


def test_a_grid_of_something_else_than_trainings_is_refused_at_once(grid: JobFile, tmp_path: Path) -> None:
    wrong = replace(grid, jobs=(grid.jobs[0], replace(grid.jobs[1], task="infer")))
    with pytest.raises(ArgumentError, match="every run of a grid must have task train, but one has infer"):
        carry_out_grid(wrong, folder=tmp_path / "grid")
    assert not (tmp_path / "grid").exists()
