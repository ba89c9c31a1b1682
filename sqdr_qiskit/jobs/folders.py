"""Folders of runs: opened, resumed and recorded; and which there are."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.errors import ArgumentError, BusyError, CheckpointError, StorageError
from sqdr_qiskit.records import RECORD, RunRecord
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec

__all__ = [
    "RUNS",
    "RunFolder",
    "is_finished",
    "job_of_run",
    "locked",
    "make_folder",
    "newest_finished_run",
    "newest_run",
    "read_record",
    "run_name",
]

RUNS = Path("runs")


class RunFolder:
    """The folder of one run, from its beginning or taken up again, to its record.

        run = RunFolder(job, folder, resume=resume, command=command)
        ...                                       # judge all inputs; nothing is made yet
        with run.opened(inputs, defining, "2b-9q", "digits"):
            ...                                   # work, and keep files in run.path
            record = run.finish(results)

    While it is open no other process can open it. What defines a run is kept by digest in its record: when
    it is resumed, a run refuses to go on with anything else.

    Args:
        job: The run's job.
        folder: The folder, new or empty; None makes `runs/<time>-<parts>`. To resume, the run's.
        resume: Go on with the run that is there.
        command: The words typed, for the record.
        notice: Told in one line what is not as it was, but does not stop the run.
        ledger: Opens the run's ledger (`Hardware.open`): an old one now, as it knows what the run met; a new
            one before there is a record, since a run that has a record is gone on with.

    Attributes:
        path: The folder; of a new run that has none yet, the working directory.
        resumed: Whether the run was there before.

    Raises:
        CheckpointError: `resume` is set, and there is no run or its record is damaged.
    """

    def __init__(
        self,
        job: JobSpec,
        folder: str | os.PathLike[str] | None,
        *,
        resume: bool = False,
        command: Sequence[str] = (),
        notice: Callable[[str], None] | None = None,
        ledger: Callable[..., None] | None = None,
    ) -> None:
        self.job = job
        self.path = Path(folder or ".")
        self.resumed = resume
        self._wanted = folder
        self._notice = notice or (lambda line: None)
        self._begun = perf_counter()
        self._ledger = ledger
        self._before: Mapping[str, Any] = read_record(self.path) if resume else {}
        self._record = RunRecord(command=records.public_command(command), inputs={}, seeds={"run": job.seed})
        if resume and ledger is not None:
            ledger(self.path, resume=True)

    @contextmanager
    def opened(
        self,
        inputs: Mapping[str, Any],
        defining: Mapping[str, Any],
        *parts: str,
        so_far: Mapping[str, Any] | None = None,
        keep: bool = True,
    ) -> Iterator[Path]:
        """Make the folder and write that the run is under way; taken up again, see that it is the same run.

        Args:
            inputs: The inputs as they were understood, for the record.
            defining: What makes it this run and no other, besides the job's own options, by name.
            parts: What the run is, for a new folder's name.
            so_far: Results that are known already.
            keep: Whether an unfinished run stays, because it can be taken up again.

        Raises:
            ArgumentError: The folder has something in it.
            CheckpointError: The run was started with something else, or another process is at work on it.
        """
        # By digest and not by value: a path in the job may come to mean another file, and data are large.
        digests = {name: records.digest(value) for name, value in defining.items() if value is not None}
        if self.resumed:
            self._require_same(digests)
        else:
            self.path = make_folder(self._wanted, *parts)
        self._record = replace(
            self._record,
            inputs={**inputs, "job": self.job.to_dict(), "defined_by": digests},
            results={"status": "running", **(so_far or {})},
        )
        with locked(self.path):
            if not self.resumed:
                if self._ledger is not None:
                    self._ledger(self.path)
                # Last, since whoever finds a record resumes from what is here. On resuming the old record
                # stays until the end: it says what the run was started with.
                self._record.write(self.path / RECORD)
            try:
                yield self.path
            except BaseException:  # Ctrl-C too
                if not keep and not self.resumed:
                    self._remove()
                raise

    def finish(
        self,
        results: Mapping[str, Any],
        *,
        files: Sequence[str] = (),
        timings_s: Mapping[str, float] | None = None,
    ) -> RunRecord:
        """Write the record of the finished run.

        Args:
            results: What came out.
            files: Names of files in the folder whose SHA-256 is kept.
            timings_s: Seconds by stage; those of this sitting are added.
        """
        self._record = replace(
            self._record,
            results={"status": "finished", **results},
            digests={name: records.digest_file(self.path / name) for name in files},
            timings_s={**(timings_s or {}), "this_sitting": perf_counter() - self._begun},
        )
        self._record.write(self.path / RECORD)
        return self._record

    def _require_same(self, digests: Mapping[str, str]) -> None:
        before = self._before["inputs"].get("defined_by", {})
        # Read anew, so that options that came after the record have their defaults on both sides.
        was = JobSpec.from_dict(self._before["inputs"]["job"], where=RECORD).defining()
        now = self.job.defining()
        odd = [f"`{name}`" for name in JOB_OPTIONS if was.get(name) != now.get(name)]
        differs = [("job", f"options of this run ({', '.join(odd)})")] if was != now else []
        differs += [
            (f"defined_by.{name}", f"{name} of this run")
            for name, digest in digests.items()
            if before.get(name, digest) != digest
        ]
        for field, what in differs:
            raise CheckpointError(
                f"{RECORD}: field `{field}` differs: the {what} must be what the run was started with; "
                "restore that, or start a new run."
            )
        versions = records.versions()
        changed = [
            f"{name} {then} -> {versions.get(name, 'none')}"
            for name, then in self._before["versions"].items()
            if versions.get(name) != then
        ]
        if changed:
            self._notice(f"versions differ from those the run was started with: {', '.join(changed)}")

    def _remove(self) -> None:
        """Take a new folder away again, if nothing but its record is in it."""
        with suppress(OSError):
            if [path.name for path in self.path.iterdir()] == [RECORD]:
                (self.path / RECORD).unlink()
            self.path.rmdir()


_HELD: set[Path] = set()  # folders that this process has locked and may lock again


@contextmanager
def locked(folder: Path, *, inside: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder, where the system can; a killed process lets go of it.

    Args:
        folder: The folder.
        inside: Whether what is done meanwhile may lock the folder again.

    Raises:
        BusyError: Another process is at work in it.
    """
    place = folder.resolve()
    if sys.platform == "win32" or place in _HELD:  # flock would keep this process out of its own folder
        yield
        return
    import fcntl

    # The folder itself is locked: a lock file could outlive its process, this lock goes with the handle.
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"Another process is at work in {os.fspath(folder)!r}; wait for it or end it first."
            ) from error
        except OSError:  # a file system without locks
            pass
        if inside:
            _HELD.add(place)
        yield
    finally:
        _HELD.discard(place)
        os.close(handle)


