"""The parameter-shift rule, its executions packed by light cone: all derivatives from one broadcast PUB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from qiskit.passmanager import BasePassManager
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.packing import ShiftPlan, Unit
from sqdr_qiskit.gradients.plans import PlannedGradient, Results, execute
from sqdr_qiskit.gradients.probes import Assumption
from sqdr_qiskit.simulators import precision_of

if TYPE_CHECKING:
    from sqdr_qiskit.simulators.aer import Noise

__all__ = ["Allocation", "ALLOCATIONS", "GradientReport", "PackedParameterShift", "repetitions"]


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


_ROOM = 10  # shots for an execution, on average, from which an uneven split is worth it


class PackedParameterShift(PlannedGradient):
    """Exact derivatives from few executions: 26 a sample for a 2-block re-uploading circuit of any size.

    d<O>/da = (<O>(a + pi/2) - <O>(a - pi/2)) / 2 for every rotation by an angle a, by the chain rule for
    every parameter that angles are affine in. What is turned in which execution: `plan(...).describe()`.

    Args:
        estimator: Any `BaseEstimatorV2`.
        assume: When rotations may be taken to have equal derivatives: `ideal`, `virtual-rz` (a chip), or
            `structural` (as the noise that is given allows); see `gradients.probes`.
        unit: `rotation`, or `gate` for fewer executions: turn whole one-qubit gates (see there, too).
        tiling: Lay cones side by side; None: yes, unless noise is given.
        noise: With `structural`, the noise of the estimator as a noise file or Aer has it, readout included.
        pass_manager: Transpiles what is executed, whole circuits as they are, for estimators of others that
            take a device's gates alone (our backends need none).
        shots_per_step: Shots for one call, split over its executions; None leaves precision to the caller.
        allocation: How they are split: `even`, or `proportional` to the root of the expected variance that an
            execution adds, from the last call's values.

    Raises:
        ArgumentError: A value out of range.
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2,
        *,
        assume: Assumption = "ideal",
        unit: Unit = "rotation",
        tiling: bool | None = None,
        noise: Noise | None = None,
        pass_manager: BasePassManager | None = None,
        shots_per_step: int | None = None,
        allocation: Allocation = "even",
    ) -> None:
        super().__init__(
            estimator, assume=assume, unit=unit, tiling=tiling, noise=noise, pass_manager=pass_manager
        )
        if shots_per_step is not None and shots_per_step < 1:
            raise ArgumentError(f"Argument `shots_per_step` must be at least 1, but is {shots_per_step}.")
        if allocation not in ALLOCATIONS:
            raise ArgumentError(
                f"Argument `allocation` must be one of {', '.join(ALLOCATIONS)}, but is {allocation!r}."
            )
        if allocation == "proportional" and shots_per_step is None:
            raise ArgumentError(
                "Argument `allocation` must be even without `shots_per_step`, a budget to split."
            )
        self._shots_per_step = shots_per_step
        self._allocation = allocation
        self._spread: dict[int, NDArray[np.float64]] = {}  # plan -> last mean of 1 - <O>^2, (rows, n_terms)
        self.last_report: GradientReport | None = None
        self._sent = 0
        self.executions = 0  # since it was made

    def _measure(
        self, plan: ShiftPlan, parameters: NDArray[np.float64], precision: float | None, *, with_values: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        tiled, batch, first = plan.tiled, len(parameters), int(with_values)
        n_rows = plan.n_executions + first
        if n_rows == 0 or batch == 0:  # nothing depends on the parameters
            empty = np.zeros((batch, len(tiled.observables), len(plan.wanted)))
            return np.zeros((batch, len(tiled.observables))), empty
        rows = plan.values(parameters, with_values=with_values)
        results = self._send(plan, rows, precision, self._repeats(plan, parameters, first))
        turned = results.values[:, first:].transpose(1, 2, 0)  # (executions, batch, n_terms)
        differences = (turned[0::2] - turned[1::2]) / 2
        jacobian = plan.jacobian(parameters, differences)
        self._report(plan, parameters, jacobian, results, rows.shape[0] * batch, first)
        values = (
            results.values[:, 0].T @ tiled.weights.T if with_values else np.zeros((batch, len(tiled.weights)))
        )
        return values + tiled.constants, jacobian

    def _repeats(
        self, plan: ShiftPlan, parameters: NDArray[np.float64], first: int
    ) -> NDArray[np.int64] | None:
        """How often each row, of shape (n_rows, batch), is sent; None for once."""
        n_rows = (plan.n_executions + first) * len(parameters)
        if self._allocation == "even" or (self._shots_per_step or 0) < _ROOM * n_rows:
            return None  # too few shots to split them unevenly
        shares = np.repeat(plan.variance_shares(parameters), 2, axis=0) / 4  # (executions, batch, n_terms)
        spread = self._spread.get(id(plan))
        if spread is not None:
            shares = shares * spread[:, None, :]
        variances = shares.sum(axis=2)
        if first:  # the values count as much as an average execution
            variances = np.concatenate([np.full((1, len(parameters)), variances.mean()), variances])
        return repetitions(variances.reshape(-1)).reshape(variances.shape)

    def _send(
        self,
        plan: ShiftPlan,
        rows: NDArray[np.float64],
        precision: float | None,
        repeats: NDArray[np.int64] | None,
    ) -> Results:
        """Results of shape (n_terms, n_rows, batch), repeated rows averaged."""
        n_sent = int(rows.shape[0] * rows.shape[1] if repeats is None else repeats.sum())
        if self._shots_per_step is not None:
            if self._shots_per_step < n_sent:
                raise ArgumentError(
                    f"Argument `shots_per_step` must be at least {n_sent:,}, one shot for each execution, "
                    f"but is {self._shots_per_step:,}."
                )
            precision = precision_of(self._shots_per_step // n_sent)
        self.executions += rows.shape[0] * rows.shape[1]
        self._sent = n_sent
        if repeats is None:
            return execute(self._estimator, plan.tiled, rows, precision)
        counts = repeats.reshape(-1)
        flat = np.repeat(rows.reshape(-1, rows.shape[2]), counts, axis=0)
        found = execute(self._estimator, plan.tiled, flat, precision)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        shape = (len(found.values), *rows.shape[:2])
        means = np.add.reduceat(found.values, starts, axis=1) / counts
        errors = np.sqrt(np.add.reduceat(found.errors**2, starts, axis=1)) / counts
        return Results(means.reshape(shape), errors.reshape(shape), found.shots)

    def _report(
        self,
        plan: ShiftPlan,
        parameters: NDArray[np.float64],
        jacobian: NDArray[np.float64],
        results: Results,
        executions: int,
        first: int,
    ) -> None:
        squared = results.errors[:, first:].transpose(1, 2, 0) ** 2
        variance = 0.0
        if squared.any():
            shares = plan.variance_shares(parameters, jacobian)
            variance = float((shares * (squared[0::2] + squared[1::2]) / 4).sum())
        if self._allocation == "proportional":
            spread = 1.0 - np.clip(results.values[:, first:], -1.0, 1.0) ** 2
            # never quite 0: an execution that seemed certain must not be starved for good
            self._spread[id(plan)] = np.maximum(spread.mean(axis=2).T, 0.05)
        self.last_report = GradientReport(
            executions=executions,
            rows=self._sent,
            shots=results.shots,
            norm=float(np.linalg.norm(jacobian)),
            norm_standard_error=float(np.sqrt(variance)),
        )
