from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import CheckpointError, StorageError
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
        ledger.ended(cancelled, "cancelled", "Enough.")  # it ran, and nobody knows for how long
        assert ledger.committed_s() == 2.5 + 2.5 + 1.0 + 2.5 + 0.25 + 2.5
        ledger.used(cancelled, 75.0)
        ledger.ended(_plan(ledger), "refused", "No.")
        ledger.ended(_plan(ledger), "cancelled", "It was never sent.", used_s=0.0)
        limited = _plan(ledger, facts={"max_execution_s": 30, "executions": 7})
        ledger.ended(limited, "failed", "It broke.")
        assert ledger.committed_s() == 2.5 + 2.5 + 1.0 + 2.5 + 0.25 + 75.0 + 30.0
        assert ledger.committed_executions() == 7


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
        with pytest.raises(CheckpointError, match="must hold each job once"):
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


def test_a_resumed_run_must_have_its_ledger(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"had a ledger .* is gone; .* send again what was paid for"):
        Ledger().open(tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / LEDGER).touch()
    with pytest.raises(CheckpointError, match="is empty"):
        Ledger().open(tmp_path, resume=True)
    (tmp_path / LEDGER).unlink()
    Ledger(tmp_path).close()
    Ledger().open(tmp_path, resume=True).close()
    content = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="no intact ledger"):
        Ledger().open(tmp_path, resume=True)


def test_it_is_private(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        _plan(ledger)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_ledger_of_the_first_schema_is_read_and_taken_on(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        sent = _plan(ledger)
        ledger.sent(sent, "a")
        planned = _plan(ledger)
    with closing(sqlite3.connect(tmp_path / LEDGER)) as file:
        for name in ("posts", "posted", "post_s"):
            file.execute(f"alter table request drop column {name}")
        file.execute("update kept set value = '1' where name = 'schema'")
        file.commit()
    with Ledger(tmp_path, read_only=True) as ledger:
        assert [entry.posts for entry in ledger.entries()] == [0, 0]
    with Ledger(tmp_path) as ledger:
        assert ledger.get(planned).posts == 1  # it may have been sent
        assert ledger.kept("schema") == "2"


@pytest.mark.parametrize(
    "change",
    [
        "facts = '[]'",
        "facts = 'no'",
        """facts = '{"executions": "many"}'""",
        "planned_s = 'two'",
        "planned_s = -1.0",
        "used_s = -50.0",
        "posted = 'yesterday'",
        "number = 'one'",
    ],
)
def test_a_damaged_row_is_said(change: str, tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        _plan(ledger)
    with closing(sqlite3.connect(tmp_path / LEDGER)) as file:
        file.execute(f"update request set {change}")
        file.commit()
    with Ledger(tmp_path) as ledger, pytest.raises(CheckpointError, match="row 1 is damaged"):
        ledger.entries()


def test_a_full_disk_is_called_a_full_disk(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        row = _plan(ledger)
        assert ledger._file is not None
        (n_pages,) = ledger._file.execute("pragma page_count").fetchone()
        ledger._file.execute(f"pragma max_page_count = {n_pages}")
        with pytest.raises(StorageError, match="the disk is full"):
            ledger.done(row, "x" * 100_000, used_s=None)
        assert ledger.get(row).state == "planned"


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
