"""A rehearsal with a ledger and a ceiling: requests cost nothing, and are written down as if they did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.devices.sender import Handle, Request, Sender, executions_of, planned_seconds, shots_of
from sqdr_qiskit.runtime.budget import Budget, Ceiling
from sqdr_qiskit.runtime.ledger import Entry, Ledger
from sqdr_qiskit.runtime.service import read_result, write_result
from sqdr_qiskit.runtime.waiting import Waiting, nobody

__all__ = ["RehearsalSender"]


@dataclass(frozen=True, eq=False)
class _Ticket:
    """A request: its entry if the ledger has its result, else what computes it."""

    label: str
    digest: str
    number: int
    executions: int
    shots: int
    known: Entry | None
    handle: Handle | None


class RehearsalSender:
    """A `Sender` that writes down what another one computes on this machine, as the device would be charged.

    What the ledger has is not computed again, and nothing goes above the ceiling: a run stops, and is taken
    up again, where it would on the device. A row is written when its result is there.

    Args:
        inner: Computes the requests.
        ledger: The run's ledger.
        device: The snapshot's name.
        ceiling: The most that the device's run might spend.
        watch: Told what each group would cost.
    """

    def __init__(
        self,
        inner: Sender,
        ledger: Ledger,
        *,
        device: str,
        ceiling: Ceiling,
        watch: Callable[[Waiting], None] = nobody,
    ) -> None:
        self._inner, self._ledger, self._device = inner, ledger, device
        self._budget = Budget(ledger, ceiling, device=lambda: device, facts={}, watch=watch)

    def announce(self, requests: Sequence[Request]) -> None:
        """See `Sender.announce`.

        Raises:
            BackendError: The run's ceiling would be exceeded.
        """
        self._budget.announce(requests)
        self._inner.announce(requests)

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> _Ticket:
        """See `Sender.send`."""
        digest, number = self._budget.count(pubs, precision)
        entry = self._ledger.find(digest, number)
        known = entry if entry is not None and entry.state == "done" else None
        executions = executions_of(pubs, precision)
        handle = None
        if known is None:
            handle = self._inner.send(pubs, precision=precision, label=label)
        label = f"call {self._budget.calls} part {label}"
        return _Ticket(label, digest, number, executions, shots_of(precision), known, handle)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """See `Sender.collect`."""
        assert isinstance(handle, _Ticket)
        if handle.known is not None:
            return read_result(handle.known)
        assert handle.handle is not None
        result = write_result(self._inner.collect(handle.handle))
        self._ledger.kept("device", self._device)
        entry = self._ledger.find(handle.digest, handle.number) or self._ledger.plan(
            digest=handle.digest,
            number=handle.number,
            label=handle.label,
            device=self._device,
            planned_s=planned_seconds(handle.executions),
            calibrated=None,
            facts={"rehearsed": True, "shots": handle.shots, "executions": handle.executions},
        )
        return read_result(self._ledger.done(entry.row, result, used_s=None))
