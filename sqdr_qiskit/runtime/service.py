"""A run's jobs at IBM: found, asked after, fetched, cancelled; every answer is judged here before it counts.

What proves what, in this one place: that a job has ended, only the service's own final state of that job;
that a job is ours, the unique tag of its request and, where the job carries it, the request's digest; that a
result is one, its shape, finite numbers and their range; what a job cost, a final usage that can be one.
Whatever else comes back says nothing: it is asked for again.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, TypeVar

import numpy as np
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.decoders.defaults import DEFAULT_DECODERS
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

from sqdr_qiskit import records
from sqdr_qiskit.errors import BackendError, CheckpointError, SqdrError, clean
from sqdr_qiskit.runtime import Waiting, nobody
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.client import Patience, Unreadable, one_line
from sqdr_qiskit.runtime.ledger import Entry, Ledger

__all__ = [
    "JobService",
    "JobState",
    "expected_answer",
    "job_id_of",
    "read_result",
    "request_tag",
    "write_result",
]

_T = TypeVar("_T")
_U = TypeVar("_U")

# How a state begins that is a job's end, in the service's spelling -> what it is to the ledger.
_ENDS = {"completed": "done", "done": "done", "failed": "failed", "error": "failed", "cancel": "cancelled"}
_OVER_TIME = 1305  # the service's reason code
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_OUR_TAG = re.compile(r"sqdr-[0-9a-f]{32}")
_MOST_PAGES = 50  # of a listing: more cannot be jobs with one unique tag
_PAGE = 20
_MOST_ASKED = 20  # jobs whose cost is asked for again before one group

# How far beyond its observable's bound an estimate may be, by resilience: sample means only by rounding,
# while mitigation divides by a readout fidelity (1) or extrapolates to no noise (2).
_BEYOND = {0: 1 + 1e-6, 1: 3.0, 2: 30.0}
_MITIGATED = {"zne": 30.0, "pea": 30.0, "pec": 300.0}  # by name


@dataclass(frozen=True)
class JobState:
    """What the service says of a job.

    Attributes:
        word: Its state as the service spells it.
        end: `done`, `failed` or `cancelled`; None while it is under way (or in a state not known here).
        reason: Why, where it ended without a result.
        program: The program that it runs, empty if that is not said.
    """

    word: str
    end: str | None
    reason: str
    program: str


class JobService:
    """The jobs of one run.

    Args:
        connection: Account and device.
        ledger: The run's ledger.
        patience: Times to wait.
        watch: Told what happens.
    """

    def __init__(
        self,
        connection: Connection,
        ledger: Ledger,
        *,
        patience: Patience | None = None,
        watch: Callable[[Waiting], None] = nobody,
    ) -> None:
        self.connection = connection
        self.ledger = ledger
        self.patience = patience or Patience.usual()
        self.watch = watch
        self._clients: dict[str, Any] = {}  # by job, once it is known where it is
        self._programs: dict[str, str] = {}

    def ride(
        self,
        question: Callable[[], _T],
        read: Callable[[_T], _U] = lambda answer: answer,  # type: ignore[assignment,return-value]
        *,
        doing: str,
    ) -> _U:
        """Ask a question that changes nothing, through outages; see `Patience.ride`."""
        return self.patience.ride(question, read, doing=doing, watch=self.watch, renew=self.renew)

    def renew(self) -> None:
        """Log in anew."""
        self._clients.clear()
        self.connection.renew()

    # ---- one job -------------------------------------------------------------------------------------------

    def state(self, entry: Entry) -> JobState:
        """What the service says of an entry's job.

        Where the id turns out to be another request's (the answer to the POST was wrong) the job is looked
        for by its tag; the ledger then has its id.
        """
        state = self.ride(
            lambda: self._ask(entry, lambda client, job_id: client.job_get(job_id)),
            lambda answer: self._judged(entry, answer),
            doing=f"waiting for {entry.label} (job {entry.job_id})",
        )
        if state is not None:
            return state
        job_id = self.find(entry)
        if job_id is None:
            self.ledger.unsent(entry.row)
            raise BackendError(
                f"Job {entry.job_id} is not that of {entry.label}, for which IBM Quantum gave it out, and "
                f"there is none under its tag; --resume {self.ledger.title} sends it."
            )
        return self.state(self.ledger.sent(entry.row, job_id))

    def result(self, entry: Entry) -> str:
        """The result of an entry's job, as `write_result` writes it.

        Raises:
            SqdrError: No answer could be one for as long as patience lasts; the last that came is beside the
                ledger.
        """
        return self.ride(
            lambda: self._ask(entry, lambda client, job_id: client.job_results(job_id)),
            lambda answer: self._read(entry, answer),
            doing=f"fetching the result of {entry.label} (job {entry.job_id})",
        )

    def position(self, entry: Entry) -> int | None:
        """Jobs before it in the queue, where the service says so."""
        with suppress(Exception):
            position = self._metrics(entry).get("position_in_queue")
            return position if isinstance(position, int) and position >= 0 else None
        return None

    def usage(self, entry: Entry) -> float | None:
        """Quantum seconds of a job at its end, None where the service does not say so for good (yet)."""
        with suppress(Exception):  # it is asked again before it matters
            return _used(self._metrics(entry))
        return None

    def settle(self) -> None:
        """Ask once more what jobs cost that are at their end and whose cost is not known."""
        unknown = [
            entry
            for entry in self.ledger.entries()
            if entry.used_s is None and entry.job_id and entry.state in ("done", "failed", "cancelled")
        ]
        with suppress(Exception):  # away: what is unknown counts as the most it may be
            for entry in unknown[-_MOST_ASKED:]:
                used = _used(self._metrics(entry))
                if used is not None:
                    self.ledger.used(entry.row, used)

    def close(self, entry: Entry, state: str, reason: str) -> Entry:
        """Put on the ledger that a job ended without a result, and what it cost."""
        return self.ledger.ended(entry.row, state, reason, used_s=self.usage(entry))

    def cancel(self, entry: Entry) -> str | None:
        """Cancel the job of an entry.

        Returns:
            None if there is no job under way any more; else why there may be one.
        """
        if entry.job_id is None:
            job_id = self.find(entry) if entry.posts else None
            if job_id is None:
                self.ledger.ended(entry.row, "cancelled", "It was never sent.", used_s=0.0)
                return None
            entry = self.ledger.sent(entry.row, job_id)
        until = time.monotonic() + self.patience.settle_s
        asked, why = False, ""
        for pause in self.patience.polls():
            state = self.state(entry)
            entry = self.ledger.get(entry.row)
            if state.end == "done":
                collect = f"`sqdr-qiskit jobs collect {self.ledger.title}` keeps it"
                return f"job {entry.job_id} is done already; {collect}"
            if state.end is not None:
                self.close(entry, state.end, state.reason)
                return None
            if not asked:
                try:
                    self._ask_to_end(entry)
                    asked = True
                    continue
                except Exception as error:  # what became of it only its state can say
                    why = one_line(error)[:160]
            if time.monotonic() > until:
                break
            time.sleep(pause)
        if not asked:
            return f"job {entry.job_id} could not be cancelled: {why}"
        return f"job {entry.job_id} was asked to end, but IBM Quantum still says {state.word!r}"

    def _ask_to_end(self, entry: Entry) -> None:
        self.patience.ask(
            lambda: self._ask(entry, lambda client, job_id: client.job_cancel(job_id)),
            doing=f"cancelling job {entry.job_id}",
            watch=self.watch,
        )

    # ---- finding -------------------------------------------------------------------------------------------

    def find(self, entry: Entry) -> str | None:
        """The id of the job that an entry's POST perhaps created; None if there certainly is none.

        A job may appear under its tag only after a while, which counts from the end of the last POST and
        lasts at least twice as long as the POST took.
        """
        settle_s = max(self.patience.settle_s, 2 * (entry.post_s or 0.0))
        since = 0.0  # a POST whose end nobody saw may have ended just now
        if entry.posted is not None:
            since = (datetime.now(UTC) - datetime.fromisoformat(entry.posted)).total_seconds()
        until = time.monotonic() + settle_s - max(since, 0.0)  # a clock put back must not lengthen it
        pause = settle_s / 16
        while True:
            found = self._tagged(entry)
            if found:
                self._count_twins(entry, found[1:])
                return found[0]
            left = until - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(pause, left))
            pause *= 2

    def look_for_twins(self, entry: Entry) -> None:
        """Look once more for jobs that a repeated POST made: cancel them, and count what they cost."""
        self._count_twins(entry, [job_id for job_id in self._tagged(entry) if job_id != entry.job_id])

    def _count_twins(self, entry: Entry, job_ids: Sequence[str]) -> None:
        known = {other.job_id for other in self.ledger.entries()}
        for job_id in job_ids:
            if job_id in known:
                continue
            twin = self.ledger.twin(entry, job_id)
            self.watch(
                Waiting(f"{entry.label} became two jobs; cancelling the second, {job_id}", "warning", job_id)
            )
            why = "it was not asked"
            with suppress(Exception):  # it is on the ledger: `jobs cancel` tries again, and it counts
                why = self.cancel(twin) or ""
            if why and self.ledger.get(twin.row).state == "sent":
                self.close(twin, "cancelled", f"A second job of one request; its result is not used ({why}).")

    def _tagged(self, entry: Entry) -> list[str]:
        """Jobs of an entry's request, best first: those that are done, those under way, others."""

        def listed() -> list[tuple[Any, dict[str, Any]]]:
            found = []
            for client in self.connection.clients():
                for page in range(_MOST_PAGES):
                    answer = client.jobs_get(limit=_PAGE, skip=page * _PAGE, job_tags=[entry.tag])
                    jobs = answer["jobs"] if isinstance(answer, dict) else None
                    if not isinstance(jobs, list):
                        raise Unreadable("it is no list of jobs")
                    found += [(client, job) for job in jobs if _is_ours(job, entry)]
                    if len(jobs) < _PAGE:  # whatever the answer's count promises
                        break
                if found and self.ledger.kept("instance"):
                    break
            return found

        order = {"done": 0, None: 1}
        jobs: dict[str, tuple[int, str]] = {}
        listing: list[tuple[Any, dict[str, Any]]] = self.ride(
            listed, doing=f"looking for {entry.label} by its tag"
        )
        for client, job in listing:
            with suppress(Unreadable):
                job_id = job_id_of(job)
                end = _judged(job).end
                jobs[job_id] = (order.get(end, 2), str(job.get("created", "")))
                self._clients[job_id] = client
        return sorted(jobs, key=lambda job_id: (jobs[job_id], job_id))

    # ---- asking and judging --------------------------------------------------------------------------------

    def _ask(self, entry: Entry, what: Callable[[Any, str], _T]) -> _T:
        """Ask the client of the instance where an entry's job is; look in all while that is not known."""
        job_id = entry.job_id
        assert job_id is not None
        known = self._clients.get(job_id)
        for client in self.connection.clients() if known is None else [known]:
            try:
                answer = what(client, job_id)
            except RequestsApiError as error:
                if error.status_code != 404:
                    raise
                continue
            self._clients[job_id] = client
            return answer
        raise Unreadable("it says that there is no such job")

    def _metrics(self, entry: Entry) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.patience.ask(
            lambda: self._ask(entry, lambda client, job_id: client.job_metadata(job_id)),
            doing=f"asking what job {entry.job_id} used",
            watch=self.watch,
        )
        return found

    def _judged(self, entry: Entry, answer: Any) -> JobState | None:
        """The state of an entry's job; None if the job that the ledger has is not the entry's."""
        state = _judged(answer)
        if answer.get("id", entry.job_id) != entry.job_id:
            raise Unreadable("it speaks of another job")
        if not _is_ours(answer, entry, strict=False):
            return None
        self._programs[str(entry.job_id)] = state.program
        return state

    def _read(self, entry: Entry, answer: Any) -> str:
        """A result, or `Unreadable`; what was unreadable is kept beside the ledger."""
        try:
            return write_result(
                _checked(_decoded(answer, self._programs.get(str(entry.job_id), "")), entry.facts)
            )
        except Exception as error:
            path = self.ledger.folder / f"unreadable-{entry.job_id}.txt"
            with suppress(SqdrError):
                records.write_text(path, clean(str(answer)))
            raise Unreadable(f"{one_line(error)[:160]} It is kept in {path}.") from error


