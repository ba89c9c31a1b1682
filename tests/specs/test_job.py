"""A run and its options."""

from __future__ import annotations

from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.job import JobSpec


def test_a_job_survives_a_round_trip() -> None:
    job = JobSpec(task="evaluate", circuit="4b-9q", shots=100, learning_rate=0.01, head=False, averaging=0.0)
    assert JobSpec.from_dict(job.to_dict()) == job
    assert JobSpec.from_dict({}) == JobSpec()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "Argument `epochs` must be at least 1, but is 0"),
        ({"learning_rate": 0.0}, "Argument `learning_rate` must be above 0, but is 0.0"),
        ({"validation": 1.0}, "Argument `validation` must be below 1, but is 1.0"),
        ({"task": "fly"}, "Argument `task` must be one of train, evaluate, infer"),
        ({"shots": 1.5}, "Argument `shots` must be a whole number, but is 1.5"),
    ],
)
def test_a_job_checks_itself(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        JobSpec(**values)
