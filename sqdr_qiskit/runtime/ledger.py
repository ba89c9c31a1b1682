"""The ledger of a run's hardware jobs: SQLite in its folder, one writer, every change on disk at once."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqdr_qiskit.errors import CheckpointError, SqdrError, StorageError, clean

__all__ = ["LEDGER", "UNDER_WAY", "Entry", "Ledger", "ledger_folders"]

LEDGER = "ledger.sqlite"
UNDER_WAY = ("planned", "sent")
"""States of a request whose job may be there and is not at its end."""

_STATES = (*UNDER_WAY, "done", "failed", "cancelled", "refused")
_SCHEMA = 2
_ADDED = {"posts": "integer not null default 0", "posted": "text", "post_s": "real"}  # by schema 2
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
    facts text not null,
    posts integer not null default 0,
    posted text,
    post_s real
);
create index if not exists request_digest on request (digest, number);
"""
_COLUMNS = (
    *("row", "digest", "number", "tag", "label", "device", "state", "job_id", "planned_s", "used_s"),
    *("calibrated", "created", "reason", "result", "facts"),
)


@dataclass(frozen=True)
class Entry:
    """One request and what became of it.

    Attributes:
        row: Its number in the ledger.
        digest: SHA-256 of what was asked (circuits, observables, angles, precision, device, options).
        number: How many equal requests came before it in the run; -1 for a second job of one request, which
            a repeated POST made and whose result is not used.
        tag: The job's unique tag.
        label: What it is for.
        device: Where it goes.
        state: `planned` (row written, job perhaps created), `sent` (the job's id is known), `done`, `failed`,
            `cancelled`, `refused`.
        job_id: The job, once it is known.
        planned_s: Quantum seconds it was expected to take.
        used_s: Quantum seconds it took, once the service has said so for good.
        calibrated: Time of the device's calibration, ISO 8601.
        created: When the row was written, ISO 8601, UTC.
        reason: Why it failed.
        result: RuntimeEncoder JSON of its `PrimitiveResult`.
        facts: Options and sizes, for the record.
        posts: How many POSTs were begun for it.
        posted: When the last of them ended, ISO 8601, UTC; None if this process's forerunner died in it.
        post_s: Seconds that the longest of them took.
    """

    row: int
    digest: str
    number: int
    tag: str
    label: str
    device: str
    state: str
    job_id: str | None
    planned_s: float
    used_s: float | None
    calibrated: str | None
    created: str
    reason: str | None = None
    result: str | None = field(default=None, repr=False)
    facts: dict[str, Any] = field(default_factory=dict)
    posts: int = 0
    posted: str | None = None
    post_s: float | None = None

    @property
    def executions(self) -> int:
        """Circuit executions that it asks for."""
        return int(self.facts.get("executions") or 0)

    @property
    def committed_s(self) -> float:
        """Quantum seconds to count for it: what the service said in the end, until then the most it may be.

        That is the plan, and for a job that ended without a result (it may have run for longer than planned)
        its time limit, if it had one. A request that never became a job counts nothing.
        """
        if self.used_s is not None:
            return self.used_s
        if self.state == "refused":
            return 0.0
        if self.state in ("failed", "cancelled"):
            return max(self.planned_s, float(self.facts.get("max_execution_s") or 0.0))
        return self.planned_s

    @property
    def committed_executions(self) -> int:
        """Circuit executions to count for it: all, unless there certainly were none."""
        certainly_none = self.state == "refused" or (self.state != "done" and self.used_s == 0.0)
        return 0 if certainly_none else self.executions


