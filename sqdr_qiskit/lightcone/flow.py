"""What can stand on a qubit before and after each operation, as sets of Paulis, from both ends of a circuit.

From the end the observable is pulled back (`cones`), from the beginning the state |0...0>, whose Paulis are
{I, Z} on each qubit, is pushed forward. An operation that leaves all Paulis of either set as they are changes
no expectation
value: RZ before a measurement of Z, RZ or CZ on |0>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqdr_qiskit.lightcone.cones import Cone, PauliTerm, cone, pull, through_cz
from sqdr_qiskit.lightcone.operations import Fixed, NormalForm, Operation, PairChannel, Rotation

__all__ = ["ONLY_IZ", "Flow", "flow", "tight_cone"]

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
    while True:
        sets = dict.fromkeys(range(form.n_qubits), ONLY_IZ)
        kept = [number for number in operations if _push(form.operations[number], sets)]
        sets = _measured(form, term)
        alive = tuple(number for number in reversed(kept) if pull(form.operations[number], sets))[::-1]
        if alive == operations:
            break
        operations = alive
    qubits = {qubit for qubit, _ in term.paulis}
    for number in operations:
        op = form.operations[number]
        qubits |= {op.qubit} if isinstance(op, Rotation | Fixed) else set(op.qubits)
    instructions = sorted({form.operations[number].instruction for number in operations})
    return Cone(term, tuple(sorted(qubits)), operations, tuple(instructions))


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
        columns = [a for a in range(4) if sets[op.qubit] >> a & 1]
        if np.array_equal(op.ptm[:, columns], np.eye(4)[:, columns]):
            return False
        sets[op.qubit] = _bits(np.any(op.ptm[:, columns] != 0.0, axis=1))
        return True
    first, second = op.qubits
    pair = (sets[first], sets[second])
    if isinstance(op, PairChannel):
        columns = [4 * a + b for a in range(4) if pair[0] >> a & 1 for b in range(4) if pair[1] >> b & 1]
        if np.array_equal(op.ptm[:, columns], np.eye(16)[:, columns]):
            return False
        reached = np.any(op.ptm[:, columns] != 0.0, axis=1).reshape(4, 4)
        sets[first], sets[second] = _bits(reached.any(axis=1)), _bits(reached.any(axis=0))
        return True
    if not (pair[0] | pair[1]) & ~ONLY_IZ:
        return False
    sets[first], sets[second] = through_cz(pair[0], pair[1]), through_cz(pair[1], pair[0])
    return True


def _bits(present: np.ndarray) -> int:
    return sum(1 << int(a) for a in np.flatnonzero(present))
