"""A job that is done when it begins."""

from __future__ import annotations

from uuid import uuid4

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult, PubResult
from qiskit.providers import JobStatus

__all__ = ["FinishedJob"]


class FinishedJob(BasePrimitiveJob[PrimitiveResult[PubResult], JobStatus]):
    """The job of an estimator that answers at once.

    Qiskit's `PrimitiveJob` starts a thread for every job, which costs more than the expectation values of a
    batch do here.

    Args:
        result: The result.
    """

    def __init__(self, result: PrimitiveResult[PubResult]) -> None:
        super().__init__(str(uuid4()))
        self._finished = result

    def result(self) -> PrimitiveResult[PubResult]:
        """The result."""
        return self._finished

    def status(self) -> JobStatus:
        """Always `JobStatus.DONE`."""
        return JobStatus.DONE

    def done(self) -> bool:
        """Always true."""
        return True

    def running(self) -> bool:
        """Always false."""
        return False

    def cancelled(self) -> bool:
        """Always false."""
        return False

    def in_final_state(self) -> bool:
        """Always true."""
        return True

    def cancel(self) -> None:
        """There is nothing left to cancel."""
