"""Shots: how a budget is split over executions, and how sure a gradient is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.errors import ArgumentError

__all__ = ["ALLOCATIONS", "Allocation", "GradientReport", "repetitions"]

Allocation: TypeAlias = Literal["even", "proportional"]
ALLOCATIONS: tuple[str, ...] = get_args(Allocation)

_ROWS_PER_EXECUTION = 4  # resolution of an uneven split


@dataclass(frozen=True, kw_only=True)
class GradientReport:
    """What one Jacobian took, and how sure it is.

    Attributes:
        executions: Different circuits executed: (turns, and 1 for values if they were asked for) times batch.
        rows: Rows of the one parameter array sent; more than `executions` if some are repeated for more
            shots.
        shots: Shots in all; None if the estimator was exact or does not say.
        norm: Frobenius norm of the Jacobian, over batch, observables and parameters.
        norm_standard_error: Standard error of `norm` from the executions' standard errors (delta method);
            0 if they were exact.
    """

    executions: int
    rows: int
    shots: int | None
    norm: float
    norm_standard_error: float


def repetitions(variances: NDArray[np.float64]) -> NDArray[np.int64]:
    """How often each execution is to be repeated so that the sum of variances is least for its number of
    shots.

    With variance v_e / shots_e for execution e, sum_e shots_e fixed, the least sum has shots_e proportional
    to sqrt(v_e) (Neyman 1934). Repeating rows of one parameter array splits shots unevenly though all rows
    have one precision.

    Args:
        variances: Expected variance of each execution with one shot, shape (n,), not negative.

    Returns:
        Integers of at least 1, shape (n,), about four on average.

    Raises:
        ArgumentError: A variance is negative or not a number.
    """
    if not np.all(variances >= 0.0):
        raise ArgumentError("Argument `variances` must be 0 or above, but one is not.")
    weights = np.sqrt(variances)
    if not weights.any():
        return np.ones(len(variances), dtype=np.int64)
    share = weights / weights.sum() * _ROWS_PER_EXECUTION * len(weights)
    return np.maximum(1, np.round(share)).astype(np.int64)
