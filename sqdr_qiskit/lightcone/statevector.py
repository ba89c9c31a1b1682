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

from sqdr_qiskit.lightcone.cones import PauliTerm
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation
from sqdr_qiskit.lightcone.paulis import ComplexArray, RealArray

__all__ = ["Statevectors"]


class Statevectors:
    """Expectation values and slopes of sums of Pauli strings after a noiseless circuit on few qubits.

    Args:
        form: The circuit.
        qubits: The qubits that are held.
        numbers: The normal form's operations on them, by number, ascending.
        sums: For each output its Pauli strings.
    """

    method = "statevector"

    def __init__(
        self,
        form: NormalForm,
        qubits: Sequence[int],
        numbers: Sequence[int],
        sums: Sequence[Sequence[PauliTerm]],
    ) -> None:
        place = {qubit: i for i, qubit in enumerate(qubits)}
        operations: list[tuple[int, int, int]] = []
        matrices: list[ComplexArray] = []
        for index in numbers:
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
        self.size = 2 ** len(qubits)
        strings: list[tuple[int, int, int]] = []
        ends: list[int] = []
        for terms in sums:
            for term in terms:
                # A Pauli string as two masks: X and Y flip a bit, Y and Z give a sign by it.
                flips = sum(1 << place[q] for q, letter in term.paulis if letter in (1, 2))
                signs = sum(1 << place[q] for q, letter in term.paulis if letter in (2, 3))
                strings.append((flips, signs, sum(letter == 2 for _, letter in term.paulis)))
            ends.append(len(strings))
        self._strings = np.array(strings, dtype=np.int64).reshape(-1, 3)
        self._weights = np.array([term.coefficient for terms in sums for term in terms])
        self._ends = np.array(ends, dtype=np.int64)

    def run(self, angles: RealArray, with_jacobian: bool, expectations: RealArray, slopes: RealArray) -> None:
        """One sample: fill `expectations` (n_outputs,) and `slopes` (n_outputs, n_angles); `angles` in
        radians.
        """
        # One sample at a time: 2^n amplitudes fill the vector registers by themselves.
        state, other = np.empty((2, self.size), dtype=complex)
        cosines, sines = np.cos(angles / 2), np.sin(angles / 2)
        _adjoint(
            self._operations,
            self._matrices,
            self._strings,
            self._weights,
            self._ends,
            cosines,
            sines,
            with_jacobian,
            state,
            other,
            expectations,
            slopes,
        )


# `contract` allows fused multiply-adds and no reordering: a result is the same on every run.
@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _one_qubit(state: Any, qubit: int, u00: complex, u01: complex, u10: complex, u11: complex) -> None:
    # Amplitudes that differ in this qubit alone, in the order of memory: runs of 2^qubit neighbours.
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
        # Its own inverse: the sign turns where both qubits are 1.
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
def _add_pauli(state: Any, flips: int, signs: int, n_y: int, weight: float, other: Any) -> None:
    """Add weight * P state to `other`; P = i^n_y X^flips Z^signs, so that each Y is i X Z."""
    phase = complex(weight)
    for _ in range(n_y % 4):
        phase = phase * 1j
    for i in range(state.shape[0]):
        parity = i & signs
        # Parity of up to 32 bits, folded; no state of as many qubits fits memory.
        parity ^= parity >> 16
        parity ^= parity >> 8
        parity ^= parity >> 4
        parity ^= parity >> 2
        parity ^= parity >> 1
        if parity & 1:
            other[i ^ flips] -= phase * state[i]
        else:
            other[i ^ flips] += phase * state[i]


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
                # Y = [[0, -i], [i, 0]]: the factor i makes the imaginary part a real one.
                total += (b * right[i] - a * right[i + step]).real
            else:
                total += (a * right[i] - b * right[i + step]).imag
    return total


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _adjoint(
    operations: Any,
    matrices: Any,
    strings: Any,
    weights: Any,
    ends: Any,
    cosines: Any,
    sines: Any,
    with_jacobian: bool,
    state: Any,
    other: Any,
    expectations: Any,
    slopes: Any,
) -> None:
    """Expectation value of every sum of Pauli strings, and its slope along every angle; cosines and sines of
    half angles. strings[t] = (flips, signs, number of Ys); those of output o end at ends[o].
    """
    n_operations = operations.shape[0]
    state[:] = 0.0
    state[0] = 1.0
    for k in range(n_operations):
        _apply(state, operations[k, 0], operations[k, 1], operations[k, 2], matrices, cosines, sines, False)
    slopes[:] = 0.0
    for o in range(ends.shape[0]):
        # `other` becomes O |state>. On the way back both are undone gate by gate: two states in memory,
        # however deep the circuit.
        other[:] = 0.0
        for t in range(ends[o - 1] if o > 0 else 0, ends[o]):
            _add_pauli(state, strings[t, 0], strings[t, 1], strings[t, 2], weights[t], other)
        total = 0.0
        for i in range(state.shape[0]):
            total += (np.conj(state[i]) * other[i]).real
        expectations[o] = total
        if not with_jacobian:
            continue
        for k in range(n_operations - 1, -1, -1):
            kind, a, b = operations[k, 0], operations[k, 1], operations[k, 2]
            if 0 < kind < 4:
                # 2 Re <other| (-i/2) P |state> = Im <other| P |state>; P commutes with its own rotation, so
                # that the states after it serve.
                slopes[o, b] += _imaginary_overlap(other, state, a, kind)
            _apply(other, kind, a, b, matrices, cosines, sines, True)
            _apply(state, kind, a, b, matrices, cosines, sines, True)
        if o + 1 == ends.shape[0]:
            break
        for k in range(n_operations):  # the state was undone on the way back
            _apply(
                state, operations[k, 0], operations[k, 1], operations[k, 2], matrices, cosines, sines, False
            )
