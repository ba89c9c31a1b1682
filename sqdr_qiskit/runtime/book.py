"""What a sender needs of a ledger of hardware jobs; `runtime.ledger.Ledger` is the one on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Book", "Entry"]


@dataclass(frozen=True)
class Entry:
    """One request and what became of it.

    Attributes:
        row: Its number in the ledger.
        digest: SHA-256 of what was asked (circuits, observables, angles, precision, device, options).
        number: How many equal requests came before it in the run.
        tag: The job's unique tag.
        label: What it is for.
        device: Where it goes.
        state: `planned` (row written, job perhaps created), `sent` (the job's id is known), `done`, `failed`,
            `cancelled`, `refused`.
        job_id: The job, once it is known.
        planned_s: Quantum seconds it was expected to take.
        used_s: Quantum seconds it took, once they are known.
        calibrated: Time of the device's calibration, ISO 8601.
        created: When the row was written, ISO 8601, UTC.
        reason: Why it failed.
        result: RuntimeEncoder JSON of its `PrimitiveResult`.
        facts: Options and sizes, for the record.
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


class Book(Protocol):
    """A ledger: every change is on disk when the call returns."""

    def find(self, digest: str, number: int) -> Entry | None:
        """The newest entry of a request, None if it was never planned."""
        ...

    def get(self, row: int) -> Entry:
        """An entry."""
        ...

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        ...

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
        ...

    def sent(self, row: int, job_id: str) -> Entry:
        """Note the job's id."""
        ...

    def done(self, row: int, result: str, *, used_s: float | None) -> Entry:
        """Note the result and what it cost."""
        ...

    def ended(self, row: int, state: str, reason: str, *, used_s: float | None = None) -> Entry:
        """Note that there will be no result: `failed`, `cancelled` or `refused`."""
        ...

    def committed_s(self) -> float:
        """Quantum seconds used, and planned by what is under way."""
        ...

    def committed_executions(self) -> int:
        """Circuit executions of what is done or under way."""
        ...

    def kept(self, name: str, value: str | None = None) -> str | None:
        """A fact of the whole run: the first value that was given under this name, None before that."""
        ...

    @property
    def title(self) -> str:
        """Where it lies, as a user would type it."""
        ...
