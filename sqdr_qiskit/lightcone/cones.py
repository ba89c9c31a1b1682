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

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.operations import Fixed, NormalForm, Operation, PairChannel, PairRotation, Rotation
from sqdr_qiskit.noise_models import RealArray

__all__ = [
    "Cone",
    "common_cone",
    "cone",
    "cones_together",
    "Flow",
    "flow",
    "nested",
    "ONLY_IZ",
    "pauli_terms",
    "Paulis",
    "PauliTerm",
    "term_sums",
    "TermSums",
    "tight_cone",
]

_I, _X, _Y, _Z = 1, 2, 4, 8  # sets of Paulis as bits
_XY, _XYZ = _X | _Y, _X | _Y | _Z
ONLY_IZ = _I | _Z
"""The set {I, Z}; I, X, Y, Z are the bits 1, 2, 4, 8."""


Paulis = tuple[tuple[int, int], ...]
"""A Pauli string: qubits, by the normal form's names, each with 1 = X, 2 = Y, 3 = Z."""
Term = TypeVar("Term", bound=Hashable)


@dataclass(frozen=True)
class PauliTerm:
    """coefficient * P_1 P_2 ..."""

    coefficient: float
    paulis: Paulis


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


class TermSums(Generic[Term]):
    """Observables as sums of terms, each of which is computed once, whichever observables have it.

    Args:
        sums: For each observable its terms with their coefficients; an empty term is 1.

    Attributes:
        terms: The distinct terms.
        weights: Shape (n_observables, n_terms).
        constants: Shape (n_observables,).
    """

    def __init__(self, sums: Sequence[Iterable[tuple[Term, float]]]) -> None:
        numbers: dict[Term, int] = {}
        entries: list[tuple[int, int, float]] = []
        self.constants = np.zeros(len(sums))
        for row, terms in enumerate(sums):
            for term, coefficient in terms:
                if term:
                    entries.append((row, numbers.setdefault(term, len(numbers)), coefficient))
                else:
                    self.constants[row] += coefficient
        self.terms = tuple(numbers)
        self.weights = np.zeros((len(sums), len(numbers)))
        for row, column, coefficient in entries:
            self.weights[row, column] += coefficient

    def values(self, means: RealArray) -> RealArray:
        """Observables, shape (batch, n_observables), of the terms' means, shape (batch, n_terms)."""
        return np.asarray(means @ self.weights.T + self.constants)

    def errors(self, means: RealArray, shots: int | None) -> RealArray:
        """Standard errors of `values` where each mean is of `shots` readings; 0 where it is exact (None)."""
        if shots is None:
            return np.zeros((len(means), len(self.weights)))
        # A mean of readings +1 and -1 has the variance (1 - mean^2) / shots; terms count as independent.
        # Rounding may put an expectation a little beyond 1.
        return np.asarray(np.sqrt(np.maximum(0.0, 1.0 - means**2) @ (self.weights.T**2) / shots))


def term_sums(observables: Sequence[SparsePauliOp], form: NormalForm) -> TermSums[Paulis]:
    """Observables as sums of their Pauli strings, which are in the order of their first appearance."""
    return TermSums([[(term.paulis, term.coefficient) for term in pauli_terms(o, form)] for o in observables])


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
    sets = _measured(form, term)
    return _cone(form, term, _pulled_back(form, sets, form.pair_rotations if whole else ()))


def _measured(form: NormalForm, term: PauliTerm) -> dict[int, int]:
    sets = dict.fromkeys(range(form.n_qubits), _I)
    for qubit, letter in term.paulis:
        sets[qubit] = 1 << letter
    return sets


def _cone(form: NormalForm, term: PauliTerm, operations: Sequence[int]) -> Cone:
    qubits = {qubit for qubit, _ in term.paulis} | _acted_on(form, operations)
    instructions = sorted({form.operations[number].instruction for number in operations})
    return Cone(term, tuple(sorted(qubits)), tuple(operations), tuple(instructions))


def _acted_on(form: NormalForm, operations: Sequence[int]) -> set[int]:
    return {qubit for number in operations for qubit in form.operations[number].qubits}


