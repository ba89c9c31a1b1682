"""Going there: a request becomes exactly one job, whatever happens to the answers on the way."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import suppress

from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime import Batch, IBMBackend

from sqdr_qiskit.errors import SqdrError
from sqdr_qiskit.runtime.accounts import quiet_client
from sqdr_qiskit.runtime.book import Entry
from sqdr_qiskit.runtime.errors import Kind, is_no, kind_of, one_line, translated
from sqdr_qiskit.runtime.estimators import make_estimator
from sqdr_qiskit.runtime.options import RuntimeSettings
from sqdr_qiskit.runtime.service import Line
from sqdr_qiskit.runtime.waiting import Waiting

__all__ = ["Poster"]


class Poster:
    """Sends planned entries.

    Args:
        line: The line.
        settings: How jobs run.
        estimator: A name in `ESTIMATORS`; None takes the first that there is.
    """

    def __init__(self, line: Line, settings: RuntimeSettings, *, estimator: str | None = None) -> None:
        self._line = line
        self._settings = settings
        self._estimator = estimator
        self._batch: Batch | None = None

    def submit(
        self, entry: Entry, pubs: Sequence[EstimatorPub], precision: float, *, perhaps_there: bool
    ) -> None:
        """POST until the job's id is known, without ever creating a second job.

        After an answer that was lost the job is looked for by its tag; only if it is not there is the request
        sent again. Where the service said a clear no, the entry is `refused`.

        Args:
            entry: A planned entry, on the ledger.
            pubs: What it asks for.
            precision: Of the PUBs.
            perhaps_there: Whether it may have been sent before.

        Raises:
            SqdrError: The request was refused, the outage lasted too long, or the user left.
        """
        line, doing = self._line, f"sending {entry.label}"
        pause, lost_at, renewed = line.patience.first_s, None, False
        while True:
            if perhaps_there:
                job_id = line.look_for(entry)
                if job_id is not None:
                    line.note_sent(entry, job_id)
                    return
            try:
                job_id = self._post(entry, pubs, precision)
            except SqdrError as error:
                line.book.ended(entry.row, "refused", str(error))
                raise
            except Exception as error:
                kind = kind_of(error)
                if kind is Kind.UNAUTHORISED and not renewed:
                    renewed = True
                    line.watch(Waiting("IBM Quantum wants a new login; logging in again", "outage"))
                    self._batch = None
                    line.renew()
                    continue
                if kind is not Kind.PASSING:
                    self._refused(entry, error, doing)
                    return
                now = time.monotonic()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at > line.patience.outage_s:
                    raise translated(error, doing=doing) from error
                if line.attention.asked:
                    raise line.leave() from error
                line.watch(
                    Waiting(
                        f"No answer while {doing} ({one_line(error)[:120]}) Looking for the job by its tag "
                        "before anything is sent again",
                        "outage",
                        waited_s=now - lost_at,
                    )
                )
                line.attention.sleep(pause)
                pause = min(2 * pause, line.patience.longest_s)
                perhaps_there = True
            else:
                line.note_sent(entry, job_id)
                return

    def close(self) -> None:
        """Let go of the batch, if there is one; its jobs go on."""
        if self._batch is not None:
            with suppress(Exception):
                self._batch.close()
            self._batch = None

    def _refused(self, entry: Entry, error: Exception, doing: str) -> None:
        """After a no, or something that cannot be told from one: look before believing it."""
        job_id = None if is_no(error) else self._line.look_for(entry)
        if job_id is None:
            self._line.book.ended(entry.row, "refused", one_line(error))
            raise translated(error, doing=doing) from error
        self._line.note_sent(entry, job_id)

    def _post(self, entry: Entry, pubs: Sequence[EstimatorPub], precision: float) -> str:
        plain = [EstimatorPub(pub.circuit, pub.observables, pub.parameter_values, precision) for pub in pubs]
        tags = [entry.tag, *self._settings.job_tags]
        with quiet_client(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            estimator = make_estimator(self._mode(), self._settings, tags, which=self._estimator)
            job = estimator.run(plain, precision=precision)
        for warning in said:
            if issubclass(warning.category, UserWarning):
                self._line.watch(Waiting(f"IBM Quantum says: {one_line(str(warning.message))}", "sent"))
        return self._line.met(job)

    def _mode(self) -> IBMBackend | Batch:
        """The device, or a batch on it: the one of before while it takes jobs."""
        device = self._line.device
        if self._settings.mode == "job":
            return device
        if self._batch is not None:
            details = self._batch.details()
            if details is None or not details.get("accepting_jobs"):
                self._batch = None
        if self._batch is None:
            self._batch = Batch(device)
        return self._batch
