"""Cones too deep for the expansion, held as a whole state: which, together with which, and at what cost.

All terms of an observable that are held share one state, and one reverse sweep for their sum, however many
they are; outputs on the same qubits share the forward run. Without noise that state is a `Statevectors`, with
noise a `PauliVectors`, which follow here.
"""

# Kernels are compiled for the types that they are called with.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.cones import Cone, PauliTerm, nested
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation, is_unitary
from sqdr_qiskit.lightcone.statevector import Statevectors
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.parallel import free_memory, n_threads, readable

__all__ = ["DeepCones", "fits", "PauliVectors", "state_cost"]


_log = logging.getLogger(__name__)

# Multiply-adds of a tape that one amplitude and operation are worth (measured, 2 to 9 qubits).
_PER_AMPLITUDE = 6
_LONGEST = 2**15  # multiply-adds; no longer tape is written, it would take seconds
_WIDEST = 26  # qubits of a state vector; half as many of a noisy one
_SECONDS = 2e-9  # for an operation on an amplitude (measured: 1 to 3)
_LONG = 60.0  # seconds of a call before which a line is written


def _is_unitary(form: NormalForm, operations: Iterable[int]) -> bool:
    return all(is_unitary(form.operations[number]) for number in operations)


def _size(n_qubits: int, unitary: bool) -> int:
    """Numbers of the state: 2^n amplitudes, or 4^n Pauli coefficients."""
    return 1 << n_qubits * (1 if unitary else 2)


def state_cost(form: NormalForm, qubits: Sequence[int], operations: Sequence[int]) -> int:
    """What holding a whole state costs, in multiply-adds of a tape; never more than may be written."""
    size = _size(len(qubits), _is_unitary(form, operations))
    return min(_PER_AMPLITUDE * len(operations) * size, _LONGEST)


def fits(form: NormalForm, qubits: Sequence[int], operations: Iterable[int]) -> bool:
    """Whether a state of these qubits can be held at all."""
    return _size(len(qubits), _is_unitary(form, operations)) <= 1 << _WIDEST


@dataclass(frozen=True)
class _Group:
    """Outputs whose terms are held in one state."""

    numbers: tuple[int, ...]
    sums: tuple[tuple[PauliTerm, ...], ...]  # the terms of each
    operations: tuple[int, ...]
    qubits: tuple[int, ...]
    unitary: bool


class DeepCones:
    """Statevectors, or with noise Pauli vectors, of the terms that no tape was written for.

    Args:
        form: The circuit.
        cones: Output number and cone of each Pauli term.

    Raises:
        UnsupportedError: A cone that does not fit into memory.
    """

    def __init__(self, form: NormalForm, cones: Sequence[tuple[int, Cone]]) -> None:
        self._coefficients = form.coefficients
        self._states: list[tuple[_Group, Statevectors | PauliVectors]] = []
        self._warned = False
        for group in _groups(form, cones):
            _check_size(group)
            make = Statevectors if group.unitary else PauliVectors
            self._states.append((group, make(form, group.qubits, group.operations, group.sums)))

    @property
    def methods(self) -> dict[int, set[str]]:
        """For each output number the names of the methods that contribute to it."""
        found: dict[int, set[str]] = {}
        for group, states in self._states:
            for number in group.numbers:
                found.setdefault(number, set()).add(states.method)
        return found

    def announce(self, n_samples: int, *, with_jacobian: bool) -> None:
        """Write one line before work that will take long: how long, and what would be cheaper."""
        # A derivative takes three sweeps for each output: the operator and the state back, and the state
        # forth again.
        work = 0.0
        widest: tuple[int, ...] = ()
        for group, states in self._states:
            sweeps = 1 + (3 * len(group.numbers) if with_jacobian else 0)
            work += states.n_steps * states.size * sweeps
            widest = max(widest, group.qubits, key=len)
        seconds = _SECONDS * work * n_samples / min(n_threads(), max(n_samples, 1))
        if seconds < _LONG or self._warned:
            return
        self._warned = True
        _log.warning(
            "The exact engine will take about %s for these %d samples: light cones of up to %d qubits are "
            "held as whole states. Fewer layers, observables on fewer qubits, fewer samples at once%s would "
            "be cheaper.",
            f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours",
            n_samples,
            len(widest),
            " or values without derivatives" if with_jacobian else "",
        )

    def add(
        self, radians: RealArray, start: int, with_jacobian: bool, values: RealArray, jacobian: RealArray
    ) -> None:
        """Add expectation values and Jacobians of samples `start` on; `radians` has shape (samples,
        n_angles).
        """
        stop = start + len(radians)
        for group, states in self._states:
            numbers = list(group.numbers)
            expectations, slopes = states.run(radians, with_jacobian)
            values[start:stop, numbers] += expectations
            if with_jacobian:
                jacobian[start:stop, numbers] += slopes @ self._coefficients


