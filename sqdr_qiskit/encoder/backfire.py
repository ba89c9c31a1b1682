"""Backward kernels of a spiking layer.

`backfire` goes from the gradient of the pooled spikes back to that of the currents, and sums what the weights and the batch
norm need. `send_back` goes on through batch norm and convolution to the spikes of the layer before; it needs
those sums over the whole batch first.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

from numba import njit

from sqdr_qiskit.encoder.fire import integrate, window_currents
from sqdr_qiskit.encoder.lanes import bit, fma, load, load_words, nonzero, select, splat, store, total
from sqdr_qiskit.encoder.layers import n_columns, n_rows
from sqdr_qiskit.encoder.windows import add_taps, add_window, load_taps, load_window, store_many

__all__ = ["backfire", "fire_gradient", "send_back"]

PI = math.pi


@njit(nogil=True, cache=True)
def fire_gradient(layer, membranes, spikes, received, at, stride, gradient, to):
    """Gradient of one window's currents, [step][8], through pooling, surrogate and membrane.

    Pooling hands a step's gradient to the first neuron of the window that fired, or to the first if none did.
    Backwards in time, g_t = (handed over)_t / (1 + (pi (u_t - 1))^2) + (1 - s_t) g_(t+1).

    Args:
        layer: Sizes.
        membranes: float32 vectors, [step][8]: u_t.
        spikes: uint32 vectors, [8]: bit t is s_t.
        received: float32 vectors: gradient of the pooled spikes, one for each step, from vector `at` on for the first
            channel, `stride` further for the second.
        at: See `received`.
        stride: See `received`.
        gradient: float32 vectors to write, from vector `to` on.
        to: See `gradient`.
    """
    zero, one, pi = splat(0.0), splat(1.0), splat(PI)
    for channel in range(2):
        s0, s1 = load_words(spikes, 4 * channel), load_words(spikes, 4 * channel + 1)
        s2, s3 = load_words(spikes, 4 * channel + 2), load_words(spikes, 4 * channel + 3)
        # A word for each neuron: at which steps the pooled value is its own.
        first1 = (s0 | s1) ^ s0
        first2 = (s0 | s1 | s2) ^ (s0 | s1)
        first3 = (s0 | s1 | s2 | s3) ^ (s0 | s1 | s2)
        g0, g1, g2, g3 = zero, zero, zero, zero
        for back in range(layer.n_steps):
            step = layer.n_steps - 1 - back
            now = bit(step)
            is1, is2, is3 = nonzero(first1 & now), nonzero(first2 & now), nonzero(first3 & now)
            i = 8 * step + 4 * channel
            u = select(is1, load(membranes, i + 1), load(membranes, i))
            u = select(is2, load(membranes, i + 2), u)
            u = select(is3, load(membranes, i + 3), u)
            slope = pi * (u - one)
            given = load(received, at + channel * stride + step) / fma(slope, slope, one)
            g0 = select(nonzero(s0 & now), zero, g0)
            g1 = select(nonzero(s1 & now), zero, g1)
            g2 = select(nonzero(s2 & now), zero, g2)
            g3 = select(nonzero(s3 & now), zero, g3)
            g0 = g0 + select(nonzero((first1 | first2 | first3) & now), zero, given)
            g1 = g1 + select(is1, given, zero)
            g2 = g2 + select(is2, given, zero)
            g3 = g3 + select(is3, given, zero)
            store(gradient, to + i, g0)
            store(gradient, to + i + 1, g1)
            store(gradient, to + i + 2, g2)
            store(gradient, to + i + 3, g3)


@njit(nogil=True, cache=True)
def _gather(layer, inputs, y, x, pair, gradient, at, taps, sums):
    """Add one window to the sums of gradient times input (`taps`) and of the gradient (`sums`)."""
    n_planes, columns = layer.n_planes, n_columns(layer)
    for step in range(n_planes, layer.n_steps):  # steps that saw the same plane
        for i in range(8):
            to = at + 8 * (step % n_planes) + i
            store(gradient, to, load(gradient, to) + load(gradient, at + 8 * step + i))
    for channel in range(2):
        part = load(sums, 2 * pair + channel)
        for plane in range(n_planes):
            i = at + 8 * plane + 4 * channel
            part = part + (load(gradient, i) + load(gradient, i + 1))
            part = part + (load(gradient, i + 2) + load(gradient, i + 3))
        store(sums, 2 * pair + channel, part)
    row = columns * n_planes
    corner = (2 * y * columns + 2 * x) * n_planes
    for channel in range(layer.n_in):
        to = (pair * layer.n_in + channel) * 18
        held = load_taps(taps, to)
        patch = corner + channel * n_rows(layer) * row
        for plane in range(n_planes):
            held = add_taps(held, load_window(gradient, at + 8 * plane), inputs, patch + plane, row, n_planes)
        store_many(taps, to, held)


@njit(nogil=True, cache=True)
def _flush(vectors, n, totals, at):
    """Move `n` vectors' sums over samples on to float64 totals, and clear them."""
    for i in range(n):
        totals[at + i] += total(load(vectors, i))
        store(vectors, i, splat(0.0))


