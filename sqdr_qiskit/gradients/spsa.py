"""Simultaneous perturbation: all rotations moved at random at once, two executions for a rough gradient."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseEstimatorV2

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.packing import ShiftPlan
from sqdr_qiskit.gradients.plans import PlannedGradient, execute
from sqdr_qiskit.gradients.probes import Assumption, Point, RotationProbe

__all__ = ["SPSAGradient", "spsa_step"]

_LARGEST, _SMALLEST = 0.3, 0.01


def spsa_step(precision: float | None) -> float:
    """The perturbation c, radians, for expectation values with standard error `precision`.

    The error of (f(+c) - f(-c)) / (2 c) is a bias of order c^2 and noise of order precision / c; it is least
    near c = (precision / 4)^(1/3). Never above 0.3, where the sine is no longer straight, nor below 0.01.
    """
    wanted = 0.0 if precision is None else (precision / 4.0) ** (1.0 / 3.0)
    return float(min(_LARGEST, max(_SMALLEST, wanted)))


class SPSAGradient(PlannedGradient):
    """Simultaneous perturbation stochastic approximation on light cones.

    Unbiased up to order c^2. It perturbs the rotations that remain after dropping and merging, by independent
    signs in each cone: for a 2-block re-uploading circuit 13 random signs an output instead of 108.

    Args:
        estimator: Any `BaseEstimatorV2`.
        averages: Independent perturbations averaged; two executions each.
        step: Perturbation, radians; None chooses it from the precision (`spsa_step`).
        seed: With the parameters' values it determines the signs, so a resumed run draws the same.
        assume: What the estimator computes, and so which rotations may be merged, see `PackedParameterShift`.
        tiling: Lay cones side by side; None: yes. Not for an estimator with noise, which knows its qubits.

    Raises:
        ArgumentError: A value out of range.

    Source: Spall, IEEE Trans. Autom. Control 37, 332 (1992).
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2,
        *,
        averages: int = 1,
        step: float | None = None,
        seed: int = 0,
        assume: Assumption = "ideal",
        tiling: bool | None = None,
    ) -> None:
        super().__init__(estimator, assume=assume, tiling=tiling)
        if averages < 1:
            raise ArgumentError(f"Argument `averages` must be at least 1, but is {averages}.")
        if step is not None and not 0.0 < step <= np.pi / 2:
            raise ArgumentError(f"Argument `step` must be above 0 and at most pi / 2, but is {step}.")
        self._averages, self._step, self._seed = averages, step, seed
        self.executions = 0  # since it was made

    def _measure(
        self, plan: ShiftPlan, parameters: NDArray[np.float64], precision: float | None, *, with_values: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        tiled, batch, first = plan.tiled, len(parameters), int(with_values)
        probes = [probe for pair in plan.pairs for probe in pair if isinstance(probe, RotationProbe)]
        turned = [probe.piece.members[0][0] for probe in probes]
        expectations = np.zeros((batch, len(tiled.observables)))
        jacobian = np.zeros((batch, len(tiled.terms), len(plan.wanted)))
        n_rows = (2 * self._averages if probes else 0) + first
        if n_rows and batch:
            step = spsa_step(precision) if self._step is None else self._step
            signs = self._signs(parameters, (self._averages, batch, len(turned)))
            angles = np.broadcast_to(tiled.angles(parameters), (n_rows, batch, tiled.n_rotations)).copy()
            if probes:
                angles[first : first + self._averages][..., turned] += step * signs
                angles[first + self._averages :][..., turned] -= step * signs
            found = execute(self._estimator, tiled, tiled.bind(angles), precision).values
            self.executions += n_rows * batch
            if with_values:
                expectations = found[:, 0].T @ tiled.weights.T
            up, down = np.split(found[:, first:], 2, axis=1)
            slope = (up - down) / (2.0 * step)  # (n_terms, averages, batch)
            point = Point(tiled, parameters)
            for place, probe in enumerate(probes):
                readers = sorted(probe.readers)
                mean = (slope[readers] * signs[:, :, place]).mean(axis=1)  # (readers, batch)
                jacobian[:, readers] += mean.T[:, :, None] * probe.slopes(point)[:, None, list(plan.wanted)]
        return expectations + tiled.constants, np.einsum("ot,btp->bop", tiled.weights, jacobian)

    def _signs(self, values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
        digest = hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16)
        digest.update(str(self._seed).encode())
        rng = np.random.default_rng(int.from_bytes(digest.digest(), "little"))
        return rng.choice(np.array([-1.0, 1.0]), size=shape)
