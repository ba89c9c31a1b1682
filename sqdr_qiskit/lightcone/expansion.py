"""The exact engine's mathematics: a Pauli pulled back through its cone as a short sum of product operators.

On each qubit the pulled-back operator has coefficients (I, X, Y, Z). A CZ asks of a qubit only whether it
holds one of {X, Y} (flag 1) or of {I, Z} (flag 0): it multiplies each neighbour of a flagged qubit by Z,

    flag 0: (I, Z) -> (Z, I)          flag 1: (X, Y) -> (-Y, X).

For given flags a product stays a product, so a CZ turns one product into at most four, and into one where
the flags are already settled; one-qubit channels between CZs change nothing about that. The circuit's first
CZs act on a product state, and are not expanded at all: what is left there is a sum over flags of local
numbers, contracted qubit by qubit (a chain for a line of qubits, bucket elimination in general; Dechter,
Artif. Intell. 113, 41 (1999)).

Everything is written on a `Tape`; zeros vanish there, so that the structure of the circuit needs no special
cases.

Sums over binary flags are done by bucket elimination (Dechter, Artif. Intell. 113, 41 (1999)): for factors
that stand in a line the sum costs a fixed number of multiply-adds per factor, and in general 2^(width of
the graph) of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from sqdr_qiskit.lightcone.cones import Cone
from sqdr_qiskit.lightcone.operations import CZ, NormalForm, PairChannel
from sqdr_qiskit.lightcone.sites import ChainTable, Vector
from sqdr_qiskit.lightcone.tape import Tape, Value, negative

__all__ = ["eliminate", "expand", "Factor", "TooWideError"]


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


_Event = tuple[int, int, int]  # (_SITE, qubit, site number) or (_CZ, qubit, qubit)
_SITE, _CZ = 0, 1
_IDENTITY: Vector = (1.0, 0.0, 0.0, 0.0)
_LETTERS: tuple[Vector, ...] = (_IDENTITY, (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
_PER_TERM = 32  # multiply-adds that a term will cost at the least, once it is contracted

_Term = tuple[tuple[int, Vector], ...]  # a product operator: its qubits, ascending, and their coefficients


def expand(
    form: NormalForm, member: Cone, owner: Mapping[int, int], chains: ChainTable, tape: Tape, *, budget: int
) -> Value:
    """Write the expectation value of a cone's Pauli (without its coefficient) on `tape`.

    Args:
        form: The circuit.
        member: The cone of one Pauli term.
        owner: For each one-qubit operation of `form` the number of its site.
        chains: Vectors of the sites.
        tape: Is written on.
        budget: Multiply-adds that may be written.

    Raises:
        TooWideError: More than `budget` instructions, or a two-qubit channel.
    """
    events = _events(form, member, owner)
    first_layer, rest = _split(events, chains, tape)
    limit = tape.n_instructions + budget
    terms: list[_Term] = [tuple((qubit, _LETTERS[letter]) for qubit, letter in member.term.paulis)]
    for event in reversed(rest):
        terms = [after for term in terms for after in _pull(term, event, chains, tape)]
        if _PER_TERM * len(terms) > budget or tape.n_instructions > limit:
            raise TooWideError(f"more than {budget} multiply-adds")
    layer = _FirstLayer(first_layer, chains, tape)
    values: list[Value] = []
    for term in terms:
        values.append(layer.contract(dict(term)))
        if tape.n_instructions > limit:
            raise TooWideError(f"more than {budget} multiply-adds")
    return tape.dot((1.0, value) for value in values)


def _events(form: NormalForm, member: Cone, owner: Mapping[int, int]) -> list[_Event]:
    """The cone as sites and CZs, in time order."""
    events: list[_Event] = []
    seen: set[int] = set()
    for index in member.operations:
        op = form.operations[index]
        if isinstance(op, CZ):
            events.append((_CZ, *op.qubits))
        elif isinstance(op, PairChannel):
            raise TooWideError("a two-qubit channel")
        elif owner[index] not in seen:
            seen.add(owner[index])
            events.append((_SITE, op.qubit, owner[index]))
    return events


def _split(events: list[_Event], chains: ChainTable, tape: Tape) -> tuple[list[_Event], list[_Event]]:
    """Part the events into the first layer, which acts on a product state and settles no flag, and the
    rest.
    """
    untouched, open_, closed = 0, 1, 2
    state: dict[int, int] = {}
    first: list[_Event] = []
    rest: list[_Event] = []
    for event in events:
        kind, a, b = event
        if kind == _CZ:
            closes = closed in (state.get(a), state.get(b))
            state[a] = state[b] = closed if closes else open_
        else:
            closes = state.get(a, untouched) != untouched and not (
                state[a] == open_ and _keeps_flags(b, chains, tape)
            )
            if closes:
                state[a] = closed
        (rest if closes else first).append(event)
    return first, rest


def _keeps_flags(site: int, chains: ChainTable, tape: Tape) -> bool:
    rows = [chains.row(site, letter, tape) for letter in range(4)]
    return all(rows[a][b] == 0.0 for a, b in product((0, 3), (1, 2))) and all(
        rows[a][b] == 0.0 for a, b in product((1, 2), (0, 3))
    )


def _pull(term: _Term, event: _Event, chains: ChainTable, tape: Tape) -> list[_Term]:
    """Pull a product operator back through one event: a sum of product operators."""
    vectors = dict(term)
    kind, a, b = event
    if kind == _SITE:
        if a not in vectors:
            return [term]
        rows = [chains.row(b, letter, tape) for letter in range(4)]
        vectors[a] = _times_matrix(vectors[a], rows, tape)
        return [_term(vectors)]
    first, second = vectors.get(a, _IDENTITY), vectors.get(b, _IDENTITY)
    parts = []
    for flag_a, flag_b in product(_flags(first), _flags(second)):
        vectors[a] = _times_z(_part(first, flag_a), flag_b)
        vectors[b] = _times_z(_part(second, flag_b), flag_a)
        parts.append(_term(vectors))
    return parts


def _term(vectors: Mapping[int, Vector]) -> _Term:
    return tuple(sorted((q, v) for q, v in vectors.items() if v != _IDENTITY))


def _times_matrix(vector: Vector, rows: list[Vector], tape: Tape) -> Vector:
    entries = [tape.dot((vector[a], rows[a][b]) for a in range(4)) for b in range(4)]
    return (entries[0], entries[1], entries[2], entries[3])


def _matrix_times(rows: list[Vector], vector: Vector, tape: Tape) -> Vector:
    entries = [tape.dot((rows[a][b], vector[b]) for b in range(4)) for a in range(4)]
    return (entries[0], entries[1], entries[2], entries[3])


def _flags(vector: Vector) -> list[int]:
    flags = [0] if vector[0] != 0.0 or vector[3] != 0.0 else []
    return [*flags, 1] if vector[1] != 0.0 or vector[2] != 0.0 else flags


def _part(vector: Vector, flag: int) -> Vector:
    i, x, y, z = vector
    return (0.0, x, y, 0.0) if flag else (i, 0.0, 0.0, z)


def _times_z(vector: Vector, times: int) -> Vector:
    """Coefficients of Z^times vector, up to the sign that the CZ rules take care of (module docstring)."""
    if not times:
        return vector
    i, x, y, z = vector
    return (z, negative(y), x, i)


class _FirstLayer:
    """Sites and CZs on a product state, contracted with a product operator."""

    def __init__(self, events: list[_Event], chains: ChainTable, tape: Tape) -> None:
        self._chains = chains
        self._tape = tape
        self._local: dict[int, list[_Event]] = {}
        self._neighbours: dict[int, list[int]] = {}
        for event in events:
            kind, a, b = event
            self._local.setdefault(a, []).append(event)
            if kind == _CZ:
                self._local.setdefault(b, []).append(event)
                self._neighbours.setdefault(a, []).append(b)
                self._neighbours.setdefault(b, []).append(a)
        self._states: dict[tuple[int, tuple[int, ...]], Vector] = {}

    def contract(self, vectors: dict[int, Vector]) -> Value:
        """Expectation value of the product operator `vectors` after the layer."""
        flags = {q: _flags(v) for q, v in vectors.items()}
        free = {q for q, options in flags.items() if len(options) == 2}
        reach = set(vectors)
        for q, options in flags.items():
            if 1 in options:
                reach.update(self._neighbours.get(q, ()))
        settled = {q: options[0] for q, options in flags.items() if len(options) == 1}
        factors = [self._factor(q, vectors.get(q, _IDENTITY), free, settled) for q in sorted(reach)]
        return eliminate(factors, self._tape)

    def _factor(self, q: int, vector: Vector, free: set[int], settled: Mapping[int, int]) -> Factor:
        near = self._neighbours.get(q, [])
        scope = tuple(sorted({q, *near} & free))
        table: dict[tuple[int, ...], Value] = {}
        for values in product((0, 1), repeat=len(scope)):
            flags = {**settled, **dict(zip(scope, values, strict=True))}
            state = self._state(q, tuple(flags.get(other, 0) for other in near))
            letters = (1, 2) if flags.get(q, 0) else (0, 3)
            table[values] = self._tape.dot((vector[a], state[a]) for a in letters)
        return Factor(scope, table)

    def _state(self, q: int, near: tuple[int, ...]) -> Vector:
        """The qubit's Pauli coefficients after the layer, given its neighbours' flags (one for each of its
        CZs).
        """
        key = (q, near)
        if key not in self._states:
            flags = iter(near)
            vector: Vector = (1.0, 0.0, 0.0, 1.0)
            for position, (kind, _, site) in enumerate(self._local.get(q, [])):
                if kind == _CZ:
                    if next(flags):
                        i, x, y, z = vector
                        vector = (z, y, negative(x), i)
                elif position == 0:
                    vector = self._chains.bloch(site, self._tape)
                else:
                    rows = [self._chains.row(site, letter, self._tape) for letter in range(4)]
                    vector = _matrix_times(rows, vector, self._tape)
            self._states[key] = vector
        return self._states[key]
