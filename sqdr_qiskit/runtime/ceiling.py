"""A spending ceiling: asked before anything is sent, so that nothing is paid for that was not allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqdr_qiskit.devices.sender import planned_seconds
from sqdr_qiskit.errors import ArgumentError, BackendError

__all__ = ["Ceiling"]


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The most that a run may spend on a quantum computer.

    Attributes:
        max_qpu_seconds: Estimated quantum seconds; None is no limit.
        max_executions: Circuit executions: parameter sets x bases x shots; None is no limit.

    Raises:
        ArgumentError: A limit is not above 0.
    """

    max_qpu_seconds: float | None = None
    max_executions: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_qpu_seconds", "max_executions"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(f"Argument `{name}` must be above 0, but is {value}.")

    def exceeded(
        self, executions: Sequence[int], *, spent_s: float = 0.0, spent_executions: int = 0
    ) -> str | None:
        """Why jobs of so many executions may not be sent any more; None if they may.

        Args:
            executions: Of each job.
            spent_s: Quantum seconds spent or committed before.
            spent_executions: Executions before.
        """
        seconds = spent_s + sum(planned_seconds(number) for number in executions)
        total = spent_executions + sum(executions)
        if self.max_qpu_seconds is not None and seconds > self.max_qpu_seconds:
            return f"about {seconds:,.1f} s of quantum time, above --max-qpu-seconds {self.max_qpu_seconds:g}"
        if self.max_executions is not None and total > self.max_executions:
            return f"{total:,} executions, above --max-executions {self.max_executions:,}"
        return None

    def hold(self, executions: Sequence[int], *, spent_s: float = 0.0, spent_executions: int = 0) -> None:
        """Refuse jobs above the ceiling.

        Raises:
            BackendError: They are; nothing must be sent.
        """
        reason = self.exceeded(executions, spent_s=spent_s, spent_executions=spent_executions)
        if reason is not None:
            raise BackendError(f"Nothing was sent: it would take {reason}.")