def _groups(form: NormalForm, cones: Sequence[tuple[int, Cone]]) -> list[_Group]:
    """Each output's terms in as few states as hold them: what lies within a wider cone joins it."""
    by_output: dict[int, list[Cone]] = {}
    for number, member in cones:
        by_output.setdefault(number, []).append(member)
    shared: dict[tuple[tuple[int, ...], bool], list[tuple[int, list[Cone]]]] = {}
    for number, members in by_output.items():
        for group in nested(members):
            held = [members[i] for i in group]
            operations = {index for member in held for index in member.operations}
            key = (held[0].qubits, _is_unitary(form, operations))
            shared.setdefault(key, []).append((number, held))
    groups = []
    for (qubits, unitary), together in shared.items():
        operations = {index for _, held in together for member in held for index in member.operations}
        groups.append(
            _Group(
                numbers=tuple(number for number, _ in together),
                sums=tuple(tuple(member.term for member in held) for _, held in together),
                operations=tuple(sorted(operations)),
                qubits=qubits,
                unitary=unitary,
            )
        )
    return groups


def _check_size(group: _Group) -> None:
    n_qubits, unitary = len(group.qubits), group.unitary
    size = _size(n_qubits, unitary)
    # Two states, and beside amplitudes a real number each for the phases of diagonal gates.
    needed, free = (2 * 16 + 8) * size * n_threads(), free_memory()
    if size <= 1 << _WIDEST and needed <= free:
        return
    hint = "" if unitary else " or sample it (backend `aer_noisy` with shots)"
    raise UnsupportedError(
        f"Light cone of {n_qubits} qubits, too deep to be expanded, must fit into memory as a whole "
        f"{'state' if unitary else 'noisy state'}, but needs {readable(needed)} and {readable(free)} is "
        f"free, with at most {_WIDEST if unitary else _WIDEST // 2} qubits; use fewer layers{hint}."
    )


# ---- with noise: the density matrix of the cone's qubits as a vector of Pauli coefficients -----------------

# The general and slow way, for what neither the expansion nor a statevector can take: any channel on one or
# two qubits. The state runs forward once; for each observable the pulled-back operator and the state meet at
# every rotation. Gates are undone on the way back, states before channels are kept.

_MOST_BYTES = 2**31  # bytes for the states kept of one sample
_CZ, _PAIR, _FIXED, _CHANNEL = 4, 5, 6, 7  # 1 to 3 are rotations