@njit(nogil=True, cache=True)
def backfire(
    layer, group, weights, biases, received, kept, gradient, tap_sums, current_sums,
    inputs, currents, membranes, spikes, taps, sums,
):  # fmt: skip
    """Gradients of one group's currents, and their sums.

    Args:
        layer: Sizes.
        group: Which group.
        weights: As in `fire`.
        biases: As in `fire`.
        received: float32 vectors, [output channel][row][column][step]: gradient of the pooled spikes.
        kept: Whether `gradient` has a place for every window, [group][row][column][pair][step][8], as `send_back`
            needs; otherwise it is work space for one window. Only where every step has a plane of its own.
        gradient: float32 vectors to write: see `kept`.
        tap_sums: float64 array, [group][pair][input channel][18], zeros, to be added to: gradient times input.
        current_sums: float64 array, [group][output channel], zeros, to be added to: gradient.
        inputs: Spikes spread out.
        currents: Work space, [plane][8].
        membranes: Work space, [step][8].
        spikes: Work space, [8].
        taps: Work space, [pair][input channel][18], zeros before and after.
        sums: Work space, [output channel], zeros before and after.
    """
    high, wide, n_steps = layer.height // 2, layer.width // 2, layer.n_steps
    n_pairs = layer.n_out // 2
    n_taps = n_pairs * layer.n_in * 18
    stride = high * wide * n_steps
    to = group * high * wide * n_pairs * 8 * n_steps if kept else 0
    for y in range(high):
        for x in range(wide):
            for pair in range(n_pairs):
                window_currents(layer, inputs, y, x, pair, weights, biases, currents)
                integrate(layer, currents, membranes, spikes)
                at = ((2 * pair * high + y) * wide + x) * n_steps
                fire_gradient(layer, membranes, spikes, received, at, stride, gradient, to)
                _gather(layer, inputs, y, x, pair, gradient, to, taps, sums)
                if kept:
                    to += 8 * n_steps
        # Sums of many float32 lose digits: no more than a row of windows before going on in float64.
        _flush(taps, n_taps, tap_sums, group * n_taps)
        _flush(sums, layer.n_out, current_sums, group * layer.n_out)


@njit(nogil=True, cache=True)
def _normalise_back(layer, y, x, gradient, at, gains, slopes, levels, inputs, neurons):
    """Gradient of the convolution's output on one window's place: gain * g + slope * z + level, for all channels."""
    rows, columns, n_steps = n_rows(layer), n_columns(layer), layer.n_steps
    row = columns * n_steps
    corner = (2 * y * columns + 2 * x) * n_steps
    has_gradient = y < layer.height // 2 and x < layer.width // 2  # not at an odd edge that pooling drops
    for pair in range(layer.n_out // 2):
        first, second = splat(levels[2 * pair]), splat(levels[2 * pair + 1])
        for step in range(n_steps):
            window = (first, first, first, first, second, second, second, second)
            for channel in range(layer.n_in):
                patch = corner + channel * rows * row + step
                window = add_window(
                    window, inputs, patch, row, n_steps, slopes, (pair * layer.n_in + channel) * 18
                )
            i = 0
            for value in window:
                channel = 2 * pair + i // 4
                down, right = 2 * y + i // 2 % 2, 2 * x + i % 2
                if has_gradient:
                    value = fma(splat(gains[channel]), load(gradient, at + (pair * n_steps + step) * 8 + i), value)
                if down < layer.height and right < layer.width:
                    to = ((channel * rows + down + 1) * columns + right + 1) * n_steps + step
                    store(neurons, to, value)
                i += 1


@njit(nogil=True, cache=True)
def send_back(layer, group, gradient, gains, slopes, levels, turned, valid, inputs, neurons, sent):
    """Gradient of the spikes that came into a layer, [input channel][row][column][step], of one group.

    Args:
        layer: Sizes; every step has a plane of its own.
        group: Which group.
        gradient: As `backfire` left it.
        gains: float32 array of shape (n_out,): batch norm's gain.
        slopes: float32 array, [pair][input channel][18]: weights times batch norm's factor of z in the gradient.
        levels: float32 array of shape (n_out,): batch norm's constant part of the gradient.
        turned: float32 array, [pair of input channels][output channel][18]: weights, each 3 x 3 turned by 180 degrees.
        valid: As in `fire`.
        inputs: Spikes spread out.
        neurons: Work space for the gradient of the convolution's output, spread out, zero at its border.
        sent: float32 vectors to write.
    """
    rows, columns, n_steps = n_rows(layer), n_columns(layer), layer.n_steps
    row = columns * n_steps
    high, wide = layer.height // 2, layer.width // 2
    size = layer.n_out // 2 * n_steps * 8
    keep, zero = nonzero(load_words(valid, group)), splat(0.0)
    for y in range(rows // 2 - 1):
        for x in range(columns // 2 - 1):
            at = ((group * high + y) * wide + x) * size
            _normalise_back(layer, y, x, gradient, at, gains, slopes, levels, inputs, neurons)
    for y in range(rows // 2 - 1):
        for x in range(columns // 2 - 1):
            corner = (2 * y * columns + 2 * x) * n_steps
            for pair in range(layer.n_in // 2):
                for step in range(n_steps):
                    window = (zero, zero, zero, zero, zero, zero, zero, zero)
                    for channel in range(layer.n_out):
                        window = add_window(
                            window, neurons, corner + channel * rows * row + step, row, n_steps,
                            turned, (pair * layer.n_out + channel) * 18,
                        )  # fmt: skip
                    i = 0
                    for value in window:
                        down, right = 2 * y + i // 2 % 2, 2 * x + i % 2
                        if down < layer.height and right < layer.width:
                            to = ((2 * pair + i // 4) * layer.height + down) * layer.width + right
                            store(sent, to * n_steps + step, select(keep, value, zero))
                        i += 1
