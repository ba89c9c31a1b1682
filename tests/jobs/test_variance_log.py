from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.jobs.variance_log import read_variance_logs
from sqdr_qiskit.model.checkpoint import read_checkpoint
from sqdr_qiskit.records import BEST, LAST, METRICS, RECORD
from sqdr_qiskit.specs.job import JobSpec


@pytest.fixture(scope="module")
def logged(job: JobSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("runs") / "logged"
    return carry_out_training(replace(job, log_gradient_variance=True), folder=folder)


def test_a_log_starts_before_training_and_has_a_row_for_each_epoch(logged: TrainedRun) -> None:
    (log,) = read_variance_logs([logged.folder])
    assert log.name == "2b-3q with head"
    assert [(row["epoch"], row["step"]) for row in log.rows] == [(0, 0), (1, 9), (2, 18)]
    assert log.rows[0]["condition"] == pytest.approx(1 / (3 * 3), rel=0.5)  # U(-1, 1) / sqrt(3)
    assert log.rows[2]["loss"] == logged.metrics["history"][1]["gradient_variance"]["loss"]


def test_noting_it_changes_no_weight(logged: TrainedRun, run: TrainedRun) -> None:
    for name in (BEST, LAST):
        ours, theirs = (read_checkpoint(one.folder / name).weights for one in (logged, run))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_runs_alike_are_told_apart(logged: TrainedRun, tmp_path: Path) -> None:
    other = shutil.copytree(logged.folder, tmp_path / "other")
    names = [log.name for log in read_variance_logs([logged.folder, other])]
    assert names == ["2b-3q with head, logged", "2b-3q with head, other"]
    record = json.loads((other / RECORD).read_text())
    record["inputs"]["job"]["seed"] = 4
    (other / RECORD).write_text(json.dumps(record))
    names = [log.name for log in read_variance_logs([logged.folder, other])]
    assert names == ["2b-3q with head, seed 3", "2b-3q with head, seed 4"]


def test_a_run_of_which_no_epoch_is_done_has_its_first_row(logged: TrainedRun, tmp_path: Path) -> None:
    young = shutil.copytree(logged.folder, tmp_path / "young")
    (young / METRICS).unlink()
    (log,) = read_variance_logs([young])
    assert [row["epoch"] for row in log.rows] == [0]
    (young / METRICS).write_text("{")
    with pytest.raises(CheckpointError, match="is no intact file of metrics"):
        read_variance_logs([young])


def test_a_run_without_a_log_is_refused(run: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(
        ArgumentError, match=r"must name a training with --log-gradient-variance, but .* is none"
    ):
        read_variance_logs([run.folder])
    with pytest.raises(CheckpointError, match="There is no run in"):
        read_variance_logs([tmp_path])