def expected_answer(pubs: Sequence[EstimatorPub]) -> dict[str, Any]:
    """What the answer to a request must be like, for the ledger: shape and largest value of every PUB."""

    def bound(pub: EstimatorPub) -> float:
        sums = (sum(abs(value) for value in terms.values()) for terms in pub.observables.ravel().tolist())
        return float(max(sums, default=0.0))

    return {"shapes": [list(pub.shape) for pub in pubs], "bounds": [bound(pub) for pub in pubs]}


def request_tag(digest: str) -> str:
    """The tag by which a job's request can be compared."""
    return f"sqdr-request-{digest}"


def job_id_of(answer: Any) -> str:
    """The id in what the service says of a job.

    Raises:
        Unreadable: There is none that can be.
    """
    job_id = answer.get("id") if isinstance(answer, Mapping) else None
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise Unreadable("it names no job")
    return job_id


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


def read_result(entry: Entry) -> PrimitiveResult[PubResult]:
    """The result that `write_result` wrote.

    Raises:
        CheckpointError: The ledger is damaged.
    """
    try:
        return _checked(json.loads(entry.result or "", cls=RuntimeDecoder), entry.facts)
    except Exception as error:
        raise CheckpointError(
            f"The ledger is damaged: row {entry.row} holds no result of its request: {one_line(error)}"
        ) from error


