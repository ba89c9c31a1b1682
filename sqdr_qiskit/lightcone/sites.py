"""Runs of one-qubit operations between two-qubit gates, as rows and columns of their Pauli-transfer matrices.

All one-qubit operations between two CZ layers multiply into one 4 x 4 matrix, a *site*; noise among them is
one more factor. The engine never needs the whole matrix: a row of it (an observable's Pauli pulled back) or
its action on |0> (the Bloch vector of the first site) is a vector pushed through a chain of rotations and
fixed maps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, PairChannel, Rotation
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.tape import Tape, Value

__all__ = ["Chain", "ChainTable", "Site", "sites_of", "split_runs"]

BLOCH = 0  # which vector of a site: 1, 2, 3 are the rows X, Y, Z

Vector = tuple[Value, Value, Value, Value]


Site = tuple[int, ...]  # a maximal run of one-qubit operations on one qubit, by number in the normal form


def split_runs(form: NormalForm, operations: Iterable[int]) -> list[Site | CZ | PairChannel]:
    """What acts on two qubits, and between it the one-qubit operations on each qubit, by number.

    Args:
        form: The circuit.
        operations: Those that count, by number, ascending.

    Returns:
        Everything in an order in which it may act; what is left on a qubit at the end comes last.
    """
    pending: dict[int, list[int]] = {}
    pieces: list[Site | CZ | PairChannel] = []
    for number in operations:
        op = form.operations[number]
        if isinstance(op, CZ | PairChannel):
            # A run is written when what ends it comes, not before: it may still grow.
            pieces += [tuple(pending.pop(qubit)) for qubit in op.qubits if qubit in pending]
            pieces.append(op)
        else:
            pending.setdefault(op.qubit, []).append(number)
    return pieces + [tuple(numbers) for _, numbers in sorted(pending.items())]


def sites_of(form: NormalForm) -> tuple[tuple[Site, ...], dict[int, int]]:
    """All sites of a circuit, and for each one-qubit operation the number of its site."""
    sites: list[Site] = []
    owner: dict[int, int] = {}
    for run in split_runs(form, range(len(form.operations))):
        if isinstance(run, tuple):
            owner |= dict.fromkeys(run, len(sites))
            sites.append(run)
    return tuple(sites), owner


@dataclass(frozen=True, eq=False)
class Chain:
    """A vector pushed through a site's operations.

    Attributes:
        start: Pauli coefficients at the beginning, shape (4,).
        steps: Rotations as (axis, angle number, sign), fixed maps as matrices that multiply from the left.
        varies: Which of the four results differ from sample to sample.
        known: The results that do not, shape (4,).
    """

    start: RealArray
    steps: tuple[tuple[int, int, float] | RealArray, ...]
    varies: tuple[bool, bool, bool, bool]
    known: RealArray

    @property
    def angles(self) -> tuple[int, ...]:
        """Numbers of the angles, in the order of the steps."""
        return tuple(step[1] for step in self.steps if isinstance(step, tuple))


class ChainTable:
    """The chains that the tapes of a circuit ask for, each kept once."""

    def __init__(self, form: NormalForm, sites: tuple[Site, ...]) -> None:
        self._form = form
        self._sites = sites
        self._chains: dict[tuple[int, int], tuple[int, Chain]] = {}

    @property
    def chains(self) -> tuple[Chain, ...]:
        """All chains so far, in the order of their numbers."""
        return tuple(chain for _, chain in self._chains.values())

    def row(self, site: int, letter: int, tape: Tape) -> Vector:
        """Row `letter` (1 = X, 2 = Y, 3 = Z; 0 is always (1, 0, 0, 0)) of the site's matrix."""
        # Every channel keeps the trace, so that row I is known and 0 is free to name the Bloch vector.
        if letter == 0:
            return (1.0, 0.0, 0.0, 0.0)
        return self._vector(site, letter, tape)

    def bloch(self, site: int, tape: Tape) -> Vector:
        """Pauli coefficients (1, x, y, z) of the site applied to |0>."""
        return self._vector(site, BLOCH, tape)

    def _vector(self, site: int, which: int, tape: Tape) -> Vector:
        key = (site, which)
        if key not in self._chains:
            self._chains[key] = (len(self._chains), self._build(site, which))
        number, chain = self._chains[key]
        entries = [
            tape.leaf(number, component) if chain.varies[component] else float(chain.known[component])
            for component in range(4)
        ]
        return (entries[0], entries[1], entries[2], entries[3])

    def _build(self, site: int, which: int) -> Chain:
        operations = [self._form.operations[index] for index in self._sites[site]]
        # A Bloch vector runs forward in time; a row is pulled back, from the last operation to the first,
        # each transposed.
        start = np.array([1.0, 0.0, 0.0, 1.0]) if which == BLOCH else np.eye(4)[which]
        if which != BLOCH:
            operations.reverse()
        # What is known is tracked beside what varies: a component that stays a number, most often zero,
        # becomes a number on the tape, and what depends on it vanishes there.
        known = start.copy()
        varies = np.zeros(4, dtype=bool)
        steps: list[tuple[int, int, float] | RealArray] = []
        for op in operations:
            if isinstance(op, Rotation):
                turned = [axis for axis in (1, 2, 3) if axis != op.axis]
                # Nothing to turn, such as RZ on |0>: no step, no tangent, and no slope along its angle.
                if not varies[turned].any() and not known[turned].any():
                    continue
                varies[turned] = True
                steps.append((op.axis, op.angle, 1.0 if which == BLOCH else -1.0))
            else:
                assert isinstance(op, Fixed)
                matrix = op.ptm if which == BLOCH else op.ptm.T
                # Maps before the first rotation go into the start, neighbouring ones into each other: a
                # sample never sees them apart.
                steps, start = (steps, start) if steps else ([], matrix @ start)
                if steps and isinstance(steps[-1], np.ndarray):
                    steps[-1] = matrix @ steps[-1]
                elif steps:
                    steps.append(np.ascontiguousarray(matrix))
                reached = (matrix[:, varies] != 0.0).any(axis=1)
                known, varies = matrix @ np.where(varies, 0.0, known), reached
            known = np.where(varies, 0.0, known)
        return Chain(
            start, tuple(steps), (bool(varies[0]), bool(varies[1]), bool(varies[2]), bool(varies[3])), known
        )
