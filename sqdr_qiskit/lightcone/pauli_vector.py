"""Deep cones with noise: the density matrix of the cone's qubits as a vector of Pauli coefficients.

The general and slow way, for what neither the expansion nor a statevector can take: any channel on one or two
qubits. The state runs forward once; for each observable the pulled-back operator and the state meet at every
rotation. Gates are undone on the way back, states before channels are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.cones import PauliTerm
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation
from sqdr_qiskit.lightcone.paulis import RealArray

__all__ = ["PauliVectors"]

_LARGEST = 2**31  # bytes for the states kept of one sample
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
        if (self._n_kept + 3) * size * 8 > _LARGEST:
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
def _matrix(vector: Any, qubit: int, matrix: Any) -> None:
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
def _turn(vector: Any, qubit: int, axis: int, cosine: float, sine: float) -> None:
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
def _cz(vector: Any, first: int, second: int) -> None:
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
def _pair(vector: Any, first: int, second: int, matrix: Any) -> None:
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
def _forward(operations: Any, ones: Any, pairs: Any, cosines: Any, sines: Any, state: Any, kept: Any) -> None:
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
def _reverse(
    operations: Any,
    ones: Any,
    pairs: Any,
    cosines: Any,
    sines: Any,
    state: Any,
    operator: Any,
    kept: Any,
    slopes: Any,
) -> None:
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
