"""Folders of runs: opened, resumed and recorded; which there are, and which checkpoint is meant."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.data import dataset_name
from sqdr_qiskit.errors import ArgumentError, CheckpointError, StorageError
from sqdr_qiskit.model.checkpoint import Checkpoint, read_checkpoint
from sqdr_qiskit.records import RunRecord
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.state import BEST

__all__ = [
    "RECORD",
    "RUNS",
    "Chosen",
    "RunFolder",
    "choose_checkpoint",
    "is_finished",
    "job_of_run",
    "locked",
    "make_folder",
    "newest_finished_run",
    "newest_run",
    "pretrained_folder",
    "pretrained_names",
    "read_record",
    "run_name",
]

RUNS = Path("runs")
RECORD = "run.json"

DEFAULT, PICTURES_DEFAULT = "digits-2b-9q", "mnist-2b-9q"
_DEFAULT_CIRCUIT = "2b-9q"


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
    ) -> None:
        self.job = job
        self.path = Path(folder or ".")
        self.resumed = resume
        self._wanted = folder
        self._command = records.public_command(command)
        self._notice = notice or (lambda line: None)
        self._begun = perf_counter()
        self._before: Mapping[str, Any] = read_record(self.path) if resume else {}
        self._record = RunRecord(command=self._command, inputs={}, seeds={"run": job.seed})

    @contextmanager
    def opened(
        self,
        inputs: Mapping[str, Any],
        defining: Mapping[str, Any],
        *parts: str,
        so_far: Mapping[str, Any] | None = None,
        keep: bool = True,
        prepare: Callable[[Path], None] | None = None,
    ) -> Iterator[Path]:
        """Make the folder and write that the run is under way; taken up again, see that it is the same run.

        Args:
            inputs: The inputs as they were understood, for the record.
            defining: What makes it this run and no other, besides the job's own options, by name.
            parts: What the run is, for a new folder's name.
            so_far: Results that are known already.
            keep: Whether an unfinished run stays, because it can be taken up again.
            prepare: Called with a new folder before its record is written: what a run that has a record must
                have too.

        Raises:
            ArgumentError: The folder has something in it.
            CheckpointError: The run was started with something else, or another process is at work on it.
        """
        digests = {name: records.digest(value) for name, value in defining.items() if value is not None}
        digests["options"] = records.digest(self.job.defining())
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
                if prepare is not None:
                    prepare(self.path)
                self._record.write(self.path / RECORD)
            try:
                yield self.path
            except BaseException:
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
        for name, digest in digests.items():
            if before.get(name, digest) != digest:
                raise CheckpointError(
                    f"{RECORD}: field `defined_by.{name}` differs: the {name} of this run{self._which(name)} "
                    "must be what the run was started with; restore that, or start a new run."
                )
        now = records.versions()
        changed = [
            f"{name} {was} -> {now.get(name, 'none')}"
            for name, was in self._before["versions"].items()
            if now.get(name) != was
        ]
        if changed:
            self._notice(f"versions differ from those the run was started with: {', '.join(changed)}")

    def _which(self, name: str) -> str:
        """Which options differ, in words."""
        if name != "options":
            return ""
        before = JobSpec.from_dict(self._before["inputs"]["job"], where=RECORD).defining()
        odd = [f"`{key}`" for key, value in self.job.defining().items() if before[key] != value]
        return f" ({', '.join(odd)})" if odd else ""

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
        CheckpointError: Another process is at work in it.
    """
    place = folder.resolve()
    if sys.platform == "win32" or place in _HELD:
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
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
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
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
                path.mkdir()
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
_FIELDS: Mapping[str, type] = {
    "command": list,
    "inputs": dict,
    "seeds": dict,
    "digests": dict,
    "results": dict,
    "timings_s": dict,
    "versions": dict,
    "host": dict,
}
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


# ---- checkpoints -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """A checkpoint and how it came to be chosen.

    Attributes:
        path: Its file.
        why: In words, for the user: `named`, `newest finished run in runs/`, `pretrained`.
        checkpoint: What is in it.
    """

    path: Path
    why: str
    checkpoint: Checkpoint

    @property
    def title(self) -> str:
        """One line that says which checkpoint it is."""
        name = self.path.stem if self.why == "pretrained" else os.fspath(self.path)
        settings, trained = self.checkpoint.settings, self.checkpoint.dataset.get("name", "unknown data")
        return f"checkpoint {name} ({self.why}): {settings.circuit.name}, trained on {trained}"


def pretrained_folder() -> Path:
    """Folder of the checkpoints that the package ships."""
    return Path(__file__).resolve().parent.parent / "pretrained"


def pretrained_names() -> tuple[str, ...]:
    """Names of the shipped checkpoints, `<data set>-<circuit>`."""
    return tuple(sorted(path.stem for path in pretrained_folder().glob("*.safetensors")))


def choose_checkpoint(
    named: str | None, *, dataset: str | None = None, pictures: bool = False, root: Path | None = None
) -> Chosen:
    """The checkpoint that an argument means; of a run, only as the run wrote it.

    Args:
        named: A checkpoint file, a run's folder (its best checkpoint), or the name of a shipped one; None
            takes the newest finished run, or else a shipped one.
        dataset: Without `named`: the data set the checkpoint must have been trained on; None takes any.
        pictures: Without `named`: it is for the user's pictures, of which one trained on digits, 8 x 8 pixels
            once, knows little: it is passed over, and `mnist-2b-9q` is the last resort.
        root: Folder of all runs.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    if named is not None:
        path = Path(named)
        if path.is_dir():
            path = path / BEST
        elif not path.is_file() and named in pretrained_names():
            return _read(pretrained_folder() / f"{named}.safetensors", "pretrained")
        elif not path.is_file():
            known = ", ".join(pretrained_names()) or "none"
            raise CheckpointError(
                f"There is no checkpoint {named!r}; give a file, a run's folder, or a pretrained one: "
                f"{known}."
            )
        return _read(path, "named")
    dataset = (dataset_name(dataset) or dataset) if dataset is not None else None
    newest = newest_finished_run(root, holding=BEST, dataset=dataset, but_not="digits" if pictures else None)
    if newest is not None:
        return _read(newest / BEST, "newest finished run in runs/")
    default = PICTURES_DEFAULT if pictures else DEFAULT
    name = default if dataset is None else f"{dataset}-{_DEFAULT_CIRCUIT}"
    if name not in pretrained_names():
        trained = f" trained on {dataset}" if dataset else ""
        raise CheckpointError(
            f"There is no finished run{trained} in runs/ and no pretrained checkpoint {name!r}; name one, "
            f"or train first."
        )
    return _read(pretrained_folder() / f"{name}.safetensors", "pretrained")


def _read(path: Path, why: str) -> Chosen:
    checkpoint = read_checkpoint(path)
    if (path.parent / RECORD).is_file():
        known = read_record(path.parent)["digests"].get(path.name)
        if known not in (None, records.digest_file(path)):
            raise CheckpointError(
                f"{os.fspath(path)}: must be what its run wrote, but has another SHA-256 than {RECORD} says."
            )
    return Chosen(path, why, checkpoint)
