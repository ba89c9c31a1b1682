"""Deep cones: a statevector of the cone's qubits, differentiated by the adjoint method.

Where gates are so deep that a cone is the whole register, 2^n amplitudes are fewer than the terms of the
pulled-back operator. Cones on the same qubits share one statevector. Source: Jones and Gacon,
arXiv:2009.02823 (2020).

Diagonal gates are taken together: feature maps and problem Hamiltonians write dozens of them between two
layers of other gates, most as CX, RZ, CX, and one multiplication by a phase does them all. Phases and
derivatives of such a run are sums over parities, one Walsh-Hadamard transform each. Source: phase
polynomials, Amy, Maslov and Mosca, arXiv:1303.2042 (2013).
"""

# Kernels are compiled for the types that they are called with.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from sqdr_qiskit.lightcone.cones import PauliTerm
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation
from sqdr_qiskit.noise_models import ComplexArray, RealArray
from sqdr_qiskit.simd import LARGEST_ANGLE, cos_sin

__all__ = ["Statevectors"]

# What a step does; 1, 2 and 3 are rotations about X, Y and Z.
_FIXED, _TURN_Z, _CZ, _PHASES, _CX = 0, 3, 4, 5, 6
_FEW = 4  # diagonal gates that are taken one by one: a transform and the cosines cost as much as these
_HADAMARD = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0)


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
        writer = _Steps(form, place, numbers)
        self._steps = np.array(writer.steps, dtype=np.int64).reshape(-1, 3)
        self._phases = np.array(writer.phases, dtype=np.int64).reshape(-1, 2)
        self._matrices = np.array(writer.matrices, dtype=complex).reshape(-1, 2, 2)
        self._constants = np.array(writer.constants)
        self.size, self.n_steps = 2 ** len(qubits), len(self._steps)
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

    def run(self, radians: RealArray, with_jacobian: bool) -> tuple[RealArray, RealArray]:
        """Expectation values, shape (samples, n_outputs), and slopes, shape (samples, n_outputs, n_angles),
        of angles in radians, shape (samples, n_angles); without a Jacobian there are no slopes.
        """
        n_samples, n_angles = radians.shape
        constants = np.broadcast_to(self._constants, (n_samples, len(self._constants)))
        halves = np.concatenate([radians, constants], axis=1) / 2
        if halves.size and np.abs(halves).max() > LARGEST_ANGLE / (1 + len(self._phases)):
            # A run's phase is the sum of its angles, and has to be one that the kernel's sines can take.
            halves = np.arctan2(np.sin(halves), np.cos(halves))
        expectations = np.zeros((n_samples, len(self._ends)))
        slopes = np.zeros((n_samples, len(self._ends), n_angles if with_jacobian else 0))
        _adjoint(
            self._steps,
            self._phases,
            self._matrices,
            self._strings,
            self._weights,
            self._ends,
            halves,
            self.size,
            with_jacobian,
            expectations,
            slopes,
        )
        return expectations, slopes


