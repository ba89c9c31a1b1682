from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sqdr_qiskit.jobs.cost import plan_cost
from sqdr_qiskit.jobs.forecast import forecast_training
from sqdr_qiskit.specs.job import JobSpec

JOB = JobSpec(circuit="2b-3q", backend="fake_manila", shots=50, gradient="gate-shift", max_executions=10**9)


def _inputs(train: int, *, validation: int = 0, test: int = 0, epochs: int = 1) -> dict[str, Any]:
    return {
        "model": {"circuit": {"name": "2b-3q"}},
        "recipe": {"batch_size": 4, "epochs": epochs},
        "data": {
            "train": {"images": train},
            "validation": {"images": validation} if validation else None,
            "test": {"images": test},
        },
    }


def _shots(**plan: Any) -> int:
    return plan_cost("2b-3q", device="fake_manila", shots=50, **plan).packed.shots


def test_it_counts_every_step_and_every_look() -> None:
    found = forecast_training(JOB, _inputs(10, validation=3, test=600, epochs=2))
    assert found is not None
    full = _shots(samples=4, steps=4, gradient="gate-shift")
    rest = _shots(samples=2, steps=2, gradient="gate-shift")
    looks = 2 * _shots(task="infer", samples=3) + _shots(task="infer", samples=600)
    assert found.executions == full + rest + looks
    assert found.jobs == 4 + 2 + 2 + 2
    assert found.above is None
    assert found.stock is not None
    assert found.stock > full + rest
    assert "stock EstimatorQNN would take" in found.text()


def test_it_says_that_the_ceiling_will_be_reached() -> None:
    found = forecast_training(replace(JOB, max_executions=100, gradient="spsa"), _inputs(8))
    assert found is not None
    assert found.above == f"{found.executions:,} executions, above --max-executions 100"
    assert found.stock is None
    hardware = replace(JOB, backend="ibm_manila", max_executions=None, shots=100_000)
    above = forecast_training(hardware, _inputs(8))
    assert above is not None
    assert "above --max-qpu-seconds 60" in str(above.above)


@pytest.mark.parametrize(
    "unsaid",
    [{"backend": "least_busy"}, {"layout": "whole"}, {"shots_per_step": 9}, {"circuit": "none"}],
)
def test_what_cannot_be_said_is_not_said(unsaid: dict[str, Any]) -> None:
    assert forecast_training(replace(JOB, **unsaid), _inputs(8)) is None
