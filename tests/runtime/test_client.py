from __future__ import annotations

import ast
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import qiskit_ibm_runtime
from ibm_cloud_sdk_core import ApiException
from pydantic import ValidationError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMBackendApiProtocolError,
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
)
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ReadTimeout, Timeout

from sqdr_qiskit.errors import ArgumentError, BackendError, SqdrError, UnsupportedError
from sqdr_qiskit.runtime import Attention, Detached, Leaving, Waiting, nobody
from sqdr_qiskit.runtime.client import (
    TRANSLATIONS,
    Kind,
    Patience,
    Question,
    Unreadable,
    is_no,
    kind_of,
    one_line,
    translated,
)

QUICK = Patience(poll_s=0.0, first_s=0.0, longest_s=0.0, settle_s=0.0)


def _question(*answers: str | Exception) -> Callable[[], str]:
    left = iter(answers)

    def ask() -> str:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


class Log:
    def __init__(self) -> None:
        self.said: list[Waiting] = []
        self.renewed = 0

    def ride(self, question: Callable[[], str], patience: Patience = QUICK) -> str:
        return patience.ride(question, doing="asking", watch=self.said.append, renew=self.renew)

    def renew(self) -> None:
        self.renewed += 1


AWAY = RequestsApiError("503 Server Error", 503)


def test_an_outage_is_ridden_out_and_said() -> None:
    log = Log()
    assert log.ride(_question(AWAY, AWAY, "yes")) == "yes"
    assert [now.state for now in log.said] == ["outage", "outage"]
    assert "IBM Quantum is away while asking" in log.said[0].text


def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    Log().ride(_question(*[AWAY] * 5, "yes"), Patience(first_s=2.0, longest_s=10.0))
    assert pauses == [2.0, 4.0, 8.0, 10.0, 10.0]


def test_an_outage_that_lasts_too_long_ends_in_our_error() -> None:
    with pytest.raises(BackendError, match="did not answer as it should while asking: 503"):
        Log().ride(_question(AWAY, AWAY), Patience(first_s=0.0, outage_s=0.0))


def test_one_new_login_and_no_more() -> None:
    log = Log()
    assert log.ride(_question(IBMNotAuthorizedError("401"), "yes")) == "yes"
    assert log.renewed == 1
    with pytest.raises(ArgumentError, match="did not accept the account's API token while asking"):
        log.ride(_question(IBMNotAuthorizedError("401"), IBMNotAuthorizedError("401")))


def test_a_refusal_is_not_repeated() -> None:
    ask = _question(RequestsApiError("404 Client Error", 404), "never asked")
    with pytest.raises(BackendError, match="404"):
        Log().ride(ask)
    assert ask() == "never asked"


def test_our_own_errors_pass() -> None:
    with pytest.raises(ArgumentError, match=r"^Argument `x`"):
        Log().ride(_question(ArgumentError("Argument `x` must be 1, but is 2.")))


def test_a_login_that_fails_for_a_while_is_an_outage_too() -> None:
    log = Log()
    failures = [ConnectionResetError("reset"), BackendError("IBM Cloud is away.")]
    failures[1].__cause__ = failures[0]

    def renew() -> None:
        log.renewed += 1
        if failures:
            raise failures.pop()

    refused = IBMNotAuthorizedError("401")
    answer: str = QUICK.ride(
        _question(refused, refused, refused, "yes"), doing="asking", watch=log.said.append, renew=renew
    )
    assert answer == "yes"
    assert log.renewed == 3


def test_an_answer_that_cannot_be_right_is_asked_for_again_for_a_while() -> None:
    log = Log()
    assert log.ride(_question(Unreadable("It is empty."), KeyError("state"), "yes")) == "yes"
    assert "gave an answer that cannot be right while asking (It is empty.)" in log.said[0].text
    with pytest.raises(BackendError, match=r"an answer that cannot be right while asking: It is empty\."):
        log.ride(_question(*[Unreadable("It is empty.")] * 9), replace(QUICK, unreadable_s=0.0))


def test_silence_is_broken_and_an_answer_that_never_comes_is_given_up() -> None:
    log, never = Log(), threading.Event()
    patience = replace(QUICK, silence_s=0.02, answer_s=0.5, outage_s=0.0)
    with pytest.raises(BackendError, match="did not answer in time while asking"):
        patience.ride(never.wait, doing="asking", watch=log.said.append, renew=log.renew)
    assert "No answer from IBM Quantum for 0 s while asking; waiting for up to" in log.said[0].text
    never.set()


def test_a_question_that_nobody_waits_for_sends_nothing_more() -> None:
    question = Question(threading.Event().wait)
    with pytest.raises(Timeout, match="no answer"):
        question.wait("asking", longest_s=0.01, silence_s=1.0, watch=nobody)
    assert question.abandoned


def test_ctrl_c_works_while_an_answer_does_not_come() -> None:
    attention = Attention()
    before = signal.signal(signal.SIGINT, lambda *_: attention.ask())
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    never = threading.Event()
    try:
        timer.start()
        with pytest.raises(Leaving, match=r"^$"):
            QUICK.ask(never.wait, doing="asking", watch=nobody)
    finally:
        signal.signal(signal.SIGINT, before)
        never.set()
    assert attention.asked == 1


