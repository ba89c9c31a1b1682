"""The client asked with patience: what its errors mean, how long to wait for an answer.

Every error of the client is judged and translated once, here; `accounts` and `service` name theirs only where
there is more to say of one. Every question to the service is asked in a thread of its own while the caller
waits: so a line can be said when an answer is slow, an answer that never comes is given up, and Ctrl-C works
at once, whatever the network does.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, TypeVar

from ibm_cloud_sdk_core import ApiException
from pydantic import ValidationError
from qiskit.exceptions import QiskitError
from qiskit.providers import JobError, QiskitBackendNotFoundError
from qiskit_ibm_runtime import exceptions as theirs
from qiskit_ibm_runtime.accounts import exceptions as accounts
from qiskit_ibm_runtime.api import exceptions as api
from qiskit_ibm_runtime.models import exceptions as models
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import HTTPError, JSONDecodeError, RequestException, Timeout

from sqdr_qiskit.errors import ArgumentError, BackendError, SqdrError, UnsupportedError, clean
from sqdr_qiskit.runtime import Waiting

__all__ = [
    "chain",
    "is_no",
    "Kind",
    "kind_of",
    "one_line",
    "Outage",
    "Patience",
    "Question",
    "quiet_client",
    "TRANSLATIONS",
    "translated",
    "translating",
    "Unreadable",
]

_T = TypeVar("_T")
_U = TypeVar("_U")


class Unreadable(Exception):  # noqa: N818 (an answer, not a mistake of ours)
    """An answer of the service that cannot be right: it says nothing of the job, and is asked for again."""


class Kind(Enum):
    """What can be done about an error.

    Members:
        PASSING: It may pass: ask again. Whether a request got through is unknown.
        UNREADABLE: There was an answer, but it cannot be right: ask again, for a while.
        UNAUTHORISED: The service no longer takes the token; a new login may help. Nothing was done.
        REFUSED: The service said no; asking again changes nothing.
    """

    PASSING = "passing"
    UNREADABLE = "unreadable"
    UNAUTHORISED = "unauthorised"
    REFUSED = "refused"


# Their class -> what we say it was, and our class. The nearest base class counts.
TRANSLATIONS: Mapping[type[BaseException], tuple[str, type[SqdrError]]] = {
    accounts.AccountNotFoundError: ("there is no IBM Quantum account on this machine", ArgumentError),
    accounts.AccountAlreadyExistsError: ("an account of that name is saved already", ArgumentError),
    accounts.InvalidAccountError: ("the IBM Quantum account is not valid", ArgumentError),
    accounts.CloudResourceNameResolutionError: ("the account's instance cannot be found", ArgumentError),
    accounts.AccountsError: ("something is wrong with the IBM Quantum account", ArgumentError),
    theirs.IBMAccountError: ("something is wrong with the IBM Quantum account", ArgumentError),
    theirs.IBMNotAuthorizedError: ("IBM Quantum did not accept the account's API token", ArgumentError),
    theirs.IBMInputValueError: ("IBM's client refused the request", UnsupportedError),
    theirs.IBMBackendValueError: ("IBM's client refused the request", UnsupportedError),
    theirs.IBMBackendApiProtocolError: (
        "IBM Quantum gave an answer that its client cannot read",
        BackendError,
    ),
    theirs.IBMBackendApiError: ("IBM Quantum failed", BackendError),
    theirs.IBMBackendError: ("IBM Quantum failed", BackendError),
    theirs.IBMApiError: ("IBM Quantum failed", BackendError),
    theirs.RuntimeProgramNotFound: ("IBM Quantum does not know this kind of job", UnsupportedError),
    theirs.RuntimeJobNotFound: ("IBM Quantum knows no such job", ArgumentError),
    theirs.RuntimeJobFailureError: ("the job failed", BackendError),
    theirs.RuntimeJobMaxTimeoutError: ("the job ran into its time limit", BackendError),
    theirs.RuntimeInvalidStateError: ("the job was cancelled", BackendError),
    theirs.RuntimeJobTimeoutError: ("waiting for the job took too long", BackendError),
    theirs.IBMRuntimeError: ("IBM Quantum failed", BackendError),
    theirs.IBMError: ("IBM Quantum failed", BackendError),
    api.AuthenticationLicenseError: (
        "IBM Quantum's licence must be accepted in a browser first",
        ArgumentError,
    ),
    api.ApiIBMProtocolError: ("IBM Quantum gave an answer that its client cannot read", BackendError),
    api.UserTimeoutExceededError: ("waiting for IBM Quantum took too long", BackendError),
    api.RequestsApiError: ("IBM Quantum did not answer as it should", BackendError),
    api.ApiError: ("IBM Quantum failed", BackendError),
    models.BackendPropertyError: ("the device lacks a calibration value", BackendError),
    models.BackendConfigurationError: ("the device's description lacks something", BackendError),
    QiskitBackendNotFoundError: ("there is no such device on this account", ArgumentError),
    JobError: ("the job failed", BackendError),
    ValidationError: ("IBM's client refused an option", ArgumentError),
    ApiException: ("IBM Cloud did not answer as it should", BackendError),
    NoConnection: ("IBM Quantum cannot be reached", BackendError),
    Timeout: ("IBM Quantum did not answer in time", BackendError),
    RequestException: ("IBM Quantum did not answer as it should", BackendError),
    Unreadable: ("IBM Quantum gave an answer that cannot be right", BackendError),
    QiskitError: ("Qiskit refused the request", UnsupportedError),
}

_PASSING_CODES = frozenset({408, 425, 429, *range(500, 600)})
# What the client stumbles over when an answer is not what it expects.
_STUMBLES = (KeyError, IndexError, TypeError, AttributeError, ValueError)


def kind_of(error: BaseException) -> Kind:
    """What can be done about an error of the client, of the network, or of anything below them."""
    for link in chain(error):
        if isinstance(link, theirs.IBMNotAuthorizedError):
            return Kind.UNAUTHORISED
        if isinstance(link, Unreadable | JSONDecodeError | theirs.IBMBackendApiProtocolError):
            return Kind.UNREADABLE
        code = _status(link)
        if code in (401, 403):
            return Kind.UNAUTHORISED
        if code in _PASSING_CODES:
            return Kind.PASSING
        if isinstance(link, NoConnection | Timeout | OSError) and not isinstance(link, HTTPError):
            return Kind.PASSING
        if isinstance(link, theirs.IBMRuntimeError | api.RequestsApiError):
            found = re.search(r"\b([45]\d\d) (?:Client|Server) Error", str(link))
            if found and int(found[1]) in _PASSING_CODES:
                return Kind.PASSING
            if not found and any(word in str(link) for word in ("Connection", "Max retries", "timed out")):
                return Kind.PASSING
    stumbled = isinstance(error, _STUMBLES)
    meant = isinstance(error, theirs.IBMError | ValidationError | ApiException)  # some are ValueErrors, too
    return Kind.UNREADABLE if stumbled and not meant else Kind.REFUSED


def is_no(error: BaseException) -> bool:
    """Whether the service itself said no (HTTP 4xx): what was asked for was then certainly not done."""
    return any(400 <= (_status(link) or 0) < 500 for link in chain(error))


def translated(error: BaseException, *, doing: str) -> SqdrError:
    """Our error for one of theirs.

    Args:
        error: Theirs; one of ours is returned as it is.
        doing: What was being done, for the line: `sending request 3`.
    """
    if isinstance(error, SqdrError):
        return error
    if any(_status(link) == 403 for link in chain(error)):
        return ArgumentError(f"IBM Quantum refused this account (HTTP 403) while {doing}: {one_line(error)}")
    for base in type(error).__mro__:
        if base in TRANSLATIONS:
            said, ours = TRANSLATIONS[base]
            return ours(f"{said[0].upper()}{said[1:]} while {doing}: {one_line(error)}")
    return BackendError(f"Something failed while {doing}: {type(error).__name__}: {one_line(error)}")


def one_line(error: BaseException | str) -> str:
    """What an error says: one line of at most 300 characters with a full stop, cleaned."""
    text = error if isinstance(error, str) else str(getattr(error, "message", "") or error)
    text = " ".join(clean(text).strip("'\"").replace(": '", ": ").split())
    text = re.sub(r" for url: \S+?(?=[.]? |[.]?$)|[.]* *\{.*$", "", text)  # addresses and answers in JSON
    text = text or (error if isinstance(error, str) else type(error).__name__) or "Nothing was said."
    text = text if len(text) <= 300 else text[:299].rstrip() + "…"
    return text if text.endswith((".", "…", "!", "?")) else text + "."


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, what caused that, and so on."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _status(error: BaseException) -> int | None:
    """HTTP status of an error that has one."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "_code"):
            code = getattr(holder, name, None)
            if isinstance(code, int) and code > 0:
                return code
    return None


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
        begun = time.monotonic()
        self.start()
        try:
            while True:
                waited = time.monotonic() - begun
                self.join(min(silence_s, max(longest_s - waited, 0.0)))
                if not self.is_alive():
                    break
                waited = time.monotonic() - begun
                if waited >= longest_s:
                    raise Timeout(f"no answer for {longest_s:.0f} s")
                text = f"No answer from IBM Quantum for {waited:.0f} s while {doing}; waiting for up to"
                watch(Waiting(f"{text} {longest_s:.0f} s (Ctrl-C leaves)", "outage", waited_s=waited))
        finally:
            self.abandoned = True
        if self.error is not None:
            raise self.error
        return self.answer


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

    @classmethod
    def usual(cls) -> Patience:
        """The usual times; the environment's SQDR_PATIENCE, which tests set, multiplies every pause.

        Raises:
            ArgumentError: SQDR_PATIENCE is no number above 0.
        """
        text = os.environ.get("SQDR_PATIENCE", "1")
        try:
            scale = float(text)
        except ValueError:
            scale = math.nan
        if not 0 < scale < math.inf:
            raise ArgumentError(
                f"Environment variable SQDR_PATIENCE must be a number above 0, but is {text[:40]!r}."
            )
        of_one_answer = ("silence_s", "answer_s", "post_s")  # what a network needs does not scale
        pauses = [one for one in fields(cls) if one.name not in of_one_answer]
        return cls(**{one.name: getattr(cls, one.name) * scale for one in pauses})

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
        outage, renewed = Outage(self, doing, watch), False
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
            if kind not in (Kind.PASSING, Kind.UNREADABLE):
                raise translated(error, doing=doing) from error
            what = "is away" if kind is Kind.PASSING else "gave an answer that cannot be right"
            text = (
                f"IBM Quantum {what} while {doing} ({one_line(error)[:120]}); nothing is lost, asking again"
            )
            outage.sit_out(error, kind, f"{text} in {outage.pause_s:.0f} s")