class _Steps:
    """The operations as steps of the kernel, runs of diagonal gates and CXs taken together.

    A run maps |x> to a phase times |A x>, A linear over bits. RZ on a wire whose bit is by then the parity of
    x under a mask is a phase by that parity; all phases are taken first, on x, and the CXs that are left
    after them. A CX pair around a phase gate is no step at all.
    """

    def __init__(self, form: NormalForm, place: dict[int, int], numbers: Sequence[int]) -> None:
        self.steps: list[tuple[int, int, int]] = []
        self.phases: list[tuple[int, int]] = []
        self.matrices: list[ComplexArray] = []
        self.constants: list[float] = []
        self._n_angles = len(form.offsets)
        self._n_qubits = len(place)
        self._begin()
        done = 0
        while done < len(numbers):
            op = form.operations[numbers[done]]
            between = form.operations[numbers[done + 1]] if done + 2 < len(numbers) else None
            done += 1
            if isinstance(op, CZ):
                self._cz(*(place[qubit] for qubit in op.qubits))
            elif isinstance(op, Rotation) and op.axis == 3:
                self._turns.append((self._masks[place[op.qubit]], op.angle))
            elif isinstance(op, Rotation):
                self._own(place[op.qubit], (op.axis, place[op.qubit], op.angle))
            else:
                assert isinstance(op, Fixed)
                assert op.unitary is not None
                # As a CX is written in the normal form: the same Hadamard before and after a CZ.
                if isinstance(between, CZ) and form.operations[numbers[done + 1]] is op and _is_hadamard(op):
                    first, second = between.qubits
                    self._cx(place[second if op.qubit == first else first], place[op.qubit])
                    done += 2
                elif op.unitary[0, 1] == 0.0 == op.unitary[1, 0]:
                    angle = float(np.angle(op.unitary[1, 1] / op.unitary[0, 0]))
                    self._turns.append((self._masks[place[op.qubit]], self._constant(angle)))
                else:
                    self._own(place[op.qubit], (_FIXED, place[op.qubit], len(self.matrices)))
                    self.matrices.append(op.unitary)
        self._end()

    def _begin(self) -> None:
        self._masks = [1 << i for i in range(self._n_qubits)]  # the parity of x that each wire holds by now
        self._turns: list[tuple[int, int]] = []  # mask and angle
        self._flips: list[tuple[int, int]] = []  # masks of CZs
        self._moves: list[tuple[int, int]] = []  # CXs

    def _constant(self, angle: float) -> int:
        """A number for a fixed angle, behind those of the circuit's angles."""
        if angle not in self.constants:
            self.constants.append(angle)
        return self._n_angles + self.constants.index(angle)

    def _cz(self, first: int, second: int) -> None:
        a, b = self._masks[first], self._masks[second]
        if a & (a - 1) or b & (b - 1):  # of parities: three phases, 2ab = a + b - (a xor b)
            quarter, back = self._constant(np.pi / 2), self._constant(-np.pi / 2)
            self._turns += [(a, quarter), (b, quarter), (a ^ b, back)]
        else:
            self._flips.append((a, b))

    def _cx(self, control: int, target: int) -> None:
        self._masks[target] ^= self._masks[control]
        if self._moves and self._moves[-1] == (control, target):
            self._moves.pop()
        else:
            self._moves.append((control, target))

    def _own(self, qubit: int, step: tuple[int, int, int]) -> None:
        """A step on one qubit, before the run if that does not touch the qubit, else after it."""
        bit = 1 << qubit
        touched = any(mask & bit for mask, _ in self._turns) or any((a | b) & bit for a, b in self._flips)
        if touched or any(qubit in move for move in self._moves):
            self._end()
        self.steps.append(step)

    def _end(self) -> None:
        if len(self._turns) > _FEW:
            self.steps.append((_PHASES, len(self.phases), len(self.phases) + len(self._turns)))
            self.phases += self._turns
        else:
            self.steps += [(_TURN_Z, mask, angle) for mask, angle in self._turns]
        self.steps += [(_CZ, a, b) for a, b in self._flips]
        self.steps += [(_CX, *move) for move in self._moves]
        self._begin()


def _is_hadamard(op: Fixed) -> bool:
    return op.unitary is not None and np.allclose(op.unitary, _HADAMARD, rtol=0.0, atol=1e-15)


