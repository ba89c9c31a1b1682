"""The ledger of a run's hardware jobs: SQLite in its folder, one writer, every change on disk at once."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqdr_qiskit.errors import CheckpointError, StorageError
from sqdr_qiskit.runtime.book import Entry

__all__ = ["LEDGER", "Ledger", "ledger_folders"]

LEDGER = "ledger.sqlite"
_SCHEMA = 1
_TABLES = """
create table if not exists kept (name text primary key, value text not null);
create table if not exists request (
    row integer primary key,
    digest text not null,
    number integer not null,
    tag text not null unique,
    label text not null,
    device text not null,
    state text not null check (state in ('planned', 'sent', 'done', 'failed', 'cancelled', 'refused')),
    job_id text unique,
    planned_s real not null,
    used_s real,
    calibrated text,
    created text not null,
    changed text not null,
    reason text,
    result text,
    facts text not null
);
create index if not exists request_digest on request (digest, number);
"""
_COLUMNS = (
    "row, digest, number, tag, label, device, state, job_id, planned_s, used_s, calibrated, created, reason, "
    "result, facts"
)


class Ledger:
    """The ledger in a run's folder, a `runtime.book.Book`.

    It may be made before its folder is, and is opened at `open`.

    Args:
        folder: The run's folder; None leaves it to `open`.
        read_only: For looking on while another process writes.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, read_only: bool = False) -> None:
        self._folder: Path | None = None
        self._file: sqlite3.Connection | None = None
        self._claim: int | None = None
        self._lock = threading.RLock()
        if folder is not None:
            self.open(folder, read_only=read_only)

    def open(self, folder: str | os.PathLike[str], *, read_only: bool = False) -> Ledger:
        """Open the ledger of a folder; unless `read_only`, make it if there is none, and be its one writer.

        Raises:
            CheckpointError: Another process writes it, there is none to read, or it is no ledger.
            StorageError: It cannot be made.
        """
        self._folder = Path(folder)
        path = self._folder / LEDGER
        if read_only and not path.is_file():
            raise CheckpointError(f"There is no ledger of hardware jobs in {os.fspath(folder)!r}.")
        if not read_only:
            self._claim = _claim(self._folder)
        try:
            if read_only:
                self._file = sqlite3.connect(
                    f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            else:
                self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._file.execute("pragma journal_mode = wal")
                self._file.execute("pragma synchronous = full")
                self._file.executescript(_TABLES)
                self.kept("schema", str(_SCHEMA))
            if self.kept("schema") != str(_SCHEMA):
                raise CheckpointError(f"{path}: is a ledger of another version.")
        except sqlite3.DatabaseError as error:
            self.close()
            if isinstance(error, sqlite3.OperationalError) and "open" in str(error):
                raise StorageError(f"Cannot open {path}: {error}.") from error
            raise CheckpointError(f"{path}: is no intact ledger of hardware jobs ({error}).") from error
        return self

    def close(self) -> None:
        """Close it."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            if self._claim is not None:
                os.close(self._claim)
                self._claim = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self._file is not None

    @property
    def folder(self) -> Path:
        """The run's folder."""
        assert self._folder is not None, "the ledger has no folder yet"
        return self._folder

    @property
    def title(self) -> str:
        """The folder, as a user would type it."""
        return os.fspath(self.folder)

    # ---- reading -------------------------------------------------------------------------------------------

    def find(self, digest: str, number: int) -> Entry | None:
        """The newest entry of a request, None if it was never planned."""
        found = self._entries("where digest = ? and number = ? order by row desc limit 1", digest, number)
        return found[0] if found else None

    def get(self, row: int) -> Entry:
        """An entry."""
        return self._entries("where row = ?", row)[0]

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        return self._entries("order by row")

    def committed_s(self) -> float:
        """Quantum seconds used, and planned where the service has not said what was used."""
        with self._open() as file:
            row = file.execute(
                "select total(coalesce(used_s, case when state in ('planned', 'sent', 'done') then planned_s "
                "else 0 end)) from request"
            ).fetchone()
        return float(row[0])

    def committed_executions(self) -> int:
        """Circuit executions of what is done or under way."""
        with self._open() as file:
            rows = file.execute(
                "select facts from request where state in ('planned', 'sent', 'done')"
            ).fetchall()
        return sum(int(json.loads(facts).get("executions", 0)) for (facts,) in rows)

    def kept(self, name: str, value: str | None = None) -> str | None:
        """A fact of the whole run: the first value that was given under this name, None before that."""
        with self._open() as file:
            if value is not None:
                file.execute("insert or ignore into kept values (?, ?)", (name, value))
            row = file.execute("select value from kept where name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    # ---- writing -------------------------------------------------------------------------------------------

    def plan(
        self,
        *,
        digest: str,
        number: int,
        label: str,
        device: str,
        planned_s: float,
        calibrated: str | None,
        facts: dict[str, Any],
    ) -> Entry:
        """Write a row with a new unique tag, before anything is sent."""
        now = _now()
        with self._open() as file:
            done = file.execute(
                "insert into request (digest, number, tag, label, device, state, planned_s, calibrated, "
                "created, changed, facts) values (?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, ?)",
                (
                    digest,
                    number,
                    f"sqdr-{uuid.uuid4().hex}",
                    label,
                    device,
                    planned_s,
                    calibrated,
                    now,
                    now,
                    json.dumps(facts, sort_keys=True),
                ),
            )
        assert done.lastrowid is not None
        return self.get(done.lastrowid)

    def sent(self, row: int, job_id: str) -> Entry:
        """Note the job's id."""
        return self._change(row, "state = 'sent', job_id = ?", job_id)

    def done(self, row: int, result: str, *, used_s: float | None) -> Entry:
        """Note the result and what it cost."""
        return self._change(row, "state = 'done', result = ?, used_s = ?", result, used_s)

    def ended(self, row: int, state: str, reason: str, *, used_s: float | None = None) -> Entry:
        """Note that there will be no result: `failed`, `cancelled` or `refused`."""
        return self._change(row, "state = ?, reason = ?, used_s = ?", state, reason, used_s)

    def _change(self, row: int, assignment: str, *values: Any) -> Entry:
        with self._open() as file:
            file.execute(
                f"update request set {assignment}, changed = ? where row = ?", (*values, _now(), row)
            )
        return self.get(row)

    def _entries(self, condition: str, *values: Any) -> list[Entry]:
        with self._open() as file:
            rows = file.execute(f"select {_COLUMNS} from request {condition}", values).fetchall()
        return [_entry(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            assert self._file is not None, "the ledger is not open"
            try:
                yield self._file
            except sqlite3.OperationalError as error:
                raise StorageError(f"Cannot write the ledger in {self.title}: {error}.") from error


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Entry(**{**values, "facts": json.loads(values["facts"])})


def ledger_folders(root: str | os.PathLike[str]) -> list[Path]:
    """Folders of runs that have a ledger, newest first: `root` itself, its runs, and those of its grids."""
    patterns = (LEDGER, f"*/{LEDGER}", f"*/*/{LEDGER}")
    found = {path.parent for pattern in patterns for path in Path(root).glob(pattern)}
    return sorted(found, key=lambda folder: (folder / LEDGER).stat().st_mtime_ns, reverse=True)


def _claim(folder: Path) -> int | None:
    """Be the folder's one writer until this process ends or the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows: SQLite's own lock has to do
        return None
    try:
        handle = os.open(folder / f".{LEDGER}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StorageError(f"Cannot make the ledger in {folder}: {error.strerror or error}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise CheckpointError(
            f"The ledger in {os.fspath(folder)!r} must have one writer, but another process is at work on "
            "this run."
        ) from error
    return handle


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
