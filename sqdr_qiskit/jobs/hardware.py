"""What a run on a quantum computer needs: a ledger in its folder, a watcher, a way to leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from sqdr_qiskit.backends.runtime.accounts import LEAST_BUSY, Connection
from sqdr_qiskit.backends.runtime.book import Entry
from sqdr_qiskit.backends.runtime.options import RuntimeSettings
from sqdr_qiskit.backends.runtime.remote import RuntimeSender
from sqdr_qiskit.backends.runtime.waiting import Attention, Waiting, nobody
from sqdr_qiskit.errors import RunError, SqdrError
from sqdr_qiskit.jobs.ledger import Ledger

__all__ = ["Collected", "Hardware", "cancel_jobs", "collect_jobs", "is_hardware"]


def is_hardware(backend: str) -> bool:
    """Whether a backend's name means a quantum computer at IBM."""
    return backend == LEAST_BUSY or backend.startswith("ibm_")


@dataclass
class Hardware:
    """The hardware side of one run; close it at the end.

    Attributes:
        watch: Told what happens.
        attention: Whether the user wants to leave.
        ledger: Opened when the run's folder is known.
    """

    watch: Callable[[Waiting], None] = nobody
    attention: Attention = field(default_factory=Attention)
    ledger: Ledger = field(default_factory=Ledger)
    _sender: RuntimeSender | None = None

    def open(self, folder: str | os.PathLike[str]) -> None:
        """Open the ledger of the run's folder, if it is not open yet."""
        if not self.ledger.is_open:
            self.ledger.open(folder)

    def connection(self, device: str, *, min_qubits: int = 1) -> Connection:
        """The device, as the run met it first if the ledger says so."""
        if self.ledger.is_open:
            device = self.ledger.kept("device") or device
            return Connection(device, min_qubits=min_qubits, calibrated=self.ledger.kept("calibrated"))
        return Connection(device, min_qubits=min_qubits)

    def sender(self, connection: Connection, settings: RuntimeSettings) -> RuntimeSender:
        """The run's one sender."""
        self._sender = RuntimeSender(
            connection, self.ledger, settings, watch=self.watch, attention=self.attention
        )
        return self._sender

    def __enter__(self) -> Hardware:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sender is not None:
            self._sender.close()
        self.ledger.close()


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
    watch: Callable[[Waiting], None] = nobody,
    attention: Attention | None = None,
) -> Collected:
    """Wait for every job of a run that is under way, and put the results on its ledger.

    A row whose job's id is not known is looked for by its tag; nothing is ever sent.

    Raises:
        CheckpointError: The folder has no ledger.
        SqdrError: The account does not work, or the user left.
    """
    failed: list[tuple[Entry, str]] = []
    Ledger(folder, read_only=True).close()
    with Ledger(folder) as ledger:
        for entry in [entry for entry in ledger.entries() if entry.state in ("planned", "sent")]:
            sender = _sender(entry, ledger, watch, attention)
            if entry.state == "planned" and not sender.adopt(entry):
                failed.append((entry, "it was never sent; --resume sends it"))
                continue
            try:
                sender.finish(ledger.get(entry.row))
            except RunError as error:
                if ledger.get(entry.row).state == "sent":
                    raise
                failed.append((entry, str(error)))
        return Collected(tuple(ledger.entries()), tuple(failed))


def cancel_jobs(folder: str | os.PathLike[str], *, watch: Callable[[Waiting], None] = nobody) -> Collected:
    """Cancel every job of a run that is under way.

    Raises:
        CheckpointError: The folder has no ledger.
        SqdrError: The account does not work.
    """
    failed: list[tuple[Entry, str]] = []
    Ledger(folder, read_only=True).close()
    with Ledger(folder) as ledger:
        for entry in [entry for entry in ledger.entries() if entry.state in ("planned", "sent")]:
            try:
                _sender(entry, ledger, watch, None).cancel(entry)
            except SqdrError as error:
                failed.append((entry, str(error)))
        return Collected(tuple(ledger.entries()), tuple(failed))


def _sender(
    entry: Entry, ledger: Ledger, watch: Callable[[Waiting], None], attention: Attention | None
) -> RuntimeSender:
    return RuntimeSender(
        Connection(entry.device), ledger, RuntimeSettings(), watch=watch, attention=attention
    )
