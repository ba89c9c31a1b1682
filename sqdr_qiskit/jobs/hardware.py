"""What a run on a quantum computer needs: a ledger in its folder, a watcher, a way to leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from sqdr_qiskit.backends import Backend
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import ArgumentError, RunError, SqdrError, StorageError
from sqdr_qiskit.runtime import Attention, Detached, Leaving, Waiting, nobody
from sqdr_qiskit.runtime.ledger import UNDER_WAY, Entry, Ledger
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec

if TYPE_CHECKING:  # the runtime's client takes a second to import
    from sqdr_qiskit.devices.chip import Chip
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.budget import Ceiling
    from sqdr_qiskit.runtime.sender import RuntimeSender
    from sqdr_qiskit.runtime.service import JobService

__all__ = [
    "CEILINGS",
    "Collected",
    "Hardware",
    "cancel_jobs",
    "ceiling_of",
    "collect_jobs",
    "device_of",
    "hardware_for",
    "has_ledger",
    "left",
    "rehearsal_facts",
    "runtime_settings",
    "Watch",
]

CEILINGS = tuple(name for name, one in JOB_OPTIONS.items() if one.may_change and one.group == "hardware")
"""Options of a job that bound what a run may spend; they may change when it is taken up again."""


Watch: TypeAlias = Callable[[Waiting], None]


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
        attention: How often the user wanted to leave; None leaves Ctrl-C what it is.
        ledger: Opened when the run's folder is known.
    """

    watch: Watch = nobody
    attention: Attention | None = None
    ledger: Ledger = field(default_factory=Ledger)
    _connection: Connection | None = None
    _sender: RuntimeSender | None = None
    _rehearsed: bool = False

    def open(self, folder: str | os.PathLike[str], *, resume: bool = False) -> None:
        """Open the ledger of the run's folder, if it is not open yet; from then on the folder is private.

        Args:
            folder: The run's folder.
            resume: The run was there before, and its ledger with it.

        Raises:
            CheckpointError: The ledger is damaged, gone, or another process's.
        """
        if not self.ledger.is_open:
            self.ledger.open(folder, resume=resume)
            _make_private(Path(folder))

    def backend(self, job: JobSpec) -> Backend:
        """The job's device as a backend; as the run met it first, if the ledger knows.

        Raises:
            ArgumentError: A setting, the account or the device cannot be.
            SpecError: The job's layout is of another device.
            BackendError: IBM cannot be reached.
        """
        from sqdr_qiskit.backends import runtime_backend
        from sqdr_qiskit.devices.programs import layout_options
        from sqdr_qiskit.runtime.sender import RuntimeSender

        settings = runtime_settings(job)
        connection = _connection(self.ledger, job.backend, self.watch, fractional=job.fractional)
        self._connection = connection
        self._sender = RuntimeSender(connection, self.ledger, settings, watch=self.watch)
        layout = layout_options(job.layout)
        return runtime_backend(connection, self._sender, shots=job.shots, layout=layout)

    def about(self, names: Sequence[str]) -> Callable[[slice], None]:
        """Told which part of some images is looked at next, it notes their names on the ledger."""

        def note(part: slice) -> None:
            self.ledger.images = tuple(names[part])

        return note

    def rehearsal(self, job: JobSpec, backend: Backend) -> Backend:
        """A snapshot whose requests are written down, and held against the ceiling, as the device's would be.

        Raises:
            ArgumentError: The job's gradient is none that the device could measure.
        """
        from sqdr_qiskit.devices.estimator import DeviceEstimator
        from sqdr_qiskit.runtime.budget import RehearsalSender

        if job.gradient == "exact":
            raise ArgumentError(
                f"Argument `gradient` must be one that a device can measure where a ceiling counts what it "
                f"would be asked for ({' or '.join(CEILINGS)}), but is `exact`."
            )
        assert isinstance(backend.estimator, DeviceEstimator)
        self._rehearsed = True
        backend.estimator.sender = RehearsalSender(
            backend.estimator.sender,
            self.ledger,
            device=backend.name,
            ceiling=ceiling_of(job),
            watch=self.watch,
        )
        return replace(backend, default_gradient="parameter-shift")  # the device's

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
        try:
            if isinstance(error, Leaving) and self.attention is not None and self.ledger.is_open:
                jobs = None
                if self._connection is not None:
                    jobs = _service(self.ledger, self.watch, connection=self._connection, hurried=True)
                raise left(self.ledger, jobs, self.attention) from None
            if self._sender is not None and error is None:
                self._sender.close()
        finally:
            self.ledger.close()


