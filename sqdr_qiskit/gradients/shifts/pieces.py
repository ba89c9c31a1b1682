"""Which rotations of a tile need a pair of shifts of their own: dead ones dropped, equal ones merged.

Two rotations have the same derivative for everything that is measured if the generator of the first, moved
through all that acts in between, becomes that of the second: RZ and RZ on one wire, also across CZ, RX on
both sides of a CX's target. How far a generator may be moved is an assumption about the noise:

    ideal        through every gate; channels are taken not to be there.
    virtual-rz   only generators Z, through gates that keep them: hardware's RZ is a change of frame, without
    a
                 pulse and so without noise, and compiled circuits add up neighbouring ones.
    structural   through gates, and through channels that commute with the rotation, as they are given.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from sqdr_qiskit.lightcone.operations import CZ, Fixed, Operation, PairChannel, Rotation
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.tiles.tiles import Tile, TiledCircuit

__all__ = ["ASSUMPTIONS", "Assumption", "Piece", "pieces_of"]

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
            rotation = tile.rotations[number]
            open_ = last.get(op.qubit)
            if open_ is not None and open_.axis != op.axis:
                del last[op.qubit]
                open_ = None
            # Only here: a turn that nobody asks for closes pieces of other axes all the same.
            if rotation not in wanted:
                continue
            readers[rotation] = frozenset(
                term for term, its in zip(tile.terms, alive, strict=True) if number in its
            )
            if open_ is not None:
                open_.piece.members.append((rotation, open_.sign))
                continue
            piece = Piece([(rotation, 1.0)])
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
        piece.readers = frozenset.intersection(*(readers[rotation] for rotation, _ in piece.members))
    kept = []
    for piece in pieces:
        # Members may cancel along every parameter, though each of them alone would not.
        slope = sum(sign * tiled.coefficients[rotation] for rotation, sign in piece.members)
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