class Ledger:
    """The ledger in a run's folder: every change is on disk when the call returns.

    It may be made before its folder is, and is opened at `open`.

    Args:
        folder: The run's folder; None leaves it to `open`.
        read_only: For looking on while another process writes.

    Attributes:
        images: What the images are called that requests from now on are about; each row notes them.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, read_only: bool = False) -> None:
        self.images: tuple[str, ...] = ()
        self._folder: Path | None = None
        self._file: sqlite3.Connection | None = None
        self._claim: int | None = None
        self._columns: tuple[str, ...] = _COLUMNS
        self._lock = threading.RLock()
        if folder is not None:
            self.open(folder, read_only=read_only)

    def open(
        self, folder: str | os.PathLike[str], *, read_only: bool = False, resume: bool = False
    ) -> Ledger:
        """Open the ledger of a folder; unless `read_only`, make it if there is none, and be its one writer.

        Args:
            folder: The run's folder.
            read_only: For looking on.
            resume: The run had a ledger before: without it jobs that were paid for would be sent again.

        Raises:
            CheckpointError: Another process writes it, there is none to read, or it is no ledger.
            StorageError: It cannot be made.
        """
        self._folder = Path(folder)
        path = self._folder / LEDGER
        if read_only and not path.is_file():
            raise CheckpointError(f"There is no ledger of hardware jobs in {os.fspath(folder)!r}.")
        if resume and (not path.is_file() or path.stat().st_size == 0):
            gone = "is empty" if path.is_file() else "is gone"
            raise CheckpointError(
                f"The run in {os.fspath(folder)!r} had a ledger of hardware jobs, but {LEDGER} {gone}; "
                "going on would send again what was paid for. Put it back, or start a new run."
            )
        if not read_only:
            self._claim = _claim(self._folder)
        try:
            if read_only:
                self._file = sqlite3.connect(
                    f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            else:
                with suppress(FileExistsError):  # private from the first moment on
                    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                # Whoever looks on can read while it is written, and no change is lost with the power.
                self._file.execute("pragma journal_mode = wal")
                self._file.execute("pragma synchronous = full")
                self._file.executescript(_TABLES)
                self._raise_schema()
            self._check_schema(path)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _sqlite_error(error, path) from error
        except BaseException:
            self.close()
            raise
        return self

    def _raise_schema(self) -> None:
        """Give a ledger of schema 1 the columns that it lacks."""
        assert self._file is not None
        there = {row[1] for row in self._file.execute("pragma table_info(request)")}
        for name, kind in _ADDED.items():
            if name not in there:
                self._file.execute(f"alter table request add column {name} {kind}")
                if name == "posts":  # it may have been sent
                    self._file.execute("update request set posts = 1 where state = 'planned'")
        self._file.execute("insert or ignore into kept values ('schema', ?)", (str(_SCHEMA),))
        self._file.execute("update kept set value = ? where name = 'schema' and value = '1'", (str(_SCHEMA),))

    def _check_schema(self, path: Path) -> None:
        """Learn which columns there are; refuse a ledger of another time."""
        assert self._file is not None
        # Who only looks on at a ledger of schema 1 must not change it, and reads it without what it lacks.
        there = {row[1] for row in self._file.execute("pragma table_info(request)")}
        if not there.issuperset(_COLUMNS) or self.kept("schema") not in ("1", str(_SCHEMA)):
            raise CheckpointError(f"{path}: is no ledger, or one of another version.")
        self._columns = (*_COLUMNS, *(name for name in _ADDED if name in there))

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
        """Quantum seconds used, and the most that may be where the service has not said what was used."""
        return sum(entry.committed_s for entry in self.entries())

    def committed_executions(self) -> int:
        """Circuit executions of every job that was, or may have been, carried out."""
        return sum(entry.committed_executions for entry in self.entries())

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
        if self.images:
            facts = {**facts, "images": list(self.images)}
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

    def posting(self, row: int) -> Entry:
        """Note that a POST begins."""
        return self._change(row, "posts = posts + 1, posted = null")

    def posted(self, row: int, seconds: float, *, posts: int) -> Entry:
        """Note that a POST ended, after so long, and how many there were by now."""
        return self._change(
            row, "posts = ?, posted = ?, post_s = max(coalesce(post_s, 0), ?)", posts, _now(), seconds
        )

    def sent(self, row: int, job_id: str) -> Entry:
        """Note the job's id."""
        return self._change(row, "state = 'sent', job_id = ?", job_id)

    def unsent(self, row: int) -> Entry:
        """Note that the job was another request's."""
        return self._change(row, "state = 'planned', job_id = null")

    def done(self, row: int, result: str, *, used_s: float | None) -> Entry:
        """Note the result and what it cost."""
        return self._change(row, "state = 'done', result = ?, used_s = ?", result, used_s)

    def ended(self, row: int, state: str, reason: str, *, used_s: float | None = None) -> Entry:
        """Note that there will be no result: `failed`, `cancelled` or `refused`."""
        return self._change(row, "state = ?, reason = ?, used_s = ?", state, clean(reason), used_s)

    def used(self, row: int, used_s: float) -> Entry:
        """Note what a job cost that is at its end."""
        return self._change(row, "used_s = ?", used_s)

    def twin(self, entry: Entry, job_id: str) -> Entry:
        """Write down a second job of an entry's request: its result is not used, its cost counts."""
        facts = {**entry.facts, "twin_of": entry.row}
        planned = self.plan(
            digest=entry.digest,
            number=-1,
            label=f"{entry.label}, a second job",
            device=entry.device,
            planned_s=entry.planned_s,
            calibrated=entry.calibrated,
            facts=facts,
        )
        return self.sent(planned.row, job_id)

    def _change(self, row: int, assignment: str, *values: Any) -> Entry:
        with self._open() as file:
            file.execute(
                f"update request set {assignment}, changed = ? where row = ?", (*values, _now(), row)
            )
        return self.get(row)

    def _entries(self, condition: str, *values: Any) -> list[Entry]:
        with self._open() as file:
            rows = file.execute(
                f"select {', '.join(self._columns)} from request {condition}", values
            ).fetchall()
        return [_entry(dict(zip(self._columns, row, strict=True)), self.folder / LEDGER) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            assert self._file is not None, "the ledger is not open"
            try:
                yield self._file
            except sqlite3.Error as error:
                raise _sqlite_error(error, self.folder / LEDGER) from error


def _sqlite_error(error: Exception, path: Path) -> SqdrError:
    """Ours for one of SQLite's or the file system's."""
    if isinstance(error, OSError):
        return StorageError(f"Cannot make {path}: {error.strerror or error}.")
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageError(f"Cannot write {path}: the disk is full.")
    if code in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_MISMATCH,
    ):
        return CheckpointError(f"{path}: is no intact ledger of hardware jobs ({error}).")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return CheckpointError(f"{path}: must hold each job once, but does not take the change ({error}).")
    if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
        return StorageError(f"Cannot use {path}: {error}.")
    return CheckpointError(f"{path}: is no intact ledger of hardware jobs ({error}).")


