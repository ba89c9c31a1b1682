from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError

from sqdr_qiskit.errors import ArgumentError, BackendError
from sqdr_qiskit.runtime.waiting import Attention, Detached, Patience, Waiting

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
        self.attention = Attention(grace_s=0.0)

    def ride(self, question: Callable[[], str], patience: Patience = QUICK) -> str:
        return patience.riding(
            question,
            doing="asking",
            attention=self.attention,
            watch=self.said.append,
            renew=self.renew,
        )

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
    monkeypatch.setattr(Attention, "sleep", lambda self, seconds: pauses.append(seconds))
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


def test_leaving_ends_an_outage() -> None:
    log = Log()
    log.attention.ask()
    with pytest.raises(Detached, match="Left while asking"):
        log.ride(_question(AWAY, "yes"))


def test_polls_grow_and_stay() -> None:
    polls = list(itertools.islice(Patience(poll_s=1.0, poll_longest_s=2.0).polls(), 5))
    assert polls[0] == 1.0
    assert polls == sorted(polls)
    assert polls[-1] == 2.0


def test_tests_wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQDR_PATIENCE", "0.5")
    assert Patience.usual() == Patience(0.5, 15.0, 3 * 3600.0, 1.0, 60.0, 10.0)


def test_only_a_second_wish_cancels() -> None:
    attention = Attention(grace_s=0.0)
    attention.ask()
    assert not attention.second_wish()
    attention.ask()
    assert attention.second_wish()
    assert Detached.exit_code == 130