def test_polls_grow_and_stay() -> None:
    polls = list(itertools.islice(Patience(poll_s=1.0, poll_longest_s=2.0).polls(), 5))
    assert polls[0] == 1.0
    assert polls == sorted(polls)
    assert polls[-1] == 2.0


def test_tests_wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQDR_PATIENCE", "0.5")
    usual = Patience.usual()
    assert (usual.poll_s, usual.outage_s, usual.settle_s) == (0.5, 3 * 3600.0, 10.0)
    assert usual.answer_s == Patience().answer_s  # a machine under load answers no sooner


@pytest.mark.parametrize("text", ["abc", "", "0", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQDR_PATIENCE", text)
    with pytest.raises(ArgumentError, match=r"SQDR_PATIENCE must be a number above 0, but is '"):
        Patience.usual()


def test_only_a_second_wish_cancels() -> None:
    attention = Attention(grace_s=0.0)
    with pytest.raises(Leaving, match=r"^$"):
        attention.ask()
    assert not attention.second_wish()
    attention.ask()  # while the first is carried out it only counts
    assert attention.second_wish()
    with pytest.raises(Leaving, match=r"^$"):
        attention.ask()
    assert Detached.exit_code == 130


def _their_errors() -> list[type[BaseException]]:
    """Every exception class that the runtime client defines, found in its source."""
    root = Path(qiskit_ibm_runtime.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        names = [
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception", "NotFound"))
        ]
        if names:
            parts = path.relative_to(root).with_suffix("").parts
            module = import_module(".".join(["qiskit_ibm_runtime", *parts]))
            found += [getattr(module, name) for name in names]
    return [kind for kind in found if issubclass(kind, BaseException)]


def test_every_error_of_the_client_is_mapped() -> None:
    theirs = _their_errors()
    assert len(theirs) >= 25
    assert [kind.__name__ for kind in theirs if kind not in TRANSLATIONS] == []


@pytest.mark.parametrize("kind", TRANSLATIONS, ids=lambda kind: kind.__name__)
def test_every_translation_is_one_of_ours_and_one_line(kind: type[BaseException]) -> None:
    ours = translated(_made(kind), doing="sending request 1")
    assert isinstance(ours, SqdrError)
    assert "\n" not in str(ours)
    assert "while sending request 1" in str(ours)


def _made(kind: type[BaseException]) -> BaseException:
    if kind is ValidationError:
        return ValidationError.from_exception_data("option", [])
    return kind(400, message="line one\nline two") if kind is ApiException else kind("line one\nline two")


def test_a_sub_class_takes_the_nearest_translation() -> None:
    class NewerError(RuntimeJobMaxTimeoutError):
        pass

    assert str(translated(NewerError("x"), doing="waiting")).startswith("The job ran into its time limit")


def test_ours_stay_as_they_are_and_strangers_are_named() -> None:
    ours = ArgumentError("Argument `x` must be 1, but is 2.")
    assert translated(ours, doing="anything") is ours
    stranger = translated(KeyError("state"), doing="waiting")
    assert isinstance(stranger, BackendError)
    assert str(stranger) == "Something failed while waiting: KeyError: state."


def _wrapped(inner: BaseException) -> BaseException:
    try:
        try:
            raise inner
        except Exception as error:
            raise IBMRuntimeError(f"Failed to run program: {error}") from None
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestsApiError("502 Server Error: Bad Gateway for url", 502), Kind.PASSING),
        (RequestsApiError("429 Client Error", 429), Kind.PASSING),
        (RequestsApiError("400 Client Error", 400), Kind.REFUSED),
        (RequestsApiError("403 Client Error", 403), Kind.UNAUTHORISED),
        (IBMNotAuthorizedError("401"), Kind.UNAUTHORISED),
        (_wrapped(RequestsApiError("504 Server Error", 504)), Kind.PASSING),
        (_wrapped(NoConnection("reset")), Kind.PASSING),
        (IBMRuntimeError("Failed to retrieve job: '503 Server Error: x for url'"), Kind.PASSING),
        (ReadTimeout("slow"), Kind.PASSING),
        (ConnectionResetError(), Kind.PASSING),
        (ApiException(500, message="x"), Kind.PASSING),
        (ApiException(400, message="x"), Kind.REFUSED),
        (RuntimeJobFailureError("Error code 9999"), Kind.REFUSED),
        (IBMInputValueError("no"), Kind.REFUSED),
        (KeyError("x"), Kind.UNREADABLE),
        (Unreadable("x"), Kind.UNREADABLE),
        (IBMBackendApiProtocolError("a status that is none"), Kind.UNREADABLE),
    ],
)
def test_what_can_be_done_about_an_error(error: BaseException, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_only_a_clear_no_is_a_no() -> None:
    assert is_no(RequestsApiError("x", 400))
    assert is_no(_wrapped(RequestsApiError("x", 404)))
    assert not is_no(RequestsApiError("x", 502))
    assert not is_no(KeyError("id"))


def test_a_line_holds_no_secret_and_is_not_long() -> None:
    text = one_line(
        ValueError("grant: apikey=abc123 Authorization: Bearer ey.x.y and token: T0K\n" + "z" * 400)
    )
    assert "abc123" not in text
    assert "ey.x.y" not in text
    assert "T0K" not in text
    assert len(text) <= 300
    assert one_line(ValueError()) == "ValueError."


def test_the_client_s_refusal_is_unsupported() -> None:
    assert isinstance(translated(IBMInputValueError("no"), doing="x"), UnsupportedError)
