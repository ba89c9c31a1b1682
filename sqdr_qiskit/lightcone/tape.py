"""A straight-line program of multiply-adds, written once per circuit and run for every sample.

Values are numbers known now or *rows*: quantities that differ from sample to sample. Arithmetic with known
numbers is done at once, zeros and ones vanish, and equal expressions are written once. That is how structure
turns into speed: what a light cone does not reach becomes a zero here, and no instruction is left of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Row", "Tape", "TapeCode", "Value", "negative"]


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
    """Writes a tape. Leaves are named by pairs of integers, whose meaning is the caller's."""

    def __init__(self) -> None:
        self._leaves: dict[tuple[int, int], Row] = {}
        self._sums: dict[tuple[_Product, ...], Row] = {}
        self._n_instructions = 0

    @property
    def n_instructions(self) -> int:
        """Multiply-adds written so far."""
        return self._n_instructions

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
            self._n_instructions += len(terms)
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
