"""The exact engine's mathematics: a Pauli pulled back through its cone as a short sum of product operators.

On each qubit the pulled-back operator has coefficients (I, X, Y, Z). A CZ asks of a qubit only whether it
holds one of {X, Y} (flag 1) or of {I, Z} (flag 0): it multiplies each neighbour of a flagged qubit by Z,

    flag 0: (I, Z) -> (Z, I)          flag 1: (X, Y) -> (-Y, X).

For given flags a product stays a product, so a CZ turns one product into at most four, and into one where
the flags are already settled; one-qubit channels between CZs change nothing about that. The circuit's first
CZs act on a product state, and are not expanded at all: what is left there is a sum over flags of local
numbers, contracted qubit by qubit (see the end).

Everything is written on a `Tape`; zeros vanish there, so that the structure of the circuit needs no special
cases.

A channel on two qubits that scales each pair of Paulis (depolarizing, any Pauli channel) is a short sum of
products, too: its table of factors F[a, b] = sum_r u_r[a] v_r[b]. Depolarizing needs two, and the second of
them, which keeps (I, I) alone, is the identity on both qubits from there on. Among the circuit's first CZs
the number r is one more flag to sum over.

A turn by a small angle d about ZZ (a CZ that turns too far, crosstalk) leaves flags as they are, too, and
products with equal flags alone. Where flags differ it is two products: cos d times the same, and sin d times

    flag 0: (I, Z) -> (Z, I)          flag 1: (X, Y) -> (Y, -X);

which of the two, is again one more flag.

Sums over binary flags are done by bucket elimination (Dechter, Artif. Intell. 113, 41 (1999)): for factors
that stand in a chain the sum costs a fixed number of multiply-adds per factor, and in general 2^(width of
the graph) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from sqdr_qiskit.lightcone.cones import Cone
from sqdr_qiskit.lightcone.operations import CZ, NormalForm, PairChannel
from sqdr_qiskit.lightcone.tape import ChainTable, Tape, Value, Vector, negative
from sqdr_qiskit.noise_models import RealArray

__all__ = ["eliminate", "expand", "Factor", "TooLongError", "TooWideError"]


# A partial sum's table has two to this power entries, each with instructions of its own.
_WIDEST_SCOPE = 10


class TooWideError(Exception):
    """This cannot be written out, or not at the price that is allowed; another method is cheaper."""


class TooLongError(TooWideError):
    """Writing this out would need more instructions than allowed."""


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
        # Greedy: next the flag whose sum depends on fewest others. Along a chain this goes from an end
        # inwards, and scopes stay small. Ties go by number, so that tapes do not change between runs.
        flag = min(flags, key=lambda f: (len(scopes[f]), f))
        if len(scopes[flag]) > _WIDEST_SCOPE:
            raise TooWideError(f"a sum over {len(scopes[flag])} flags at once")
        bucket = [factor for factor in factors if flag in factor.scope]
        # Small tables first: products of three and more factors grow as late as possible.
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
    scope = tuple(sorted({*head.scope, *tail.scope} - {flag}))
    return _tabulated(
        scope,
        lambda flags: tape.dot(
            # product and sum in one: two multiply-adds an entry
            (_at(head, {**flags, flag: value}), _at(tail, {**flags, flag: value}))
            for value in (0, 1)
        ),
    )


def _multiply(first: Factor, second: Factor, tape: Tape) -> Factor:
    scope = tuple(sorted({*first.scope, *second.scope}))
    return _tabulated(scope, lambda flags: tape.times(_at(first, flags), _at(second, flags)))


def _tabulated(scope: tuple[int, ...], entry: Callable[[dict[int, int]], Value]) -> Factor:
    """The factor whose value for each assignment of the flags is what `entry` gives."""
    assignments = product((0, 1), repeat=len(scope))
    return Factor(scope, {values: entry(dict(zip(scope, values, strict=True))) for values in assignments})


def _at(factor: Factor, flags: dict[int, int]) -> Value:
    return factor.table[tuple(flags[flag] for flag in factor.scope)]


_SITE, _CZ, _PAIR, _TWIST = 0, 1, 2, 3
_IDENTITY: Vector = (1.0, 0.0, 0.0, 0.0)
_LETTERS: tuple[Vector, ...] = tuple(tuple(row) for row in np.eye(4).tolist())
_PER_TERM = 32  # multiply-adds that a term will cost at the least, once it is contracted

_Term = tuple[tuple[int, Vector], ...]  # a product operator: its qubits, ascending, and their coefficients
_Scales = tuple[float, ...]  # of I, X, Y, Z


@dataclass(frozen=True, eq=False)
class _Scaling:
    """A channel that scales each pair of Paulis.

    Attributes:
        products: (u_r, v_r): what multiplies the coefficients of either qubit in product number r.
        alone: What multiplies the coefficients of either qubit where the other one holds the identity.
        identity: Whether every product but the first keeps nothing but (I, I).
    """

    products: tuple[tuple[_Scales, _Scales], ...]
    alone: tuple[_Scales, _Scales]
    identity: bool


@dataclass(frozen=True)
class _Twist:
    """exp(-i d Z x Z / 2), by cosine and sine of d."""

    cosine: float
    sine: float


_Event = tuple[int, int, int, _Scaling | _Twist | None]
"""(_SITE, qubit, site number, None), (_CZ, qubit, qubit, None), (_PAIR, qubit, qubit, scaling) or
(_TWIST, qubit, qubit, twist)."""


def _twist(ptm: RealArray) -> _Twist | None:
    """A two-qubit map as a turn about ZZ, if it is one."""
    found = _Twist(float(ptm[4, 4]), float(ptm[11, 4]))  # what becomes of X x I: of it, and of Y x Z
    expected = np.eye(16)
    for a, b in product(range(4), repeat=2):
        if (a in (1, 2)) == (b in (1, 2)):
            continue
        image = 4 * (3 - a) + 3 - b  # X <-> Y on the one side, I <-> Z on the other
        expected[4 * a + b, 4 * a + b] = found.cosine
        expected[image, 4 * a + b] = found.sine if 1 in (a, b) else -found.sine
    return found if np.max(np.abs(ptm - expected)) < _PRODUCT else None


def _scaling(ptm: RealArray) -> _Scaling:
    """A two-qubit channel as a sum of products.

    Raises:
        TooWideError: It does more than scale pairs of Paulis.
    """
    if np.any(ptm != np.diag(np.diag(ptm))):
        raise TooWideError("a two-qubit channel that mixes Paulis")
    table = np.diag(ptm).reshape(4, 4)
    alone = (tuple(table[:, 0].tolist()), tuple(table[0].tolist()))
    if np.all(table[1:, 1:] != 0.0):
        # All but the entry (I, I) may be one product; what is missing there is the second one.
        first = np.concatenate([[table[0, 1]], table[1:, 1]])
        second = np.concatenate([[table[1, 0] / table[1, 1]], table[1, 1:] / table[1, 1]])
        rest = table - np.outer(first, second)
        missing = float(rest[0, 0])
        rest[0, 0] = 0.0
        if np.max(np.abs(rest)) < _PRODUCT:
            only = (tuple(first.tolist()), tuple(second.tolist()))
            if abs(missing) < _PRODUCT:
                return _Scaling((only,), alone, True)
            return _Scaling((only, ((missing, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))), alone, True)
    # The general Pauli channel: at most four products.
    left, weights, right = np.linalg.svd(table)
    products = tuple(
        (tuple((left[:, r] * weights[r]).tolist()), tuple(right[r].tolist()))
        for r in range(int((weights > _PRODUCT).sum()))
    )
    return _Scaling(products, alone, False)


_PRODUCT = 1e-14  # factors this near to a product's are one


def _scaled(vector: Vector, scales: _Scales, tape: Tape) -> Vector:
    return tuple(tape.times(entry, scale) for entry, scale in zip(vector, scales, strict=True))


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
        TooWideError: More than `budget` instructions, or a two-qubit channel that mixes Paulis.
    """
    events = _events(form, member, owner)
    first_layer, rest = _split(events, chains, tape)
    limit = tape.n_instructions + budget
    terms: list[_Term] = [tuple((qubit, _LETTERS[letter]) for qubit, letter in member.term.paulis)]
    # Heisenberg's picture: the observable moves back in time, and grows by at most four per CZ.
    for event in reversed(rest):
        terms = [after for term in terms for after in _pull(term, event, chains, tape)]
        # Given up before the terms are contracted: what is written here is lost time.
        if _PER_TERM * len(terms) > budget or tape.n_instructions > limit:
            raise TooLongError(f"more than {budget} multiply-adds")
    layer = _FirstLayer(first_layer, chains, tape)
    values: list[Value] = []
    for term in terms:
        values.append(layer.contract(dict(term)))
        if tape.n_instructions > limit:
            raise TooLongError(f"more than {budget} multiply-adds")
    return tape.dot((1.0, value) for value in values)


