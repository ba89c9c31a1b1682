"""Backward light cones: which operations an expectation value depends on.

An observable is pulled back through the circuit as, on each qubit, the set of Paulis that can stand there.
A CZ brings its other qubit in only where X or Y can stand; a gate that leaves all Paulis of the sets as
they are is dead; one that meets only the identity is outside. Exact with noise included, because a channel
outside the cone preserves the trace. Source: the standard light-cone argument (e.g. Cerezo et al., Nat.
Commun. 12, 1791 (2021)), sharpened from qubits to Paulis.

`flow` looks from both ends: from the end the observable is pulled back, from the beginning the state
|0...0>, whose Paulis are {I, Z} on each qubit, is pushed forward. An operation that leaves all Paulis of
either set as they are changes no expectation value: RZ before a measurement of Z, RZ or CZ on |0>.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.operations import Fixed, NormalForm, Operation, PairChannel, PairRotation, Rotation

__all__ = [
    "Cone",
    "common_cone",
    "cone",
    "cones_together",
    "Flow",
    "flow",
    "ONLY_IZ",
    "pauli_terms",
    "PauliTerm",
    "pull",
    "through_cz",
    "tight_cone",
]


_I, _X, _Y, _Z = 1, 2, 4, 8  # sets of Paulis as bits
_IZ = _I | _Z
_XY = _X | _Y


@dataclass(frozen=True)
class PauliTerm:
    """coefficient * P_1 P_2 ...; `paulis` pairs the normal form's qubit names with 1 = X, 2 = Y, 3 = Z."""

    coefficient: float
    paulis: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Cone:
    """What one Pauli term depends on.

    Attributes:
        term: The Pauli term.
        qubits: Names (in the normal form) of the qubits on which something acts or is measured, ascending.
        operations: Indices into the normal form's operations, ascending: those that are alive.
        instructions: Indices into the circuit's instructions that hold them, ascending.
    """

    term: PauliTerm
    qubits: tuple[int, ...]
    operations: tuple[int, ...]
    instructions: tuple[int, ...]


def pauli_terms(observable: SparsePauliOp, form: NormalForm) -> tuple[PauliTerm, ...]:
    """The observable's Pauli terms in the normal form's qubit names, equal ones summed, zeros left out.

    Raises:
        UnsupportedError: A coefficient that is not real.
    """
    simplified = observable.simplify(atol=0.0)
    if np.any(np.abs(simplified.coeffs.imag) > 1e-12):
        raise UnsupportedError(f"Observable {observable!r} must have real coefficients.")
    terms = []
    for pauli, coefficient in zip(simplified.paulis, simplified.coeffs.real, strict=True):
        # bits (z, x): 01 is X = 1, 11 is Y = 2, 10 is Z = 3
        letters = np.where(pauli.x & pauli.z, 2, np.where(pauli.x, 1, np.where(pauli.z, 3, 0)))
        placed = sorted((form.names[q], int(letter)) for q, letter in enumerate(letters) if letter)
        if coefficient != 0.0:
            terms.append(PauliTerm(float(coefficient), tuple(placed)))
    return tuple(terms)


def cone(form: NormalForm, term: PauliTerm, *, whole: bool = False) -> Cone:
    """The backward light cone of `term`; exact, never too small.

    Args:
        form: The circuit.
        term: The Pauli string.
        whole: Judge rotations of two qubits as one. Their pieces each do something, so that they may be left
            out together alone: for whoever keeps or drops whole instructions, as Aer's programs do. Not for
            the expansion, which reads whole sites, nor for tight cones, which drop single pieces.
    """
    # The observable in the Heisenberg picture, known by the Paulis that it may hold on each qubit: sets and
    # not coefficients, so that nothing rests on numbers that happen to cancel.
    sets = dict.fromkeys(range(form.n_qubits), _I)
    for qubit, letter in term.paulis:
        sets[qubit] = 1 << letter
    qubits, alive = _pulled_back(form, sets, form.pair_rotations if whole else ())
    qubits |= {qubit for qubit, _ in term.paulis}
    instructions = sorted({form.operations[index].instruction for index in alive})
    return Cone(term, tuple(sorted(qubits)), tuple(alive), tuple(instructions))


