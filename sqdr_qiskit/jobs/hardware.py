"""What a run on a quantum computer needs: a ledger in its folder, a watcher, a way to leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import RunError, SqdrError
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec

if TYPE_CHECKING:  # the runtime's client takes a second to import
    from sqdr_qiskit.runtime.book import Entry
    from sqdr_qiskit.runtime.ceiling import Ceiling
    from sqdr_qiskit.runtime.sender import RuntimeSender
    from sqdr_qiskit.runtime.service import Line
    from sqdr_qiskit.runtime.waiting import Attention, Waiting

__all__ = [
    "CEILINGS",
    "Collected",
    "Hardware",
    "cancel_jobs",
    "ceiling_of",
    "collect_jobs",
    "has_ledger",
    "rehearsal_facts",
    "runtime_settings",
]

CEILINGS = tuple(name for name, one in JOB_OPTIONS.items() if one.may_change)
"""Options of a job that bound what a run may spend; they may change when it is taken up again."""


def has_ledger(job: JobSpec) -> bool:
    """Whether a run keeps a ledger: on a quantum computer, and rehearsing one under a ceiling."""
    if is_hardware(job.backend):
        return True
    return job.backend.startswith("fake_") and any(getattr(job, name) is not None for name in CEILINGS)


@dataclass
class Hardware:
    """The hardware side of one run; close it at the end.

    Attributes:
        watch: Told what happens.
        attention: Whether the user wants to leave.
        ledger: Opened when the run's folder is known.
    """

    watch: Callable[[Waiting], None] | None = None
    attention: Attention | None = None
    ledger: Ledger = field(default_factory=Ledger)
    _sender: RuntimeSender | None = None
    _rehearsed: bool = False

    def open(self, folder: str | os.PathLike[str]) -> None:
        """Open the ledger of the run's folder, if it is not open yet."""
        if not self.ledger.is_open:
            self.ledger.open(folder)

    def backend(self, job: JobSpec) -> Backend:
        """The job's device as a backend, or its rehearsal; as the run met it first, if the ledger knows.

        Raises:
            ArgumentError: A setting, the account or the device cannot be.
            SpecError: The job's layout is of another device.
            BackendError: IBM cannot be reached.
        """
        from sqdr_qiskit.backends.devices import runtime_backend
        from sqdr_qiskit.devices.layout_file import layout_options
        from sqdr_qiskit.runtime.accounts import Connection
        from sqdr_qiskit.runtime.sender import RuntimeSender
        from sqdr_qiskit.runtime.waiting import nobody

        if not is_hardware(job.backend):
            return self._rehearsal(job)
        settings = runtime_settings(job)
        known = self.ledger.is_open
        connection = Connection(
            (known and self.ledger.kept("device")) or job.backend,
            calibrated=self.ledger.kept("calibrated") if known else None,
        )
        self._sender = RuntimeSender(
            connection, self.ledger, settings, watch=self.watch or nobody, attention=self.attention
        )
        layout = layout_options(job.layout)
        return runtime_backend(connection, self._sender, shots=job.shots, layout=layout)

    def _rehearsal(self, job: JobSpec) -> Backend:
        """A snapshot whose requests are booked as the device's would be."""
        from sqdr_qiskit.devices.estimator import DeviceEstimator
        from sqdr_qiskit.runtime.rehearsal import BookedSender
        from sqdr_qiskit.runtime.waiting import nobody

        backend = make_backend(
            job.backend, noise=job.noise, shots=job.shots, seed=job.seed, layout=job.layout
        )
        assert isinstance(backend.estimator, DeviceEstimator)
        self._rehearsed = True
        backend.estimator.sender = BookedSender(
            backend.estimator.sender,
            self.ledger,
            device=backend.name,
            ceiling=ceiling_of(job),
            watch=self.watch or nobody,
        )
        return backend

    def facts(self) -> dict[str, Any]:
        """What the ledger says of the run, for its record: under `hardware` what a device was asked for, or
        under `rehearsal` what it would have been asked for (`rehearsal_facts`), over all sittings.
        """
        entries = self.ledger.entries()
        done = [entry for entry in entries if entry.state == "done"]
        planned = sum(entry.planned_s for entry in done)
        if self._rehearsed:
            executions = self.ledger.committed_executions()
            return {"rehearsal": {"jobs": len(done), "executions": executions, "planned_s": planned}}
        return {
            "hardware": {
                "device": self.ledger.kept("device"),
                "calibrated": self.ledger.kept("calibrated"),
                "jobs": [entry.job_id for entry in done],
                "planned_s": planned,
                "used_s": sum(entry.used_s or 0.0 for entry in entries),
            }
        }

    def __enter__(self) -> Hardware:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sender is not None:
            self._sender.close()
        self.ledger.close()


