"""What is turned to measure derivatives: pieces (rotations that share theirs), and probes (their turns).

Pieces: rotations of a tile that change nothing are dropped and equal ones merged. Two rotations have the same
derivative for everything that is measured if the generator of the first, moved through all that acts in
between, becomes that of the second: RZ and RZ on one wire, also across CZ, RX on both sides of a CX's target.
How far a generator may be moved is an assumption about the noise:

    ideal        through every gate; channels are taken not to be there.
    virtual-rz   only generators Z, through gates that keep them: hardware's RZ is a change of frame, without
                 a pulse and so without noise, and compiled circuits add up neighbouring ones.
    structural   through gates, and through channels that commute with the rotation, as they are given.

Probes: a rotation probe turns one rotation, the usual parameter-shift rule. A gate probe turns the whole gate
that a run of one-qubit gates is, about an axis behind it. Rotation r inside the run adds -i/2 v_r . sigma
behind the run for every radian, where the unit vector v_r is its axis as the later steps turn it; so its
derivative is

    d<O>/d(angle r) = sum_k (v_r . e_k) (<O>(+90 degrees about e_k) - <O>(-90 degrees about e_k)) / 2

for any orthonormal e_k: three probes for a gate of six rotations. If before the run the state has only {I, Z}
(it is |0>) or behind it only {I, Z} is read, turns about that axis change nothing: two probes are left, or
one. Every factor v_r . e_k is at most 1: nothing is amplified, at any angle.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np

from sqdr_qiskit.lightcone.operations import CZ, Fixed, Operation, PairChannel, Rotation
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.tiles import Tile, TiledCircuit, write_run
from sqdr_qiskit.tiles.writer import Run, multiply, rotate_vector, rotation

__all__ = [
    "Assumption",
    "ASSUMPTIONS",
    "GateProbe",
    "n_directions",
    "Piece",
    "pieces_of",
    "Point",
    "Probe",
    "RotationProbe",
]

Assumption: TypeAlias = Literal["ideal", "virtual-rz", "structural"]
ASSUMPTIONS: tuple[str, ...] = get_args(Assumption)

_COMMUTES = 1e-12


@dataclass
class Piece:
    """Rotations of one tile that share their derivative.

    Attributes:
        members: (rotation's number in the tiled circuit, +1 or -1): the derivative along it is that many
            times the one along the first.
        readers: Terms (by number) that depend on it.
    """

    members: list[tuple[int, float]]
    readers: frozenset[int] = field(default_factory=frozenset)


@dataclass
class _Open:
    """A piece whose generator, at the present place in the circuit, is `sign` times Pauli `axis`."""

    piece: Piece
    axis: int
    sign: float


def pieces_of(
    tiled: TiledCircuit,
    tile: Tile,
    *,
    wanted: Collection[int],
    assume: Assumption,
    cuts: Collection[int] = (),
) -> list[Piece]:
    """The pieces of a tile.

    Args:
        tiled: The tiled circuit.
        tile: One of its tiles.
        wanted: Rotations whose derivatives are wanted, by number in the tiled circuit.
        assume: What lies between two rotations that may be merged.
        cuts: Operations (by number in the normal form) that no generator is moved through.
    """
    alive = [{number for cone in of for number in cone.operations} for of in tile.cones]
    union = set().union(*alive)
    pieces: list[Piece] = []
    # At most one open piece on a qubit: a rotation about another axis does not commute with its generator,
    # and closes it.
    last: dict[int, _Open] = {}  # by qubit
    readers: dict[int, frozenset[int]] = {}
    for number in tile.operations:
        if number not in union:
            continue  # acts on nothing that is read
        op = tiled.form.operations[number]
        if isinstance(op, Rotation):
            own = tile.rotations[number]
            open_ = last.get(op.qubit)
            if open_ is not None and open_.axis != op.axis:
                del last[op.qubit]
                open_ = None
            # Only here: a turn that nobody asks for closes pieces of other axes all the same.
            if own not in wanted:
                continue
            readers[own] = frozenset(
                term for term, its in zip(tile.terms, alive, strict=True) if number in its
            )
            if open_ is not None:
                open_.piece.members.append((own, open_.sign))
                continue
            piece = Piece([(own, 1.0)])
            pieces.append(piece)
            # On a chip all but changes of frame have pulses, whose noise would lie between the two.
            if assume != "virtual-rz" or op.axis == 3:
                last[op.qubit] = _Open(piece, op.axis, 1.0)
        elif number in cuts:
            for qubit in (op.qubit,) if isinstance(op, Fixed) else op.qubits:
                last.pop(qubit, None)
        else:
            _move(op, last, assume)
    for piece in pieces:
        # what any member does not reach has derivative zero along all of them
        piece.readers = frozenset.intersection(*(readers[own] for own, _ in piece.members))
    kept = []
    for piece in pieces:
        # Members may cancel along every parameter, though each of them alone would not.
        slope = sum(sign * tiled.coefficients[own] for own, sign in piece.members)
        if piece.readers and np.any(slope != 0.0):
            kept.append(piece)
    return kept


def _move(op: Operation, last: dict[int, _Open], assume: Assumption) -> None:
    """Move the open generators through `op`, closing those that it does not let through."""
    if isinstance(op, CZ):
        # CZ makes a product of two Paulis of X and Y, which no single rotation has for its generator.
        for qubit in op.qubits:
            if qubit in last and last[qubit].axis != 3:
                del last[qubit]
    elif isinstance(op, Fixed):
        if op.qubit not in last:
            return
        # Channels are taken not to be there, but for `structural`.
        if op.unitary is None and assume != "structural":
            return
        image = _image(op.ptm, last[op.qubit].axis)
        if image is None or (assume == "virtual-rz" and image[0] != 3):
            del last[op.qubit]
        else:
            last[op.qubit].axis = image[0]
            last[op.qubit].sign *= image[1]
    elif isinstance(op, PairChannel) and assume == "structural":
        for place, qubit in enumerate(op.qubits):
            if qubit in last:
                one = _generator(last[qubit].axis)
                # shape (16, 16); the first qubit of a pair counts by four
                both = np.kron(one, np.eye(4)) if place == 0 else np.kron(np.eye(4), one)
                if np.abs(op.ptm @ both - both @ op.ptm).max() > _COMMUTES:
                    del last[qubit]


def _image(ptm: RealArray, axis: int) -> tuple[int, float] | None:
    """What generator stands after a map if `axis` stands before it; None if no single Pauli does."""
    # M G = +-G' M for the generators, so M exp(a G) = exp(+-a G') M: merging is exact at any angle.
    before = ptm @ _generator(axis)
    # The same axis first: for most gates nothing else needs to be tried.
    for after in (axis, *(other for other in (1, 2, 3) if other != axis)):
        for sign in (1.0, -1.0):
            if np.abs(before - sign * _generator(after) @ ptm).max() < _COMMUTES:
                return after, sign
    return None


def _generator(axis: int) -> RealArray:
    """Derivative at 0 of the Pauli-transfer matrix of a rotation about `axis`."""
    matrix = np.zeros((4, 4))
    first, second = axis % 3 + 1, (axis + 1) % 3 + 1
    matrix[second, first], matrix[first, second] = 1.0, -1.0
    return matrix


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
    """Turns one rotation; see `Piece`.

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