def common_cone(form: NormalForm, terms: Sequence[PauliTerm]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Qubits and operations that hold the cones of all `terms`: one sweep for any number of them.

    The sets of Paulis of a sum are the unions of its terms', so this is never too small, and may be larger
    than the cones together.
    """
    sets = dict.fromkeys(range(form.n_qubits), _I)
    for term in terms:
        for qubit, letter in term.paulis:
            sets[qubit] |= 1 << letter
    qubits, alive = _pulled_back(form, sets)
    qubits |= {qubit for term in terms for qubit, _ in term.paulis}
    return tuple(sorted(qubits)), tuple(alive)


def _pulled_back(
    form: NormalForm, sets: dict[int, int], pairs: Sequence[PairRotation] = ()
) -> tuple[set[int], list[int]]:
    """Qubits on which something acts, and the operations that are alive, ascending; `pairs` as a whole."""
    qubits: set[int] = set()
    alive: list[int] = []
    # A rotation of two qubits is judged as one: sets keep no pairs of Paulis, and what its pieces do between
    # them would stay in the sets of both qubits, and grow along a ring until the cone is all of it.
    whole = {pair.end - 1: pair for pair in pairs}
    index = len(form.operations) - 1
    while index >= 0:
        pair = whole.get(index)
        begin = index if pair is None else pair.begin
        touched = pull(form.operations[index], sets) if pair is None else _pull_pair(pair, sets)
        if touched:
            alive += range(index, begin - 1, -1)
            qubits.update(touched)
        index = begin - 1
    alive.reverse()
    return qubits, alive


def _pull_pair(pair: PairRotation, sets: dict[int, int]) -> tuple[int, ...]:
    """The same for a rotation about P Q: what commutes stays, all else becomes itself and its product."""
    (first, second), (p, q) = pair.qubits, pair.letters
    reached_first = reached_second = 0
    for a in range(4):
        for b in range(4):
            there = sets[first] >> a & 1 and sets[second] >> b & 1
            if there and (a not in (0, p)) != (b not in (0, q)):
                # The product of two Paulis has the exclusive or of their numbers, but for its phase.
                reached_first |= 1 << (a ^ p)
                reached_second |= 1 << (b ^ q)
    if not reached_first:
        return ()
    sets[first] |= reached_first
    sets[second] |= reached_second
    return (first, second)


def pull(op: Operation, sets: dict[int, int]) -> tuple[int, ...]:
    """Pull the sets back through `op`; the qubits it acts on, or nothing if it changes no Pauli of the
    sets.
    """
    if isinstance(op, Rotation):
        # I and the axis itself commute with the turn; the other two become each other.
        turned = (_X | _Y | _Z) & ~(1 << op.axis)
        if not sets[op.qubit] & turned:
            return ()
        sets[op.qubit] |= turned
        return (op.qubit,)
    if isinstance(op, Fixed):
        before = sets[op.qubit]
        # Kept at the operation: few of the sixteen sets occur, and every cone asks again.
        if before not in op.pulled:
            rows = [a for a in range(4) if before >> a & 1]
            dead = np.array_equal(op.ptm[rows], np.eye(4)[rows])
            op.pulled[before] = 0 if dead else _bits(op.ptm[rows])
        if not op.pulled[before]:
            return ()
        sets[op.qubit] = op.pulled[before]
        return (op.qubit,)
    first, second = op.qubits
    pair = (sets[first], sets[second])
    if isinstance(op, PairChannel):
        # All pairs that the two sets allow: which of them occur together is not kept.
        rows = [4 * a + b for a in range(4) if pair[0] >> a & 1 for b in range(4) if pair[1] >> b & 1]
        if np.array_equal(op.ptm[rows], np.eye(16)[rows]):
            return ()
        reached = np.any(op.ptm[rows] != 0.0, axis=0).reshape(4, 4)
        sets[first] = sum(1 << int(a) for a in np.flatnonzero(reached.any(axis=1)))
        sets[second] = sum(1 << int(b) for b in np.flatnonzero(reached.any(axis=0)))
        return (first, second)
    # CZ is diagonal: where neither side can hold X or Y it commutes with all there is.
    if not (pair[0] | pair[1]) & _XY:
        return ()
    sets[first] = through_cz(pair[0], pair[1])
    sets[second] = through_cz(pair[1], pair[0])
    return (first, second)


def _bits(rows: np.ndarray) -> int:
    return sum(1 << int(a) for a in np.flatnonzero(np.any(rows != 0.0, axis=0)))


def through_cz(own: int, other: int) -> int:
    """The set on one side of a CZ: the other side's X or Y multiplies by Z."""
    kept = own if other & _IZ else 0
    if other & _XY:
        # times Z: I <-> Z and X <-> Y, bit by bit; a set knows no signs
        kept |= (own & _I) << 3 | (own & _Z) >> 3 | (own & _X) << 1 | (own & _Y) >> 1
    return kept


ONLY_IZ = 1 | 8
"""The set {I, Z}; I, X, Y, Z are the bits 1, 2, 4, 8."""

_ALL = 2 | 4 | 8


@dataclass(frozen=True)
class Flow:
    """Sets of Paulis around each one-qubit operation, by its number.

    Attributes:
        before: What the state can have on the operation's qubit just before it.
        after: What the observables can have on it just after it.
    """

    before: dict[int, int]
    after: dict[int, int]


def flow(form: NormalForm, operations: Sequence[int], terms: Sequence[PauliTerm]) -> Flow:
    """The sets around the one-qubit operations among `operations`, of which the circuit consists.

    Args:
        form: The normal form.
        operations: Numbers of operations, ascending.
        terms: The Pauli strings that are measured.
    """
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    sets = dict.fromkeys(range(form.n_qubits), ONLY_IZ)
    for number in operations:
        op = form.operations[number]
        if isinstance(op, Rotation | Fixed):
            before[number] = sets[op.qubit]
        _push(op, sets)
    # Term by term: the sets of all terms at once would allow pairs of Paulis that no term has.
    for term in terms:
        sets = _measured(form, term)
        for number in reversed(operations):
            op = form.operations[number]
            if isinstance(op, Rotation | Fixed):
                after[number] = after.get(number, 0) | sets[op.qubit]
            pull(op, sets)
    return Flow(before, after)


def tight_cone(form: NormalForm, term: PauliTerm) -> Cone:
    """The cone of `term` without the operations that do nothing to |0...0>."""
    found = cone(form, term)
    operations = found.operations
    # What does nothing from one end, once gone, may leave something without an effect seen from the other.
    while True:
        kept = _lively(form, operations)
        sets = _measured(form, term)
        alive = tuple(number for number in reversed(kept) if pull(form.operations[number], sets))[::-1]
        if alive == operations:
            break
        operations = alive
    qubits = {qubit for qubit, _ in term.paulis} | _acted_on(form, operations)
    instructions = sorted({form.operations[number].instruction for number in operations})
    return Cone(term, tuple(sorted(qubits)), operations, tuple(instructions))


def cones_together(form: NormalForm, cones: Sequence[Cone]) -> list[Cone]:
    """Tight cones of terms that are read from one circuit, the union of all their operations.

    A tight cone lacks what does nothing to |0...0>. Another's operation before it may let it do something: an
    S that follows no RX in its own cone, but does in the other's. Then such operations are taken back, and
    only what does nothing in the union is left out.
    """
    shared = {number for member in cones for number in member.operations}
    whole = [cone(form, member.term) for member in cones if set(member.operations) != shared]
    if all(shared.issuperset(_lively(form, shared.union(own.operations))) for own in whole):
        return list(cones)
    whole = [cone(form, member.term) for member in cones]
    kept = set(_lively(form, {number for own in whole for number in own.operations}))
    found = []
    for own in whole:
        operations = tuple(number for number in own.operations if number in kept)
        instructions = sorted({form.operations[number].instruction for number in operations})
        qubits = {qubit for qubit, _ in own.term.paulis} | _acted_on(form, operations)
        found.append(Cone(own.term, tuple(sorted(qubits)), operations, tuple(instructions)))
    return found


def _lively(form: NormalForm, operations: Collection[int]) -> list[int]:
    """Those of a circuit's operations that do something to |0...0>; the others may be left out together."""
    sets = dict.fromkeys(range(form.n_qubits), ONLY_IZ)
    return [number for number in sorted(operations) if _push(form.operations[number], sets)]


def _acted_on(form: NormalForm, operations: Collection[int]) -> set[int]:
    qubits: set[int] = set()
    for number in operations:
        op = form.operations[number]
        qubits |= {op.qubit} if isinstance(op, Rotation | Fixed) else set(op.qubits)
    return qubits


def _measured(form: NormalForm, term: PauliTerm) -> dict[int, int]:
    sets = dict.fromkeys(range(form.n_qubits), 1)
    for qubit, letter in term.paulis:
        sets[qubit] = 1 << letter
    return sets


def _push(op: Operation, sets: dict[int, int]) -> bool:
    """Push the sets forward through `op`; whether it changes any Pauli of theirs."""
    if isinstance(op, Rotation):
        turned = _ALL & ~(1 << op.axis)
        if not sets[op.qubit] & turned:
            return False
        sets[op.qubit] |= turned
        return True
    if isinstance(op, Fixed):
        before = sets[op.qubit]
        if before not in op.pushed:
            columns = [a for a in range(4) if before >> a & 1]
            dead = np.array_equal(op.ptm[:, columns], np.eye(4)[:, columns])
            op.pushed[before] = 0 if dead else _bits_of(np.any(op.ptm[:, columns] != 0.0, axis=1))
        if not op.pushed[before]:
            return False
        sets[op.qubit] = op.pushed[before]
        return True
    first, second = op.qubits
    pair = (sets[first], sets[second])
    if isinstance(op, PairChannel):
        columns = [4 * a + b for a in range(4) if pair[0] >> a & 1 for b in range(4) if pair[1] >> b & 1]
        if np.array_equal(op.ptm[:, columns], np.eye(16)[:, columns]):
            return False
        reached = np.any(op.ptm[:, columns] != 0.0, axis=1).reshape(4, 4)
        sets[first], sets[second] = _bits_of(reached.any(axis=1)), _bits_of(reached.any(axis=0))
        return True
    if not (pair[0] | pair[1]) & ~ONLY_IZ:
        return False
    sets[first], sets[second] = through_cz(pair[0], pair[1]), through_cz(pair[1], pair[0])
    return True


def _bits_of(present: np.ndarray) -> int:
    return sum(1 << int(a) for a in np.flatnonzero(present))
