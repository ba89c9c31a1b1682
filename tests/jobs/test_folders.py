from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sqdr_qiskit.errors import CheckpointError, StorageError
from sqdr_qiskit.jobs.folders import (
    RECORD,
    is_finished,
    make_folder,
    newest_finished_run,
    read_record,
    run_name,
)


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
