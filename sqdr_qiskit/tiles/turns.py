"""Runs of one-qubit gates composed into one turn each: U(theta, phi, lambda) for every sample, compiled.

A run is composed as a unit quaternion and read as Euler angles. For derivatives a rotation of the run moves
the turn R by dR R^T = omega x, where omega is the rotation's axis, turned by what follows it:

    R = R_z(phi) R_y(theta) R_z(lambda)
    theta' = u . omega,   u = (-sin phi, cos phi, 0)
    lambda' = v . omega / sin theta,   v = (cos phi, sin phi, 0)
    phi' = omega_z - lambda' cos theta

Where sin theta is 0, phi and lambda are one angle, read as two halves. A run that turns about Z alone stays
there; for one that can leave, noise between a chip's pulses gives an expectation no derivative, and theta is
taken 1e-7 away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sqdr_qiskit.parallel import n_threads, run_chunks
from sqdr_qiskit.tiles.writer import quaternion_of

__all__ = ["Turns"]

_Float = NDArray[np.float64]
_Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Turns:
    """Runs of rotations as turns, and the way back for derivatives.

    Attributes:
        steps: (axis, rotation) of each step of all runs, in the order in which they act; (0, number of a
            fixed gate).
        fixed: Fixed gates as quaternions.
        runs: (first step, end) of each run.
        columns: Where theta, phi and lambda of each run go; -1 for an angle that changes nothing.
        offsets: Rotation r turns by `offsets[r]` + the sum of `factors[e]` * input number `entries[e]`, for e
            from `starts[r]` to `starts[r + 1]`, radians.
        starts: See `offsets`.
        entries: See `offsets`.
        factors: See `offsets`.
        n_out: Number of columns.
    """

    steps: _Int
    fixed: _Float
    runs: _Int
    columns: _Int
    offsets: _Float
    starts: _Int
    entries: _Int
    factors: _Float
    n_out: int

    @classmethod
    def of(
        cls,
        runs: Sequence[Sequence[Any]],
        columns: Sequence[Sequence[int | None]],
        coefficients: _Float,
        offsets: _Float,
        n_out: int,
    ) -> Turns:
        """Turns of runs.

        Args:
            runs: The steps of each: (rotation, axis 1 = X, 2 = Y, 3 = Z), or a fixed gate as a quaternion or
                a matrix.
            columns: Where theta, phi and lambda of each run go; None for an angle that changes nothing.
            coefficients: Shape (n_rotations, n_in): rotation angles = coefficients @ inputs + offsets.
            offsets: Shape (n_rotations,), radians.
            n_out: Number of columns.
        """
        steps: list[tuple[int, int]] = []
        fixed: list[_Float] = []
        bounds = []
        for run in runs:
            begin = len(steps)
            for step in run:
                if isinstance(step, tuple):
                    steps.append((step[1], step[0]))
                else:
                    steps.append((0, len(fixed)))
                    fixed.append(step if step.ndim == 1 else quaternion_of(step))
            bounds.append((begin, len(steps)))
        rows, entries = np.nonzero(coefficients)
        return cls(
            steps=np.array(steps, dtype=np.int64).reshape(-1, 2),
            fixed=np.array(fixed, dtype=np.float64).reshape(-1, 4),
            runs=np.array(bounds, dtype=np.int64).reshape(-1, 2),
            columns=np.array(
                [[-1 if column is None else column for column in row] for row in columns], dtype=np.int64
            ).reshape(-1, 3),
            offsets=np.asarray(offsets, dtype=np.float64),
            starts=np.searchsorted(rows, np.arange(len(coefficients) + 1)).astype(np.int64),
            entries=entries.astype(np.int64),
            factors=np.asarray(coefficients[rows, entries], dtype=np.float64),
            n_out=n_out,
        )

    def values(self, inputs: _Float, with_slopes: bool) -> tuple[_Float, _Float]:
        """The turns' angles.

        Args:
            inputs: Shape (batch, n_in), radians.
            with_slopes: Whether derivatives are wanted.

        Returns:
            Angles, shape (batch, n_out), radians; and the derivatives of each step's theta, phi and lambda by
            the step's rotation, shape (batch, n_steps, 3).
        """
        inputs = np.ascontiguousarray(inputs, dtype=np.float64)
        angles = np.zeros((len(inputs), self.n_out))
        slopes = np.zeros((len(inputs) if with_slopes else 0, len(self.steps), 3))

        def kernel(start: int, stop: int) -> None:
            _compose(inputs, self._read, self.fixed, self.columns, start, stop, with_slopes, angles, slopes)

        _in_chunks(kernel, len(inputs))
        return angles, slopes

    @property  # what both kernels read, as the one argument that it is to them
    def _read(self) -> tuple[_Int, _Int, _Float, _Int, _Int, _Float]:
        return self.runs, self.steps, self.offsets, self.starts, self.entries, self.factors

    def pull_back(self, jacobian: _Float, slopes: _Float, total: _Float, rows: _Int) -> None:
        """Add derivatives by what goes in to rows of `total`.

        Args:
            jacobian: Derivatives by what comes out, shape (batch, n_rows, n_out).
            slopes: From `values`.
            total: Shape (batch, n, n_in).
            rows: Which of its n rows, shape (n_rows,).
        """

        def kernel(start: int, stop: int) -> None:
            _pull_back(jacobian, slopes, self._read, self.columns, rows, start, stop, total)

        _in_chunks(kernel, len(jacobian))


def _in_chunks(kernel: Callable[[int, int], None], n: int) -> None:
    if n:
        run_chunks(kernel, n, chunk=max(16, -(-n // n_threads())))


_ROUNDING = 1e-13
_POLE = 1e-7  # nearer to theta = 0 or pi the turn about Z cannot be told from the other one
_STILL = 1e-9  # slower than that, a run does not leave the pole


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _angle(inputs: Any, s: int, r: int, offsets: Any, starts: Any, entries: Any, factors: Any) -> float:
    total: float = offsets[r]
    for e in range(starts[r], starts[r + 1]):
        total += factors[e] * inputs[s, entries[e]]
    return total


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", forceinline=True)
def _product(p0: Any, p1: Any, p2: Any, p3: Any, q0: Any, q1: Any, q2: Any, q3: Any) -> Any:
    """The turn q and then the turn p, unit quaternions as numbers, which stay in registers."""
    return (
        p0 * q0 - p1 * q1 - p2 * q2 - p3 * q3,
        p0 * q1 + p1 * q0 + p2 * q3 - p3 * q2,
        p0 * q2 - p1 * q3 + p2 * q0 + p3 * q1,
        p0 * q3 + p1 * q2 - p2 * q1 + p3 * q0,
    )


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _compose(
    inputs: Any,
    read: Any,
    fixed: Any,
    columns: Any,
    start: int,
    stop: int,
    with_slopes: bool,
    angles: Any,
    slopes: Any,
) -> None:
    runs, steps, offsets, starts, entries, factors = read
    for s in range(start, stop):
        for r in range(runs.shape[0]):
            # Four numbers and not an array: they stay in registers through the run.
            q0, q1, q2, q3 = 1.0, 0.0, 0.0, 0.0
            for k in range(runs[r, 0], runs[r, 1]):
                axis = steps[k, 0]
                if axis == 0:
                    # the later step stands on the left of the product
                    p0, p1, p2, p3 = fixed[steps[k, 1]]
                    q0, q1, q2, q3 = _product(p0, p1, p2, p3, q0, q1, q2, q3)
                    continue
                half = 0.5 * _angle(inputs, s, steps[k, 1], offsets, starts, entries, factors)
                c, d = math.cos(half), math.sin(half)
                if axis == 1:
                    q0, q1, q2, q3 = c * q0 - d * q1, c * q1 + d * q0, c * q2 - d * q3, c * q3 + d * q2
                elif axis == 2:
                    q0, q1, q2, q3 = c * q0 - d * q2, c * q1 + d * q3, c * q2 + d * q0, c * q3 - d * q1
                else:
                    q0, q1, q2, q3 = c * q0 - d * q3, c * q1 - d * q2, c * q2 + d * q1, c * q3 + d * q0
            # q = (cos(t/2) cos s, -sin(t/2) sin d, sin(t/2) cos d, cos(t/2) sin s), t = theta, s = (phi +
            # lambda) / 2, d = (phi - lambda) / 2. By atan2, as arccos loses half of its digits near the
            # poles.
            across = math.hypot(q1, q2)
            along = math.hypot(q0, q3)
            theta = 2.0 * math.atan2(across, along)
            # at a pole one of the two has no direction but that of rounding
            total = math.atan2(q3, q0) if along > _ROUNDING else 0.0
            difference = math.atan2(-q1, q2) if across > _ROUNDING else 0.0
            phi = total + difference
            if columns[r, 0] >= 0:
                angles[s, columns[r, 0]] = theta
            if columns[r, 1] >= 0:
                angles[s, columns[r, 1]] = phi
            if columns[r, 2] >= 0:
                angles[s, columns[r, 2]] = total - difference
            if not with_slopes:
                continue
            cosine = math.cos(phi)
            sine = math.sin(phi)
            a0, a1, a2, a3 = 1.0, 0.0, 0.0, 0.0  # the steps after
            # how fast any step's turn would lead away from the pole
            widest = 0.0
            for k in range(runs[r, 1] - 1, runs[r, 0] - 1, -1):
                axis = steps[k, 0]
                if axis == 0:
                    p0, p1, p2, p3 = fixed[steps[k, 1]]
                else:
                    # the axis turned by the steps after: a column of their rotation matrix
                    if axis == 1:
                        x = 1.0 - 2.0 * (a2 * a2 + a3 * a3)
                        y = 2.0 * (a1 * a2 + a0 * a3)
                        z = 2.0 * (a1 * a3 - a0 * a2)
                    elif axis == 2:
                        x = 2.0 * (a1 * a2 - a0 * a3)
                        y = 1.0 - 2.0 * (a1 * a1 + a3 * a3)
                        z = 2.0 * (a2 * a3 + a0 * a1)
                    else:
                        x = 2.0 * (a1 * a3 + a0 * a2)
                        y = 2.0 * (a2 * a3 - a0 * a1)
                        z = 1.0 - 2.0 * (a1 * a1 + a2 * a2)
                    slopes[s, k, 0] = cosine * y - sine * x
                    slopes[s, k, 1] = z
                    slopes[s, k, 2] = cosine * x + sine * y
                    widest = max(widest, abs(slopes[s, k, 2]))
                    half = 0.5 * _angle(inputs, s, steps[k, 1], offsets, starts, entries, factors)
                    p0, d = math.cos(half), math.sin(half)
                    p1 = d if axis == 1 else 0.0
                    p2 = d if axis == 2 else 0.0
                    p3 = d if axis == 3 else 0.0
                a0, a1, a2, a3 = _product(a0, a1, a2, a3, p0, p1, p2, p3)
            # Only now is it known whether the run can leave the pole; theta is written a second time.
            if math.sin(theta) < _POLE and widest > _STILL:
                theta = 2.0 * _POLE if theta < 1.0 else math.pi - 2.0 * _POLE
                if columns[r, 0] >= 0:
                    angles[s, columns[r, 0]] = theta
            for k in range(runs[r, 0], runs[r, 1]):
                if math.sin(theta) >= _POLE:
                    slopes[s, k, 2] /= math.sin(theta)
                    slopes[s, k, 1] -= slopes[s, k, 2] * math.cos(theta)
                else:  # a run that only turns about Z: half of it is read as phi, half as lambda
                    slopes[s, k, 1] *= 0.5
                    slopes[s, k, 2] = slopes[s, k, 1] * math.cos(theta)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _pull_back(
    jacobian: Any, slopes: Any, read: Any, columns: Any, rows: Any, start: int, stop: int, total: Any
) -> None:
    runs, steps, _, starts, entries, factors = read
    for s in range(start, stop):
        for t in range(rows.shape[0]):
            for r in range(runs.shape[0]):
                theta = jacobian[s, t, columns[r, 0]] if columns[r, 0] >= 0 else 0.0
                phi = jacobian[s, t, columns[r, 1]] if columns[r, 1] >= 0 else 0.0
                lam = jacobian[s, t, columns[r, 2]] if columns[r, 2] >= 0 else 0.0
                if theta == 0.0 and phi == 0.0 and lam == 0.0:  # the run of another tile
                    continue
                for k in range(runs[r, 0], runs[r, 1]):
                    if steps[k, 0] == 0:
                        continue
                    slope = theta * slopes[s, k, 0] + phi * slopes[s, k, 1] + lam * slopes[s, k, 2]
                    turned = steps[k, 1]
                    # A sparse row: a rotation's angle depends on few of the inputs.
                    for e in range(starts[turned], starts[turned + 1]):
                        total[s, rows[t], entries[e]] += slope * factors[e]