def hardware_for(job: JobSpec) -> AbstractContextManager[Hardware | None]:
    """The hardware side of the job's run, closed at its end; None where it keeps no ledger."""
    return Hardware() if has_ledger(job) else nullcontext()


def rehearsal_facts(backend: Backend) -> dict[str, Any]:
    """What the device itself would have been asked for so far, by a rehearsal on its snapshot; else nothing.

    Returns:
        Nothing, or under `rehearsal`: jobs, circuit executions, estimated quantum seconds.
    """
    usage = getattr(backend.estimator, "usage", None)  # of a `DeviceEstimator`: simulators send no requests
    if usage is None:
        return {}
    return {"rehearsal": {"jobs": usage.jobs, "executions": usage.executions, "planned_s": usage.qpu_seconds}}


def ceiling_of(job: JobSpec) -> Ceiling:
    """The most that the job's run may spend: on a quantum computer 60 s if it does not say, in a rehearsal
    what it says alone.

    Raises:
        ArgumentError: A setting is out of range.
    """
    from sqdr_qiskit.runtime.budget import Ceiling

    if not is_hardware(job.backend):
        return Ceiling(max_qpu_seconds=job.max_qpu_seconds, max_executions=job.max_executions)
    found: Ceiling = runtime_settings(job).ceiling
    return found


def device_of(job: JobSpec, run: Path | None = None) -> tuple[Chip, Any]:
    """The device that a job names, and what Qiskit knows of it: a snapshot on this machine, or the account's.

    Args:
        job: The job.
        run: Folder of a run on a quantum computer, to see it as it was calibrated then; None for now.

    Raises:
        SqdrError: There is no such device, or the account cannot be asked for it.
    """
    from sqdr_qiskit.devices.chip import chip_of, fake_backend

    if not is_hardware(job.backend):
        device: Any = fake_backend(job.backend)
    else:
        from sqdr_qiskit.runtime.accounts import Connection

        name, calibrated = job.backend, None
        if run is not None:
            with Ledger(run, read_only=True) as ledger:
                name, calibrated = ledger.kept("device") or name, ledger.kept("calibrated")
        device = Connection(name, calibrated=calibrated, fractional=job.fractional).device
    chip = chip_of(device)
    return chip.with_fractional_gates() if job.fractional else chip, device


def runtime_settings(job: JobSpec) -> Any:
    """The job's `RuntimeSettings`.

    Raises:
        ArgumentError: A setting is out of range or has no effect.
    """
    from sqdr_qiskit.runtime.estimators import RuntimeSettings

    given = {**job.feeding("runtime"), "fractional": job.fractional}
    if job.noise_factors is not None:
        given["noise_factors"] = tuple(float(part) for part in job.noise_factors.split(","))
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
    watch: Watch = nobody,
    attention: Attention | None = None,
) -> Collected:
    """Wait for every job of a run that is under way, and put the results on its ledger.

    A row whose job's id is not known is looked for by its tag; nothing is ever sent.

    Raises:
        CheckpointError: The folder has no ledger.
        SqdrError: The account does not work, or the user left.
    """
    from sqdr_qiskit.runtime.sender import wait_for_result

    failed: list[tuple[Entry, str]] = []
    with _writing(folder) as ledger:
        jobs = _service(ledger, watch)
        try:
            for entry in _under_way(ledger):
                if entry.state == "planned":  # killed between sending and noting the id, or before sending
                    job_id = jobs.find(entry)
                    if job_id is None:
                        failed.append((entry, "it was never sent; --resume sends it"))
                        continue
                    entry = ledger.sent(entry.row, job_id)
                if entry.facts.get("twin_of") is not None:
                    jobs.cancel(entry)
                    continue
                try:
                    wait_for_result(jobs, entry)
                except RunError as error:
                    if ledger.get(entry.row).state == "sent":
                        raise
                    failed.append((entry, str(error)))
            jobs.settle()
        except Leaving:
            if attention is None:
                raise
            raise left(ledger, _service(ledger, watch, hurried=True), attention) from None
        return Collected(tuple(ledger.entries()), tuple(failed))