class Outage:
    """The time without a good answer to one question: each pause is twice as long as the last.

    Args:
        patience: Says how long.
        doing: What is being done, for the error.
        watch: Told of each pause.

    Attributes:
        pause_s: The next pause, seconds.
    """

    def __init__(self, patience: Patience, doing: str, watch: Callable[[Waiting], None]) -> None:
        self.pause_s = patience.first_s
        self._patience, self._doing, self._watch = patience, doing, watch
        self._since: float | None = None

    def sit_out(self, error: Exception, kind: Kind, text: str) -> None:
        """Say that there was no answer, and wait.

        Raises:
            SqdrError: The outage, or what cannot be read, has lasted for too long.
        """
        now, patience = time.monotonic(), self._patience
        self._since = now if self._since is None else self._since
        if now - self._since > (patience.outage_s if kind is Kind.PASSING else patience.unreadable_s):
            raise translated(error, doing=self._doing) from error
        self._watch(Waiting(text, "outage", waited_s=now - self._since))
        time.sleep(self.pause_s)
        self.pause_s = min(2 * self.pause_s, patience.longest_s)


def _judged(problem: Exception) -> Kind:
    """What can be done about a problem; about one that is ours by now, by what caused it."""
    if not isinstance(problem, SqdrError):
        return kind_of(problem)
    cause = problem.__cause__
    return Kind.PASSING if cause is not None and kind_of(cause) is Kind.PASSING else Kind.REFUSED


@contextmanager
def translating(doing: str) -> Iterator[None]:
    """Ask the client something within: its remarks are unheard, its errors become ours.

    Args:
        doing: See `translated`.
    """
    try:
        with quiet_client():
            yield
    except SqdrError:
        raise
    except Exception as error:
        raise translated(error, doing=doing) from error


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
