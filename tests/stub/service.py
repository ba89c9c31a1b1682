"""The state of the stub service: its account, devices, jobs and batches."""

from __future__ import annotations

import importlib
import inspect
import json
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from qiskit_ibm_runtime import fake_provider

from tests.stub.faults import Faults

__all__ = ["CRN", "SECOND_CRN", "TOKEN", "Job", "Service", "snapshot"]

TOKEN = "stub-api-key-4f1d2c7e9b"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/stub:11111111-2222-3333-4444-555555555555::"
SECOND_CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/stub:66666666-7777-8888-9999-000000000000::"
_FINAL = ("Completed", "Failed", "Cancelled", "Cancelled - Ran too long")


@dataclass
class Job:
    """One job that the service took in."""

    id: str
    program: str
    params: Any
    device: str
    tags: list[str]
    session: str | None
    cost: int | None
    created: str
    order: int
    instance: str = CRN
    listed_at: float = 0.0
    status: str = "Queued"
    reason: str | None = None
    reason_code: int | None = None
    result: str = ""
    seconds: float = 0.0

    def answer(self) -> dict[str, Any]:
        """What GET jobs/ID says."""
        state: dict[str, Any] = {"status": self.status}
        if self.reason is not None:
            state |= {"reason": self.reason, "reason_code": self.reason_code}
        return {
            "id": self.id,
            "backend": self.device,
            "state": state,
            "status": self.status,
            "program": {"id": self.program},
            "created": self.created,
            "tags": self.tags,
            "session_id": self.session,
            "estimated_running_time_seconds": 2.0,
        }


@dataclass
class Service:
    """An IBM Quantum service with one account and one instance.

    Args:
        devices: Device name -> name of the snapshot that plays it (`ibm_kingston` -> `nairobi`).
        queue_s: Seconds that a job waits before it runs.
        job_s: Quantum seconds that the service says each job took.
        held: While set, jobs stay in the queue.
        recalibrated: Device -> when it was calibrated anew.
        lost: Device -> couplings that are out of order by then.
        instances: CRNs of the account's instances; each knows its own jobs alone.
        hang_s: How long an answer that never comes does not come.
        cut_s: Quantum seconds of a job that is cancelled while it runs.
        stuck: While set, jobs run and do not end.
        late_s: What "after a while" is.
        plan: Name of the account's plan, and how it is paid for.
        usage: What the instance is said to have used, in place of what jobs took.
        paused: Device -> why it takes no jobs.
        truth: Device -> the backend that computes its jobs, where that is not what its calibration says.
        closing: Set when the service ends.
    """

    devices: Mapping[str, str]
    token: str = TOKEN
    queue_s: float = 0.0
    job_s: float = 1.0
    faults: Faults = field(default_factory=Faults)
    jobs: dict[str, Job] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    recalibrated: dict[str, datetime] = field(default_factory=dict)
    lost: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    instances: tuple[str, ...] = (CRN,)
    hang_s: float = 3600.0
    late_s: float = 0.5
    cut_s: float = 25.0
    stuck: threading.Event = field(default_factory=threading.Event)
    plan: tuple[str, str] = ("Open", "free")
    usage: dict[str, Any] | None = None
    paused: dict[str, str] = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="stub-qpu")
        self._backends = {name: _backend(snapshot_name) for name, snapshot_name in self.devices.items()}

    def close(self) -> None:
        """Stop computing."""
        self.closing.set()
        self.held.clear()
        self.stuck.clear()
        self._worker.shutdown(wait=True, cancel_futures=True)

    @property
    def n_jobs(self) -> int:
        """Number of jobs that were created."""
        return len(self.jobs)

    def properties(self, name: str, before: datetime | None) -> dict[str, Any]:
        """A device's calibration, the one that was in force at a moment if one is given.

        A device that was recalibrated has the errors of its two-qubit gates in reverse order.
        """
        values = snapshot(self.devices[name], "props")
        moment = self.recalibrated.get(name)
        if moment is None or (before is not None and before < moment):
            return values
        places = [
            parameter
            for gate in values["gates"]
            if len(gate["qubits"]) == 2
            for parameter in gate["parameters"]
            if parameter["name"] == "gate_error"
        ]
        errors = [place["value"] for place in places]
        for place, error in zip(places, reversed(errors), strict=True):
            place["value"] = error
        for gate in values["gates"]:
            if tuple(gate["qubits"]) in self.lost.get(name, ()):
                gate["parameters"].append(
                    {"date": moment.isoformat(), "name": "operational", "unit": "", "value": 0}
                )
        return {**values, "last_update_date": moment.isoformat()}

    def echo(self) -> str:
        """What a careless service might say: secrets, an escape sequence, HTML."""
        return (
            f"<b>no</b> <script>alert(1)</script>apikey {self.token} in {self.instances[0]} "
            f"({json.dumps(self.token)}) \x1b[2J\x1b]0;owned\x07 Authorization: Bearer {self.token}"
        )

    def create(self, body: Mapping[str, Any], instance: str = CRN) -> Job:
        """Take a job in; it runs in the background."""
        with self._lock:
            number = len(self.jobs)
            job = Job(
                id=f"stub{number:04}{uuid.uuid4().hex[:12]}",
                program=str(body["program_id"]),
                params=body["params"],
                device=str(body["backend"]),
                tags=list(body.get("tags", [])),
                session=body.get("session_id"),
                cost=body.get("cost"),
                created=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                order=number,
                instance=instance,
                listed_at=time.monotonic() + self.late_s * self.faults.take("tag-late"),
            )
            self.jobs[job.id] = job
        for fault, end in _ENDS.items():
            if self.faults.take(fault):
                end(job)
                return job
        if self.faults.take("reason-echoes"):
            job.status, job.reason, job.reason_code = "Failed", self.echo(), 9999
            return job
        self._worker.submit(self._run, job)
        return job

    def position(self, job: Job) -> int:
        """Jobs before this one in its queue."""
        return sum(
            other.status == "Queued" and other.order < job.order
            for other in self.jobs.values()
            if other.device == job.device
        )

    def cancel(self, job: Job) -> bool:
        """Cancel a job that is not at its end; whether it was."""
        if job.status in _FINAL:
            return False
        if job.status == "Running":
            job.seconds = self.cut_s
        job.status, job.reason, job.reason_code = "Cancelled", "Cancelled by the user.", 1303
        return True

    def _run(self, job: Job) -> None:
        until = time.monotonic() + self.queue_s
        while (self.held.is_set() or time.monotonic() < until) and job.status == "Queued":
            time.sleep(0.02)
        if job.status != "Queued":
            return
        job.status = "Running"
        while self.stuck.is_set() and job.status == "Running":
            time.sleep(0.02)
        from tests.stub.compute import compute

        try:
            result = compute(job.program, job.params, self.truth.get(job.device, self._backends[job.device]))
        except Exception:  # the service's own fault is a failed job, as at IBM
            job.result = traceback.format_exc()
            job.reason, job.reason_code = "Internal error.", 9999
            job.status = "Failed"
            return
        if job.status == "Running":
            job.seconds = self.job_s
            job.result = result
            job.status = "Completed"


