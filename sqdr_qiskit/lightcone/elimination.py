"""Sum over binary flags of a product of local factors, one flag after another.

Bucket elimination (Dechter, Artif. Intell. 113, 41 (1999)): for factors that stand in a line the sum costs a
fixed number of multiply-adds per factor, and in general 2^(width of the graph) of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from sqdr_qiskit.lightcone.tape import Tape, Value

__all__ = ["Factor", "TooWideError", "eliminate"]

_WIDEST_SCOPE = 10


class TooWideError(Exception):
    """Writing this out would need more instructions than allowed; another method is cheaper."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A value for each assignment of the flags in `scope` (ascending)."""

    scope: tuple[int, ...]
    table: dict[tuple[int, ...], Value]


def eliminate(factors: list[Factor], tape: Tape) -> Value:
    """Sum over all flags of the product of all factors.

    Raises:
        TooWideError: A partial sum would depend on more than ten flags.
    """
    while flags := {flag for factor in factors for flag in factor.scope}:
        scopes = {
            flag: {f for factor in factors if flag in factor.scope for f in factor.scope} for flag in flags
        }
        flag = min(flags, key=lambda f: (len(scopes[f]), f))
        if len(scopes[flag]) > _WIDEST_SCOPE:
            raise TooWideError(f"a sum over {len(scopes[flag])} flags at once")
        bucket = [factor for factor in factors if flag in factor.scope]
        bucket.sort(key=lambda factor: len(factor.scope))
        factors = [factor for factor in factors if flag not in factor.scope]
        factors.append(_sum_out(flag, bucket, tape))
    result: Value = 1.0
    for factor in factors:
        result = tape.times(result, factor.table[()])
    return result


def _sum_out(flag: int, bucket: list[Factor], tape: Tape) -> Factor:
    """Sum over `flag` of the product of the factors of `bucket`; the last product is made within the sum."""
    head = bucket[0]
    for factor in bucket[1:-1]:
        head = _multiply(head, factor, tape)
    tail = bucket[-1] if len(bucket) > 1 else Factor((), {(): 1.0})
    scope = tuple(sorted((set(head.scope) | set(tail.scope)) - {flag}))
    table: dict[tuple[int, ...], Value] = {}
    for values in product((0, 1), repeat=len(scope)):
        flags = dict(zip(scope, values, strict=True))
        table[values] = tape.dot(
            (_at(head, {**flags, flag: value}), _at(tail, {**flags, flag: value})) for value in (0, 1)
        )
    return Factor(scope, table)


def _multiply(first: Factor, second: Factor, tape: Tape) -> Factor:
    scope = tuple(sorted({*first.scope, *second.scope}))
    table: dict[tuple[int, ...], Value] = {}
    for values in product((0, 1), repeat=len(scope)):
        flags = dict(zip(scope, values, strict=True))
        table[values] = tape.times(_at(first, flags), _at(second, flags))
    return Factor(scope, table)


def _at(factor: Factor, flags: dict[int, int]) -> Value:
    return factor.table[tuple(flags[flag] for flag in factor.scope)]