def rehearsal_facts(backend: Backend) -> dict[str, Any]:
    """What the device itself would have been asked for so far, by a rehearsal on its snapshot; else nothing.

    Returns:
        Nothing, or under `rehearsal`: jobs, circuit executions, estimated quantum seconds.
    """
    from sqdr_qiskit.devices.estimator import DeviceEstimator

    if not isinstance(backend.estimator, DeviceEstimator):
        return {}
    usage = backend.estimator.usage
    return {"rehearsal": {"jobs": usage.jobs, "executions": usage.executions, "planned_s": usage.qpu_seconds}}


def ceiling_of(job: JobSpec) -> Ceiling:
    """The most that the job's run may spend: on a quantum computer 60 s if it does not say, in a rehearsal
    what it says alone.

    Raises:
        ArgumentError: A setting is out of range.
    """
    from sqdr_qiskit.runtime.ceiling import Ceiling

    if not is_hardware(job.backend):
        return Ceiling(max_qpu_seconds=job.max_qpu_seconds, max_executions=job.max_executions)
    found: Ceiling = runtime_settings(job).ceiling
    return found


def runtime_settings(job: JobSpec) -> Any:
    """The job's `RuntimeSettings`.

    Raises:
        ArgumentError: A setting is out of range or has no effect.
    """
    from sqdr_qiskit.runtime.options import RuntimeSettings

    given = job.feeding("runtime")
    if job.job_tags is not None:
        given["job_tags"] = tuple(tag.strip() for tag in job.job_tags.split(","))
    return RuntimeSettings(**given)


@dataclass(frozen=True)
class Collected:
    """What became of the jobs of a folder.

    Attributes:
        entries: All entries of the ledger, as they are now.
        failed: Those that ended without a result just now, with the reason.
    """

    entries: tuple[Entry, ...]
    failed: tuple[tuple[Entry, str], ...]


def collect_jobs(
    folder: str | os.PathLike[str],
    *,
    watch: Callable[[Waiting], None] | None = None,
    attention: Attention | None = None,
) -> Collected:
    """Wait for every job of a run that is under way, and put the results on its ledger.

    A row whose job's id is not known is looked for by its tag; nothing is ever sent.

    Raises:
        CheckpointError: The folder has no ledger.
        SqdrError: The account does not work, or the user left.
    """
    from sqdr_qiskit.runtime.fetching import finish

    failed: list[tuple[Entry, str]] = []
    with _writing(folder) as ledger:
        for entry in _under_way(ledger):
            line = _line(entry, ledger, watch, attention)
            if entry.state == "planned":
                job_id = line.look_for(entry)
                if job_id is None:
                    failed.append((entry, "it was never sent; --resume sends it"))
                    continue
                line.note_sent(entry, job_id)
            try:
                finish(line, ledger.get(entry.row))
            except RunError as error:
                if ledger.get(entry.row).state == "sent":
                    raise
                failed.append((entry, str(error)))
        return Collected(tuple(ledger.entries()), tuple(failed))


def cancel_jobs(
    folder: str | os.PathLike[str], *, watch: Callable[[Waiting], None] | None = None
) -> Collected:
    """Cancel every job of a run that is under way.

    Raises:
        CheckpointError: The folder has no ledger.
        SqdrError: The account does not work.
    """
    failed: list[tuple[Entry, str]] = []
    with _writing(folder) as ledger:
        for entry in _under_way(ledger):
            try:
                _line(entry, ledger, watch, None).cancel(entry)
            except SqdrError as error:
                failed.append((entry, str(error)))
        return Collected(tuple(ledger.entries()), tuple(failed))


def _writing(folder: str | os.PathLike[str]) -> Ledger:
    """The ledger of a folder that has one, for writing."""
    Ledger(folder, read_only=True).close()
    return Ledger(folder)


def _under_way(ledger: Ledger) -> list[Entry]:
    return [entry for entry in ledger.entries() if entry.state in ("planned", "sent")]


def _line(
    entry: Entry, ledger: Ledger, watch: Callable[[Waiting], None] | None, attention: Attention | None
) -> Line:
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.service import Line
    from sqdr_qiskit.runtime.waiting import nobody

    return Line(Connection(entry.device), ledger, watch=watch or nobody, attention=attention)