class PauliVectors:
    """Expectation values and slopes of sums of Pauli strings after a noisy circuit on few qubits.

    Args:
        form: The circuit.
        qubits: The qubits that are held.
        numbers: The normal form's operations on them, by number, ascending.
        sums: For each output its Pauli strings.

    Raises:
        UnsupportedError: The states would take more than 2 GiB.
    """

    method = "pauli vector"

    def __init__(
        self,
        form: NormalForm,
        qubits: Sequence[int],
        numbers: Sequence[int],
        sums: Sequence[Sequence[PauliTerm]],
    ) -> None:
        place = {qubit: i for i, qubit in enumerate(qubits)}
        operations: list[tuple[int, int, int, int]] = []
        ones: list[RealArray] = []
        pairs: list[RealArray] = []
        for index in numbers:
            op = form.operations[index]
            if isinstance(op, Rotation):
                operations.append((op.axis, place[op.qubit], 0, op.angle))
            elif isinstance(op, CZ):
                operations.append((_CZ, place[op.qubits[0]], place[op.qubits[1]], 0))
            elif isinstance(op, Fixed):
                kind = _CHANNEL if op.unitary is None else _FIXED
                operations.append((kind, place[op.qubit], 0, len(ones)))
                ones.append(op.ptm)
            else:
                operations.append((_PAIR, place[op.qubits[0]], place[op.qubits[1]], len(pairs)))
                pairs.append(op.ptm)
        self._operations = np.array(operations, dtype=np.int64).reshape(-1, 4)
        # A gate's transpose is its inverse; a channel has no stable one, so that the state before it is kept.
        self._n_kept = int(np.isin(self._operations[:, 0], (_CHANNEL, _PAIR)).sum())
        size = 4 ** len(qubits)
        if (self._n_kept + 3) * size * 8 > _MOST_BYTES:
            raise UnsupportedError(
                f"Noise on a light cone of {len(qubits)} qubits that is this deep must fit 2 GiB in the "
                f"exact engine, but needs {(self._n_kept + 3) * size * 8 / 2**30:.0f} GiB; the backend "
                f"`aer_noisy` with shots can sample it."
            )
        self._ones = np.array(ones).reshape(-1, 4, 4)
        self._pairs = np.array(pairs).reshape(-1, 16, 16)
        self.size, self.n_steps = size, len(self._operations)
        self._targets = [
            np.array([sum(letter << 2 * place[q] for q, letter in term.paulis) for term in terms], np.int64)
            for terms in sums
        ]
        self._weights = [np.array([term.coefficient for term in terms]) for terms in sums]
        # |0...0> has <P> = 1 for every string of I and Z, else 0. Coefficients are expectation values, so
        # that reading one is a look at its index, two bits for each qubit.
        self._start = np.array(
            [float(all(i >> 2 * q & 3 in (0, 3) for q in range(len(qubits)))) for i in range(size)]
        )

    def run(self, radians: RealArray, with_jacobian: bool) -> tuple[RealArray, RealArray]:
        """As `Statevectors.run`."""
        expectations = np.empty((len(radians), len(self._targets)))
        slopes = np.zeros((*expectations.shape, radians.shape[1] if with_jacobian else 0))
        kept = np.empty((self._n_kept if with_jacobian else 0, self.size))
        work = np.empty(self.size)
        # Of whole angles, as Bloch vectors turn; amplitudes turn by half ones.
        for sample, (cosines, sines) in enumerate(zip(np.cos(radians), np.sin(radians), strict=True)):
            state = self._start.copy()
            _forward(self._operations, self._ones, self._pairs, cosines, sines, state, kept)
            for row, (targets, weights) in enumerate(zip(self._targets, self._weights, strict=True)):
                expectations[sample, row] = weights @ state[targets]
                if not with_jacobian:
                    continue
                operator = np.zeros(self.size)
                np.add.at(operator, targets, weights)
                # The way back undoes its state, and every observable starts from the last one.
                work[:] = state
                _reverse(
                    self._operations,
                    self._ones,
                    self._pairs,
                    cosines,
                    sines,
                    work,
                    operator,
                    kept,
                    slopes[sample, row],
                )
        return expectations, slopes


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _matrix(vector, qubit, matrix):
    """Multiply the qubit's four coefficients by `matrix` from the left."""
    # Two bits of the index for a qubit: its four coefficients lie 4^qubit apart.
    step = 1 << 2 * qubit
    for block in range(0, vector.shape[0], 4 * step):
        for i in range(block, block + step):
            a = vector[i]
            b = vector[i + step]
            c = vector[i + 2 * step]
            d = vector[i + 3 * step]
            for row in range(4):
                vector[i + row * step] = (
                    matrix[row, 0] * a + matrix[row, 1] * b + matrix[row, 2] * c + matrix[row, 3] * d
                )


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _turn(vector, qubit, axis, cosine, sine):
    step = 1 << 2 * qubit
    # I and the axis stay; the two other Paulis, in cyclic order, turn into each other.
    p = (axis % 3 + 1) * step
    q = ((axis + 1) % 3 + 1) * step
    for block in range(0, vector.shape[0], 4 * step):
        for i in range(block, block + step):
            a = vector[i + p]
            b = vector[i + q]
            vector[i + p] = cosine * a - sine * b
            vector[i + q] = sine * a + cosine * b


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _cz(vector, first, second):
    """CZ permutes the Paulis of a pair with a sign, and is its own inverse."""
    for i in range(vector.shape[0]):
        a = i >> 2 * first & 3
        b = i >> 2 * second & 3
        flag_a = a == 1 or a == 2
        flag_b = b == 1 or b == 2
        if not (flag_a or flag_b):
            continue
        other_a = 3 - a if flag_b else a  # I <-> Z, X <-> Y
        other_b = 3 - b if flag_a else b
        j = i + ((other_a - a) << 2 * first) + ((other_b - b) << 2 * second)
        # Each pair is swapped once. XX <-> YY, but XY <-> -YX.
        if j > i:
            sign = -1.0 if flag_a and flag_b and a != b else 1.0
            vector[i], vector[j] = sign * vector[j], sign * vector[i]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _pair(vector, first, second, matrix):
    """Multiply the pair's sixteen coefficients by `matrix` from the left; the first qubit counts by four."""
    old = np.empty(16)
    for i in range(vector.shape[0]):
        # The pair's sixteen coefficients are visited from the one with (I, I).
        if i >> 2 * first & 3 or i >> 2 * second & 3:
            continue
        for k in range(16):
            old[k] = vector[i + ((k >> 2) << 2 * first) + ((k & 3) << 2 * second)]
        for k in range(16):
            total = 0.0
            for m in range(16):
                total += matrix[k, m] * old[m]
            vector[i + ((k >> 2) << 2 * first) + ((k & 3) << 2 * second)] = total


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _forward(operations, ones, pairs, cosines, sines, state, kept):
    n_kept = 0
    for k in range(operations.shape[0]):
        kind, a, b, c = operations[k]
        if kind < 4:
            _turn(state, a, kind, cosines[c], sines[c])
        elif kind == 4:
            _cz(state, a, b)
        else:
            # 6 is a fixed gate, which can be undone; without a Jacobian nothing is kept at all.
            if kind != 6 and kept.shape[0] > 0:
                kept[n_kept] = state
                n_kept += 1
            if kind == 5:
                _pair(state, a, b, pairs[c])
            else:
                _matrix(state, a, ones[c])


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _reverse(operations, ones, pairs, cosines, sines, state, operator, kept, slopes):
    n_kept = kept.shape[0]
    for k in range(operations.shape[0] - 1, -1, -1):
        kind, a, b, c = operations[k]
        if kind < 4:
            step = 1 << 2 * a
            p = (kind % 3 + 1) * step
            q = ((kind + 1) % 3 + 1) * step
            total = 0.0
            for block in range(0, state.shape[0], 4 * step):
                for i in range(block, block + step):
                    # operator . generator . state: the generator is antisymmetric in the two turned
                    # components, and commutes with its rotation, so that both are taken after it.
                    total += operator[i + q] * state[i + p] - operator[i + p] * state[i + q]
            slopes[c] += total
            _turn(state, a, kind, cosines[c], -sines[c])
            _turn(operator, a, kind, cosines[c], -sines[c])
        elif kind == 4:
            _cz(state, a, b)
            _cz(operator, a, b)
        elif kind == 5:
            n_kept -= 1
            state[:] = kept[n_kept]
            _pair(operator, a, b, pairs[c].T)
        else:
            # The operator goes back by the transpose, whatever the map is; a state only through what can be
            # undone.
            if kind == 7:
                n_kept -= 1
                state[:] = kept[n_kept]
            else:
                _matrix(state, a, ones[c].T)
            _matrix(operator, a, ones[c].T)
