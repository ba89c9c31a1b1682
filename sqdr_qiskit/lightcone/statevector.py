"""Deep cones: a statevector of the cone's qubits, differentiated by the adjoint method.

Where gates are so deep that a cone is the whole register, 2^n amplitudes are fewer than the terms of the
pulled-back operator. Cones on the same qubits share one statevector. Source: Jones and Gacon,
arXiv:2009.02823 (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.cones import Cone
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation
from sqdr_qiskit.lightcone.paulis import ComplexArray, RealArray

__all__ = ["Statevectors"]

_WIDEST = 26  # qubits; 2^26 amplitudes are 1 GiB


class Statevectors:
    """Expectation values and slopes of the Pauli terms of noiseless cones on the same qubits.

    Args:
        form: The circuit.
        qubits: The cones' qubits.
        cones: The cones.

    Raises:
        UnsupportedError: More than 26 qubits.
    """

    method = "statevector"

    def __init__(self, form: NormalForm, qubits: tuple[int, ...], cones: Sequence[Cone]) -> None:
        if len(qubits) > _WIDEST:
            raise UnsupportedError(
                f"Light cone of {len(qubits)} qubits must have at most {_WIDEST} for a statevector; use "
                f"fewer blocks, or a circuit with a smaller cone."
            )
        place = {qubit: i for i, qubit in enumerate(qubits)}
        operations: list[tuple[int, int, int]] = []
        matrices: list[ComplexArray] = []
        for index in sorted({i for member in cones for i in member.operations}):
            op = form.operations[index]
            if isinstance(op, Rotation):
                operations.append((op.axis, place[op.qubit], op.angle))
            elif isinstance(op, CZ):
                operations.append((4, place[op.qubits[0]], place[op.qubits[1]]))
            else:
                assert isinstance(op, Fixed)
                operations.append((0, place[op.qubit], len(matrices)))
                assert op.unitary is not None
                matrices.append(op.unitary)
        self._operations = np.array(operations, dtype=np.int64).reshape(-1, 3)
        self._matrices = np.array(matrices, dtype=complex).reshape(-1, 2, 2)
        self._paulis = np.zeros((len(cones), len(qubits)), dtype=np.int64)
        for row, member in enumerate(cones):
            for qubit, letter in member.term.paulis:
                self._paulis[row, place[qubit]] = letter

    def run(self, angles: RealArray, with_jacobian: bool, expectations: RealArray, slopes: RealArray) -> None:
        """One sample: fill `expectations` (n_terms,) and `slopes` (n_terms, n_angles); `angles` in
        radians.
        """
        state, other = np.empty((2, 2 ** self._paulis.shape[1]), dtype=complex)
        cosines, sines = np.cos(angles / 2), np.sin(angles / 2)
        _adjoint(
            self._operations,
            self._matrices,
            self._paulis,
            cosines,
            sines,
            with_jacobian,
            state,
            other,
            expectations,
            slopes,
        )


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _one_qubit(state: Any, qubit: int, u00: complex, u01: complex, u10: complex, u11: complex) -> None:
    step = 1 << qubit
    for block in range(0, state.shape[0], 2 * step):
        for i in range(block, block + step):
            a = state[i]
            b = state[i + step]
            state[i] = u00 * a + u01 * b
            state[i + step] = u10 * a + u11 * b


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _apply(
    state: Any, kind: int, a: int, b: int, matrices: Any, cosines: Any, sines: Any, inverse: bool
) -> None:
    """Apply one operation or its inverse; kind 0 fixed, 1 to 3 rotation, 4 CZ."""
    if kind == 4:
        mask = (1 << a) | (1 << b)
        for i in range(state.shape[0]):
            if i & mask == mask:
                state[i] = -state[i]
    elif kind == 0:
        m = matrices[b]
        if inverse:
            _one_qubit(state, a, np.conj(m[0, 0]), np.conj(m[1, 0]), np.conj(m[0, 1]), np.conj(m[1, 1]))
        else:
            _one_qubit(state, a, m[0, 0], m[0, 1], m[1, 0], m[1, 1])
    else:
        co = cosines[b] + 0j
        si = -sines[b] if inverse else sines[b]
        if kind == 1:
            _one_qubit(state, a, co, -1j * si, -1j * si, co)
        elif kind == 2:
            _one_qubit(state, a, co, -si + 0j, si + 0j, co)
        else:
            _one_qubit(state, a, co - 1j * si, 0j, 0j, co + 1j * si)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _times_pauli(state: Any, qubit: int, letter: int) -> None:
    if letter == 1:
        _one_qubit(state, qubit, 0j, 1.0 + 0j, 1.0 + 0j, 0j)
    elif letter == 2:
        _one_qubit(state, qubit, 0j, -1j, 1j, 0j)
    elif letter == 3:
        _one_qubit(state, qubit, 1.0 + 0j, 0j, 0j, -1.0 + 0j)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _imaginary_overlap(left: Any, right: Any, qubit: int, letter: int) -> float:
    """Im <left| P |right> for the Pauli `letter` on `qubit`."""
    step = 1 << qubit
    total = 0.0
    for block in range(0, left.shape[0], 2 * step):
        for i in range(block, block + step):
            a = np.conj(left[i])
            b = np.conj(left[i + step])
            if letter == 1:
                total += (a * right[i + step] + b * right[i]).imag
            elif letter == 2:
                total += (b * right[i] - a * right[i + step]).real
            else:
                total += (a * right[i] - b * right[i + step]).imag
    return total


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _adjoint(
    operations: Any,
    matrices: Any,
    paulis: Any,
    cosines: Any,
    sines: Any,
    with_jacobian: bool,
    state: Any,
    other: Any,
    expectations: Any,
    slopes: Any,
) -> None:
    """Expectation value of every Pauli string, and its slope along every angle; cosines and sines of half
    angles.
    """
    n_operations = operations.shape[0]
    state[:] = 0.0
    state[0] = 1.0
    for k in range(n_operations):
        _apply(state, operations[k, 0], operations[k, 1], operations[k, 2], matrices, cosines, sines, False)
    slopes[:] = 0.0
    for o in range(paulis.shape[0]):
        other[:] = state
        for qubit in range(paulis.shape[1]):
            _times_pauli(other, qubit, paulis[o, qubit])
        total = 0.0
        for i in range(state.shape[0]):
            total += (np.conj(state[i]) * other[i]).real
        expectations[o] = total
        if not with_jacobian:
            continue
        for k in range(n_operations - 1, -1, -1):
            kind, a, b = operations[k, 0], operations[k, 1], operations[k, 2]
            if 0 < kind < 4:
                slopes[o, b] += _imaginary_overlap(other, state, a, kind)
            _apply(other, kind, a, b, matrices, cosines, sines, True)
            _apply(state, kind, a, b, matrices, cosines, sines, True)
        for k in range(n_operations):
            _apply(
                state, operations[k, 0], operations[k, 1], operations[k, 2], matrices, cosines, sines, False
            )
