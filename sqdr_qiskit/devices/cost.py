"""What a job will take of the quantum computer's time, by IBM's published rule."""

from __future__ import annotations

__all__ = ["planned_seconds"]

_PER_JOB_S = 2.0
_PER_EXECUTION_S = 0.00035


def planned_seconds(executions: int) -> float:
    """Quantum seconds of one job: 2 + 0.00035 x executions.

    Args:
        executions: Parameter sets x bases x shots.

    Source: IBM Quantum documentation, "Workload usage": about 2 s per job and 0.35 ms per execution. Error
    mitigation adds to it; what was really used stands beside the plan afterwards.
    """
    return _PER_JOB_S + _PER_EXECUTION_S * executions