def _judged(answer: Any) -> JobState:
    """What an answer says of a job's state; `Unreadable` if it says nothing."""
    state = answer.get("state") if isinstance(answer, Mapping) else None
    word = state.get("status") if isinstance(state, Mapping) else None
    if not isinstance(state, Mapping) or not isinstance(word, str) or not word.strip():
        raise Unreadable("it does not say the job's state")
    word = clean(word).strip()[:80]
    end = next((end for begin, end in _ENDS.items() if word.lower().startswith(begin)), None)
    reason = clean(str(state.get("reason") or "")).strip()
    code = state.get("reason_code") or state.get("reasonCode")
    if end == "cancelled" and (code == _OVER_TIME or "ran too long" in word.lower()):
        end, what = "failed", "The job ran into its time limit"
    else:
        what = "The job was cancelled" if end == "cancelled" else "The job failed"
    program = answer.get("program")
    said = "" if not reason else f": {f'Error code {code}; ' if code else ''}{reason}"
    return JobState(
        word=word,
        end=end,
        reason=one_line(what + said),
        program=str(program.get("id") or "") if isinstance(program, Mapping) else "",
    )


def _is_ours(job: Any, entry: Entry, *, strict: bool = True) -> bool:
    """Whether a job is that of an entry's request: it carries the tag, and no other request's digest.

    Args:
        job: What the service says of it.
        entry: The request.
        strict: Whether tags must be there at all; of a job that is asked for by its id they need not.
    """
    tags = job.get("tags") if isinstance(job, Mapping) else None
    if not isinstance(tags, list):
        return not strict
    requests = [tag for tag in tags if isinstance(tag, str) and tag.startswith(request_tag(""))]
    if requests and request_tag(entry.digest) not in requests:
        return False
    if strict or entry.tag in tags:
        return entry.tag in tags
    other = any(isinstance(tag, str) and _OUR_TAG.fullmatch(tag) for tag in tags)
    return entry.facts.get("twin_of") is not None or not other


