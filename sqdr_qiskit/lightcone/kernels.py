"""The compiled part of the exact engine: chains of rotations, tapes forward and backward, Jacobians.

Samples lie side by side in lanes (`simd.py`), so that every instruction is one multiply-add on a vector of
samples, and everything a sample needs stays in a few hundred kB of cache. Working arrays are flat: row i, or
component c of vector i, is vector number i, or 4 i + c.
"""

# Kernels are compiled for the types that they are called with.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sqdr_qiskit.simd import DOUBLES, cos_sin, doubles, fma, load, store

__all__ = ["LANES", "evaluate"]

LANES = DOUBLES.count  # samples that go through the kernels side by side


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _run_chains(cosines, sines, chains, steps, entries, start, with_tangents, vectors, tangents, scratch):
    """Push every chain's vector, and its derivative along each of its angles, through the chain's steps.

    chains[g] = (first step, end, first tangent). steps[s] = (axis, angle, sign) for a rotation, (0, first
    entry, end) for a fixed map of entries (row, column, value), (-1, entry, target) for one that scales and
    shifts: entries (scales of X, Y, Z) and (shift, 0, 0).
    """
    for g in range(chains.shape[0]):
        vector = 4 * g
        for c in range(4):
            store(vectors, vector + c, doubles(start[g, c]))
        # Forward mode: every angle's tangent rides along with the vector. A chain has a handful of angles and
        # four components, so that this costs less than keeping all vectors for a way back. Without tangents
        # `end` never moves, and the loops below are empty.
        slot = end = 4 * chains[g, 2]  # the tangents so far are vectors slot, slot + 4, ... below end
        for s in range(chains[g, 0], chains[g, 1]):
            axis = steps[s, 0]
            if axis > 0:
                # A rotation about X turns (Y, Z), about Y (Z, X), about Z (X, Y): p and q follow the axis
                # cyclically. `sign` is -1 where an observable is pulled back: the transpose of a rotation
                # turns the other way.
                p = axis % 3 + 1
                q = (axis + 1) % 3 + 1
                sign = float(steps[s, 2])
                cosine = load(cosines, steps[s, 1])
                sine = load(sines, steps[s, 1])
                up = doubles(sign) * sine
                down = doubles(-sign) * sine
                _rotate(vectors, vector + p, vector + q, cosine, up, down)
                if with_tangents:
                    for t in range(slot, end, 4):
                        _rotate(tangents, t + p, t + q, cosine, up, down)
                    # The generator commutes with its own rotation: the derivative is read off the vector
                    # after the turn. It has no part along I and along the axis.
                    store(tangents, end, doubles(0.0))
                    store(tangents, end + axis, doubles(0.0))
                    store(tangents, end + p, doubles(-sign) * load(vectors, vector + q))
                    store(tangents, end + q, doubles(sign) * load(vectors, vector + p))
                    end += 4
            elif axis == 0:
                _apply_map(entries, steps[s, 1], steps[s, 2], vectors, vector, scratch)
                for t in range(slot, end, 4):
                    _apply_map(entries, steps[s, 1], steps[s, 2], tangents, t, scratch)
            else:
                # Nearly all noise is such, and needs no table of entries and no scratch.
                scales = entries[steps[s, 1]]
                shift = entries[steps[s, 1] + 1, 0]
                _scale(scales, steps[s, 2], shift, vectors, vector)
                for t in range(slot, end, 4):
                    _scale(scales, steps[s, 2], shift, tangents, t)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _rotate(vectors, p, q, cosine, up, down):
    """Turn components p and q; `up` and `down` are the sine and its negative."""
    a = load(vectors, p)
    b = load(vectors, q)
    store(vectors, p, fma(down, b, cosine * a))
    store(vectors, q, fma(up, a, cosine * b))


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _scale(scales, target, shift, vectors, vector):
    """Scale X, Y, Z, and shift Z by I (target 3) or I by Z (target 0): Pauli channels and damping."""
    one = load(vectors, vector)
    z = load(vectors, vector + 3)
    if target == 3:
        store(vectors, vector + 3, fma(doubles(shift), one, doubles(scales[2]) * z))
    else:
        # The transposed map, for observables; I takes its part of Z before Z is scaled.
        store(vectors, vector, fma(doubles(shift), z, one))
        store(vectors, vector + 3, doubles(scales[2]) * z)
    store(vectors, vector + 1, doubles(scales[0]) * load(vectors, vector + 1))
    store(vectors, vector + 2, doubles(scales[1]) * load(vectors, vector + 2))


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _apply_map(entries, begin, end, vectors, vector, scratch):
    """Vector = matrix @ vector, the matrix given by its nonzero entries (row, column, value)."""
    for c in range(4):
        store(scratch, c, doubles(0.0))
    for e in range(begin, end):
        row = int(entries[e, 0])
        column = vector + int(entries[e, 1])
        store(scratch, row, fma(doubles(entries[e, 2]), load(vectors, column), load(scratch, row)))
    for c in range(4):
        store(vectors, vector + c, load(scratch, c))


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _forward(code, coefficients, begin, end, rows):
    for i in range(begin, end):
        target = code[i, 0]
        a = code[i, 1]
        b = code[i, 2]
        # The instruction that starts a row does not read it: rows need no clearing between samples.
        before = doubles(0.0) if code[i, 3] else load(rows, target)
        c = doubles(coefficients[i])
        if b >= 0:
            store(rows, target, fma(c * load(rows, a), load(rows, b), before))
        elif a >= 0:
            store(rows, target, fma(c, load(rows, a), before))
        else:
            store(rows, target, c + before)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _backward(code, coefficients, begin, end, rows, adjoints):
    # Every row is written by neighbouring instructions and read only by later ones, so that its adjoint is
    # complete when its own instructions are met from behind.
    for i in range(end - 1, begin - 1, -1):
        a = code[i, 1]
        b = code[i, 2]
        if a >= 0:
            adjoint = doubles(coefficients[i]) * load(adjoints, code[i, 0])
            if b >= 0:
                # One store after the other: in a square, where a is b, the second load sees the first.
                store(adjoints, a, fma(adjoint, load(rows, b), load(adjoints, a)))
                store(adjoints, b, fma(adjoint, load(rows, a), load(adjoints, b)))
            else:
                store(adjoints, a, adjoint + load(adjoints, a))


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def evaluate(
    inputs,
    columns,
    moving,
    shared,
    chains,
    steps,
    entries,
    start,
    tapes,
    code,
    coefficients,
    outputs,
    leaves,
    slots,
    slopes,
    parameters,
    n_tangents,
    n_rows,
    n_local,
    offset,
    stop,
    with_jacobian,
    values,
    jacobian,
):
    """Expectation values, and on request their Jacobians, of samples `offset` to `stop` (exclusive).

    inputs, columns, moving: sample s turns angle moving[i] by inputs[s, columns[i]], radians.
    shared: radians of all angles, shape (n_angles,); of those that are moving nothing is read.
    chains, steps, entries, start: see `_run_chains`; start[g] is a chain's vector before its steps.
    tapes[t] = (first instruction, end, number of leaves, number of rows, result row or -1).
    code, coefficients: the instructions of all tapes, one after the other; see `tape.TapeCode`.
    outputs[o] = (tape, first leaf, first slot, end of slots, first parameter, end of parameters).
    leaves[i] = (chain, component): the inputs of each output's tape, in row order.
    slots[i] = (leaf row, tangent, component, local parameter): what enters the Jacobian, times slopes[i].
    parameters: column of the Jacobian of each output's local parameters.
    n_tangents, n_rows, n_local: sizes of the working arrays.
    values: shape (samples, n_outputs), added to.
    jacobian: shape (samples, n_outputs, n_params), single or double precision; the entries of each output's
    parameters are set, the others left as they are.
    """
    vectors = np.empty(4 * chains.shape[0] * LANES)
    tangents = np.empty(4 * n_tangents * LANES)
    rows = np.empty(n_rows * LANES)
    adjoints = np.empty(n_rows * LANES)
    local = np.empty(n_local * LANES)
    scratch = np.empty(4 * LANES)
    cosines = np.empty((shared.shape[0], LANES))
    sines = np.empty((shared.shape[0], LANES))
    radians = np.empty(LANES)
    for angle in range(shared.shape[0]):
        # All lanes alike, for every block of samples. Those of the moving angles are written over below.
        radians[:] = shared[angle]
        cos_sin(radians, cosines[angle], sines[angle])
    for first in range(offset, stop, LANES):
        used = min(LANES, stop - first)
        for i in range(moving.shape[0]):
            for lane in range(used):
                # A last block that is not full keeps older angles in its other lanes: finite numbers that are
                # computed with and never read.
                radians[lane] = inputs[first + lane, columns[i]]
            cos_sin(radians, cosines[moving[i]], sines[moving[i]])
        _run_chains(cosines, sines, chains, steps, entries, start, with_jacobian, vectors, tangents, scratch)
        for o in range(outputs.shape[0]):
            # Outputs whose cones have one shape share a tape, and differ in the leaves that it is given.
            tape = tapes[outputs[o, 0]]
            result = tape[4]
            if result < 0:  # nothing differs from sample to sample
                continue
            first_leaf = outputs[o, 1]
            for i in range(tape[2]):
                # Copied, so that a tape finds its inputs in its first rows whatever chains they come from.
                store(rows, i, load(vectors, 4 * leaves[first_leaf + i, 0] + leaves[first_leaf + i, 1]))
            _forward(code, coefficients, tape[0], tape[1], rows)
            for lane in range(used):
                values[first + lane, o] += rows[result * LANES + lane]
            if not with_jacobian:
                continue
            for i in range(tape[3]):
                store(adjoints, i, doubles(0.0))
            store(adjoints, result, doubles(1.0))
            _backward(code, coefficients, tape[0], tape[1], rows, adjoints)
            i = outputs[o, 2]
            while i < outputs[o, 3]:  # slots are sorted by their local parameter
                p = slots[i, 3]
                slope = doubles(0.0)
                while i < outputs[o, 3] and slots[i, 3] == p:
                    factor = doubles(slopes[i]) * load(adjoints, slots[i, 0])
                    slope = fma(factor, load(tangents, 4 * slots[i, 1] + slots[i, 2]), slope)
                    i += 1
                store(local, p, slope)
            begin = outputs[o, 4]
            for lane in range(used):
                gradient = jacobian[first + lane, o]
                for p in range(outputs[o, 5] - begin):
                    # Set and not added: an output has each parameter once. Whole states add to it later.
                    gradient[parameters[begin + p]] = local[p * LANES + lane]
