from __future__ import annotations

from typing import Any

import pytest

from sqdr_qiskit.devices.sender import planned_seconds
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.runtime.estimators import RuntimeSettings, make_estimator


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"mode": "session"}, r"^Argument `mode` must be one of job, batch, but is 'session'\.$"),
        ({"resilience": 3}, r"^Argument `resilience` must be 0, 1 or 2, but is 3\.$"),
        ({"dynamical_decoupling": "YY"}, r"^Argument `dynamical_decoupling` must be one of XX, XpXm, XY4"),
        ({"resilience": 2, "twirling": True}, r"left out with resilience 2, where it is already on"),
        ({"resilience": 0, "twirling": False}, r"left out with resilience 0, where it is off anyway"),
        ({"max_execution_s": 0}, r"^Argument `max_execution_s` must be at least 1, but is 0\.$"),
        ({"max_qpu_seconds": 0.0}, r"^Argument `max_qpu_seconds` must be above 0, but is 0.0\.$"),
        ({"job_tags": ("",)}, r"^Argument `job_tags` must hold tags of 1 to 86 characters"),
    ],
)
def test_settings_check_themselves(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        RuntimeSettings(**setting)


def test_only_what_changes_the_numbers_is_part_of_a_request() -> None:
    plain = RuntimeSettings()
    same = RuntimeSettings(
        mode="batch", job_tags=("x",), max_qpu_seconds=5.0, max_execution_s=9, max_executions=7
    )
    assert plain.facts() == same.facts()
    assert plain.facts() != RuntimeSettings(resilience=0).facts()
    assert plain.facts() != RuntimeSettings(dynamical_decoupling="XX").facts()


def test_the_cost_is_ibm_s_published_rule() -> None:
    assert planned_seconds(0) == 2.0
    assert planned_seconds(1_000_000) == pytest.approx(352.0, rel=1e-12)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ArgumentError, match="must be one of client-side, server-side, but is 'v3'"):
        make_estimator(None, RuntimeSettings(), [], which="v3")
