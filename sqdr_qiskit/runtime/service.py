"""The line to the service: one run's account, ledger and patience, with jobs found, watched and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from qiskit_ibm_runtime import IBMBackend

from sqdr_qiskit.errors import SqdrError
from sqdr_qiskit.runtime.accounts import Connection, quiet_client
from sqdr_qiskit.runtime.book import Book, Entry
from sqdr_qiskit.runtime.errors import translated
from sqdr_qiskit.runtime.waiting import Attention, Detached, Patience, Waiting, nobody

__all__ = ["Line"]

_T = TypeVar("_T")


class Line:
    """What sending and fetching share.

    Args:
        connection: Account and device.
        book: The run's ledger.
        patience: Times to wait.
        watch: Told what happens.
        attention: Whether the user wants to leave.
    """

    def __init__(
        self,
        connection: Connection,
        book: Book,
        *,
        patience: Patience | None = None,
        watch: Callable[[Waiting], None] = nobody,
        attention: Attention | None = None,
    ) -> None:
        self.connection = connection
        self.book = book
        self.patience = patience or Patience.usual()
        self.watch = watch
        self.attention = attention or Attention()
        self.done = self.total = 0  # requests of the group under way, for whoever watches
        self._jobs: dict[str, Any] = {}

    @property
    def device(self) -> IBMBackend:
        """The device."""
        return self.connection.device

    def ride(self, question: Callable[[], _T], doing: str) -> _T:
        """Ask a question that changes nothing, through outages; see `Patience.riding`."""

        def quietly() -> _T:
            with quiet_client():
                return question()

        return self.patience.riding(
            quietly, doing=doing, attention=self.attention, watch=self.watch, renew=self.renew
        )

    def renew(self) -> None:
        """Log in anew."""
        self._jobs.clear()
        self.connection.renew()

    def calibrated(self) -> str | None:
        """Time of the device's calibration, ISO 8601, UTC."""
        with suppress(Exception):
            properties = self.device.properties()
            if properties is not None:
                moment: datetime = properties.last_update_date
                return moment.astimezone(UTC).isoformat(timespec="seconds")
        return None

    # ---- jobs ----------------------------------------------------------------------------------------------

    def met(self, job: Any) -> str:
        """Remember a job of the client; its id."""
        job_id = str(job.job_id())
        self._jobs[job_id] = job
        return job_id

    def job(self, entry: Entry) -> Any:
        """The client's job of an entry."""
        assert entry.job_id is not None
        if entry.job_id not in self._jobs:
            with quiet_client():
                self._jobs[entry.job_id] = self.connection.service.job(entry.job_id)
        return self._jobs[entry.job_id]

    def note_sent(self, entry: Entry, job_id: str) -> None:
        """Put a job's id on the ledger."""
        self.book.sent(entry.row, job_id)
        self.watch(
            Waiting(f"{entry.label} is job {job_id} on {entry.device}", "sent", job_id, total=self.total)
        )

    def look_for(self, entry: Entry) -> str | None:
        """The id of the job with the entry's tag; None if there certainly is none."""
        age_s = (datetime.now(UTC) - datetime.fromisoformat(entry.created)).total_seconds()
        found = self._tagged(entry)
        if not found and age_s < self.patience.settle_s:
            self.attention.sleep(self.patience.settle_s)
            found = self._tagged(entry)
        if not found:
            return None
        found.sort(key=lambda job: (str(job.creation_date), job.job_id()))
        for twin in found[1:]:  # never seen; would be a POST that the network repeated
            with suppress(Exception):
                twin.cancel()
        return str(found[0].job_id())

    def cancel(self, entry: Entry) -> None:
        """Cancel the job of an entry, if there is one that is not at its end.

        Raises:
            SqdrError: The service refused, or cannot be reached.
        """
        if entry.job_id is None:
            job_id = self.look_for(entry)
            if job_id is None:
                self.book.ended(entry.row, "cancelled", "It was never sent.")
                return
            entry = self.book.sent(entry.row, job_id)
        try:
            with quiet_client():
                self.job(entry).cancel()
        except Exception as error:
            raise translated(error, doing=f"cancelling job {entry.job_id}") from error
        self.book.ended(entry.row, "cancelled", "Cancelled by the user.")

    def leave(self) -> SqdrError:
        """The user has enough: once detaches, twice cancels."""
        under_way = [entry for entry in self.book.entries() if entry.state in ("planned", "sent")]
        if self.attention.second_wish():
            for entry in under_way:
                with suppress(SqdrError):
                    self.cancel(entry)
            return Detached(f"Cancelled {len(under_way)} jobs; what was collected before is kept.")
        names = ", ".join(entry.job_id for entry in under_way if entry.job_id) or "none"
        return Detached(
            f"Left; the jobs go on ({names}). Collect them later with `sqdr-qiskit jobs collect "
            f"{self.book.title}`, or go on with --resume {self.book.title}."
        )

    def _tagged(self, entry: Entry) -> list[Any]:
        return self.ride(
            lambda: list(self.connection.service.jobs(job_tags=[entry.tag], limit=None)),
            f"looking for {entry.label} by its tag",
        )