def _events(form: NormalForm, member: Cone, owner: Mapping[int, int]) -> list[_Event]:
    """The cone as sites, CZs and channels on pairs, in time order."""
    events: list[_Event] = []
    seen: set[int] = set()
    for index in member.operations:
        op = form.operations[index]
        if isinstance(op, CZ):
            events.append((_CZ, *op.qubits, None))
        elif isinstance(op, PairChannel):
            twist = _twist(op.ptm)
            kind = _PAIR if twist is None else _TWIST
            events.append((kind, *op.qubits, _scaling(op.ptm) if twist is None else twist))
        elif owner[index] not in seen:
            seen.add(owner[index])
            events.append((_SITE, op.qubit, owner[index], None))
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
        kind, a, b, scaling = event
        if kind != _SITE:
            # Order in time: what follows a closing event on either qubit cannot come before it.
            closes = closed in (state.get(a), state.get(b))
            # one flag more can tell two products apart, no more
            closes = closes or (isinstance(scaling, _Scaling) and len(scaling.products) > 2)
            state[a] = state[b] = closed if closes else open_
        else:
            # Before the first CZ a site makes the product state. After it, one that does not mix {X, Y} with
            # {I, Z}, such as RZ, leaves flags as they are; any other must be pulled back.
            closes = state.get(a, untouched) != untouched and not (
                state[a] == open_ and _keeps_flags(b, chains, tape)
            )
            if closes:
                state[a] = closed
        (rest if closes else first).append(event)
    return first, rest