def common_cone(form: NormalForm, terms: Sequence[PauliTerm]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Qubits and operations that hold the cones of all `terms`: one sweep for any number of them.

    The sets of Paulis of a sum are the unions of its terms', so this is never too small, and may be larger
    than the cones together.
    """
    sets = dict.fromkeys(range(form.n_qubits), _I)
    for term in terms:
        for qubit, letter in term.paulis:
            sets[qubit] |= 1 << letter
    alive = _pulled_back(form, sets)
    qubits = {qubit for term in terms for qubit, _ in term.paulis} | _acted_on(form, alive)
    return tuple(sorted(qubits)), tuple(alive)


def tight_cone(form: NormalForm, term: PauliTerm) -> Cone:
    """The cone of `term` without the operations that do nothing to |0...0>."""
    operations = cone(form, term).operations
    # What does nothing from one end, once gone, may leave something without an effect seen from the other.
    while True:
        kept = _lively(form, operations)
        sets = _measured(form, term)
        alive = tuple(number for number in reversed(kept) if _pull(form.operations[number], sets))[::-1]
        if alive == operations:
            return _cone(form, term, operations)
        operations = alive


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
    return [_cone(form, own.term, [number for number in own.operations if number in kept]) for own in whole]


def nested(cones: Sequence[Cone]) -> list[list[int]]:
    """Numbers of cones that can be computed together: the first of each group is the widest, and has all
    qubits of the others.
    """
    groups: list[tuple[set[int], list[int]]] = []
    for number in sorted(range(len(cones)), key=lambda i: -len(cones[i].qubits)):
        own = set(cones[number].qubits)
        home = next((numbers for qubits, numbers in groups if own <= qubits), None)
        if home is None:
            groups.append((own, [number]))
        else:
            home.append(number)
    return [numbers for _, numbers in groups]


def _lively(form: NormalForm, operations: Collection[int]) -> list[int]:
    """Those of a circuit's operations that do something to |0...0>; the others may be left out together."""
    sets = dict.fromkeys(range(form.n_qubits), ONLY_IZ)
    return [number for number in sorted(operations) if _pull(form.operations[number], sets, forward=True)]


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
        _pull(op, sets, forward=True)
    # Term by term: the sets of all terms at once would allow pairs of Paulis that no term has.
    for term in terms:
        sets = _measured(form, term)
        for number in reversed(operations):
            op = form.operations[number]
            if isinstance(op, Rotation | Fixed):
                after[number] = after.get(number, 0) | sets[op.qubit]
            _pull(op, sets)
    return Flow(before, after)


# ---- how sets move -----------------------------------------------------------------------------------------


def _pulled_back(form: NormalForm, sets: dict[int, int], pairs: Sequence[PairRotation] = ()) -> list[int]:
    """The operations that are alive, ascending; `pairs` are judged as a whole."""
    alive: list[int] = []
    # A rotation of two qubits is judged as one: sets keep no pairs of Paulis, and what its pieces do between
    # them would stay in the sets of both qubits, and grow along a ring until the cone is all of it.
    whole = {pair.end - 1: pair for pair in pairs}
    index = len(form.operations) - 1
    while index >= 0:
        pair = whole.get(index)
        begin = index if pair is None else pair.begin
        if _pull(form.operations[index], sets) if pair is None else _pull_pair(pair, sets):
            alive += range(index, begin - 1, -1)
        index = begin - 1
    alive.reverse()
    return alive


def _pull_pair(pair: PairRotation, sets: dict[int, int]) -> bool:
    """`_pull` for a rotation about P Q: what commutes stays, all else becomes itself and its product."""
    (first, second), (p, q) = pair.qubits, pair.letters
    reached_first = reached_second = 0
    for a in range(4):
        for b in range(4):
            there = sets[first] >> a & 1 and sets[second] >> b & 1
            if there and (a not in (0, p)) != (b not in (0, q)):
                # The product of two Paulis has the exclusive or of their numbers, but for its phase.
                reached_first |= 1 << (a ^ p)
                reached_second |= 1 << (b ^ q)
    sets[first] |= reached_first
    sets[second] |= reached_second
    return bool(reached_first)


def _pull(op: Operation, sets: dict[int, int], *, forward: bool = False) -> bool:
    """Pull the sets of an observable back through `op`, or push those of a state `forward`; whether that
    changes any Pauli of theirs.
    """
    if isinstance(op, Rotation):
        # I and the axis itself commute with the turn; the other two become each other.
        turned = _XYZ & ~(1 << op.axis)
        if not sets[op.qubit] & turned:
            return False
        sets[op.qubit] |= turned
        return True
    if isinstance(op, Fixed):
        # Kept at the operation: few of the sixteen sets occur, and every cone asks again.
        images, before = op.pushed if forward else op.pulled, sets[op.qubit]
        if before not in images:
            reached = _reached(op.ptm, [a for a in range(4) if before >> a & 1], forward)
            # An empty set is the operator 0, as of X before a reset: not at all what it was.
            images[before] = -1 if reached is None else _bits(reached)
        if images[before] < 0:
            return False
        sets[op.qubit] = images[before]
        return True
    first, second = op.qubits
    pair = (sets[first], sets[second])
    if isinstance(op, PairChannel):
        # All pairs that the two sets allow: which of them occur together is not kept.
        there = [4 * a + b for a in range(4) if pair[0] >> a & 1 for b in range(4) if pair[1] >> b & 1]
        reached = _reached(op.ptm, there, forward)
        if reached is None:
            return False
        table = reached.reshape(4, 4)
        sets[first], sets[second] = _bits(np.any(table, axis=1)), _bits(np.any(table, axis=0))
        return True
    # CZ is diagonal: where neither side can hold X or Y it commutes with all there is.
    if not (pair[0] | pair[1]) & _XY:
        return False
    sets[first], sets[second] = _through_cz(*pair), _through_cz(*reversed(pair))
    return True


def _reached(ptm: RealArray, there: list[int], forward: bool) -> NDArray[np.bool_] | None:
    """Which Paulis those that may be `there` become; None if a map leaves all of them as they are."""
    rows = (ptm.T if forward else ptm)[there]
    return None if np.array_equal(rows, np.eye(len(ptm))[there]) else np.any(rows != 0.0, axis=0)


def _bits(present: NDArray[np.bool_]) -> int:
    return sum(1 << int(a) for a in np.flatnonzero(present))


def _through_cz(own: int, other: int) -> int:
    """The set on one side of a CZ: the other side's X or Y multiplies by Z."""
    kept = own if other & ONLY_IZ else 0
    if other & _XY:
        # times Z: I <-> Z and X <-> Y, bit by bit; a set knows no signs
        kept |= (own & _I) << 3 | (own & _Z) >> 3 | (own & _X) << 1 | (own & _Y) >> 1
    return kept
