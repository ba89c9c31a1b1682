"""A `Sender` to IBM Runtime: every request is on the ledger before it is sent, and sent at most once.

The life of a request: row `planned` with a unique tag -> POST -> row `sent` with the job's id -> waiting ->
row `done` with the result. Whatever happens between two of these steps, the next process (or this one, after
an outage) reads the row and goes on from there: a result is taken from the ledger, a known job is waited for,
and a row without a job's id is looked for by its tag before anything is sent again.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime import Batch, IBMBackend
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

from sqdr_qiskit.backends.runtime.accounts import Connection, quiet_client
from sqdr_qiskit.backends.runtime.book import Book, Entry
from sqdr_qiskit.backends.runtime.cost import planned_seconds
from sqdr_qiskit.backends.runtime.errors import Kind, is_no, kind_of, one_line, translated
from sqdr_qiskit.backends.runtime.estimators import check_isa, make_estimator
from sqdr_qiskit.backends.runtime.options import RuntimeSettings
from sqdr_qiskit.backends.runtime.request import request_digest
from sqdr_qiskit.backends.runtime.waiting import Attention, Detached, Patience, Waiting, nobody
from sqdr_qiskit.backends.sender import Handle, executions_of, shots_of
from sqdr_qiskit.errors import BackendError, SqdrError

__all__ = ["RuntimeSender", "read_result", "write_result"]

_FINAL = ("DONE", "CANCELLED", "ERROR")


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
        self._connection = connection
        self._book = book
        self._settings = settings
        self._patience = patience or Patience.usual()
        self._watch = watch
        self._attention = attention or Attention()
        self._estimator = estimator
        self._met: Counter[str] = Counter()
        self._jobs: dict[str, Any] = {}
        self._batch: Batch | None = None
        self._calls = self._total = self._done = 0

    # ---- the seam ------------------------------------------------------------------------------------------

    def announce(self, executions: Sequence[int]) -> None:
        """See `Sender.announce`: says what the group costs.

        The ceiling is held when a request is sent, where it is known which ones the ledger has already.
        """
        self._total, self._done = len(executions), 0
        self._calls += 1
        cost = sum(planned_seconds(number) for number in executions)
        self._watch(
            Waiting(
                f"{len(executions)} job{'s' * (len(executions) != 1)} for {self._connection.name}, "
                f"{sum(executions):,} executions: about {cost:.1f} s of quantum time; "
                f"{self._book.committed_s():.1f} s of {self._settings.ceiling_s:g} s committed so far",
                "cost",
                total=self._total,
            )
        )

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> Handle:
        """See `Sender.send`. A request that the ledger knows is not sent again.

        Raises:
            BackendError: The run's ceiling would be exceeded, or the device refused the request.
            UnsupportedError: The device cannot run a circuit.
            Detached: The user left.
        """
        device = self._connection.name
        facts = self._settings.facts()
        digest = request_digest(pubs, precision, device=device, facts=facts)
        number = self._met[digest]
        label = f"call {self._calls} part {label}"
        self._met[digest] += 1
        entry = self._book.find(digest, number)
        fresh = entry is None or entry.state in ("failed", "cancelled", "refused")
        if fresh:
            self._book.kept("device", device)
            self._book.kept("calibrated", self._calibrated() or "")
            check_isa(pubs, self._device())
            executions = executions_of(pubs, precision)
            planned = planned_seconds(executions)
            self._hold_ceiling(planned, label)
            entry = self._book.plan(
                digest=digest,
                number=number,
                label=label,
                device=device,
                planned_s=planned,
                calibrated=self._calibrated(),
                facts={**facts, "shots": shots_of(precision), "executions": executions, "pubs": len(pubs)},
            )
        assert entry is not None
        if entry.state == "planned":
            self._submit(entry, pubs, precision, perhaps_there=not fresh)
        return _Ticket(entry.row, label)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """See `Sender.collect`.

        Raises:
            BackendError: The job failed, was cancelled or ran into its time limit.
            Detached: The user left; the job goes on.
        """
        assert isinstance(handle, _Ticket)
        entry = self._book.get(handle.row)
        if entry.state != "done":
            entry = self.finish(entry)
        self._done += 1
        assert entry.result is not None
        return read_result(entry.result)

    def close(self) -> None:
        """Let go of the batch, if there is one; its jobs go on."""
        if self._batch is not None:
            with suppress(Exception):
                self._batch.close()
            self._batch = None

    # ---- going there ---------------------------------------------------------------------------------------

    def _submit(
        self, entry: Entry, pubs: Sequence[EstimatorPub], precision: float, *, perhaps_there: bool
    ) -> None:
        """POST until the job's id is known, without ever creating a second job."""
        doing = f"sending {entry.label}"
        pause, lost_at, renewed = self._patience.first_s, None, False
        while True:
            if perhaps_there:
                job_id = self._look_for(entry)
                if job_id is not None:
                    self._note_sent(entry, job_id)
                    return
            try:
                self._note_sent(entry, self._post(entry, pubs, precision))
                return
            except SqdrError as error:
                self._book.ended(entry.row, "refused", str(error))
                raise
            except Exception as error:
                kind = kind_of(error)
                if kind is Kind.UNAUTHORISED and not renewed:
                    renewed = True
                    self._watch(Waiting("IBM Quantum wants a new login; logging in again", "outage"))
                    self._renew()
                    continue
                if kind is not Kind.PASSING:
                    job_id = None if is_no(error) else self._look_for(entry)
                    if job_id is not None:
                        self._note_sent(entry, job_id)
                        return
                    self._book.ended(entry.row, "refused", one_line(error))
                    raise translated(error, doing=doing) from error
                now = time.monotonic()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at > self._patience.outage_s:
                    raise translated(error, doing=doing) from error
                if self._attention.asked:
                    raise self._leave() from error
                self._watch(
                    Waiting(
                        f"No answer while {doing} ({one_line(error)[:120]}); looking for the job by its tag "
                        "before anything is sent again",
                        "outage",
                        waited_s=now - lost_at,
                    )
                )
                self._attention.sleep(pause)
                pause = min(2 * pause, self._patience.longest_s)
                perhaps_there = True

    def _post(self, entry: Entry, pubs: Sequence[EstimatorPub], precision: float) -> str:
        plain = [EstimatorPub(pub.circuit, pub.observables, pub.parameter_values, precision) for pub in pubs]
        tags = [entry.tag, *self._settings.tags]
        with quiet_client(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            estimator = make_estimator(self._mode(), self._settings, tags, which=self._estimator)
            job = estimator.run(plain, precision=precision)
        for warning in said:
            if issubclass(warning.category, UserWarning):
                self._watch(Waiting(f"IBM Quantum says: {one_line(str(warning.message))}", "sent"))
        job_id = str(job.job_id())
        self._jobs[job_id] = job
        return job_id

    def _note_sent(self, entry: Entry, job_id: str) -> None:
        self._book.sent(entry.row, job_id)
        self._watch(
            Waiting(f"{entry.label} is job {job_id} on {entry.device}", "sent", job_id, total=self._total)
        )

    def _look_for(self, entry: Entry) -> str | None:
        """The id of the job with the entry's tag; None if there certainly is none."""
        settled = self._age_s(entry) >= self._patience.settle_s
        found = self._tagged(entry)
        if not found and not settled:
            self._attention.sleep(self._patience.settle_s)
            found = self._tagged(entry)
        if not found:
            return None
        found.sort(key=lambda job: (str(job.creation_date), job.job_id()))
        for twin in found[1:]:  # never seen; would be a POST that the network repeated
            with suppress(Exception):
                twin.cancel()
        return str(found[0].job_id())

    def _tagged(self, entry: Entry) -> list[Any]:
        def question() -> list[Any]:
            with quiet_client():
                return list(self._connection.service.jobs(job_tags=[entry.tag], limit=None))

        return self._ride(question, f"looking for {entry.label} by its tag")

    def _mode(self) -> IBMBackend | Batch:
        device = self._device()
        if self._settings.mode == "job":
            return device
        if self._batch is not None:
            details = self._batch.details()
            if details is None or not details.get("accepting_jobs"):
                self._batch = None
        if self._batch is None:
            self._batch = Batch(device)
        return self._batch

    def _hold_ceiling(self, planned: float, label: str) -> None:
        committed = self._book.committed_s()
        if committed + planned > self._settings.ceiling_s:
            raise BackendError(
                f"Stopped before sending {label}: it would take about {planned:.1f} s of quantum time, and "
                f"{committed:.1f} s of the ceiling of {self._settings.ceiling_s:g} s are used or under way; "
                f"nothing more was sent. A higher ceiling and --resume {self._book.title} go on from here."
            )

    # ---- and back ------------------------------------------------------------------------------------------

    def finish(self, entry: Entry) -> Entry:
        """Wait for the job of an entry and put its result on the ledger.

        Raises:
            BackendError: There will be no result; the entry says why.
            Detached: The user left.
        """
        assert entry.job_id is not None
        doing = f"waiting for {entry.label} (job {entry.job_id})"
        begun = time.monotonic()
        for pause in self._patience.polls():
            if self._attention.asked:
                raise self._leave()
            status = self._ride(lambda: self._status(entry), doing)
            if status in _FINAL:
                break
            self._watch(self._standing(entry, status, time.monotonic() - begun))
            self._attention.sleep(pause)
        try:
            result = self._ride(lambda: self._result(entry), f"fetching the result of {entry.label}")
        except (Detached, AssertionError):
            raise
        except SqdrError as error:
            if isinstance(error.__cause__, Exception) and kind_of(error.__cause__) is Kind.REFUSED:
                state = "cancelled" if status == "CANCELLED" else "failed"
                self._book.ended(entry.row, state, str(error), used_s=self._used(entry))
                raise BackendError(
                    f"Job {entry.job_id} ({entry.label}) gave no result: {error} --resume {self._book.title} "
                    "sends it again."
                ) from error
            raise
        done = self._book.done(entry.row, result, used_s=self._used(entry))
        used = "" if done.used_s is None else f", {done.used_s:.1f} s used of {done.planned_s:.1f} s planned"
        self._watch(
            Waiting(
                f"collected {entry.label} (job {entry.job_id}{used})",
                "collected",
                entry.job_id,
                done=self._done + 1,
                total=self._total,
            )
        )
        return done

    def adopt(self, entry: Entry) -> bool:
        """Find the job of a planned entry by its tag; whether there is one."""
        job_id = self._look_for(entry)
        if job_id is None:
            return False
        self._note_sent(entry, job_id)
        return True

    def cancel(self, entry: Entry) -> None:
        """Cancel the job of an entry, if it is known and not at its end."""
        if entry.job_id is None:
            job_id = self._look_for(entry)
            if job_id is None:
                self._book.ended(entry.row, "cancelled", "It was never sent.")
                return
            entry = self._book.sent(entry.row, job_id)
        try:
            with quiet_client():
                self._job(entry).cancel()
        except Exception as error:
            raise translated(error, doing=f"cancelling job {entry.job_id}") from error
        self._book.ended(entry.row, "cancelled", "Cancelled by the user.")

    def _job(self, entry: Entry) -> Any:
        assert entry.job_id is not None
        if entry.job_id not in self._jobs:
            with quiet_client():
                self._jobs[entry.job_id] = self._connection.service.job(entry.job_id)
        return self._jobs[entry.job_id]

    def _status(self, entry: Entry) -> str:
        with quiet_client():
            return str(self._job(entry).status())

    def _result(self, entry: Entry) -> str:
        with quiet_client():
            return write_result(self._job(entry).result())

    def _used(self, entry: Entry) -> float | None:
        """Quantum seconds of a job, None where the service does not say (yet)."""
        with suppress(Exception), quiet_client():
            usage = self._job(entry).metrics().get("usage", {})
            for name in ("quantum_seconds", "qpu_charge_time_seconds", "seconds"):
                if isinstance(usage.get(name), int | float):
                    return float(usage[name])
        return None

    def _standing(self, entry: Entry, status: str, waited_s: float) -> Waiting:
        position = None
        if status == "QUEUED":
            with suppress(Exception), quiet_client():
                position = self._job(entry).metrics().get("position_in_queue")
        state = "running" if status == "RUNNING" else "queued"
        place = "" if position is None else f", {position} before it"
        return Waiting(
            f"job {entry.job_id} is {state}{place}",
            state,
            entry.job_id,
            position,
            waited_s,
            self._done,
            self._total,
        )

    # ---- what all share ------------------------------------------------------------------------------------

    def _leave(self) -> SqdrError:
        """The user has enough: once detaches, twice cancels."""
        under_way = [entry for entry in self._book.entries() if entry.state in ("planned", "sent")]
        if self._attention.second_wish():
            for entry in under_way:
                with suppress(SqdrError):
                    self.cancel(entry)
            return Detached(f"Cancelled {len(under_way)} jobs; what was collected before is kept.")
        names = ", ".join(entry.job_id for entry in under_way if entry.job_id) or "none"
        return Detached(
            f"Left; the jobs go on ({names}). Collect them later with `sqdr-qiskit jobs collect "
            f"{self._book.title}`, or go on with --resume {self._book.title}."
        )

    def _ride(self, question: Callable[[], Any], doing: str) -> Any:
        return self._patience.riding(
            question, doing=doing, attention=self._attention, watch=self._watch, renew=self._renew
        )

    def _renew(self) -> None:
        self._jobs.clear()
        self._batch = None
        self._connection.renew()

    def _device(self) -> IBMBackend:
        return self._connection.device

    def _calibrated(self) -> str | None:
        with suppress(Exception):
            properties = self._device().properties()
            if properties is not None:
                moment: datetime = properties.last_update_date
                return moment.astimezone(UTC).isoformat(timespec="seconds")
        return None

    def _age_s(self, entry: Entry) -> float:
        return (datetime.now(UTC) - datetime.fromisoformat(entry.created)).total_seconds()


def write_result(result: PrimitiveResult[PubResult]) -> str:
    """A result as RuntimeEncoder JSON: the numbers of every PUB, exactly."""
    plain = [
        PubResult(
            DataBin(**dict(pub.data.items()), shape=pub.data.shape),
            metadata={name: result.metadata.get(name) for name in ("shots", "target_precision")},
        )
        for pub in result
    ]
    return json.dumps(PrimitiveResult(plain, metadata={"version": 2}), cls=RuntimeEncoder)


def read_result(text: str) -> PrimitiveResult[PubResult]:
    """The result that `write_result` wrote."""
    result = json.loads(text, cls=RuntimeDecoder)
    assert isinstance(result, PrimitiveResult)
    return result
