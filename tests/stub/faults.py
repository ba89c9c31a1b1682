"""What the stub can do wrong, on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

__all__ = ["FAULTS", "Faults"]

# Name -> what happens, for `--fault NAME[:TIMES]` and the tests.
FAULTS: dict[str, str] = {
    "post-502-created": "POST of a job is answered 502, but the job was created",
    "post-502-lost": "POST of a job is answered 502 and nothing was created",
    "post-cut": "the connection is cut after the job was created, before the answer",
    "results-503": "results are answered 503",
    "status-503": "a job's state is answered 503",
    "jobs-401": "whatever concerns jobs is answered 401",
    "token-400": "the identity service knows no such API key (400)",
    "job-fails": "the job fails",
    "job-cancelled": "somebody cancels the job",
    "job-over-time": "the job runs into its time limit (reason code 1305)",
    "session-1352": "sessions and batches are refused (HTTP 400, code 1352)",
}


@dataclass
class Faults:
    """How often each fault is still to happen."""

    left: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def order(self, name: str, times: int = 1) -> None:
        """Let a fault happen the next so many times."""
        if name not in FAULTS:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
        with self._lock:
            self.left[name] = times

    def take(self, name: str) -> bool:
        """Whether a fault happens now."""
        with self._lock:
            left = self.left.get(name, 0)
            self.left[name] = max(left - 1, 0)
            return left > 0
