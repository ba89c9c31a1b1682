"""Probes: what is turned by +-90 degrees to measure derivatives, and what they say of the parameters.

A rotation probe turns one rotation, the usual parameter-shift rule. A gate probe turns the whole gate that a
run of one-qubit gates is, about an axis behind it. Rotation r inside the run adds -i/2 v_r . sigma behind the
run for every radian, where the unit vector v_r is its axis as the later steps turn it; so its derivative is

    d<O>/d(angle r) = sum_k (v_r . e_k) (<O>(+90 degrees about e_k) - <O>(-90 degrees about e_k)) / 2

for any orthonormal e_k: three probes for a gate of six rotations. If before the run the state has only {I, Z}
(it is |0>) or behind it only {I, Z} is read, turns about that axis change nothing: two probes are left, or
one. Every factor v_r . e_k is at most 1: nothing is amplified, at any angle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sqdr_qiskit.gradients.shifts.pieces import Piece
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.tiles.tiles import TiledCircuit, write_run
from sqdr_qiskit.tiles.writer import Run, multiply, rotate_vector, rotation

__all__ = ["GateProbe", "Point", "Probe", "RotationProbe", "n_directions"]

_QUARTER = float(np.pi / 2)


class Point:
    """A batch of parameters with what several probes need of it.

    Args:
        tiled: The tiled circuit.
        parameters: Of the original circuit, shape (batch, n_params), radians.
    """

    def __init__(self, tiled: TiledCircuit, parameters: RealArray) -> None:
        self.tiled = tiled
        self.angles = tiled.angles(parameters)
        self._parameters = parameters
        # Composed once, since all probes of a run ask for it.
        self._gates: dict[int, RealArray] = {}

    def gate(self, run: int) -> RealArray:
        """A run as quaternions, shape (4, batch)."""
        if run not in self._gates:
            assert self.tiled.runs is not None
            self._gates[run] = self.tiled.runs[run].compose(self.angles)
        return self._gates[run]

    @cached_property
    def slopes(self) -> RealArray:
        """d(rotation angles) / d(parameters), shape (batch or 1, n_rotations, n_params)."""
        return self.tiled.slopes(self._parameters)

    @cached_property
    def values(self) -> RealArray:
        """Parameter values of the tiled circuit without shifts, shape (batch, n_circuit_params)."""
        return self.tiled.bind(self.angles)


class Probe(Protocol):
    """Something to turn by plus and minus 90 degrees."""

    @property
    def readers(self) -> frozenset[int]:
        """Terms that see it."""
        ...  # pragma: no cover

    def write(self, point: Point, sign: float, values: RealArray) -> None:
        """Turn by `sign` * 90 degrees in the circuit's parameter values, shape (batch, n_circuit_params)."""
        ...  # pragma: no cover

    def slopes(self, point: Point) -> RealArray:
        """d(parameters' derivatives) / d(probe's derivative), shape (batch or 1, n_params)."""
        ...  # pragma: no cover


@dataclass(frozen=True, eq=False)
class RotationProbe:
    """Turns one rotation; see `pieces.Piece`.

    Attributes:
        piece: The rotations that share its derivative; the first is turned.
        run: In a fused circuit, the run it belongs to.
        column: In an unfused one, its parameter's number.
    """

    piece: Piece
    run: int | None
    column: int | None

    @property
    def readers(self) -> frozenset[int]:
        """Terms that see it."""
        return self.piece.readers

    def write(self, point: Point, sign: float, values: RealArray) -> None:
        """See `Probe.write`."""
        if self.column is not None:
            values[:, self.column] += sign * _QUARTER
            return
        assert self.run is not None
        assert point.tiled.runs is not None
        # A `u` gate has no parameter of a single rotation: the run is composed anew with the shift inside it.
        run = point.tiled.runs[self.run]
        write_run(run, run.compose(point.angles, {self.piece.members[0][0]: sign * _QUARTER}), values)

    def slopes(self, point: Point) -> RealArray:
        """See `Probe.slopes`."""
        # Merged rotations share one derivative, so that their slopes along a parameter add up.
        rows = [sign * point.slopes[:, rotation] for rotation, sign in self.piece.members]
        return np.asarray(np.sum(rows, axis=0))


