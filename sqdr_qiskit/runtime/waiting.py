"""Patience: how long one answer may take, how long to ride out an outage, how to leave.

Every question to the service is asked in a thread of its own while the caller waits: so a line can be said
when an answer is slow, an answer that never comes is given up, and Ctrl-C works at once, whatever the network
does.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from requests.exceptions import Timeout

from sqdr_qiskit.errors import ArgumentError, RunError, SqdrError
from sqdr_qiskit.runtime.errors import Kind, kind_of, one_line, translated

__all__ = ["Attention", "Detached", "Leaving", "Patience", "Question", "Waiting", "nobody", "quiet_client"]

_T = TypeVar("_T")
_U = TypeVar("_U")


class Detached(RunError):  # noqa: N818 (it is no mistake)
    """The user left while jobs were under way; they go on, and their ids are on disk."""

    exit_code: ClassVar[int] = 130


class Leaving(KeyboardInterrupt):
    """Ctrl-C while a run has jobs on a quantum computer: raised wherever the program is.

    Nothing has to be protected from it: the ledger is enough to go on from any point, as after a kill.
    """


@dataclass(frozen=True)
class Waiting:
    """Where a run's jobs stand, for whoever watches.

    Attributes:
        text: One line.
        state: `queued`, `running`, `outage`, `cost`, `sent`, `collected`, `warning`.
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
    """How often the user wanted to leave: once detaches, twice cancels, three times ends all.

    Attributes:
        grace_s: Seconds after the first wish in which a second one counts.
        asked: Wishes so far.
        leaving: Whether the first wish is being carried out.
    """

    grace_s: float = 3.0
    asked: int = 0
    leaving: bool = False

    def ask(self) -> None:
        """Note one more wish.

        Raises:
            Leaving: Unless it is the second one while the first is being carried out, which only counts.
        """
        self.asked += 1
        if not (self.leaving and self.asked == 2):
            raise Leaving

    def second_wish(self) -> bool:
        """Wait for the grace's length; whether the user wants the jobs cancelled."""
        self.leaving = True
        until = time.monotonic() + self.grace_s
        while self.asked < 2 and time.monotonic() < until:
            time.sleep(0.05)
        return self.asked >= 2


