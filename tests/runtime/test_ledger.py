from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.runtime.ledger import LEDGER, Ledger, ledger_folders


def _plan(ledger: Ledger, digest: str = "d", number: int = 0, **changes: Any) -> int:
    facts: dict[str, Any] = {
        "label": "call 1 part 1/1",
        "device": "ibm_x",
        "planned_s": 2.5,
        "calibrated": None,
        "facts": {"shots": 100},
        **changes,
    }
    return ledger.plan(digest=digest, number=number, **facts).row


def test_a_request_from_plan_to_result(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        row = _plan(ledger)
        entry = ledger.get(row)
        assert (entry.state, entry.job_id, entry.facts) == ("planned", None, {"shots": 100})
        assert ledger.sent(row, "job-1").job_id == "job-1"
        done = ledger.done(row, "{}", used_s=1.5)
        assert (done.state, done.result, done.used_s) == ("done", "{}", 1.5)
    with Ledger(tmp_path, read_only=True) as ledger:
        assert ledger.entries() == [done]


def test_every_request_has_a_tag_of_its_own(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        tags = {ledger.get(_plan(ledger)).tag for _ in range(50)}
    assert len(tags) == 50
    assert all(tag.startswith("sqdr-") and len(tag) < 86 for tag in tags)


def test_the_newest_entry_of_a_request_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        first = _plan(ledger)
        ledger.ended(first, "failed", "It broke.")
        second = _plan(ledger)
        found = ledger.find("d", 0)
        assert found is not None
        assert found.row == second
        assert ledger.find("d", 1) is None
        assert ledger.find("e", 0) is None


def test_what_is_committed_is_used_or_under_way(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        _plan(ledger)
        sent, done, unsaid, failed, cancelled = (_plan(ledger) for _ in range(5))
        ledger.sent(sent, "a")
        ledger.done(done, "{}", used_s=1.0)
        ledger.done(unsaid, "{}", used_s=None)  # the service has not said: the plan counts
        ledger.ended(failed, "failed", "It broke.", used_s=0.25)
        ledger.ended(cancelled, "cancelled", "Enough.")
        assert ledger.committed_s() == 2.5 + 2.5 + 1.0 + 2.5 + 0.25


def test_the_first_word_is_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.kept("device") is None
        assert ledger.kept("device", "ibm_a") == "ibm_a"
        assert ledger.kept("device", "ibm_b") == "ibm_a"
    with Ledger(tmp_path) as ledger:
        assert ledger.kept("device") == "ibm_a"


def test_a_job_belongs_to_one_request(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.sent(_plan(ledger), "a")
        with pytest.raises(sqlite3.IntegrityError, match="job_id"):
            ledger.sent(_plan(ledger), "a")


def test_it_has_one_writer_and_any_number_of_readers(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        row = _plan(ledger)
        with pytest.raises(CheckpointError, match="must have one writer"):
            Ledger(tmp_path)
        with Ledger(tmp_path, read_only=True) as reader:
            assert [entry.row for entry in reader.entries()] == [row]
        ledger.sent(row, "a")  # the reader and the other writer have left it alone
    with Ledger(tmp_path) as ledger:
        assert ledger.get(row).job_id == "a"


def test_a_folder_without_one_and_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no ledger of hardware jobs in"):
        Ledger(tmp_path, read_only=True)
    assert not (tmp_path / LEDGER).exists()
    (tmp_path / LEDGER).write_bytes(b"this is no database, and long enough to be looked at" * 40)
    with pytest.raises(CheckpointError, match="no intact ledger"):
        Ledger(tmp_path)


def test_it_is_kept_in_wal_mode_with_full_syncing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        _plan(ledger)
        assert ledger._file is not None
        assert ledger._file.execute("pragma journal_mode").fetchone() == ("wal",)
        assert ledger._file.execute("pragma synchronous").fetchone() == (2,)


def test_folders_with_ledgers_are_found(tmp_path: Path) -> None:
    for name in ("a", "grid/one"):
        (tmp_path / name).mkdir(parents=True)
        Ledger(tmp_path / name).close()
    (tmp_path / "none").mkdir()
    assert set(ledger_folders(tmp_path)) == {tmp_path / "a", tmp_path / "grid" / "one"}
    assert ledger_folders(tmp_path / "a") == [tmp_path / "a"]
