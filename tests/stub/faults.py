"""What the stub can do wrong, on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

__all__ = ["FAULTS", "Faults"]

# Name -> what happens, for `--fault NAME[:TIMES]` and the tests.
FAULTS: dict[str, str] = {
    # a job's POST
    "post-502-created": "POST of a job is answered 502, but the job was created",
    "post-502-lost": "POST of a job is answered 502 and nothing was created",
    "post-cut": "the connection is cut after the job was created, before the answer",
    "post-504-late": "POST of a job is answered 504 after a while, the job was created",
    "post-empty": "POST of a job is answered 200 with {}, the job was created",
    "post-html": "POST of a job is answered 200 with a page, the job was created",
    "post-odd-id": "POST of a job is answered with an id that holds an escape sequence, the job was created",
    "post-other-id": "POST of a job is answered with the id of another job, the job was created",
    "post-hangs": "POST of a job is not answered, the job was created",
    # a job's state
    "status-503": "a job's state is answered 503",
    "status-429-hour": "a job's state is answered 429 with Retry-After: 3600",
    "status-empty": "a job's state is answered 200 with {}",
    "status-other": "a job's state is answered with that of another job",
    "status-unknown": "a job's state is one that nobody knows",
    "status-hangs": "a job's state is not answered",
    "status-slow": "a job's state comes a byte at a time",
    "status-404": "a job's state is answered 404",
    # results
    "results-503": "results are answered 503",
    "results-204": "results are answered 204, without content",
    "results-empty": "results are answered 200, empty",
    "results-404": "results are answered 404",
    "results-nothing": "results are answered 200 with {}",
    "results-cut": "results are JSON cut short",
    "results-short": "results lack an item",
    "results-nan": "results hold a number that is none",
    "results-large": "results hold a number beyond what can be",
    "results-hang": "results are not answered",
    # listings
    "tag-late": "a job appears under its tag only after a while",
    "tag-ignored": "a listing ignores the tags that were asked for",
    "tag-endless": "a listing promises more jobs than it sends",
    "tag-503": "a listing is answered 503",
    "tag-nothing": "a listing is answered 200 with {}",
    # usage
    "usage-pending": "what a job used is not known yet",
    "usage-missing": "what a job used is not said",
    "usage-negative": "what a job used is said to be -50 s",
    "usage-500": "what a job used is answered 500",
    # the account
    "jobs-401": "whatever concerns jobs is answered 401",
    "token-400": "the identity service knows no such API key (400)",
    "token-500": "the identity service is away (500)",
    "api-403": "the list of devices is answered 403",
    "api-500": "the list of devices is answered 500",
    "configuration-500": "a device's description is answered 500",
    "session-1352": "sessions and batches are refused (HTTP 400, code 1352)",
    # what the service decides
    "job-fails": "the job fails",
    "job-cancelled": "somebody cancels the job",
    "job-over-time": "the job runs into its time limit (reason code 1305)",
    "job-ran-too-long": "the job's state is `Cancelled - Ran too long`",
    "job-fails-late": "the job runs for 25 s of quantum time, then fails",
    "cancel-500": "a job's cancellation is answered 500",
    "cancel-ignored": "a job's cancellation is answered 204, and it goes on",
    # words
    "error-echoes": "a job's POST is refused (400) with a page that echoes the token, the CRN and an escape",
    "reason-echoes": "the job fails with a reason that echoes the token, the CRN, an escape and HTML",
}


@dataclass
class Faults:
    """How often each fault is still to happen.

    Attributes:
        left: By name.
        waiting: How often it could happen, and does not, before it does.
        taken: What happened, in order.
    """

    left: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def order(self, name: str, times: int = 1, after: int = 0) -> None:
        """Let a fault happen so many times, after it could have happened so many times."""
        if name not in FAULTS:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
        with self._lock:
            self.left[name], self.waiting[name] = times, after

    def take(self, name: str) -> bool:
        """Whether a fault happens now."""
        with self._lock:
            left = self.left.get(name, 0)
            if left and self.waiting.get(name, 0):
                self.waiting[name] -= 1
                return False
            self.left[name] = max(left - 1, 0)
            if left > 0:
                self.taken.append(name)
            return left > 0
