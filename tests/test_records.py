"""Files that appear whole or not at all, and run records."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit import records
from sqdr_qiskit.errors import ArgumentError, StorageError


def _full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_written_file_is_all_there_is(tmp_path: Path) -> None:
    path = records.write_bytes(tmp_path / "new" / "a.bin", b"content")
    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_gets_ordinary_permissions(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert records.write_text(tmp_path / "ours", "x").stat().st_mode == ordinary.stat().st_mode


def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = records.write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", _full_disk)
    with pytest.raises(StorageError, match=r"^Cannot write 'a\.txt' in .*: No space left on device\.$"):
        records.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^Cannot write 'a' in .*"):
        records.write_text(tmp_path / "file" / "a", "x")


def test_json_is_sorted_and_takes_what_results_are_made_of() -> None:
    value = {
        "b": np.float64(0.5),
        "a": np.arange(2),
        "c": (1, math.nan),
        "d": Path("/home/someone/x.toml"),
        "e": {2, 1},
    }
    text = records.dump_json(value)
    assert json.loads(text) == {"a": [0, 1], "b": 0.5, "c": [1, None], "d": "x.toml", "e": [1, 2]}
    assert list(json.loads(text)) == sorted(value)
    assert text.endswith("}\n")


def test_json_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ArgumentError, match="must be made of JSON values, but holds a object"):
        records.dump_json({"a": object()})


def test_digests(tmp_path: Path) -> None:
    expected = hashlib.sha256(b"abc").hexdigest()
    assert records.digest(b"abc") == records.digest("abc") == expected
    assert records.digest_file(records.write_text(tmp_path / "a", "abc")) == expected
    assert records.digest({"a": 1, "b": (2.0,)}) == records.digest({"b": [2.0], "a": 1})
    assert records.digest({"a": 1}) != records.digest({"a": 2})


def test_versions_name_what_computes() -> None:
    found = records.versions()
    assert {"python", "sqdr-qiskit", "torch", "qiskit", "numpy"} <= set(found)
    assert records.versions(["no-such-package"]).keys() == {"python", "sqdr-qiskit"}


def test_a_published_command_has_no_private_path() -> None:
    words = (
        "train",
        "--data-dir=/home/someone/data",
        "--output",
        "/home/someone/runs/a",
        "--circuit",
        "2b-9q",
        "~/x.toml",
    )
    assert records.public_command(words) == (
        "train",
        "--data-dir=data",
        "--output",
        "a",
        "--circuit",
        "2b-9q",
        "x.toml",
    )


def test_host_facts_name_no_one() -> None:
    facts = records.host_facts()
    assert set(facts) == {"system", "machine", "cores", "processor"}
    assert os.uname().nodename not in records.dump_json(facts)


def test_a_run_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = records.RunRecord(
        command=records.public_command(("train", "/home/x/a.toml")),
        inputs={"circuit": "2b-9q", "shots": None},
        seeds={"run": 3},
        digests={"data": records.digest("data")},
        results={"accuracy": 0.5},
        timings_s={"training": 1.25},
    )
    path = record.write(tmp_path / "run.json")
    assert json.loads(path.read_text()) == record.to_dict()
    assert records.read_json(path, "run record")["command"] == ["train", "a.toml"]


def test_a_place_is_judged_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert records.require_place(tmp_path / "new" / "a.txt") == tmp_path / "new" / "a.txt"
    records.require_place(tmp_path / "new" / "run", folder=True)
    records.require_place(tmp_path, folder=True)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    for path, folder, message in (
        (tmp_path, False, "it is a folder"),
        (tmp_path / "taken", True, "'.*taken' is no folder"),
        (tmp_path / "taken" / "x" / "a.txt", False, "'.*taken' is no folder"),
        (tmp_path / ("a" * 300), True, "File name too long"),
    ):
        with pytest.raises(StorageError, match=message):
            records.require_place(path, folder=folder)