# `contract` allows fused multiply-adds and no reordering: a result is the same on every run.
@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _one_qubit(state, qubit, u00, u01, u10, u11):
    # Amplitudes that differ in this qubit alone, in the order of memory: runs of 2^qubit neighbours.
    step = 1 << qubit
    for block in range(0, state.shape[0], 2 * step):
        for i in range(block, block + step):
            a = state[i]
            b = state[i + step]
            state[i] = u00 * a + u01 * b
            state[i + step] = u10 * a + u11 * b


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _real(state, qubit, u00, u01, u10, u11):
    """The same by a real matrix, a quarter of the work: RY, H."""
    step = 1 << qubit
    for block in range(0, state.shape[0], 2 * step):
        for i in range(block, block + step):
            a = state[i]
            b = state[i + step]
            state[i] = complex(u00 * a.real + u01 * b.real, u00 * a.imag + u01 * b.imag)
            state[i + step] = complex(u10 * a.real + u11 * b.real, u10 * a.imag + u11 * b.imag)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _turn_x(state, qubit, co, si):
    step = 1 << qubit
    for block in range(0, state.shape[0], 2 * step):
        for i in range(block, block + step):
            a = state[i]
            b = state[i + step]
            state[i] = complex(co * a.real + si * b.imag, co * a.imag - si * b.real)
            state[i + step] = complex(co * b.real + si * a.imag, co * b.imag - si * a.real)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _turn_z(state, mask, co, si):
    """exp(-i angle / 2) where the index has an even parity under the mask, its conjugate elsewhere."""
    low = mask & -mask  # indices that differ below the mask's lowest bit have one parity
    for block in range(0, state.shape[0], low):
        sine = -si if _odd(block & mask) else si
        for i in range(block, block + low):
            a = state[i]
            state[i] = complex(co * a.real + sine * a.imag, co * a.imag - sine * a.real)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _odd(bits):
    # Parity of up to 32 bits, folded; no state of as many qubits fits memory.
    bits ^= bits >> 16
    bits ^= bits >> 8
    bits ^= bits >> 4
    bits ^= bits >> 2
    bits ^= bits >> 1
    return bool(bits & 1)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _transform(values):
    """values[m] <- sum over x of values[x] (-1)^(parity of x & m), in place."""
    step = 1
    while step < values.shape[0]:
        for block in range(0, values.shape[0], 2 * step):
            for i in range(block, block + step):
                a = values[i]
                b = values[i + step]
                values[i] = a + b
                values[i + step] = a - b
        step *= 2


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _find_phases(phases, begin, end, halves, work):
    """The phase that a run gives to each index, in radians."""
    work[:] = 0.0
    for k in range(begin, end):
        work[phases[k, 0]] -= halves[phases[k, 1]]
    _transform(work)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _shift(state, work, cosines, sines, sign):
    """Multiply by exp(i sign work), a piece of the cosines' length at a time."""
    width = cosines.shape[0]
    for block in range(0, state.shape[0], width):
        cos_sin(work[block : block + width], cosines, sines)
        for i in range(width):
            a = state[block + i]
            co = cosines[i]
            si = sign * sines[i]
            state[block + i] = complex(co * a.real - si * a.imag, co * a.imag + si * a.real)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _cz(state, mask):
    for i in range(state.shape[0]):
        if i & mask == mask:
            state[i] = -state[i]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _cx(state, control, target):
    low = 1 << min(control, target)
    high = 1 << max(control, target)
    one = 1 << control
    other = one | 1 << target
    for outer in range(0, state.shape[0], 2 * high):
        for inner in range(outer, outer + high, 2 * low):
            for i in range(inner, inner + low):
                kept = state[i + one]
                state[i + one] = state[i + other]
                state[i + other] = kept


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _apply(state, kind, a, b, matrices, cosines, sines, inverse):
    """One step, but a run of phases, or its inverse; cosines and sines of half angles."""
    if kind == _CZ:
        _cz(state, a | b)
    elif kind == _CX:
        _cx(state, a, b)
    elif kind == _FIXED:
        m = matrices[b]
        if not (m[0, 0].imag or m[0, 1].imag or m[1, 0].imag or m[1, 1].imag):
            first, second = (m[1, 0].real, m[0, 1].real) if inverse else (m[0, 1].real, m[1, 0].real)
            _real(state, a, m[0, 0].real, first, second, m[1, 1].real)
        elif inverse:
            _one_qubit(state, a, np.conj(m[0, 0]), np.conj(m[1, 0]), np.conj(m[0, 1]), np.conj(m[1, 1]))
        else:
            _one_qubit(state, a, m[0, 0], m[0, 1], m[1, 0], m[1, 1])
    else:
        co = cosines[b]
        si = -sines[b] if inverse else sines[b]
        if kind == 1:
            _turn_x(state, a, co, si)
        elif kind == 2:
            _real(state, a, co, -si, si, co)
        else:
            _turn_z(state, a, co, si)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _add_pauli(state, flips, signs, n_y, weight, other):
    """Add weight * P state to `other`; P = i^n_y X^flips Z^signs, so that each Y is i X Z."""
    phase = complex(weight)
    for _ in range(n_y % 4):
        phase = phase * 1j
    for i in range(state.shape[0]):
        if _odd(i & signs):
            other[i ^ flips] -= phase * state[i]
        else:
            other[i ^ flips] += phase * state[i]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _imaginary_overlap(left, right, kind, a):
    """Im <left| P |right>, P = X or Y on qubit `a`, or the product of Zs under the mask `a`."""
    total = 0.0
    if kind == _TURN_Z:
        low = a & -a
        for block in range(0, left.shape[0], low):
            part = 0.0
            for i in range(block, block + low):
                part += left[i].real * right[i].imag - left[i].imag * right[i].real
            total += -part if _odd(block & a) else part
        return total
    step = 1 << a
    for block in range(0, left.shape[0], 2 * step):
        for i in range(block, block + step):
            b = left[i + step]
            c = left[i]
            d = right[i + step]
            e = right[i]
            if kind == 1:
                total += c.real * d.imag - c.imag * d.real + b.real * e.imag - b.imag * e.real
            else:
                # Y = [[0, -i], [i, 0]]: the factor i makes the imaginary part a real one.
                total += b.real * e.real + b.imag * e.imag - c.real * d.real - c.imag * d.imag
    return total


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _forth(steps, phases, matrices, halves, cosines, sines, state, work, piece):
    for k in range(steps.shape[0]):
        kind, a, b = steps[k, 0], steps[k, 1], steps[k, 2]
        if kind == _PHASES:
            _find_phases(phases, a, b, halves, work)
            _shift(state, work, piece[0], piece[1], 1.0)
        else:
            _apply(state, kind, a, b, matrices, cosines, sines, False)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _adjoint(
    steps, phases, matrices, strings, weights, ends, all_halves, size, with_jacobian, expectations, slopes
):
    """Expectation value of every sum of Pauli strings, and its slope along every angle, sample by sample.

    steps[k] = (kind, a, b): fixed (qubit, matrix), X or Y rotation (qubit, angle), Z rotation (mask, angle),
    CZ (mask, mask), run of phases (begin, end), CX (control, target). phases[j] = (mask, angle). strings[t] =
    (flips, signs, number of Ys); those of output o end at ends[o]. all_halves[s]: half of each angle, fixed
    ones behind the circuit's. expectations[s, o] and slopes[s, o, angle] are added to.
    """
    n_steps = steps.shape[0]
    n_angles = slopes.shape[2]
    state = np.empty(size, dtype=np.complex128)
    other = np.empty(size, dtype=np.complex128)
    work = np.empty(size)
    piece = np.empty((2, min(size, 64)))  # few enough to stay in the first cache
    cosines = np.empty(all_halves.shape[1])
    sines = np.empty(all_halves.shape[1])
    # Sample after sample: 2^n amplitudes fill the vector registers by themselves.
    for s in range(all_halves.shape[0]):
        halves = all_halves[s]
        cos_sin(halves, cosines, sines)
        state[:] = 0.0
        state[0] = 1.0
        _forth(steps, phases, matrices, halves, cosines, sines, state, work, piece)
        for o in range(ends.shape[0]):
            # `other` becomes O |state>. On the way back both are undone step by step: two states in memory,
            # however deep the circuit.
            other[:] = 0.0
            for t in range(ends[o - 1] if o > 0 else 0, ends[o]):
                _add_pauli(state, strings[t, 0], strings[t, 1], strings[t, 2], weights[t], other)
            total = 0.0
            for i in range(size):
                total += state[i].real * other[i].real + state[i].imag * other[i].imag
            expectations[s, o] += total
            if not with_jacobian:
                continue
            for k in range(n_steps - 1, -1, -1):
                kind, a, b = steps[k, 0], steps[k, 1], steps[k, 2]
                # 2 Re <other| (-i/2) P |state> = Im <other| P |state>; P commutes with its own rotation, so
                # that the states after it serve.
                if kind == _PHASES:
                    # Of all masks at once: the transform of Im(conj(other) state).
                    for i in range(size):
                        work[i] = other[i].real * state[i].imag - other[i].imag * state[i].real
                    _transform(work)
                    for j in range(a, b):
                        if phases[j, 1] < n_angles:
                            slopes[s, o, phases[j, 1]] += work[phases[j, 0]]
                    _find_phases(phases, a, b, halves, work)
                    _shift(other, work, piece[0], piece[1], -1.0)
                    _shift(state, work, piece[0], piece[1], -1.0)
                    continue
                if (kind == 1 or kind == 2 or kind == _TURN_Z) and b < n_angles:
                    slopes[s, o, b] += _imaginary_overlap(other, state, kind, a)
                _apply(other, kind, a, b, matrices, cosines, sines, True)
                _apply(state, kind, a, b, matrices, cosines, sines, True)
            if o + 1 < ends.shape[0]:  # the state was undone on the way back
                _forth(steps, phases, matrices, halves, cosines, sines, state, work, piece)
