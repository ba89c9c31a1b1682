"""Patience: how long to wait between questions, how long to ride out an outage, when the user has enough."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from sqdr_qiskit.errors import RunError, SqdrError
from sqdr_qiskit.runtime.errors import Kind, kind_of, one_line, translated

__all__ = ["Attention", "Detached", "Patience", "Waiting", "nobody"]

_T = TypeVar("_T")


class Detached(RunError):  # noqa: N818 (it is no mistake)
    """The user left while jobs were under way; they go on, and their ids are on disk."""

    exit_code: ClassVar[int] = 130


@dataclass(frozen=True)
class Waiting:
    """Where a run's jobs stand, for whoever watches.

    Attributes:
        text: One line.
        state: `queued`, `running`, `outage`, `cost`, `sent`, `collected`.
        job_id: The job that is waited for.
        position: Jobs before it in the queue, where the service says so.
        waited_s: Seconds since it was asked for.
        done: Requests of the group that are collected.
        total: Requests of the group.
    """

    text: str
    state: str
    job_id: str | None = None
    position: int | None = None
    waited_s: float = 0.0
    done: int = 0
    total: int = 0


def nobody(now: Waiting) -> None:
    """Watch, and say nothing."""


@dataclass
class Attention:
    """Whether the user wants to leave: once detaches, twice cancels.

    Attributes:
        grace_s: Seconds after the first wish in which a second one counts.
    """

    grace_s: float = 3.0
    _asked: int = 0
    _event: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> int:
        """Note one more wish to leave; how many there were."""
        self._asked += 1
        self._event.set()
        return self._asked

    @property
    def asked(self) -> int:
        """How often the user wanted to leave."""
        return self._asked

    def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until the user wants to leave."""
        self._event.wait(max(seconds, 0.0))

    def second_wish(self) -> bool:
        """Wait for the grace's length; whether the user wants the jobs cancelled."""
        until = time.monotonic() + self.grace_s
        while self._asked < 2 and time.monotonic() < until:
            time.sleep(0.05)
        return self._asked >= 2


def _scale() -> float:
    """Tests wait less: SQDR_PATIENCE multiplies every wait."""
    return float(os.environ.get("SQDR_PATIENCE", "1"))


@dataclass(frozen=True)
class Patience:
    """Times to wait, seconds.

    Attributes:
        poll_s: Between two questions about a job, at first.
        poll_longest_s: And at last.
        outage_s: How long the service may be away before a run gives up (nothing is lost by it).
        first_s: First pause of an outage; each next one is twice as long.
        longest_s: Longest pause of an outage.
        settle_s: How long a job that was perhaps created may take to appear under its tag.
    """

    poll_s: float = 1.0
    poll_longest_s: float = 30.0
    outage_s: float = 6 * 3600.0
    first_s: float = 2.0
    longest_s: float = 120.0
    settle_s: float = 20.0

    @classmethod
    def usual(cls) -> Patience:
        """The usual times; multiplied by the environment's SQDR_PATIENCE, which tests set."""
        scale = _scale()
        plain = cls()
        return cls(**{name: getattr(plain, name) * scale for name in cls.__dataclass_fields__})

    def polls(self) -> Iterator[float]:
        """Pauses between questions, growing."""
        pause = self.poll_s
        while True:
            yield pause
            pause = min(pause * 1.3, self.poll_longest_s)

    def riding(
        self,
        question: Callable[[], _T],
        *,
        doing: str,
        attention: Attention,
        watch: Callable[[Waiting], None],
        renew: Callable[[], None],
    ) -> _T:
        """Ask a question that changes nothing until it is answered.

        Args:
            question: Asks; what it raises is judged by `kind_of`.
            doing: What is being done, for the lines.
            attention: Ends the waiting when the user wants to leave.
            watch: Told of outages.
            renew: Logs in anew; called once after the service refused the token.

        Raises:
            SqdrError: The question was refused, the outage lasted too long, or the user left.
        """
        pause, lost_at, renewed = self.first_s, None, False
        while True:
            try:
                return question()
            except (SqdrError, AssertionError):
                raise
            except Exception as error:
                kind = kind_of(error)
                if kind is Kind.REFUSED or (kind is Kind.UNAUTHORISED and renewed):
                    raise translated(error, doing=doing) from error
                now = time.monotonic()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at > self.outage_s:
                    raise translated(error, doing=doing) from error
                if attention.asked:
                    raise Detached(f"Left while {doing}; IBM Quantum was not to be reached.") from error
                if kind is Kind.UNAUTHORISED:
                    watch(Waiting(f"IBM Quantum wants a new login while {doing}; logging in again", "outage"))
                    renewed = True
                    with _our_errors(doing):
                        renew()
                    continue
                watch(
                    Waiting(
                        f"IBM Quantum is away while {doing} ({one_line(error)[:120]}); nothing is lost, "
                        f"asking again in {pause:.0f} s",
                        "outage",
                        waited_s=now - lost_at,
                    )
                )
                attention.sleep(pause)
                pause = min(2 * pause, self.longest_s)


@contextmanager
def _our_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise translated(error, doing=doing) from error