def _keeps_flags(site: int, chains: ChainTable, tape: Tape) -> bool:
    rows = chains.matrix(site, tape)
    return all(rows[a][b] == rows[b][a] == 0.0 for a, b in product((0, 3), (1, 2)))


def _pull(term: _Term, event: _Event, chains: ChainTable, tape: Tape) -> list[_Term]:
    """Pull a product operator back through one event: a sum of product operators."""
    vectors = dict(term)
    kind, a, b, scaling = event
    if kind == _SITE:
        if a not in vectors:
            return [term]
        vectors[a] = _times_matrix(vectors[a], chains.matrix(b, tape), tape)
        return [_term(vectors)]
    first, second = vectors.get(a, _IDENTITY), vectors.get(b, _IDENTITY)
    parts = []
    if isinstance(scaling, _Twist):
        for flag_a, flag_b in product(_flags(first), _flags(second)):
            left, right = _part(first, flag_a), _part(second, flag_b)
            if flag_a == flag_b:
                found = [(1.0, left, right)]
            else:
                # The second product turns by the other sign on an operator than on a state.
                found = [(scaling.cosine, left, right), (-scaling.sine, _times_z(left), _times_z(right))]
            for weight, one, other in found:
                if weight:
                    vectors[a] = _scaled(one, (weight, weight, weight, weight), tape)
                    vectors[b] = other
                    parts.append(_term(vectors))
        return parts
    if scaling is not None:
        # One product suffices where either side holds nothing.
        if second == _IDENTITY or first == _IDENTITY:
            left, right = scaling.alone
            vectors[a], vectors[b] = _scaled(first, left, tape), _scaled(second, right, tape)
            return [_term(vectors)]
        for left, right in scaling.products:
            vectors[a], vectors[b] = _scaled(first, left, tape), _scaled(second, right, tape)
            # A product with a factor zero is none.
            if any(vectors[a]) and any(vectors[b]):
                parts.append(_term(vectors))
        return parts
    for flag_a, flag_b in product(_flags(first), _flags(second)):
        left, right = _part(first, flag_a), _part(second, flag_b)
        vectors[a] = _times_z(left) if flag_b else left
        vectors[b] = _times_z(right) if flag_a else right
        parts.append(_term(vectors))
    return parts


def _term(vectors: Mapping[int, Vector]) -> _Term:
    return tuple(sorted((q, v) for q, v in vectors.items() if v != _IDENTITY))


def _times_matrix(vector: Vector, rows: list[Vector], tape: Tape) -> Vector:
    return tuple(tape.dot((vector[a], rows[a][b]) for a in range(4)) for b in range(4))


def _matrix_times(rows: list[Vector], vector: Vector, tape: Tape) -> Vector:
    return tuple(tape.dot((rows[a][b], vector[b]) for b in range(4)) for a in range(4))


def _flags(vector: Vector) -> list[int]:
    flags = [0] if vector[0] != 0.0 or vector[3] != 0.0 else []
    return [*flags, 1] if vector[1] != 0.0 or vector[2] != 0.0 else flags


def _part(vector: Vector, flag: int) -> Vector:
    i, x, y, z = vector
    return (0.0, x, y, 0.0) if flag else (i, 0.0, 0.0, z)


def _times_z(vector: Vector) -> Vector:
    """Coefficients of Z vector, up to the sign that the rules take care of (module docstring)."""
    i, x, y, z = vector
    return (z, negative(y), x, i)