def cancel_jobs(folder: str | os.PathLike[str], *, watch: Watch = nobody) -> Collected:
    """Cancel every job of a run that is under way.

    Raises:
        CheckpointError: The folder has no ledger.
        SqdrError: The account does not work.
    """
    with _writing(folder) as ledger:
        failed = _cancel_all(ledger, _service(ledger, watch, hurried=True))
        return Collected(tuple(ledger.entries()), tuple(failed))


def left(ledger: Ledger, jobs: JobService | None, attention: Attention) -> Detached:
    """The user has enough: once detaches, twice cancels what can be cancelled.

    Args:
        ledger: The run's ledger.
        jobs: Its jobs; None if nothing was sent in this sitting.
        attention: Counts the wishes.
    """
    entries = _under_way(ledger)
    if not entries:
        return Detached(f"Left; no job is under way. --resume {ledger.title} goes on from here.")
    title = ledger.title
    later = f"Collect them later with `sqdr-qiskit jobs collect {title}`, or go on with --resume {title}."
    if jobs is None or not attention.second_wish():
        names = ", ".join(entry.job_id or "one not yet confirmed" for entry in entries)
        return Detached(f"Left; the jobs go on ({names}). {later}")
    failed = _cancel_all(ledger, jobs)
    n_cancelled = len(entries) - len(failed)
    said = f"Cancelled {n_cancelled} job{'s' * (n_cancelled != 1)}; what was collected before is kept."
    if failed:
        reasons = "; ".join(f"{entry.label}: {why.rstrip('.')}" for entry, why in failed)
        said += f" {len(failed)} could not be cancelled and may go on ({reasons}). {later}"
    return Detached(said)


def _cancel_all(ledger: Ledger, jobs: JobService) -> list[tuple[Entry, str]]:
    """Cancel what is under way; what could not be, with the reason."""
    failed: list[tuple[Entry, str]] = []
    for entry in _under_way(ledger):
        try:
            why = jobs.cancel(entry)
        except SqdrError as error:
            why = str(error)
        if why is not None:
            failed.append((entry, why))
    jobs.settle()
    return failed


def _writing(folder: str | os.PathLike[str]) -> Ledger:
    """The ledger of a folder that has one, for writing."""
    Ledger(folder, read_only=True).close()
    return Ledger(folder)


def _under_way(ledger: Ledger) -> list[Entry]:
    return [entry for entry in ledger.entries() if entry.state in UNDER_WAY]


def _connection(ledger: Ledger, device: str, watch: Watch, *, fractional: bool = False) -> Connection:
    """Device, calibration and instance as the run met them first, if its ledger knows."""
    from sqdr_qiskit.runtime.accounts import Connection

    def kept(name: str) -> str | None:
        return ledger.kept(name) if ledger.is_open else None

    return Connection(
        kept("device") or device,
        calibrated=kept("calibrated"),
        instance=kept("instance"),
        fractional=fractional,
        watch=watch,
    )


def _service(
    ledger: Ledger, watch: Watch, *, connection: Connection | None = None, hurried: bool = False
) -> JobService:
    """The jobs of a ledger, by a connection that is there or a new one."""
    from sqdr_qiskit.runtime.client import Patience
    from sqdr_qiskit.runtime.service import JobService

    if connection is None:
        entries = ledger.entries()
        connection = _connection(ledger, entries[-1].device if entries else "least_busy", watch)
    patience = Patience.usual()
    return JobService(connection, ledger, patience=patience.hurried() if hurried else patience, watch=watch)


def _make_private(folder: Path) -> None:
    """Keep a run on hardware from other users of the machine: what it holds may name an account's jobs."""
    try:
        folder.chmod(0o700)
        for path in folder.iterdir():
            if path.is_file() and not path.is_symlink():
                path.chmod(0o600)
    except OSError as error:
        raise StorageError(f"Cannot make {folder} private: {error.strerror or error}.") from error