_COUNTED = ("executions", "shots", "max_execution_s")  # facts that are calculated with


def _entry(values: dict[str, Any], path: Path) -> Entry:
    """An entry, if what SQLite has is one: its columns take any type."""
    try:
        facts = json.loads(values["facts"])
    except (TypeError, ValueError, RecursionError):
        facts = None
    texts = ("digest", "tag", "label", "device", "created")
    perhaps = ("job_id", "calibrated", "reason", "result", "posted")
    right = (
        isinstance(facts, dict)
        and all(isinstance(values[name], str) for name in texts)
        and all(isinstance(values.get(name), str | None) for name in perhaps)
        and isinstance(values["number"], int)
        and values["state"] in _STATES
        and _is_number(values["planned_s"])
        and all(value is None or _is_number(value) for value in (values["used_s"], values.get("post_s")))
        and isinstance(values.get("posts", 0), int)
        and all(facts.get(name) is None or _is_number(facts[name]) for name in _COUNTED)
        and (values.get("posted") is None or _is_moment(values["posted"]))
    )
    if not right:
        raise CheckpointError(f"{path}: row {values['row']} is damaged.")
    return Entry(**{**values, "facts": facts})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def ledger_folders(root: str | os.PathLike[str]) -> list[Path]:
    """Folders of runs that have a ledger, newest first: `root` itself, its runs, and those of its grids."""
    patterns = (LEDGER, f"*/{LEDGER}", f"*/*/{LEDGER}")
    found = {path.parent for pattern in patterns for path in Path(root).glob(pattern)}
    return sorted(found, key=_written, reverse=True)


def _written(folder: Path) -> int:
    try:
        return (folder / LEDGER).stat().st_mtime_ns
    except OSError:  # a run that is being moved
        return 0


def _claim(folder: Path) -> int | None:
    """Be the folder's one writer until this process ends or the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows: SQLite's own lock has to do
        return None
    try:
        handle = os.open(folder / f".{LEDGER}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"Cannot make the ledger in {folder}: {error.strerror or error}.") from error
    try:
        # The operating system gives it back however the process ends: no stale locks.
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
