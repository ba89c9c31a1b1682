"""A `Sender` to IBM Runtime: every request is on the ledger before it is sent, and sent at most once.

The life of a request: row `planned` with a unique tag -> POST -> row `sent` with the job's id -> waiting ->
row `done` with the result. Whatever happens between two of these steps, the next process (or this one, after
an outage) reads the row and goes on from there: a result is taken from the ledger, a known job is waited for,
and a row without a job's id is looked for by its tag before anything is sent again.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime import Batch, IBMBackend

from sqdr_qiskit.devices.chip import Chip, chip_of
from sqdr_qiskit.devices.estimator import Handle, Request, executions_of, planned_seconds
from sqdr_qiskit.devices.mitigation import gamma_of, overhead_of
from sqdr_qiskit.errors import BackendError
from sqdr_qiskit.runtime import Waiting, nobody
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.budget import Budget
from sqdr_qiskit.runtime.client import (
    Kind,
    Outage,
    Patience,
    Question,
    Unreadable,
    is_no,
    kind_of,
    one_line,
    translated,
)
from sqdr_qiskit.runtime.estimators import RuntimeSettings, add_noise, check_isa, make_estimator
from sqdr_qiskit.runtime.ledger import UNDER_WAY, Entry, Ledger
from sqdr_qiskit.runtime.service import (
    JobService,
    JobState,
    expected_answer,
    job_id_of,
    read_result,
    request_tag,
)
from sqdr_qiskit.simulators import shots_of

__all__ = ["RuntimeSender", "wait_for_result"]


@dataclass(frozen=True)
class _Ticket:
    row: int
    label: str


class RuntimeSender:
    """Sends requests to one device of one account.

    Args:
        connection: Account and device.
        ledger: The run's ledger.
        settings: How the jobs run, and the ceiling.
        patience: Times to wait.
        watch: Told what happens.
        estimator: A name in `ESTIMATORS`; None takes the first that there is.
    """

    def __init__(
        self,
        connection: Connection,
        ledger: Ledger,
        settings: RuntimeSettings,
        *,
        patience: Patience | None = None,
        watch: Callable[[Waiting], None] = nobody,
        estimator: str | None = None,
    ) -> None:
        self._jobs = JobService(connection, ledger, patience=patience, watch=watch)
        self._ledger, self._watch, self._settings = ledger, watch, settings
        self._connection, self._estimator = connection, estimator
        self._budget = Budget(
            ledger,
            settings.ceiling,
            device=lambda: connection.name,
            facts=settings.facts(),
            watch=watch,
            settle=self._jobs.settle,
        )
        self._batch: Batch | None = None
        self._done = self._total = 0  # requests of the group under way, for whoever watches
        self._warned: set[str] = set()

    def announce(self, requests: Sequence[Request]) -> None:
        """See `Sender.announce`: says what the group costs, and holds it under the ceiling as a whole.

        Raises:
            BackendError: The run's ceiling would be exceeded.
        """
        self._total, self._done = len(requests), 0
        self._budget.announce(
            [
                Request(request.pubs, request.precision, self._executions(request.pubs, request.precision))
                for request in requests
            ]
        )

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> Handle:
        """See `Sender.send`. A request that the ledger knows is not sent again.

        Raises:
            BackendError: The run's ceiling would be exceeded, or the device refused the request.
            UnsupportedError: The device cannot run a circuit.
        """
        digest, number = self._budget.count(pubs, precision)
        label = f"call {self._budget.calls} part {label}"
        entry = self._ledger.find(digest, number)
        if entry is None or entry.state not in (*UNDER_WAY, "done"):
            entry = self._plan(pubs, precision, label, digest, number)
        if entry.state == "planned":
            self._submit(entry, pubs, precision)
        return _Ticket(entry.row, label)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """See `Sender.collect`.

        Raises:
            BackendError: The job failed, was cancelled or ran into its time limit.
        """
        assert isinstance(handle, _Ticket)
        entry = self._ledger.get(handle.row)
        if entry.state != "done":
            entry = wait_for_result(self._jobs, entry, done=self._done, total=self._total)
        self._done += 1
        return read_result(entry)

    def close(self) -> None:
        """Ask once more for costs that are not known; let go of the batch: its jobs go on."""
        self._jobs.settle()
        batch, self._batch = self._batch, None
        if batch is not None:
            with suppress(Exception):
                self._jobs.patience.ask(batch.close, doing="closing the batch", watch=self._watch)

    # ---- writing it down -----------------------------------------------------------------------------------

    def _plan(
        self, pubs: Sequence[EstimatorPub], precision: float, label: str, digest: str, number: int
    ) -> Entry:
        """Write the row, if the device can run the request and the ceiling allows it."""
        ledger, device = self._ledger, self._connection.device
        check_isa(pubs, device)
        self._warn_of_faults(pubs)
        executions = self._executions(pubs, precision)
        self._budget.check([executions], label)  # again: a group need not have been announced
        calibrated = self._calibrated()
        ledger.kept("device", self._connection.name)
        ledger.kept("calibrated", calibrated or "")
        ledger.kept("instance", self._connection.instance)
        settings = self._settings
        return ledger.plan(
            digest=digest,
            number=number,
            label=label,
            device=self._connection.name,
            planned_s=planned_seconds(executions),
            calibrated=calibrated,
            facts={
                **settings.facts(),
                **({} if settings.max_execution_s is None else {"max_execution_s": settings.max_execution_s}),
                **expected_answer(pubs),
                "shots": shots_of(precision),
                "executions": executions,
                "pubs": len(pubs),
            },
        )

    @cached_property
    def _chip(self) -> Chip:
        return chip_of(self._connection.device)

    def _executions(self, pubs: Sequence[EstimatorPub], precision: float) -> int:
        """Executions of a request, what its mitigation takes included."""
        plain, chosen = executions_of(pubs, precision), self._settings.method
        if chosen is None or chosen.method == "none":
            return plain
        calibrating = shots_of(precision)  # one circuit of no gates tells the readout
        return calibrating + sum(
            math.ceil(
                executions_of([pub], precision)
                * overhead_of(gamma_of(pub.circuit, self._chip) if chosen.method == "pec" else 1.0, chosen)
            )
            for pub in pubs
        )

    def _calibrated(self) -> str | None:
        """Time of the device's calibration, ISO 8601, UTC."""
        properties: Any = self._jobs.ride(
            self._connection.device.properties, doing="fetching the calibration"
        )
        if properties is None:
            return None
        moment: datetime = properties.last_update_date
        return moment.astimezone(UTC).isoformat(timespec="seconds")

    def _warn_of_faults(self, pubs: Sequence[EstimatorPub]) -> None:
        """Say once of each gate that a circuit uses and the device has lost since the run began.

        The run goes on with the qubits that it was laid out on: another layout would be another run.
        """
        target = self._connection.target_now
        if target is None:
            return
        for circuit in {id(pub.circuit): pub.circuit for pub in pubs}.values():
            for item in circuit.data:
                name, qubits = item.operation.name, tuple(circuit.find_bit(q).index for q in item.qubits)
                if name == "barrier" or not _is_lost(target, name, qubits):
                    continue
                what = f"{name} on qubit{'s' * (len(qubits) > 1)} {', '.join(map(str, qubits))}"
                if what not in self._warned:
                    self._warned.add(what)
                    text = (
                        f"warning: {self._connection.name} lost {what} since this run began, which still "
                        "uses it; a new run is laid out without it"
                    )
                    self._watch(Waiting(text, "warning"))

    # ---- sending -------------------------------------------------------------------------------------------

    def _submit(self, entry: Entry, pubs: Sequence[EstimatorPub], precision: float) -> None:
        """POST until the job's id is known, without ever creating a second job.

        After an answer that was lost the job is looked for by its tag; only if it is not there is the request
        sent again. Where the service said a clear no, the entry is `refused`.

        Raises:
            SqdrError: The request was refused, or the outage lasted too long.
        """
        jobs, doing = self._jobs, f"sending {entry.label}"
        outage, renewed = Outage(jobs.patience, doing, self._watch), False
        while True:
            # A POST began, in this process or in one that died in it: the job may be there.
            if entry.posts:
                job_id = jobs.find(entry)
                if job_id is not None:
                    self._sent(entry, job_id)
                    return
            try:
                self._sent(entry, self._post(entry, pubs, precision))
                return
            except Exception as problem:
                error, kind = problem, kind_of(problem)
            said_no = is_no(error) and kind is not Kind.PASSING  # then it certainly created nothing
            before, entry = entry.posts, self._ledger.get(entry.row)
            # A clear no leaves the count as it was before: nothing has to be looked for on its account.
            if said_no:
                entry = self._ledger.posted(entry.row, entry.post_s or 0.0, posts=before)
            if kind is Kind.UNAUTHORISED and not renewed:
                renewed, self._batch = True, None
                self._watch(Waiting("IBM Quantum wants a new login; logging in again", "outage"))
                try:
                    jobs.renew()
                    continue
                except Exception as problem:
                    error, kind = problem, kind_of(problem.__cause__ or problem)
                    renewed = False
            if kind in (Kind.REFUSED, Kind.UNAUTHORISED) and not entry.posts:
                self._ledger.ended(entry.row, "refused", one_line(error), used_s=0.0)
                raise translated(error, doing=doing) from error
            by_tag = "Looking for the job by its tag before anything is sent again"
            then = by_tag if entry.posts else "Asking again"
            outage.sit_out(error, kind, f"No answer while {doing} ({one_line(error)[:120]}) {then}")

    def _sent(self, entry: Entry, job_id: str) -> None:
        self._ledger.sent(entry.row, job_id)
        text = f"{entry.label} is job {job_id} on {entry.device}"
        self._watch(Waiting(text, "sent", job_id, total=self._total))

    def _post(self, entry: Entry, pubs: Sequence[EstimatorPub], precision: float) -> str:
        """POST once; the ledger says before that it may have happened, and afterwards when it ended."""
        said: list[warnings.WarningMessage] = []

        def run() -> object:
            plain = [
                EstimatorPub(pub.circuit, pub.observables, pub.parameter_values, precision) for pub in pubs
            ]
            tags = [entry.tag, request_tag(entry.digest), *self._settings.job_tags]
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always", UserWarning)
                estimator = make_estimator(self._mode(), self._settings, tags, which=self._estimator)
                if self._settings.draws_paulis:
                    add_noise(estimator, plain, self._chip)
                job = estimator.run(plain, precision=precision)
            said.extend(heard)
            return job.job_id()

        patience, question = self._jobs.patience, Question(run)
        begun = time.monotonic()
        self._ledger.posting(entry.row)
        try:
            job_id = job_id_of(
                {
                    "id": question.wait(
                        f"sending {entry.label}",
                        longest_s=patience.post_s,
                        silence_s=patience.silence_s,
                        watch=self._watch,
                    )
                }
            )
            if any(other.job_id == job_id for other in self._ledger.entries()):
                raise Unreadable(f"it names job {job_id}, which is another request's")
        finally:
            posts = entry.posts + question.jobs_posted
            self._ledger.posted(entry.row, time.monotonic() - begun, posts=posts)
        for warning in said:
            if issubclass(warning.category, UserWarning):
                self._watch(Waiting(f"IBM Quantum says: {one_line(str(warning.message))}", "sent"))
        return job_id

    def _mode(self) -> IBMBackend | Batch:
        """The device, or a batch on it: the one of before while it takes jobs."""
        device = self._connection.device
        if self._settings.mode == "job":
            return device
        if self._batch is not None:
            details = self._batch.details()
            if details is None or not details.get("accepting_jobs"):
                self._batch = None
        if self._batch is None:
            self._batch = Batch(device)
        return self._batch