def _used(metrics: Any) -> float | None:
    """The final usage in a job's metrics, None if there is none that can be."""
    usage = metrics["usage"]
    if str(usage.get("status", "final")).lower() == "pending":
        return None
    found = [usage.get(name) for name in ("quantum_seconds", "qpu_charge_time_seconds", "seconds")]
    # The largest of them, as a ceiling counts; True is an int to Python, and no number of seconds.
    numbers = [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
    return max((float(value) for value in numbers if 0 <= value < math.inf), default=None)


def _decoded(raw: Any, program: str) -> Any:
    if not isinstance(raw, str) or not raw.strip():
        raise Unreadable("It is empty.")
    decoders = DEFAULT_DECODERS.get(program) or DEFAULT_DECODERS["executor"]
    return reduce(
        lambda result, decoder: decoder.decode(result) if decoder.is_applicable(result) else result,
        decoders,
        raw,
    )


def _checked(result: Any, facts: Mapping[str, Any]) -> PrimitiveResult[PubResult]:
    """A result if it can be one of its request; else an error that says why not."""
    if not isinstance(result, PrimitiveResult):
        raise Unreadable("It is no result of an estimator.")
    shapes, bounds = facts.get("shapes"), facts.get("bounds")
    n_pubs = len(shapes) if isinstance(shapes, list) else facts.get("pubs", len(result))
    if len(result) != n_pubs:
        raise Unreadable(f"It has {len(result)} parts where {n_pubs} were asked for.")
    level = _BEYOND.get(int(facts.get("resilience", 0)), _BEYOND[2])
    beyond = _MITIGATED.get(str(facts.get("mitigation")), level)
    for number, pub in enumerate(result):
        values = np.asarray(pub.data.evs, dtype=float)
        if isinstance(shapes, list) and values.shape != tuple(shapes[number]):
            raise Unreadable(f"Its part {number + 1} has shape {values.shape}, not {tuple(shapes[number])}.")
        if not np.isfinite(values).all():
            raise Unreadable(f"Its part {number + 1} holds numbers that are not finite.")
        largest = float(np.abs(values).max(initial=0.0))
        if isinstance(bounds, list) and largest > bounds[number] * beyond:
            raise Unreadable(f"Its part {number + 1} holds {largest:.6g}, beyond {bounds[number]:g}.")
    return result
