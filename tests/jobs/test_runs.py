from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.evaluation import carry_out_sweep
from sqdr_qiskit.jobs.folders import locked
from sqdr_qiskit.jobs.runs import collect_runs, is_grid, list_runs, read_variance_logs, run_row
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.model.network import read_checkpoint
from sqdr_qiskit.records import BEST, LAST, METRICS, RECORD
from sqdr_qiskit.specs.job import JobSpec


def test_a_training_in_a_row(run: TrainedRun) -> None:
    row = run_row(run.folder)
    facts = [row[key] for key in ("task", "state", "circuit", "dataset")]
    assert facts == ["train", "finished", "2b-3q", "digits"]
    assert row["accuracy"] == run.metrics["test"]["accuracy"]
    assert row["n_images"] == sum(map(sum, run.metrics["test"]["confusion"]))
    assert (row["epochs"], row["seed"], row["parameters"]) == (2, 3, 545)
    assert row["seconds"] > 0


def test_a_sweep_goes_with_the_run_whose_checkpoint_it_is_of(run: TrainedRun, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run.folder, tmp_path / "copied"))
    job = JobSpec(task="evaluate", backend="exact_noisy", limit=20)
    carry_out_sweep(choose_checkpoint(str(copied)), job, (0.0, 0.1), ["bit_flip"], folder=tmp_path / "sweep")
    (found,) = collect_runs([copied])
    assert [point["strength"] for point in found["sweeps"][0]["points"]] == [0.0, 0.1]
    assert found["history"] == run.metrics["history"]
    assert found["job"]["circuit"] == "2b-3q"
    assert len(collect_runs([copied, copied])) == 1
    assert [row["run"] for row in list_runs(tmp_path)] == ["sweep", "copied"]
    assert run_row(tmp_path / "sweep")["accuracy"] == found["sweeps"][0]["noiseless"]


def test_an_unfinished_and_a_damaged_run_are_listed(run: TrainedRun, tmp_path: Path) -> None:
    one = Path(shutil.copytree(run.folder, tmp_path / "one"))
    record = json.loads((one / "run.json").read_text())
    (one / "run.json").write_text(json.dumps({**record, "results": {"status": "running"}}))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "run.json").write_text("{")
    states = {row["run"]: row["state"] for row in list_runs(tmp_path)}
    assert states == {"one": "unfinished", "two": "damaged"}
    with locked(one):  # as the process that is at work on it does
        assert _state_elsewhere(one) == "running"
    with pytest.raises(CheckpointError, match="is no intact run record"):
        collect_runs([one, tmp_path / "two"])


def _state_elsewhere(folder: Path) -> str:
    """The state as another process sees it."""
    code = f"from sqdr_qiskit.jobs.runs import run_row; print(run_row({str(folder)!r})['state'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_grid_stands_for_its_runs(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text("{}")
    assert is_grid(tmp_path)
    assert not is_grid(run.folder)
    with pytest.raises(CheckpointError, match="has no run yet"):
        collect_runs([tmp_path])
    for name in ("a", "b"):
        shutil.copytree(run.folder, tmp_path / name)
    assert [found["run"] for found in collect_runs([tmp_path])] == ["a", "b"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    with pytest.raises(CheckpointError, match="There is no folder"):
        list_runs(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="There is no run in"):
        collect_runs([tmp_path])


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
    with pytest.raises(CheckpointError, match="is no intact file of this run"):
        read_variance_logs([young])


def test_a_run_without_a_log_is_refused(run: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(
        ArgumentError, match=r"must name a training with --log-gradient-variance, but .* is none"
    ):
        read_variance_logs([run.folder])
    with pytest.raises(CheckpointError, match="There is no run in"):
        read_variance_logs([tmp_path])