def wait_for_result(jobs: JobService, entry: Entry, *, done: int = 0, total: int = 0) -> Entry:
    """Wait for the job of an entry and put its result on the ledger before anyone uses it.

    Returns:
        The entry, done.

    Raises:
        BackendError: There will be no result; the entry says why.
        SqdrError: The outage lasted too long, or no answer could be read; the entry is as it was.
    """
    begun, state = time.monotonic(), None
    for pause in jobs.patience.polls():
        state = jobs.state(entry)
        entry = jobs.ledger.get(entry.row)
        if state.end is not None:
            break
        jobs.watch(_standing(jobs, entry, state, time.monotonic() - begun, done, total))
        time.sleep(pause)
    assert state is not None
    if state.end != "done":
        jobs.close(entry, str(state.end), state.reason)
        raise BackendError(
            f"Job {entry.job_id} ({entry.label}) gave no result: {state.reason} --resume {jobs.ledger.title} "
            "sends it again."
        )
    result = jobs.result(entry)
    if entry.posts > 1:
        jobs.look_for_twins(entry)
    entry = jobs.ledger.done(entry.row, result, used_s=jobs.usage(entry))
    used = "" if entry.used_s is None else f", {entry.used_s:.1f} s used of {entry.planned_s:.1f} s planned"
    text = f"collected {entry.label} (job {entry.job_id}{used})"
    jobs.watch(Waiting(text, "collected", entry.job_id, done=done + 1, total=total))
    return entry


def _standing(
    jobs: JobService, entry: Entry, state: JobState, waited_s: float, done: int, total: int
) -> Waiting:
    word = state.word.lower()
    if word not in ("queued", "running"):
        text = f"job {entry.job_id} is {state.word!r}, says IBM Quantum; waiting for it to end"
        return Waiting(text, "queued", entry.job_id, None, waited_s, done, total)
    position = jobs.position(entry) if word == "queued" else None
    place = "" if position is None else f", {position} before it"
    return Waiting(
        f"job {entry.job_id} is {word}{place}", word, entry.job_id, position, waited_s, done, total
    )


def _is_lost(target: object, name: str, qubits: tuple[int, ...]) -> bool:
    """Whether a device has no such gate there now, or one that is out of order (error 1)."""
    try:
        properties = target[name][qubits]  # type: ignore[index]
    except KeyError:
        return True
    error = getattr(properties, "error", None)
    return error is not None and error >= 1.0
