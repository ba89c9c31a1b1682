"""A straight-line program of multiply-adds, written once per circuit and run for every sample.

Values are numbers known now or *rows*: quantities that differ from sample to sample. Arithmetic with known
numbers is done at once, zeros and ones vanish, and equal expressions are written once. That is how structure
turns into speed: what a light cone does not reach becomes a zero here, and no instruction is left of it.

What a tape reads, its leaves, are components of vectors. All one-qubit operations between two CZ layers
multiply into one 4 x 4 Pauli-transfer matrix, a *site*; noise among them is one more factor. The engine never
needs the whole matrix: a row of it (an observable's Pauli pulled back) or its action on |0> (the Bloch vector
of the first site) is a vector pushed through a *chain* of rotations and fixed maps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, PairChannel, Rotation
from sqdr_qiskit.noise_models import RealArray

__all__ = [
    "Chain",
    "ChainTable",
    "negative",
    "Row",
    "Site",
    "sites_of",
    "split_runs",
    "Tape",
    "TapeCode",
    "Value",
]


@dataclass(frozen=True)
class Row:
    """A quantity that differs from sample to sample: `factor` times row number `index` of the tape."""

    index: int
    factor: float = 1.0


Value = float | Row
_Product = tuple[float, int, int]  # coefficient, row, row (-1: none)


@dataclass(frozen=True, eq=False)
class TapeCode:
    """A finished tape.

    Attributes:
        n_rows: Number of rows; the first `len(leaves)` are the inputs.
        leaves: Keys of the input rows, in row order.
        code: Shape (n_instructions, 4): target, first row, second row (-1: none), 1 to start the target, 0 to
            add.
        coefficients: Shape (n_instructions,): target (+)= coefficient * first * second.
        constant: Known part of the result.
        result: Row that holds the rest of the result, or -1.
    """

    n_rows: int
    leaves: tuple[tuple[int, int], ...]
    code: NDArray[np.int32]
    coefficients: NDArray[np.float64]
    constant: float
    result: int


class Tape:
    """Writes a tape. Leaves are named by pairs of integers, whose meaning is the caller's.

    Attributes:
        n_instructions: Multiply-adds written so far.
    """

    def __init__(self) -> None:
        self._leaves: dict[tuple[int, int], Row] = {}
        self._sums: dict[tuple[_Product, ...], Row] = {}
        self.n_instructions = 0

    def leaf(self, group: int, component: int) -> Row:
        """The input row of that name."""
        return self._leaves.setdefault((group, component), Row(len(self._leaves)))

    def dot(self, pairs: Iterable[tuple[Value, Value]]) -> Value:
        """Sum of the products of `pairs`."""
        known = 0.0
        products: dict[tuple[int, int], float] = {}
        for a, b in pairs:
            if isinstance(a, float) and isinstance(b, float):
                known += a * b
                continue
            coefficient, rows = _product(a, b)
            if coefficient != 0.0:
                # Equal products become one; where their coefficients cancel, nothing is left.
                products[rows] = products.get(rows, 0.0) + coefficient
        # Sorted, so that one sum in two orders is found under one key.
        terms = tuple(sorted((c, i, j) for (i, j), c in products.items() if c != 0.0))
        if not terms:
            return known
        if known != 0.0:
            # The known part is one more instruction, without rows.
            terms = (*terms, (known, _ONE, _ONE))
        if len(terms) == 1 and terms[0][2] == _ONE:
            # A multiple of a row costs nothing: the factor goes along until something reads it.
            return Row(terms[0][1], terms[0][0])
        if terms not in self._sums:
            self.n_instructions += len(terms)
            self._sums[terms] = Row(-2 - len(self._sums))  # not numbered yet: leaves come first
        return self._sums[terms]

    def times(self, a: Value, b: Value) -> Value:
        """Product."""
        return self.dot(((a, b),))

    def finish(self, result: Value) -> TapeCode:
        """Number the rows, leaves first, and drop what `result` does not need."""
        if isinstance(result, float):
            return TapeCode(0, (), np.zeros((0, 4), np.int32), np.zeros(0), result, -1)
        # Who runs the tape reads the result's row as it is, so that a factor must be multiplied in.
        if result.factor != 1.0:
            terms: tuple[_Product, ...] = ((result.factor, result.index, _ONE),)
            result = self._sums.setdefault(terms, Row(-2 - len(self._sums)))
        definitions = {row.index: terms for terms, row in self._sums.items()}
        needed: set[int] = set()
        # A stack of our own: a tape may be deeper than Python's recursion.
        stack = [result.index]
        while stack:
            index = stack.pop()
            if index in needed:
                continue
            needed.add(index)
            for _, i, j in definitions.get(index, ()):
                stack += [k for k in (i, j) if k != _ONE]
        leaves = [key for key, row in self._leaves.items() if row.index in needed]
        number = {self._leaves[key].index: i for i, key in enumerate(leaves)}
        code: list[tuple[int, int, int, int]] = []
        coefficients: list[float] = []
        # in the order of writing, so that every row is ready when used
        for index, terms in definitions.items():
            if index not in needed:
                continue
            number[index] = len(number)
            for position, (coefficient, i, j) in enumerate(terms):
                first = number[i] if i != _ONE else -1
                second = number[j] if j != _ONE else -1
                code.append((number[index], first, second, int(position == 0)))
                coefficients.append(coefficient)
        return TapeCode(
            n_rows=len(number),
            leaves=tuple(leaves),
            code=np.array(code, dtype=np.int32).reshape(-1, 4),
            coefficients=np.array(coefficients),
            constant=0.0,
            result=number[result.index],
        )


_ONE = -1  # in a product: no row


def negative(value: Value) -> Value:
    """-value, at no cost."""
    return -value if isinstance(value, float) else Row(value.index, -value.factor)


def _product(a: Value, b: Value) -> tuple[float, tuple[int, int]]:
    """Coefficient and rows (larger first, `_ONE` last) of a product of which one factor at least is a row."""
    if isinstance(a, float):
        a, b = b, a
    assert isinstance(a, Row)
    if isinstance(b, float):
        return a.factor * b, (a.index, _ONE)
    return a.factor * b.factor, (max(a.index, b.index), min(a.index, b.index))


# ---- what a tape reads: vectors pushed through sites -------------------------------------------------------

BLOCH = 0  # which vector of a site: 1, 2, 3 are the rows X, Y, Z

Vector = tuple[Value, ...]  # the coefficients of I, X, Y, Z


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
    varies: tuple[bool, ...]
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

    def matrix(self, site: int, tape: Tape) -> list[Vector]:
        """The site's Pauli-transfer matrix, row by row."""
        # Every channel keeps the trace, so that row I is known and 0 is free to name the Bloch vector.
        return [(1.0, 0.0, 0.0, 0.0), *(self._vector(site, letter, tape) for letter in (1, 2, 3))]

    def bloch(self, site: int, tape: Tape) -> Vector:
        """Pauli coefficients (1, x, y, z) of the site applied to |0>."""
        return self._vector(site, BLOCH, tape)

    def _vector(self, site: int, which: int, tape: Tape) -> Vector:
        key = (site, which)
        if key not in self._chains:
            self._chains[key] = (len(self._chains), self._build(site, which))
        number, chain = self._chains[key]
        return tuple(
            tape.leaf(number, component) if chain.varies[component] else float(chain.known[component])
            for component in range(4)
        )

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
                if not steps:
                    start = matrix @ start
                elif isinstance(steps[-1], np.ndarray):
                    steps[-1] = matrix @ steps[-1]
                else:
                    steps.append(np.ascontiguousarray(matrix))
                reached = (matrix[:, varies] != 0.0).any(axis=1)
                known, varies = matrix @ np.where(varies, 0.0, known), reached
            known = np.where(varies, 0.0, known)
        return Chain(start, tuple(steps), tuple(varies.tolist()), known)