def snapshot(name: str, kind: str) -> dict[str, Any]:
    """A snapshot's `conf` or `props`, as the service sends them."""
    folder = Path(inspect.getfile(fake_provider)).parent / "backends" / name
    values: dict[str, Any] = json.loads((folder / f"{kind}_{name}.json").read_text(encoding="utf-8"))
    return values


@cache
def _backend(name: str) -> Any:
    module = importlib.import_module(f"qiskit_ibm_runtime.fake_provider.backends.{name}.fake_{name}")
    for attribute, value in vars(module).items():
        ours = getattr(value, "__module__", "") == module.__name__
        if ours and attribute.lower() in (f"fake{name}v2", f"fake{name}"):
            return value()
    raise ValueError(f"there is no snapshot {name!r}")


def _failed(job: Job) -> None:
    job.status, job.reason, job.reason_code = "Failed", "Internal error.", 9999
    job.result = "Traceback: the stub was told to fail"


def _cancelled(job: Job) -> None:
    job.status, job.reason, job.reason_code = "Cancelled", "Cancelled by an administrator.", 1303


def _failed_late(job: Job) -> None:
    _failed(job)
    job.seconds, job.result = 25.0, ""


def _ran_too_long(job: Job) -> None:
    job.status, job.reason, job.seconds = "Cancelled - Ran too long", "It ran too long.", 9.0


def _over_time(job: Job) -> None:
    job.status, job.reason, job.reason_code = "Cancelled", "Job ran longer than allowed.", 1305


_ENDS: Mapping[str, Callable[[Job], None]] = {
    "job-fails": _failed,
    "job-cancelled": _cancelled,
    "job-over-time": _over_time,
    "job-fails-late": _failed_late,
    "job-ran-too-long": _ran_too_long,
}
