"""What a run asks of a device: each request told from equal ones, all of them held under the run's ceiling.

A group of requests that belong together is held as a whole, before the first of it goes out. What the ledger
has already, or has under way, costs nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.devices.sender import Request, planned_seconds
from sqdr_qiskit.errors import BackendError
from sqdr_qiskit.runtime.book import Book
from sqdr_qiskit.runtime.ceiling import Ceiling
from sqdr_qiskit.runtime.request import request_digest
from sqdr_qiskit.runtime.waiting import Waiting, nobody

__all__ = ["Spending"]

_PAID = ("planned", "sent", "done")


class Spending:
    """The requests of one process, and what the run's ledger says of them.

    Args:
        book: The run's ledger.
        ceiling: The most that the run may spend.
        device: Says the device's name; asked when it is needed.
        facts: Options that change the numbers.
        watch: Told what a group costs, before it is held.

    Attributes:
        calls: Groups so far.
    """

    def __init__(
        self,
        book: Book,
        ceiling: Ceiling,
        *,
        device: Callable[[], str],
        facts: Mapping[str, Any],
        watch: Callable[[Waiting], None] = nobody,
    ) -> None:
        self._book, self._ceiling, self._device = book, ceiling, device
        self._facts, self._watch = dict(facts), watch
        self._met: Counter[str] = Counter()
        self.calls = 0

    def announce(self, requests: Sequence[Request]) -> None:
        """Say what a group costs, then refuse it if what is new in it is above the ceiling.

        Raises:
            BackendError: It is; nothing of the group was sent.
        """
        self.calls += 1
        executions = [request.executions for request in requests]
        cost = sum(planned_seconds(number) for number in executions)
        self._watch(
            Waiting(
                f"{len(executions)} job{'s' * (len(executions) != 1)} for {self._device()}, "
                f"{sum(executions):,} executions: about {cost:.1f} s of quantum time; {self._so_far()}",
                "cost",
                total=len(executions),
            )
        )
        met, new = self._met.copy(), []
        for request in requests:
            digest = self._digest(request.pubs, request.precision)
            entry = self._book.find(digest, met[digest])
            met[digest] += 1
            if entry is None or entry.state not in _PAID:
                new.append(request.executions)
        part = "" if len(new) == len(requests) else f", {len(new)} of {len(requests)} jobs"
        self.hold(new, f"call {self.calls}{part}")

    def meet(self, pubs: Sequence[EstimatorPub], precision: float) -> tuple[str, int]:
        """Digest of a request that is about to be sent, and how many equal ones were sent before it."""
        digest = self._digest(pubs, precision)
        number = self._met[digest]
        self._met[digest] += 1
        return digest, number

    def hold(self, executions: Sequence[int], label: str) -> None:
        """Refuse new jobs of so many executions if the run would go above its ceiling with them.

        Raises:
            BackendError: It would.
        """
        if not executions:
            return
        book = self._book
        reason = self._ceiling.exceeded(
            executions, spent_s=book.committed_s(), spent_executions=book.committed_executions()
        )
        if reason is not None:
            raise BackendError(
                f"Stopped before sending {label}: with it the run would take {reason}; nothing more was "
                f"sent. --resume {book.title} with a higher ceiling goes on from here."
            )

    def _digest(self, pubs: Sequence[EstimatorPub], precision: float) -> str:
        return request_digest(pubs, precision, device=self._device(), facts=self._facts)

    def _so_far(self) -> str:
        limit = self._ceiling.max_qpu_seconds
        words = f"{self._book.committed_s():.1f} s{'' if limit is None else f' of {limit:g} s'}"
        if self._ceiling.max_executions is not None:
            done = self._book.committed_executions()
            words += f" and {done:,} of {self._ceiling.max_executions:,} executions"
        return f"{words} committed so far"