class Question(threading.Thread):
    """One question to the service.

    Attributes:
        abandoned: Nobody waits for the answer any more: nothing may be sent on its behalf from now on.
        jobs_posted: How many POSTs of a job it has begun; the connection counts them.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        super().__init__(daemon=True, name="ibm-quantum")
        self.abandoned = False
        self.jobs_posted = 0
        self.answer: Any = None
        self.error: BaseException | None = None
        self._ask = ask

    def run(self) -> None:
        """Ask."""
        try:
            with quiet_client():
                self.answer = self._ask()
        except BaseException as error:  # raised again by whoever waits
            self.error = error

    def wait(
        self, doing: str, *, longest_s: float, silence_s: float, watch: Callable[[Waiting], None]
    ) -> Any:
        """The answer.

        Raises:
            Timeout: It took longer than `longest_s`.
        """
        begun, pause = time.monotonic(), silence_s
        self.start()
        try:
            while True:
                waited = time.monotonic() - begun
                self.join(min(pause, max(longest_s - waited, 0.0)))
                if not self.is_alive():
                    break
                waited = time.monotonic() - begun
                if waited >= longest_s:
                    raise Timeout(f"no answer for {longest_s:.0f} s")
                watch(
                    Waiting(
                        f"No answer from IBM Quantum for {waited:.0f} s while {doing}; waiting for up to "
                        f"{longest_s:.0f} s (Ctrl-C leaves)",
                        "outage",
                        waited_s=waited,
                    )
                )
        finally:
            self.abandoned = True
        if self.error is not None:
            raise self.error
        return self.answer


def _scale() -> float:
    """Tests wait less: SQDR_PATIENCE multiplies every pause."""
    text = os.environ.get("SQDR_PATIENCE", "1")
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 < scale < math.inf:
        raise ArgumentError(
            f"Environment variable SQDR_PATIENCE must be a number above 0, but is {text[:40]!r}."
        )
    return scale


@dataclass(frozen=True)
class Patience:
    """Times to wait, seconds.

    Attributes:
        poll_s: Between two questions about a job, at first.
        poll_longest_s: And at last.
        outage_s: How long the service may be away before a run gives up (nothing is lost by it).
        first_s: First pause of an outage; each next one is twice as long.
        longest_s: Longest pause of an outage.
        settle_s: How long a job that was perhaps created may take to appear under its tag, from the end of
            the POST; at least twice as long as the POST took.
        unreadable_s: How long an answer that cannot be right is asked for again.
        start_s: How long the service may be away before anything was sent.
        silence_s: After how long without an answer a line is said.
        answer_s: The longest wait for one answer.
        post_s: The same for a job's POST.
    """

    poll_s: float = 1.0
    poll_longest_s: float = 30.0
    outage_s: float = 6 * 3600.0
    first_s: float = 2.0
    longest_s: float = 120.0
    settle_s: float = 20.0
    unreadable_s: float = 300.0
    start_s: float = 10.0
    silence_s: float = 10.0
    answer_s: float = 60.0
    post_s: float = 180.0

    _PAUSES: ClassVar[tuple[str, ...]] = (
        *(
            "poll_s",
            "poll_longest_s",
            "outage_s",
            "first_s",
            "longest_s",
            "settle_s",
            "unreadable_s",
            "start_s",
        ),
    )

    @classmethod
    def usual(cls) -> Patience:
        """The usual times; the environment's SQDR_PATIENCE, which tests set, multiplies every pause.

        Raises:
            ArgumentError: SQDR_PATIENCE is no number above 0.
        """
        scale, plain = _scale(), cls()
        return cls(**{name: getattr(plain, name) * scale for name in cls._PAUSES})

    def hurried(self) -> Patience:
        """The same for a user who waits: outages are ridden out no longer than before a start."""
        return replace(
            self, outage_s=self.start_s, unreadable_s=self.start_s, answer_s=min(self.answer_s, 15.0)
        )

    def polls(self) -> Iterator[float]:
        """Pauses between questions, growing."""
        pause = self.poll_s
        while True:
            yield pause
            pause = min(pause * 1.3, self.poll_longest_s)

    def ask(self, question: Callable[[], _T], *, doing: str, watch: Callable[[Waiting], None]) -> _T:
        """Ask once; a line is said when the answer is slow.

        Raises:
            Timeout: It did not come.
        """
        answer: _T = Question(question).wait(
            doing, longest_s=self.answer_s, silence_s=self.silence_s, watch=watch
        )
        return answer

    def ride(
        self,
        question: Callable[[], _T],
        read: Callable[[_T], _U] = lambda answer: answer,  # type: ignore[assignment,return-value]
        *,
        doing: str,
        watch: Callable[[Waiting], None],
        renew: Callable[[], None],
    ) -> _U:
        """Ask a question that changes nothing until there is an answer that can be read.

        Args:
            question: Asks; what it raises is judged by `kind_of`.
            read: Takes the answer apart; raises `Unreadable` if it cannot be right.
            doing: What is being done, for the lines.
            watch: Told of outages.
            renew: Logs in anew; called once after the service refused the token.

        Raises:
            SqdrError: The question was refused, or the outage or the unreadable answers lasted too long.
        """
        pause, lost_at, renewed = self.first_s, None, False
        while True:
            try:
                return read(self.ask(question, doing=doing, watch=watch))
            except AssertionError:
                raise
            except Exception as problem:
                error, kind = problem, _judged(problem)
            if kind is Kind.UNAUTHORISED and not renewed:
                watch(Waiting(f"IBM Quantum wants a new login while {doing}; logging in again", "outage"))
                renewed = True
                try:
                    renew()
                    continue
                except Exception as problem:  # judged as if the question had met it
                    error, kind = problem, _judged(problem)
                    renewed = kind is not Kind.PASSING
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            limit = {Kind.PASSING: self.outage_s, Kind.UNREADABLE: self.unreadable_s}.get(kind, -1.0)
            if now - lost_at > limit or limit < 0:
                raise translated(error, doing=doing) from error
            what = "is away" if kind is Kind.PASSING else "gave an answer that cannot be right"
            watch(
                Waiting(
                    f"IBM Quantum {what} while {doing} ({one_line(error)[:120]}); nothing is lost, asking "
                    f"again in {pause:.0f} s",
                    "outage",
                    waited_s=now - lost_at,
                )
            )
            time.sleep(pause)
            pause = min(2 * pause, self.longest_s)


def _judged(problem: Exception) -> Kind:
    """What can be done about a problem; about one that is ours by now, by what caused it."""
    if not isinstance(problem, SqdrError):
        return kind_of(problem)
    cause = problem.__cause__
    return Kind.PASSING if cause is not None and kind_of(cause) is Kind.PASSING else Kind.REFUSED


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client's remarks (which instance it chose, what is deprecated) off the user's screen."""
    logger = logging.getLogger("qiskit_ibm_runtime")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
