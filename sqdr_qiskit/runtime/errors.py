"""Every error of the runtime client, translated once into ours; nothing else in the package names theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum

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

from sqdr_qiskit.errors import ArgumentError, BackendError, SqdrError, UnsupportedError
from sqdr_qiskit.runtime.cleaning import clean

__all__ = ["TRANSLATIONS", "Kind", "Unreadable", "is_no", "kind_of", "one_line", "translated"]


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


_Made = Callable[[str], SqdrError]


def _input(message: str) -> SqdrError:
    return ArgumentError(message)


def _unsupported(message: str) -> SqdrError:
    return UnsupportedError(message)


def _failed(message: str) -> SqdrError:
    return BackendError(message)


# Their class -> what we say it was, and our class. The nearest base class counts.
TRANSLATIONS: Mapping[type[BaseException], tuple[str, _Made]] = {
    accounts.AccountNotFoundError: ("there is no IBM Quantum account on this machine", _input),
    accounts.AccountAlreadyExistsError: ("an account of that name is saved already", _input),
    accounts.InvalidAccountError: ("the IBM Quantum account is not valid", _input),
    accounts.CloudResourceNameResolutionError: ("the account's instance cannot be found", _input),
    accounts.AccountsError: ("something is wrong with the IBM Quantum account", _input),
    theirs.IBMAccountError: ("something is wrong with the IBM Quantum account", _input),
    theirs.IBMNotAuthorizedError: ("IBM Quantum did not accept the account's API token", _input),
    theirs.IBMInputValueError: ("IBM's client refused the request", _unsupported),
    theirs.IBMBackendValueError: ("IBM's client refused the request", _unsupported),
    theirs.IBMBackendApiProtocolError: ("IBM Quantum gave an answer that its client cannot read", _failed),
    theirs.IBMBackendApiError: ("IBM Quantum failed", _failed),
    theirs.IBMBackendError: ("IBM Quantum failed", _failed),
    theirs.IBMApiError: ("IBM Quantum failed", _failed),
    theirs.RuntimeProgramNotFound: ("IBM Quantum does not know this kind of job", _unsupported),
    theirs.RuntimeJobNotFound: ("IBM Quantum knows no such job", _input),
    theirs.RuntimeJobFailureError: ("the job failed", _failed),
    theirs.RuntimeJobMaxTimeoutError: ("the job ran into its time limit", _failed),
    theirs.RuntimeInvalidStateError: ("the job was cancelled", _failed),
    theirs.RuntimeJobTimeoutError: ("waiting for the job took too long", _failed),
    theirs.IBMRuntimeError: ("IBM Quantum failed", _failed),
    theirs.IBMError: ("IBM Quantum failed", _failed),
    api.AuthenticationLicenseError: ("IBM Quantum's licence must be accepted in a browser first", _input),
    api.ApiIBMProtocolError: ("IBM Quantum gave an answer that its client cannot read", _failed),
    api.UserTimeoutExceededError: ("waiting for IBM Quantum took too long", _failed),
    api.RequestsApiError: ("IBM Quantum did not answer as it should", _failed),
    api.ApiError: ("IBM Quantum failed", _failed),
    models.BackendPropertyError: ("the device lacks a calibration value", _failed),
    models.BackendConfigurationError: ("the device's description lacks something", _failed),
    QiskitBackendNotFoundError: ("there is no such device on this account", _input),
    JobError: ("the job failed", _failed),
    ValidationError: ("IBM's client refused an option", _input),
    ApiException: ("IBM Cloud did not answer as it should", _failed),
    NoConnection: ("IBM Quantum cannot be reached", _failed),
    Timeout: ("IBM Quantum did not answer in time", _failed),
    RequestException: ("IBM Quantum did not answer as it should", _failed),
    Unreadable: ("IBM Quantum gave an answer that cannot be right", _failed),
    QiskitError: ("Qiskit refused the request", _unsupported),
}

_PASSING_CODES = frozenset({408, 425, 429, *range(500, 600)})
# What the client stumbles over when an answer is not what it expects.
_STUMBLES = (KeyError, IndexError, TypeError, AttributeError, ValueError, theirs.IBMBackendApiProtocolError)


def kind_of(error: BaseException) -> Kind:
    """What can be done about an error of the client, of the network, or of anything below them."""
    for link in _chain(error):
        if isinstance(link, theirs.IBMNotAuthorizedError):
            return Kind.UNAUTHORISED
        if isinstance(link, Unreadable | JSONDecodeError):
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
            if not found and (
                "Connection" in str(link) or "Max retries" in str(link) or "timed out" in str(link)
            ):
                return Kind.PASSING
    if isinstance(error, _STUMBLES) and not isinstance(
        error, theirs.IBMError | ValidationError | ApiException
    ):
        return Kind.UNREADABLE
    return Kind.REFUSED


def is_no(error: BaseException) -> bool:
    """Whether the service itself said no (HTTP 4xx): what was asked for was then certainly not done."""
    return any(400 <= (_status(link) or 0) < 500 for link in _chain(error))


def translated(error: BaseException, *, doing: str) -> SqdrError:
    """Our error for one of theirs.

    Args:
        error: Theirs; one of ours is returned as it is.
        doing: What was being done, for the line: `sending request 3`.
    """
    if isinstance(error, SqdrError):
        return error
    if any(_status(link) == 403 for link in _chain(error)):
        return ArgumentError(f"IBM Quantum refused this account (HTTP 403) while {doing}: {one_line(error)}")
    for base in type(error).__mro__:
        if base in TRANSLATIONS:
            said, make = TRANSLATIONS[base]
            return make(f"{said[0].upper()}{said[1:]} while {doing}: {one_line(error)}")
    return BackendError(f"Something failed while {doing}: {type(error).__name__}: {one_line(error)}")


def one_line(error: BaseException | str) -> str:
    """What an error says: one line of at most 300 characters with a full stop, cleaned."""
    text = error if isinstance(error, str) else str(getattr(error, "message", "") or error)
    text = " ".join(clean(text).strip("'\"").replace(": '", ": ").split())
    text = re.sub(r" for url: \S+?(?=[.]? |[.]?$)|[.]* *\{.*$", "", text)  # addresses and answers in JSON
    text = text or (error if isinstance(error, str) else type(error).__name__) or "Nothing was said."
    text = text if len(text) <= 300 else text[:299].rstrip() + "…"
    return text if text.endswith((".", "…", "!", "?")) else text + "."


def _chain(error: BaseException) -> Iterator[BaseException]:
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
