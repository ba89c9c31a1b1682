"""What one job on IBM's machines may hold (IBM's published limits, November 2026)."""

from __future__ import annotations

from sqdr_qiskit.devices.cost import planned_seconds

__all__ = ["MOST_EXECUTIONS", "MOST_INSTRUCTIONS"]

_LONGEST_JOB_S = 3 * 3600.0
_MARGIN = 0.8  # the figures are round ones

MOST_INSTRUCTIONS = int(_MARGIN * 26.8e6)
"""Control instructions on one qubit in one job, over all its parameter sets."""

MOST_EXECUTIONS = int(
    _MARGIN * (_LONGEST_JOB_S - planned_seconds(0)) / (planned_seconds(1) - planned_seconds(0))
)
"""Circuit executions (parameter sets x bases x shots) of one job, so that it ends within three hours."""