class _FirstLayer:
    """Sites, CZs, channels and twists on pairs on a product state, contracted with a product operator."""

    def __init__(self, events: list[_Event], chains: ChainTable, tape: Tape) -> None:
        self._chains = chains
        self._tape = tape
        self._local: dict[int, list[tuple[_Event, int]]] = {}  # with the channel's own flag, below zero
        self._neighbours: dict[int, list[int]] = {}
        for number, event in enumerate(events):
            kind, a, b, _ = event
            self._local.setdefault(a, []).append((event, -1 - number))
            if kind != _SITE:
                self._local.setdefault(b, []).append((event, -1 - number))
            if kind in (_CZ, _TWIST):
                self._neighbours.setdefault(a, []).append(b)
                self._neighbours.setdefault(b, []).append(a)
        self._states: dict[tuple[int, tuple[int | None, ...]], Vector] = {}

    def contract(self, vectors: dict[int, Vector]) -> Value:
        """Expectation value of the product operator `vectors` after the layer."""
        flags = {q: _flags(v) for q, v in vectors.items()}
        # Qubits outside trace to 1: only those that hold something count, and those that get a Z from one
        # that may be flagged.
        reach = set(vectors)
        for q, options in flags.items():
            if 1 in options:
                reach.update(self._neighbours.get(q, ()))
        # A qubit that holds the identity has flag 0; one that can have both is summed over.
        free = {q for q, options in flags.items() if len(options) == 2}
        settled = dict.fromkeys(reach - free, 0) | {q: o[0] for q, o in flags.items() if len(o) == 1}
        for q in reach:
            for (kind, a, b, scaling), name in self._local.get(q, ()):
                if kind == _TWIST:
                    # Equal flags: one product. Out of reach a qubit has flag 0, and here so has its partner.
                    one = not free & {a, b} and settled.get(a, 0) == settled.get(b, 0)
                elif isinstance(scaling, _Scaling) and a in reach and b in reach:
                    # The further products keep (I, I) alone, and a flagged qubit holds X or Y.
                    flagged = scaling.identity and 1 in (settled.get(a), settled.get(b))
                    one = len(scaling.products) == 1 or flagged
                else:
                    continue
                if one:
                    settled[name] = 0
                else:
                    free.add(name)
        factors = [self._factor(q, vectors.get(q, _IDENTITY), free, settled) for q in sorted(reach)]
        return eliminate(factors, self._tape)

    def _factor(self, q: int, vector: Vector, free: set[int], settled: Mapping[int, int]) -> Factor:
        # what each CZ and channel asks for: the neighbour's flag, or the number of the channel's product
        local = self._local.get(q, ())
        near = [
            b if kind == _CZ and a == q else a if kind == _CZ else name
            for (kind, a, b, _), name in local
            if kind != _SITE
        ]
        # the first qubit of a twist has its factor, which depends on both flags
        twists = [
            (twist, b, name) for (_, a, b, twist), name in local if isinstance(twist, _Twist) and a == q
        ]
        scope = tuple(sorted({q, *near, *(b for _, b, _ in twists)} & free))

        def entry(assigned: dict[int, int]) -> Value:
            flags = {**settled, **assigned}
            # a neighbour out of reach has no flag; the other qubit of a channel out of reach, the identity
            asked = tuple(flags.get(name, 0 if name >= 0 else None) for name in near)
            weight = 1.0
            for twist, other, name in twists:
                if flags.get(q, 0) == flags.get(other, 0):
                    weight *= 0.0 if flags[name] else 1.0
                else:
                    weight *= twist.sine if flags[name] else twist.cosine
            if weight == 0.0:
                return 0.0
            state = self._state(q, asked)
            letters = (1, 2) if flags.get(q, 0) else (0, 3)
            value = self._tape.dot((vector[a], state[a]) for a in letters)
            return self._tape.times(value, weight)

        return _tabulated(scope, entry)

    def _state(self, q: int, near: tuple[int | None, ...]) -> Vector:
        """The qubit's Pauli coefficients after the layer, given for each of its CZs the neighbour's flag, and
        for each of its channels the number of the product (None: the other qubit holds the identity).
        """
        # Terms ask for few different states of a qubit: each is written once.
        key = (q, near)
        if key not in self._states:
            asked = iter(near)
            vector: Vector = (1.0, 0.0, 0.0, 1.0)
            for position, ((kind, a, site, scaling), _) in enumerate(self._local.get(q, [])):
                if kind == _CZ:
                    if next(asked):
                        i, x, y, z = vector
                        vector = (z, y, negative(x), i)
                elif kind == _TWIST:
                    vector = _times_z(vector) if next(asked) else vector
                elif isinstance(scaling, _Scaling):
                    number, side = next(asked), 0 if a == q else 1
                    scales = scaling.alone if number is None else scaling.products[number]
                    vector = _scaled(vector, scales[side], self._tape)
                elif position == 0:
                    vector = self._chains.bloch(site, self._tape)
                else:
                    vector = _matrix_times(self._chains.matrix(site, self._tape), vector, self._tape)
            self._states[key] = vector
        return self._states[key]
