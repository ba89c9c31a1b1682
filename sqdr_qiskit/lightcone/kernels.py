"""The compiled part of the exact engine: chains of rotations, tapes forward and backward, Jacobians.

Samples lie side by side in lanes, innermost, so that every instruction is one multiply-add on a short vector
of samples, and everything a sample needs stays in a few hundred kB of cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sqdr_qiskit.lightcone.trigonometry import cos_sin

__all__ = ["LANES", "evaluate"]

LANES = 32


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _run_chains(
    cosines: Any,
    sines: Any,
    chains: Any,
    steps: Any,
    entries: Any,
    start: Any,
    with_tangents: bool,
    vectors: Any,
    tangents: Any,
    scratch: Any,
) -> None:
    """Push every chain's vector, and its derivative along each of its angles, through the chain's steps.

    chains[g] = (first step, end, first tangent). steps[s] = (axis, angle, sign) for a rotation, (0, first
    entry, end) for a fixed map of entries (row, column, value), (-1, entry, target) for one that scales and
    shifts: entries (scales of X, Y, Z) and (shift, 0, 0).
    """
    for g in range(chains.shape[0]):
        vector = vectors[g]
        for c in range(4):
            for lane in range(LANES):
                vector[c, lane] = start[g, c]
        n_tangents = 0
        slot = chains[g, 2]
        for s in range(chains[g, 0], chains[g, 1]):
            axis = steps[s, 0]
            if axis > 0:
                p = axis % 3 + 1
                q = (axis + 1) % 3 + 1
                sign = float(steps[s, 2])
                cosine = cosines[steps[s, 1]]
                sine = sines[steps[s, 1]]
                for lane in range(LANES):
                    a = vector[p, lane]
                    b = vector[q, lane]
                    co = cosine[lane]
                    si = sign * sine[lane]
                    vector[p, lane] = co * a - si * b
                    vector[q, lane] = si * a + co * b
                if with_tangents:
                    for t in range(slot, slot + n_tangents):
                        for lane in range(LANES):
                            a = tangents[t, p, lane]
                            b = tangents[t, q, lane]
                            co = cosine[lane]
                            si = sign * sine[lane]
                            tangents[t, p, lane] = co * a - si * b
                            tangents[t, q, lane] = si * a + co * b
                    t = slot + n_tangents
                    for lane in range(LANES):
                        tangents[t, 0, lane] = 0.0
                        tangents[t, axis, lane] = 0.0
                        tangents[t, p, lane] = -sign * vector[q, lane]
                        tangents[t, q, lane] = sign * vector[p, lane]
                    n_tangents += 1
            elif axis == 0:
                _apply_map(entries, steps[s, 1], steps[s, 2], vector, scratch)
                if with_tangents:
                    for t in range(slot, slot + n_tangents):
                        _apply_map(entries, steps[s, 1], steps[s, 2], tangents[t], scratch)
            else:
                scales = entries[steps[s, 1]]
                _scale(scales, steps[s, 2], entries[steps[s, 1] + 1, 0], vector)
                if with_tangents:
                    for t in range(slot, slot + n_tangents):
                        _scale(scales, steps[s, 2], entries[steps[s, 1] + 1, 0], tangents[t])


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _scale(scales: Any, target: int, shift: float, vector: Any) -> None:
    """Scale X, Y, Z, and shift Z by I (target 3) or I by Z (target 0): Pauli channels and damping."""
    if target == 3:
        for lane in range(LANES):
            vector[3, lane] = scales[2] * vector[3, lane] + shift * vector[0, lane]
    else:
        for lane in range(LANES):
            z = vector[3, lane]
            vector[0, lane] += shift * z
            vector[3, lane] = scales[2] * z
    for lane in range(LANES):
        vector[1, lane] *= scales[0]
        vector[2, lane] *= scales[1]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _apply_map(entries: Any, begin: int, end: int, vector: Any, scratch: Any) -> None:
    """Vector = matrix @ vector, the matrix given by its nonzero entries (row, column, value)."""
    for c in range(4):
        for lane in range(LANES):
            scratch[c, lane] = 0.0
    for e in range(begin, end):
        row = int(entries[e, 0])
        column = int(entries[e, 1])
        value = entries[e, 2]
        for lane in range(LANES):
            scratch[row, lane] += value * vector[column, lane]
    for c in range(4):
        for lane in range(LANES):
            vector[c, lane] = scratch[c, lane]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _forward(code: Any, coefficients: Any, begin: int, end: int, rows: Any) -> None:
    for i in range(begin, end):
        target = code[i, 0]
        a = code[i, 1]
        b = code[i, 2]
        c = coefficients[i]
        if b >= 0:
            if code[i, 3]:
                for lane in range(LANES):
                    rows[target, lane] = c * rows[a, lane] * rows[b, lane]
            else:
                for lane in range(LANES):
                    rows[target, lane] += c * rows[a, lane] * rows[b, lane]
        elif a >= 0:
            if code[i, 3]:
                for lane in range(LANES):
                    rows[target, lane] = c * rows[a, lane]
            else:
                for lane in range(LANES):
                    rows[target, lane] += c * rows[a, lane]
        else:
            for lane in range(LANES):
                rows[target, lane] = c if code[i, 3] else rows[target, lane] + c


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _backward(code: Any, coefficients: Any, begin: int, end: int, rows: Any, adjoints: Any) -> None:
    for i in range(end - 1, begin - 1, -1):
        target = code[i, 0]
        a = code[i, 1]
        b = code[i, 2]
        c = coefficients[i]
        if b >= 0:
            for lane in range(LANES):
                adjoint = c * adjoints[target, lane]
                adjoints[a, lane] += adjoint * rows[b, lane]
                adjoints[b, lane] += adjoint * rows[a, lane]
        elif a >= 0:
            for lane in range(LANES):
                adjoints[a, lane] += c * adjoints[target, lane]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def evaluate(
    inputs: Any,
    columns: Any,
    moving: Any,
    shared: Any,
    chains: Any,
    steps: Any,
    entries: Any,
    start: Any,
    tapes: Any,
    code: Any,
    coefficients: Any,
    outputs: Any,
    leaves: Any,
    slots: Any,
    slopes: Any,
    parameters: Any,
    n_tangents: int,
    n_rows: int,
    n_local: int,
    offset: int,
    stop: int,
    with_jacobian: bool,
    values: Any,
    jacobian: Any,
) -> None:
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
    vectors = np.empty((chains.shape[0], 4, LANES))
    tangents = np.empty((n_tangents, 4, LANES))
    rows = np.empty((n_rows, LANES))
    adjoints = np.empty((n_rows, LANES))
    local = np.empty((n_local, LANES))
    scratch = np.empty((4, LANES))
    cosines = np.empty((shared.shape[0], LANES))
    sines = np.empty((shared.shape[0], LANES))
    radians = np.empty(LANES)
    for angle in range(shared.shape[0]):
        radians[:] = shared[angle]
        cos_sin(radians, cosines[angle], sines[angle])
    for first in range(offset, stop, LANES):
        used = min(LANES, stop - first)
        for i in range(moving.shape[0]):
            for lane in range(used):
                radians[lane] = inputs[first + lane, columns[i]]
            cos_sin(radians, cosines[moving[i]], sines[moving[i]])
        _run_chains(cosines, sines, chains, steps, entries, start, with_jacobian, vectors, tangents, scratch)
        for o in range(outputs.shape[0]):
            tape = tapes[outputs[o, 0]]
            if tape[4] < 0:  # nothing differs from sample to sample
                continue
            first_leaf = outputs[o, 1]
            for i in range(tape[2]):
                chain = leaves[first_leaf + i, 0]
                component = leaves[first_leaf + i, 1]
                for lane in range(LANES):
                    rows[i, lane] = vectors[chain, component, lane]
            _forward(code, coefficients, tape[0], tape[1], rows)
            result = tape[4]
            for lane in range(used):
                values[first + lane, o] += rows[result, lane]
            if not with_jacobian:
                continue
            for i in range(tape[3]):
                for lane in range(LANES):
                    adjoints[i, lane] = 0.0
            for lane in range(LANES):
                adjoints[result, lane] = 1.0
            _backward(code, coefficients, tape[0], tape[1], rows, adjoints)
            begin = outputs[o, 4]
            for p in range(outputs[o, 5] - begin):
                for lane in range(LANES):
                    local[p, lane] = 0.0
            for i in range(outputs[o, 2], outputs[o, 3]):
                leaf = slots[i, 0]
                tangent = slots[i, 1]
                component = slots[i, 2]
                p = slots[i, 3]
                c = slopes[i]
                for lane in range(LANES):
                    local[p, lane] += c * adjoints[leaf, lane] * tangents[tangent, component, lane]
            for lane in range(used):
                gradient = jacobian[first + lane, o]
                for p in range(outputs[o, 5] - begin):
                    gradient[parameters[begin + p]] = local[p, lane]