def run_name(*parts: str, now: datetime | None = None) -> str:
    """Name of a new run: the time in UTC, then the parts, made fit for a file name."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")  # first: names sort as runs were begun
    return "-".join(
        [
            stamp,
            *(re.sub(r"[^A-Za-z0-9._+-]+", "_", Path(part).stem if "/" in part else part) for part in parts),
        ]
    )


def make_folder(folder: str | os.PathLike[str] | None, *parts: str, root: Path | None = None) -> Path:
    """Make the folder of a new run.

    Args:
        folder: The folder the user wants, which must not exist or be empty; None makes `root/<time>-<parts>`.
        parts: What the run is, for its name.
        root: Folder of all runs, by default `runs` in the working directory.

    Raises:
        ArgumentError: If the folder has something in it.
        StorageError: If it cannot be made.
    """
    try:
        if folder is not None:
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise ArgumentError(
                    f"Argument `out` must be a new or an empty folder, but {os.fspath(folder)!r} has "
                    f"something in it; "
                    "to go on with a run use --resume."
                )
            return path
        root = root or RUNS
        root.mkdir(parents=True, exist_ok=True)
        name = run_name(*parts)
        for number in range(1, 1000):
            path = root / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()  # fails for all but one of those who start in the same second
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise StorageError(
            f"Cannot make the run's folder: {error.strerror or error}: {error.filename!r}."
        ) from error
    raise StorageError(f"Cannot make the run's folder: {name} and 999 more like it exist in {root}.")


# ---- what is there -----------------------------------------------------------------------------------------

# Field of a record -> what it must be; hand-edited files are judged before anything is taken from them.
_TABLES = ("inputs", "seeds", "digests", "results", "timings_s", "versions", "host")
_FIELDS: Mapping[str, type] = {"command": list, **dict.fromkeys(_TABLES, dict)}
_INPUTS = ("job", "recipe", "model", "data", "defined_by")


def read_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of a run, as plain values, every field there and of its type.

    Raises:
        CheckpointError: If the folder is no run or its record is damaged.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise CheckpointError(f"There is no run in {os.fspath(folder)!r}: it has no readable file {RECORD}.")
    values = records.read_json(path, "run record")
    for name, kind in _FIELDS.items():
        found = values.setdefault(name, kind())
        if not isinstance(found, kind):
            raise CheckpointError(f"{path}: field `{name}` must be a {kind.__name__}, but is {found!r:.60}.")
    inputs = values["inputs"]
    inputs.setdefault("job", {})
    for name in _INPUTS:
        if not isinstance(inputs.get(name, {}), dict):
            raise CheckpointError(
                f"{path}: field `inputs.{name}` must be an object, but is {inputs[name]!r:.60}."
            )
    if not all(isinstance(word, str) for word in [*values["command"], *values["digests"].values()]):
        raise CheckpointError(f"{path}: fields `command` and `digests` must hold texts.")
    if not isinstance(values["results"].get("status"), str):
        raise CheckpointError(f"{path}: is no run record.")
    return values


def job_of_run(folder: str | os.PathLike[str]) -> JobSpec:
    """The job of a run that was started before.

    Raises:
        CheckpointError: If the folder holds no run.
        SpecError: If its record is damaged.
    """
    return JobSpec.from_dict(read_record(folder)["inputs"]["job"], where=RECORD)


def is_finished(folder: str | os.PathLike[str]) -> bool:
    """Whether a run has come to its end."""
    try:
        return bool(read_record(folder)["results"]["status"] == "finished")
    except CheckpointError:
        return False


def newest_finished_run(
    root: str | os.PathLike[str] | None = None,
    *,
    holding: str,
    dataset: str | None = None,
    but_not: str | None = None,
) -> Path | None:
    """The finished run that ended last, or None.

    Args:
        root: Folder of all runs, by default `runs` in the working directory; grids in it are looked into.
        holding: A file that the run must have.
        dataset: The data set it must have been trained on, a name or a path; None takes any.
        but_not: A data set it must not have been trained on.
    """
    fit = [folder for folder in _runs(root) if (folder / holding).is_file() and is_finished(folder)]
    if dataset is not None:
        fit = [folder for folder in fit if dataset in _data_of(folder)]
    if but_not is not None:
        fit = [folder for folder in fit if but_not not in _data_of(folder)]
    return max(fit, key=_written, default=None)


def _data_of(folder: Path) -> tuple[str | None, str | None]:
    """What a run's data were called: as they were named, and their own name."""
    inputs = read_record(folder)["inputs"]
    return inputs["job"].get("dataset"), inputs.get("data", {}).get("name")


def newest_run(root: str | os.PathLike[str] | None = None) -> Path | None:
    """The run, finished or not, whose record was written last, or None.

    Args:
        root: Folder of all runs, by default `runs` in the working directory; grids in it are looked into.
    """
    return max(_runs(root), key=_written, default=None)


def _runs(root: str | os.PathLike[str] | None) -> list[Path]:
    root = Path(root) if root is not None else RUNS
    return [path.parent for pattern in (f"*/{RECORD}", f"*/*/{RECORD}") for path in root.glob(pattern)]


def _written(folder: Path) -> tuple[int, str]:
    return (folder / RECORD).stat().st_mtime_ns, folder.name
