"""A `Sender` to IBM Runtime: every request is on the ledger before it is sent, and sent at most once.

The life of a request: row `planned` with a unique tag -> POST -> row `sent` with the job's id -> waiting ->
row `done` with the result. Whatever happens between two of these steps, the next process (or this one, after
an outage) reads the row and goes on from there: a result is taken from the ledger, a known job is waited for,
and a row without a job's id is looked for by its tag before anything is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.devices.sender import Handle, Request, executions_of, planned_seconds, shots_of
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.book import Book, Entry
from sqdr_qiskit.runtime.estimators import check_isa
from sqdr_qiskit.runtime.fetching import finish, read_result
from sqdr_qiskit.runtime.options import RuntimeSettings
from sqdr_qiskit.runtime.posting import Poster
from sqdr_qiskit.runtime.service import Line
from sqdr_qiskit.runtime.spending import Spending
from sqdr_qiskit.runtime.waiting import Attention, Patience, Waiting, nobody

__all__ = ["RuntimeSender"]


@dataclass(frozen=True)
class _Ticket:
    row: int
    label: str


class RuntimeSender:
    """Sends requests to one device of one account.

    Args:
        connection: Account and device.
        book: The run's ledger.
        settings: How the jobs run, and the ceiling.
        patience: Times to wait.
        watch: Told what happens.
        attention: Whether the user wants to leave.
        estimator: A name in `ESTIMATORS`; None takes the first that there is.
    """

    def __init__(
        self,
        connection: Connection,
        book: Book,
        settings: RuntimeSettings,
        *,
        patience: Patience | None = None,
        watch: Callable[[Waiting], None] = nobody,
        attention: Attention | None = None,
        estimator: str | None = None,
    ) -> None:
        self._line = Line(connection, book, patience=patience, watch=watch, attention=attention)
        self._poster = Poster(self._line, settings, estimator=estimator)
        self._settings = settings
        self._spending = Spending(
            book, settings.ceiling, device=lambda: connection.name, facts=settings.facts(), watch=watch
        )

    def announce(self, requests: Sequence[Request]) -> None:
        """See `Sender.announce`: says what the group costs, and holds it under the ceiling as a whole.

        Raises:
            BackendError: The run's ceiling would be exceeded.
        """
        self._line.total, self._line.done = len(requests), 0
        self._spending.announce(requests)

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> Handle:
        """See `Sender.send`. A request that the ledger knows is not sent again.

        Raises:
            BackendError: The run's ceiling would be exceeded, or the device refused the request.
            UnsupportedError: The device cannot run a circuit.
            Detached: The user left.
        """
        book = self._line.book
        digest, number = self._spending.meet(pubs, precision)
        label = f"call {self._spending.calls} part {label}"
        entry = book.find(digest, number)
        known = entry is not None and entry.state in ("planned", "sent", "done")
        if entry is None or not known:
            entry = self._plan(pubs, precision, label, digest, number)
        if entry.state == "planned":
            self._poster.submit(entry, pubs, precision, perhaps_there=known)
        return _Ticket(entry.row, label)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """See `Sender.collect`.

        Raises:
            BackendError: The job failed, was cancelled or ran into its time limit.
            Detached: The user left; the job goes on.
        """
        assert isinstance(handle, _Ticket)
        entry = self._line.book.get(handle.row)
        if entry.state != "done":
            entry = finish(self._line, entry)
        self._line.done += 1
        assert entry.result is not None
        return read_result(entry.result)

    def close(self) -> None:
        """Let go of the batch, if there is one; its jobs go on."""
        self._poster.close()

    def _plan(
        self, pubs: Sequence[EstimatorPub], precision: float, label: str, digest: str, number: int
    ) -> Entry:
        """Write the row, if the device can run the request and the ceiling allows it."""
        line = self._line
        check_isa(pubs, line.device)
        executions = executions_of(pubs, precision)
        planned = planned_seconds(executions)
        self._spending.hold([executions], label)  # again: a group need not have been announced
        calibrated = line.calibrated()
        line.book.kept("device", line.connection.name)
        line.book.kept("calibrated", calibrated or "")
        facts = {**self._settings.facts(), "shots": shots_of(precision), "executions": executions}
        return line.book.plan(
            digest=digest,
            number=number,
            label=label,
            device=line.connection.name,
            planned_s=planned,
            calibrated=calibrated,
            facts={**facts, "pubs": len(pubs)},
        )
