from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sqdr_qiskit.lightcone.expansion import Factor, TooWideError, eliminate
from sqdr_qiskit.lightcone.tape import Row, Tape, TapeCode, Value, negative


def run_tape(code: TapeCode, leaves: dict[tuple[int, int], float]) -> float:
    """What the kernel does, one instruction after the other."""
    if code.result < 0:
        return code.constant
    rows = np.zeros(code.n_rows)
    rows[: len(code.leaves)] = [leaves[key] for key in code.leaves]
    for (target, first, second, fresh), coefficient in zip(code.code, code.coefficients, strict=True):
        term = coefficient * (rows[first] if first >= 0 else 1.0) * (rows[second] if second >= 0 else 1.0)
        rows[target] = term if fresh else rows[target] + term
    return float(rows[code.result])


def test_arithmetic() -> None:
    tape = Tape()
    a, b = tape.leaf(0, 0), tape.leaf(0, 1)
    result = tape.dot([(a, b), (2.0, a), (3.0, 4.0), (negative(b), b), (0.0, b)])
    code = tape.finish(result)
    assert run_tape(code, {(0, 0): 5.0, (0, 1): 7.0}) == 5 * 7 + 2 * 5 + 12 - 49


def test_known_numbers_never_reach_the_tape() -> None:
    tape = Tape()
    a = tape.leaf(0, 0)
    assert tape.dot([(2.0, 3.0), (0.0, a)]) == 6.0
    assert tape.dot([(a, 1.0)]) == a
    assert tape.dot([(a, 1.0), (a, -1.0)]) == 0.0
    assert tape.times(a, -2.0) == Row(a.index, -2.0)
    assert tape.n_instructions == 0


def test_equal_expressions_are_written_once() -> None:
    tape = Tape()
    a, b = tape.leaf(0, 0), tape.leaf(1, 0)
    assert tape.dot([(a, b), (1.0, a)]) == tape.dot([(1.0, a), (b, a)])
    assert tape.n_instructions == 2


def test_unneeded_leaves_and_instructions_are_dropped() -> None:
    tape = Tape()
    a, b, c = tape.leaf(0, 0), tape.leaf(0, 1), tape.leaf(0, 2)
    tape.times(a, c)
    code = tape.finish(tape.times(b, c))
    assert code.leaves == ((0, 1), (0, 2))
    assert len(code.code) == 1


def test_scaled_leaf_as_result() -> None:
    tape = Tape()
    code = tape.finish(tape.times(tape.leaf(0, 0), -0.5))
    assert run_tape(code, {(0, 0): 3.0}) == -1.5


@pytest.mark.parametrize("shape", ["line", "ring", "star"])
def test_elimination_equals_the_sum_over_all_flags(shape: str, rng: np.random.Generator) -> None:
    size = 6
    layouts: dict[str, list[tuple[int, ...]]] = {
        "line": [tuple(range(max(0, i - 1), min(size, i + 2))) for i in range(size)],
        "ring": [tuple(sorted({(i - 1) % size, i, (i + 1) % size})) for i in range(size)],
        "star": [(0, i) for i in range(1, size)],
    }
    scopes = layouts[shape]
    tape = Tape()
    leaves: dict[tuple[int, int], float] = {}
    factors = []
    for number, scope in enumerate(scopes):
        table: dict[tuple[int, ...], Value] = {}
        for place, flags in enumerate(product((0, 1), repeat=len(scope))):
            table[flags] = tape.leaf(number, place) if place != 1 else 0.5
            leaves[number, place] = float(rng.normal()) if place != 1 else 0.5
        factors.append(Factor(scope, table))
    total = 0.0
    for flags in product((0, 1), repeat=size):
        term = 1.0
        for number, scope in enumerate(scopes):
            place = int("".join(str(flags[i]) for i in scope), 2)
            term *= leaves[number, place]
        total += term
    assert run_tape(tape.finish(eliminate(factors, tape)), leaves) == pytest.approx(total, rel=1e-12)


def test_too_wide_a_sum_is_given_up() -> None:
    tape = Tape()
    pairs = [(a, b) for a in range(12) for b in range(a + 1, 12)]
    tables = [Factor(pair, dict.fromkeys(product((0, 1), repeat=2), 1.0)) for pair in pairs]
    with pytest.raises(TooWideError, match="12 flags at once"):
        eliminate(tables, tape)