@dataclass(frozen=True, eq=False)
class GateProbe:
    """Turns a whole run about an axis behind it.

    Attributes:
        run: The run's number.
        rotations: Its rotations whose derivatives are wanted.
        before: The one Pauli (1, 2, 3) that the state can have before the run, None if it can have several.
        after: The one Pauli that is read behind it, None if several are.
        which: Which of the run's `n_directions(before, after)` axes.
        readers: Terms that see it.
    """

    run: int
    rotations: tuple[int, ...]
    before: int | None
    after: int | None
    which: int
    readers: frozenset[int]

    def write(self, point: Point, sign: float, values: RealArray) -> None:
        """See `Probe.write`."""
        assert point.tiled.runs is not None
        axis = self._axis(point)
        # quaternion (cos 45, +-sin 45 * axis) of +-90 degrees, shape (4, batch)
        turn = np.concatenate([np.full((1, axis.shape[1]), np.sqrt(0.5)), sign * np.sqrt(0.5) * axis])
        write_run(point.tiled.runs[self.run], multiply(turn, point.gate(self.run)), values)

    def slopes(self, point: Point) -> RealArray:
        """See `Probe.slopes`."""
        assert point.tiled.runs is not None
        axis = self._axis(point)
        slopes = np.zeros((axis.shape[1], point.slopes.shape[2]))
        # v_r . e_k of the formula above, which says how much of a turn about this axis rotation r makes.
        for number, vector in _axes_behind(point.tiled.runs[self.run], point.angles).items():
            if number in self.rotations:
                slopes += np.sum(vector * axis, axis=0)[:, None] * point.slopes[:, number]
        return slopes

    def _axis(self, point: Point) -> RealArray:
        """The axis as unit vectors, shape (3, batch)."""
        gate = point.gate(self.run)
        batch = gate.shape[1]
        if self.after is None or self.before is None:
            left_out = self.before if self.after is None else self.after
            # Paulis count from 1 and axes from 0: this names the two axes that are not the one left out.
            chosen = self.which if left_out is None else (left_out + self.which) % 3
            axis = np.repeat(_unit(chosen)[:, None], batch, axis=1)
            # the state's own axis is left out before the run: turned with the run it is one behind it
            return rotate_vector(gate, axis) if self.before is not None else axis
        # A turn about e changes the reading by read . (e x state) = e . (state x read): of all turns only the
        # one about the common perpendicular counts.
        read = np.repeat(_unit(self.after - 1)[:, None], batch, axis=1)
        state = rotate_vector(gate, np.repeat(_unit(self.before - 1)[:, None], batch, axis=1))
        axis = np.cross(read, state, axis=0)
        length = np.linalg.norm(axis, axis=0)
        # parallel axes: the reading is at its extremum, and along every axis the derivative is 0
        aside = np.repeat(_unit(self.after % 3)[:, None], batch, axis=1)
        return np.where(length > 1e-9, axis / np.maximum(length, 1e-9), aside)


def n_directions(before: int | None, after: int | None) -> int:
    """How many axes of a gate matter."""
    return 3 - (before is not None) - (after is not None)


def _unit(axis: int) -> RealArray:
    """Unit vector along x, y or z (0, 1, 2)."""
    return np.eye(3)[axis]


def _axes_behind(run: Run, angles: RealArray) -> dict[int, RealArray]:
    """For each rotation of a run, its axis as the later steps turn it: unit vectors, shape (3, batch)."""
    found: dict[int, RealArray] = {}
    later = np.zeros((4, len(angles)))
    later[0] = 1.0
    # From the last step back, so that the product of all later ones is at hand at each.
    for step in reversed(run.steps):
        if isinstance(step, tuple):
            number, axis = step
            found[number] = rotate_vector(later, np.repeat(_unit(axis - 1)[:, None], len(angles), axis=1))
            later = multiply(later, rotation(axis, angles[:, number]))
        else:
            later = multiply(later, step[:, None])
    return found
