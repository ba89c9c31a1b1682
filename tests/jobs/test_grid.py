"""Grids: what is planned, who carries them out, and what survives a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit import catalog
from sqdr_qiskit.errors import ArgumentError, BackendError, CatalogError, CheckpointError, DataError
from sqdr_qiskit.jobs import workers
from sqdr_qiskit.jobs.folders import is_finished, locked
from sqdr_qiskit.jobs.grid import (
    carry_out_grid,
    carry_out_one,
    collect_grid,
    one_of_grid,
    plan_grid,
    run_folders,
    smoke,
)
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.jobs.workers import RunOutcome
from sqdr_qiskit.records import GRID
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.job_file import JobFile, read_job

TWELVE = """
schema = 1
kind = "job"
title = "Twelve short runs"
source = "made up"

[job]
task = "train"
circuit = "2b-3q"
limit = 60
epochs = 2
batch_size = 20

[grid]
learning_rate = [0.01, 0.02]
seed = [0, 1, 2, 3, 4, 5]
"""


@pytest.fixture
def grid(job: JobSpec) -> JobFile:
    """Two runs of a second each."""
    short = replace(job, limit=60, epochs=1)
    return JobFile(
        "small", "Two seeds", "made up", (replace(short, seed=1), replace(short, seed=2)), ("seed",)
    )


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "twelve.toml"
    path.write_text(TWELVE)
    return path


@pytest.fixture(scope="module")
def undisturbed(twelve: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Digests of what the twelve runs wrote when nobody disturbed them, by folder."""
    result = carry_out_grid(read_job(twelve), folder=tmp_path_factory.mktemp("whole") / "grid")
    assert len(result.rows) == 12
    return _weights(result.folder)


def _weights(folder: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text())["digests"]["best.safetensors"]
        for path in folder.glob("*/run.json")
        if json.loads(path.read_text())["results"]["status"] == "finished"
    }


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "sqdr_qiskit", "run", *words]


def _kill_when(process: subprocess.Popen[bytes], folder: Path, n_runs: int) -> None:
    """Kill a runner when so many of its runs have begun."""
    until = time.monotonic() + 120
    try:
        while len(list(folder.glob("*/run.json"))) < n_runs and process.poll() is None:
            assert time.monotonic() < until, "the runner does not get on"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_runs_are_named_by_what_differs(job: JobSpec) -> None:
    runs = (replace(job, dataset="mnist", flip=True, seed=3), replace(job, noise="x/paper.toml", flip=False))
    file = JobFile("f", "t", "s", runs, ("dataset", "noise", "flip", "seed"))
    assert run_folders(file) == ("001-mnist-flip-seed3", "002-digits-paper-no_flip-seed3")
    assert run_folders(replace(file, jobs=runs[:1], axes=())) == ("001-2b-3q-mnist-seed3",)


