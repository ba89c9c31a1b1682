from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import CheckpointError, SpecError, StorageError
from sqdr_qiskit.jobs.folders import (
    RunFolder,
    is_finished,
    job_of_run,
    make_folder,
    newest_finished_run,
    read_record,
    run_name,
)
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.records import RECORD, digest_file
from sqdr_qiskit.specs.job import JobSpec


def make_run(folder: Path, *, status: str = "finished", dataset: str = "digits", age: int = 0) -> Path:
    folder.mkdir(parents=True)
    record = {"inputs": {"job": {"dataset": dataset}}, "results": {"status": status}}
    (folder / RECORD).write_text(json.dumps(record))
    (folder / "held").touch()
    os.utime(folder / RECORD, (10_000 - age, 10_000 - age))
    return folder


def test_a_run_is_called_by_time_and_parts() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert run_name("2b-9q", "digits", now=now) == "20260102-030405-2b-9q-digits"
    assert run_name("my/circuits/odd name.toml", now=now) == "20260102-030405-odd_name"


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    folders = {make_folder(None, "a", root=tmp_path / "runs") for _ in range(5)}
    assert len(folders) == 5


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Cannot make the run's folder"):
        make_folder(tmp_path / "file" / "run")


def test_the_newest_finished_run_is_found_in_grids_too(tmp_path: Path) -> None:
    assert newest_finished_run(tmp_path / "none", holding="held") is None
    make_run(tmp_path / "c", age=50)
    grid = make_run(tmp_path / "a" / "001", age=20, dataset="mnist")
    make_run(tmp_path / "z", status="running")
    make_run(tmp_path / "b", age=10)
    (tmp_path / "b" / "held").unlink()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / RECORD).write_text("{")
    assert newest_finished_run(tmp_path, holding="held") == grid
    assert newest_finished_run(tmp_path, holding="held", dataset="digits") == tmp_path / "c"
    assert newest_finished_run(tmp_path, holding="held", dataset="kmnist") is None


def test_damaged_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"it has no readable file {RECORD}"):
        read_record(tmp_path)
    for content, message in (("{", "is no intact run record"), ("[]", "is no run record")):
        (tmp_path / RECORD).write_text(content)
        with pytest.raises(CheckpointError, match=message):
            read_record(tmp_path)
        assert not is_finished(tmp_path)


class TestRunFolder:
    """A run's folder from its beginning to its record, and taken up again."""

    def test_it_records_what_came_out(self, tmp_path: Path) -> None:
        run = RunFolder(JobSpec(seed=4), tmp_path / "a", command=("sqdr-qiskit", "train"))
        assert not (tmp_path / "a").exists()
        with run.opened({"data": {"name": "digits"}}, {"data": [1]}, so_far={"known": 1}) as path:
            assert read_record(path)["results"] == {"status": "running", "known": 1}
            assert job_of_run(path) == JobSpec(seed=4)
            (path / "x.txt").write_text("x")
            record = run.finish({"good": True}, files=("x.txt",))
        assert read_record(path) == record.to_dict()
        assert record.digests == {"x.txt": digest_file(path / "x.txt")}
        assert record.seeds == {"run": 4}

    def test_it_goes_on_with_the_same_run_only(self, tmp_path: Path) -> None:
        with RunFolder(JobSpec(), tmp_path).opened({}, {"checkpoint": "abc", "noise": None}):
            pass
        with RunFolder(JobSpec(), tmp_path, resume=True).opened({}, {"checkpoint": "abc", "noise": None}):
            pass
        again = RunFolder(JobSpec(), tmp_path, resume=True)
        with pytest.raises(CheckpointError, match=r"field `defined_by\.checkpoint` differs"):
            again.opened({}, {"checkpoint": "abd"}).__enter__()
        record = json.loads((tmp_path / RECORD).read_text())
        assert record["inputs"]["job"].pop("head") is True  # as if written before there was this option
        (tmp_path / RECORD).write_text(json.dumps(record))
        with RunFolder(JobSpec(), tmp_path, resume=True).opened({}, {"checkpoint": "abc"}):
            pass
        other = RunFolder(JobSpec(shots=5, backend="aer"), tmp_path, resume=True)
        with pytest.raises(CheckpointError, match=r"the options of this run \(`backend`, `shots`\) must be"):
            other.opened({}, {"checkpoint": "abc"}).__enter__()

    def test_it_says_that_versions_differ(self, tmp_path: Path) -> None:
        with RunFolder(JobSpec(), tmp_path).opened({}, {}):
            pass
        record = json.loads((tmp_path / RECORD).read_text())
        record["versions"]["numpy"] = "0.1"
        (tmp_path / RECORD).write_text(json.dumps(record))
        said: list[str] = []
        with RunFolder(JobSpec(), tmp_path, resume=True, notice=said.append).opened({}, {}):
            pass
        assert len(said) == 1
        assert "versions differ from those the run was started with: numpy 0.1 -> " in said[0]

    def test_nobody_else_opens_it_meanwhile(self, tmp_path: Path) -> None:
        with (
            RunFolder(JobSpec(), tmp_path).opened({}, {}),
            pytest.raises(CheckpointError, match="Another process is at work"),
        ):
            RunFolder(JobSpec(), tmp_path, resume=True).opened({}, {}).__enter__()
        with RunFolder(JobSpec(), tmp_path, resume=True).opened({}, {}):
            pass

    def test_what_cannot_be_taken_up_again_leaves_nothing(self, tmp_path: Path) -> None:
        class StopError(Exception):
            pass

        for keep in (False, True):
            folder = tmp_path / str(keep)
            with (
                pytest.raises(StopError),
                RunFolder(JobSpec(), folder).opened({}, {}, keep=keep),
            ):
                raise StopError
            assert folder.exists() is keep


@pytest.mark.parametrize(
    "edit",
    [
        {"inputs": []},
        {"inputs": {"job": 3}},
        {"inputs": {"data": "x"}},
        {"results": "finished"},
        {"results": {}},
        {"results": {"status": 3}},
        {"digests": {"best.safetensors": 7}},
        {"command": "train"},
        {"command": [1]},
        {"versions": None},
        {"schema": "one"},
        {"inputs": {"job": {"epochs": "three"}}},
        {"inputs": {"job": {"task": ["train"]}}},
        {"inputs": {"job": {"layout": {"tiles": 3}}}},
        {"inputs": {"job": {"input": "a.png"}}},
        {"inputs": {"job": {"seed": 10**40}}},
    ],
    ids=str,
)
def test_a_hand_edited_record_is_one_line(run: TrainedRun, tmp_path: Path, edit: dict[str, Any]) -> None:
    record = json.loads((run.folder / RECORD).read_text())
    record.update(edit)
    (tmp_path / RECORD).write_text(json.dumps(record))
    with pytest.raises((CheckpointError, SpecError), match=r"run\.json") as caught:
        job_of_run(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "9" * 10_000 + "}", "\x00", "null", '{"a"'])
def test_a_file_that_is_no_record_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json: is no"):
        read_record(tmp_path)
    assert not is_finished(tmp_path)
