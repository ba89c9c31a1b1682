"""And back: wait for a job, fetch its result, and put it on the ledger before anyone uses it."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

from sqdr_qiskit.errors import BackendError, SqdrError
from sqdr_qiskit.runtime.accounts import quiet_client
from sqdr_qiskit.runtime.book import Entry
from sqdr_qiskit.runtime.errors import Kind, kind_of
from sqdr_qiskit.runtime.service import Line
from sqdr_qiskit.runtime.waiting import Detached, Waiting

__all__ = ["finish", "read_result", "write_result"]

_FINAL = ("DONE", "CANCELLED", "ERROR")


def finish(line: Line, entry: Entry) -> Entry:
    """Wait for the job of an entry and put its result on the ledger.

    Returns:
        The entry, done.

    Raises:
        BackendError: There will be no result; the entry says why.
        SqdrError: The outage lasted too long; the entry is as it was.
        Detached: The user left; the entry is as it was.
    """
    status = _wait(line, entry)
    try:
        result = line.ride(
            lambda: write_result(line.job(entry).result()), f"fetching the result of {entry.label}"
        )
    except Detached:
        raise
    except SqdrError as error:
        if isinstance(error.__cause__, Exception) and kind_of(error.__cause__) is Kind.REFUSED:
            state = "cancelled" if status == "CANCELLED" else "failed"
            line.book.ended(entry.row, state, str(error), used_s=_used(line, entry))
            raise BackendError(
                f"Job {entry.job_id} ({entry.label}) gave no result: {error} --resume {line.book.title} "
                "sends it again."
            ) from error
        raise
    done = line.book.done(entry.row, result, used_s=_used(line, entry))
    used = "" if done.used_s is None else f", {done.used_s:.1f} s used of {done.planned_s:.1f} s planned"
    line.watch(
        Waiting(
            f"collected {entry.label} (job {entry.job_id}{used})",
            "collected",
            entry.job_id,
            done=line.done + 1,
            total=line.total,
        )
    )
    return done


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


def _wait(line: Line, entry: Entry) -> str:
    """The job's state when it is at its end."""
    begun = time.monotonic()
    for pause in line.patience.polls():
        if line.attention.asked:
            raise line.leave()
        status = str(
            line.ride(lambda: line.job(entry).status(), f"waiting for {entry.label} (job {entry.job_id})")
        )
        if status in _FINAL:
            return status
        line.watch(_standing(line, entry, status, time.monotonic() - begun))
        line.attention.sleep(pause)
    raise AssertionError("patience never ends")


def _standing(line: Line, entry: Entry, status: str, waited_s: float) -> Waiting:
    position = None
    if status == "QUEUED":
        with suppress(Exception), quiet_client():
            position = line.job(entry).metrics().get("position_in_queue")
    state = "running" if status == "RUNNING" else "queued"
    place = "" if position is None else f", {position} before it"
    text = f"job {entry.job_id} is {state}{place}"
    return Waiting(text, state, entry.job_id, position, waited_s, line.done, line.total)


def _used(line: Line, entry: Entry) -> float | None:
    """Quantum seconds of a job, None where the service does not say (yet)."""
    with suppress(Exception), quiet_client():
        usage = line.job(entry).metrics().get("usage", {})
        for name in ("quantum_seconds", "qpu_charge_time_seconds", "seconds"):
            if isinstance(usage.get(name), int | float):
                return float(usage[name])
    return None