def test_a_grid_goes_on_and_skips_what_is_finished(grid: JobFile, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    started: list[int] = []

    def stop(number: int, n_runs: int, name: str) -> None:
        started.append(number)
        if started == [1, 2]:
            raise StopError

    with pytest.raises(StopError):
        carry_out_grid(grid, folder=tmp_path / "grid", run_started=stop)
    first = (tmp_path / "grid" / run_folders(grid)[0] / "run.json").read_bytes()
    result = carry_out_grid(grid, folder=tmp_path / "grid", resume=True, run_started=stop)
    assert started == [1, 2, 2]
    assert (tmp_path / "grid" / run_folders(grid)[0] / "run.json").read_bytes() == first
    assert result.skipped == 1
    assert [row["seed"] for row in result.rows] == [1, 2]
    assert all(0.0 <= row["test_accuracy"] <= 1.0 for row in result.rows)
    stored = json.loads((tmp_path / "grid" / "results.json").read_text())
    assert stored["rows"] == [dict(row) for row in result.rows]
    assert (stored["failed"], stored["missing"], stored["axes"]) == ([], [], ["seed"])


def test_another_grid_is_not_gone_on_with(grid: JobFile, tmp_path: Path) -> None:
    carry_out_grid(replace(grid, jobs=grid.jobs[:1]), folder=tmp_path)
    file = tmp_path / GRID
    plan = json.loads(file.read_text())
    assert plan["jobs"][0].pop("head") is True  # as if written before there was this option
    file.write_text(json.dumps(plan))
    elsewhere = replace(
        grid, jobs=(replace(grid.jobs[0], data_dir=str(tmp_path)),)
    )  # which makes no other run
    assert carry_out_grid(elsewhere, folder=tmp_path, resume=True).skipped == 1
    file.write_text('{"jobs": 3}')
    with pytest.raises(CheckpointError, match=r"grid.json: is no intact grid"):
        carry_out_grid(elsewhere, folder=tmp_path, resume=True)
    file.write_text(json.dumps(plan))
    with pytest.raises(CheckpointError, match=r"grid.json: field `jobs` differs from the job file's"):
        carry_out_grid(grid, folder=tmp_path, resume=True)
    (tmp_path / GRID).unlink()
    with pytest.raises(CheckpointError, match=r"There is no grid in .* it has no file grid.json"):
        carry_out_grid(grid, folder=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "infer"}, ArgumentError, "every run of a grid must have task train, but one has infer"),
        (
            {"backend": "ibm_kingston"},
            ArgumentError,
            "must run on a simulator, but one has backend ibm_kingston",
        ),
        ({"circuit": "2b-9z"}, CatalogError, "There is no circuit '2b-9z'"),
        ({"recipe": "their"}, ArgumentError, "`recipe` must be one of"),
        ({"backend": "aer", "noise": "paper"}, ArgumentError, "`noise` must be left out with backend aer"),
        ({"head": False}, ArgumentError, "`head` must be true"),
    ],
)
def test_every_run_is_judged_before_anything_is_made(
    grid: JobFile, tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    wrong = replace(grid, jobs=(grid.jobs[0], replace(grid.jobs[1], **change)))
    with pytest.raises(error, match=message):
        carry_out_grid(wrong, folder=tmp_path / "grid")
    assert not (tmp_path / "grid").exists()


def test_a_run_that_fails_is_tried_once_more_and_does_not_stop_the_others(
    grid: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tried = carry_out_training, []

    def fails(job: JobSpec, **options: Any) -> Any:
        tried.append(job.seed)
        if job.seed == 1:
            raise BackendError("It broke.")
        return whole(job, **options)

    monkeypatch.setattr("sqdr_qiskit.jobs.grid.carry_out_training", fails)
    result = carry_out_grid(grid, folder=tmp_path / "grid")
    assert tried == [1, 1, 2]
    assert result.failed == ((run_folders(grid)[0], "It broke."),)
    assert [row["seed"] for row in result.rows] == [2]
    monkeypatch.undo()
    assert len(carry_out_grid(grid, folder=tmp_path / "grid", resume=True).rows) == 2


def test_tasks_of_an_array_share_a_folder_and_are_gathered(grid: JobFile, tmp_path: Path) -> None:
    place, outcome = one_of_grid(grid, 2, folder=tmp_path / "grid")
    assert (outcome, is_finished(place)) == (RunOutcome(), True)
    assert collect_grid(grid, tmp_path / "grid").missing == (run_folders(grid)[0],)
    one_of_grid(grid, 1, folder=tmp_path / "grid")
    assert len(collect_grid(grid, tmp_path / "grid").rows) == 2
    with pytest.raises(ArgumentError, match="`index` must be from 1 to 2, but is 3"):
        one_of_grid(grid, 3, folder=tmp_path / "grid")


def test_what_another_runner_works_on_is_left_alone(grid: JobFile, tmp_path: Path) -> None:
    result = carry_out_grid(grid, folder=tmp_path)
    place = tmp_path / run_folders(grid)[0]
    (place / "run.json").unlink()  # not finished any more, and somebody is at it
    with locked(place):
        outcome = carry_out_one(os.fspath(place), grid.jobs[0].to_dict())
        assert outcome.elsewhere
        again = carry_out_grid(grid, folder=tmp_path, resume=True)
    assert again.missing == (place.name,)
    assert again.failed == ()
    whole = carry_out_grid(grid, folder=tmp_path, resume=True)
    assert [row["test_accuracy"] for row in whole.rows] == [row["test_accuracy"] for row in result.rows]


def test_a_plan_says_what_each_run_takes(
    grid: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    longer = replace(grid, jobs=(grid.jobs[0], replace(grid.jobs[1], epochs=100)))
    rows, seconds = plan_grid(longer, workers=2)
    assert [row.steps for row in rows] == [3, 300]
    assert rows[1].seconds == pytest.approx(100 * rows[0].seconds)
    assert seconds == pytest.approx((rows[0].seconds + rows[1].seconds) / 2)
    assert list(tmp_path.iterdir()) == []


def test_a_smoke_grid_is_short(grid: JobFile) -> None:
    long = replace(grid, jobs=(replace(grid.jobs[0], limit=None, epochs=None, steps=50),))
    (job,) = smoke(long).jobs
    assert (job.limit, job.epochs, job.steps) == (200, 1, None)


@pytest.mark.parametrize("name", catalog.list_names("jobs"))
def test_every_grid_of_the_catalogue_can_be(name: str) -> None:
    file = read_job(catalog.find("jobs", name))
    names = run_folders(file)
    assert len(set(names)) == len(names) == len(file.jobs)


def test_a_killed_grid_on_processes_ends_as_if_undisturbed(
    twelve: Path, undisturbed: dict[str, Any], tmp_path: Path, rng: Any
) -> None:
    folder = tmp_path / "grid"
    words = [str(twelve), "--workers", "2"]
    for words_here in ([*words, "--out", str(folder)], [*words, "--resume", str(folder)]):
        process = subprocess.Popen(
            _command(*words_here), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        _kill_when(process, folder, len(_weights(folder)) + int(rng.integers(1, 4)))
    time.sleep(0.5)  # its workers see that it is gone
    result = carry_out_grid(read_job(twelve), folder=folder, resume=True)
    assert len(result.rows) == 12
    assert _weights(folder) == undisturbed


def test_a_killed_worker_is_replaced(twelve: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    import multiprocessing

    file = read_job(twelve)
    killed: list[int] = []

    def kill_one(number: int, n_runs: int, name: str) -> None:
        if number == 5 and not killed:
            worker = multiprocessing.active_children()[0]
            killed.append(worker.pid or 0)
            os.kill(worker.pid or 0, signal.SIGKILL)

    result = carry_out_grid(file, folder=tmp_path / "grid", workers=2, run_started=kill_one)
    assert len(killed) == 1
    assert len(result.rows) == 12
    assert _weights(tmp_path / "grid") == undisturbed


def test_two_runners_share_a_grid(twelve: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    first = subprocess.Popen(_command(str(twelve), "--out", str(folder)), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (folder / GRID).exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    second = carry_out_grid(read_job(twelve), folder=folder, resume=True)
    assert first.wait() == 0
    assert second.failed == ()
    assert _weights(folder) == undisturbed


def test_a_dask_cluster_of_two_workers_loses_one(
    twelve: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    file = read_job(twelve)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        killed: list[int] = []

        def kill_one(number: int, outcome: RunOutcome) -> None:
            if not killed:
                worker = next(iter(cluster.workers.values()))
                killed.append(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)

        result = carry_out_grid(
            file, folder=tmp_path / "grid", dask=cluster.scheduler_address, run_ended=kill_one
        )
    assert len(killed) == 1
    assert len(result.rows) == 12
    assert _weights(tmp_path / "grid") == undisturbed


def test_an_unreachable_scheduler_is_one_line(
    grid: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "_CONNECT_S", 1.0)
    with pytest.raises(BackendError, match=r"scheduler at 'tcp://127\.0\.0\.1:9' cannot be reached"):
        carry_out_grid(grid, folder=tmp_path / "grid", dask="tcp://127.0.0.1:9")


def test_a_grid_over_own_data_judges_all_of_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    for name, labels in (("good", np.arange(40) % 2), ("bad", np.zeros(40, int))):
        np.savez(tmp_path / f"{name}.npz", x=rng.integers(0, 256, (40, 20, 20), dtype=np.uint8), y=labels)
    monkeypatch.chdir(tmp_path)
    jobs = tuple(
        JobSpec(dataset=f"{name}.npz", circuit="2b-3q", epochs=1, batch_size=8, image_size=16)
        for name in ("good", "bad")
    )
    both = JobFile(name="own", title="own", source="made up", jobs=jobs)
    with pytest.raises(DataError, match=r"from 2 to 1,000 classes, but there are 1"):
        carry_out_grid(both, folder="runs")
    assert not (tmp_path / "runs").exists()
    result = carry_out_grid(replace(both, jobs=jobs[:1]), folder="runs")
    assert [Path(row["dataset"]).stem for row in result.rows] == ["good"]
