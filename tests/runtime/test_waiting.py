from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError
from requests.exceptions import Timeout

from sqdr_qiskit.errors import ArgumentError, BackendError
from sqdr_qiskit.runtime.errors import Unreadable
from sqdr_qiskit.runtime.waiting import Attention, Detached, Leaving, Patience, Question, Waiting, nobody

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
