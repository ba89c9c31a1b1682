"""Backward kernels of a spiking layer.

`backfire` goes from the gradient of the pooled spikes back to that of the currents, and sums what the weights
and the batch norm need. `send_back` goes on through batch norm and convolution to the spikes of the layer
before; it needs those sums over the whole batch first, and computes the currents' gradient again rather than
having it stored.
"""

from __future__ import annotations

import math

from numba import njit

from sqdr_qiskit.encoder.convolution import (
    add_taps,
    add_window,
    load_taps,
    load_window,
    n_columns,
    n_rows,
    put_window,
    spread,
    store_many,
)
from sqdr_qiskit.simd import bit, fma, load, load_words, nonzero, select, splat, store, store_words, total

__all__ = ["backfire", "fire", "fire_gradient", "integrate", "send_back", "window_currents"]


# mypy: disable-error-code="no-untyped-def"


@njit(nogil=True, cache=True, forceinline=True)
def window_currents(layer, inputs, y, x, pair, weights, biases, currents):
    """Currents of one window, [plane][8], into `currents`.

    Args:
        layer: Sizes.
        inputs: Spikes spread out.
        y: Row of the window.
        x: Column of the window.
        pair: Which two of the output channels.
        weights: float32 array, [pair][input channel][18].
        biases: float32 array of shape (n_out,).
        currents: float32 vectors to write.
    """
    columns, n_planes = n_columns(layer), layer.n_planes
    row = columns * n_planes
    size = n_rows(layer) * row
    first, second = splat(biases[2 * pair]), splat(biases[2 * pair + 1])
    corner = (2 * y * columns + 2 * x) * n_planes
    for plane in range(n_planes):
        window = (first, first, first, first, second, second, second, second)
        for channel in range(layer.n_in):
            weights_at = (pair * layer.n_in + channel) * 18
            window = add_window(
                window, inputs, corner + channel * size + plane, row, n_planes, weights, weights_at
            )
        store_many(currents, 8 * plane, window)


@njit(nogil=True, cache=True, forceinline=True)
def integrate(layer, currents, membranes, spikes):
    """Integrate and fire on one window: u_t = (1 - s_(t-1)) u_(t-1) + I_t, s_t = 1 where u_t > 1.

    Args:
        layer: Sizes.
        currents: float32 vectors, [plane][8].
        membranes: float32 vectors to write, [step][8]: u_t, before the reset.
        spikes: uint32 vectors to write, [8]: bit t is s_t.
    """
    zero, one = splat(0.0), splat(1.0)
    silent = bit(0) ^ bit(0)
    for channel in range(2):
        u0, u1, u2, u3 = zero, zero, zero, zero
        s0, s1, s2, s3 = silent, silent, silent, silent
        plane = 0
        for step in range(layer.n_steps):
            at, to = 8 * plane + 4 * channel, 8 * step + 4 * channel
            u0 = u0 + load(currents, at)
            u1 = u1 + load(currents, at + 1)
            u2 = u2 + load(currents, at + 2)
            u3 = u3 + load(currents, at + 3)
            store(membranes, to, u0)
            store(membranes, to + 1, u1)
            store(membranes, to + 2, u2)
            store(membranes, to + 3, u3)
            now = bit(step)
            s0 = select(u0 > one, s0 | now, s0)
            s1 = select(u1 > one, s1 | now, s1)
            s2 = select(u2 > one, s2 | now, s2)
            s3 = select(u3 > one, s3 | now, s3)
            u0 = select(u0 > one, zero, u0)
            u1 = select(u1 > one, zero, u1)
            u2 = select(u2 > one, zero, u2)
            u3 = select(u3 > one, zero, u3)
            plane = plane + 1 if plane + 1 < layer.n_planes else 0
        store_words(spikes, 4 * channel, s0)
        store_words(spikes, 4 * channel + 1, s1)
        store_words(spikes, 4 * channel + 2, s2)
        store_words(spikes, 4 * channel + 3, s3)


@njit(nogil=True, cache=True)
def fire(layer, group, words, planes, weights, biases, valid, pooled, inputs, currents, membranes, spikes):
    """Pooled spikes of one group of samples.

    Args:
        layer: Sizes.
        group: Which group.
        words: uint32 vectors, [group][input channel][row][column]: packed spikes that come in.
        planes: float32 array of shape (n_planes,): value of a spike in each plane.
        weights: float32 array, [pair][input channel][18], times the batch norm's gain.
        biases: float32 array of shape (n_out,): the batch norm's bias less its mean's part.
        valid: uint32 vectors, [group]: all bits set for real samples, none for those that fill up a group.
        pooled: uint32 vectors to write, [group][output channel][row][column]: packed spikes after pooling.
        inputs: Work space for the spikes spread out, zero at its border.
        currents: Work space, [plane][8].
        membranes: Work space, [step][8].
        spikes: Work space, [8].
    """
    high, wide = layer.height // 2, layer.width // 2
    words_at = group * layer.n_in * layer.height * layer.width
    keep = load_words(valid, group)
    for y in range(high):
        spread(layer, words, words_at, planes, y, inputs)
        for x in range(wide):
            for pair in range(layer.n_out // 2):
                window_currents(layer, inputs, y, x, pair, weights, biases, currents)
                integrate(layer, currents, membranes, spikes)
                for channel in range(2):
                    i = 4 * channel
                    top = load_words(spikes, i) | load_words(spikes, i + 1)
                    low = load_words(spikes, i + 2) | load_words(spikes, i + 3)
                    to = ((group * layer.n_out + 2 * pair + channel) * high + y) * wide + x
                    store_words(pooled, to, (top | low) & keep)


# mypy: disable-error-code="no-untyped-def"


PI = math.pi


@njit(nogil=True, cache=True, forceinline=True)
def fire_gradient(layer, membranes, spikes, received, at, stride, keep, gradient):
    """Gradient of one window's currents, [step][8], through pooling, surrogate and membrane.

    Pooling hands a step's gradient to one neuron of the window: the first that fired, or the first if none
    did; or, with `layer.to_largest`, the one with the largest membrane. Backwards in time, with k the
    surrogate's slope, g_t = (handed over)_t (k / pi) / (1 + (k (u_t - 1))^2) + (1 - s_t) g_(t+1).

    Args:
        layer: Sizes, and how gradients go back.
        membranes: float32 vectors, [step][8]: u_t.
        spikes: uint32 vectors, [8]: bit t is s_t.
        received: float32 vectors: gradient of the pooled spikes, one for each step, from vector `at` on for
            the first channel, `stride` further for the second.
        at: See `received`.
        stride: See `received`.
        keep: Word with all bits set for real samples, none for those that fill up a group.
        gradient: float32 vectors to write.
    """
    zero, one = splat(0.0), splat(1.0)
    k, peak = splat(layer.slope), splat(layer.slope / PI)
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
            i = 8 * step + 4 * channel
            u0, u1 = load(membranes, i), load(membranes, i + 1)
            u2, u3 = load(membranes, i + 2), load(membranes, i + 3)
            if layer.to_largest:  # the last of these masks that holds is the one that counts
                is1 = u1 > u0
                u = select(is1, u1, u0)
                is2 = u2 > u
                u = select(is2, u2, u)
                is3 = u3 > u
                u = select(is3, u3, u)
            else:
                is1, is2, is3 = nonzero(first1 & now), nonzero(first2 & now), nonzero(first3 & now)
                u = select(is3, u3, select(is2, u2, select(is1, u1, u0)))
            far = k * (u - one)
            given = peak * load(received, at + channel * stride + step) / fma(far, far, one)
            given = select(nonzero(keep), given, zero)
            to3, given = select(is3, given, zero), select(is3, zero, given)
            to2, given = select(is2, given, zero), select(is2, zero, given)
            to1, to0 = select(is1, given, zero), select(is1, zero, given)
            g0 = select(nonzero(s0 & now), zero, g0)
            g1 = select(nonzero(s1 & now), zero, g1)
            g2 = select(nonzero(s2 & now), zero, g2)
            g3 = select(nonzero(s3 & now), zero, g3)
            g0, g1, g2, g3 = g0 + to0, g1 + to1, g2 + to2, g3 + to3
            store(gradient, i, g0)
            store(gradient, i + 1, g1)
            store(gradient, i + 2, g2)
            store(gradient, i + 3, g3)


@njit(nogil=True, cache=True, forceinline=True)
def _gather(layer, inputs, y, x, pair, gradient, taps, sums):
    """Add one window to the sums of gradient times input (`taps`) and of the gradient (`sums`)."""
    n_planes, columns = layer.n_planes, n_columns(layer)
    for step in range(n_planes, layer.n_steps):  # steps that saw the same plane
        for i in range(8):
            to = 8 * (step % n_planes) + i
            store(gradient, to, load(gradient, to) + load(gradient, 8 * step + i))
    for channel in range(2):
        part = load(sums, 2 * pair + channel)
        for plane in range(n_planes):
            i = 8 * plane + 4 * channel
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
            held = add_taps(held, load_window(gradient, 8 * plane), inputs, patch + plane, row, n_planes)
        store_many(taps, to, held)


@njit(nogil=True, cache=True, forceinline=True)
def _flush(vectors, n, totals, at):
    """Move `n` vectors' sums over samples on to float64 totals, and clear them."""
    for i in range(n):
        totals[at + i] += total(load(vectors, i))
        store(vectors, i, splat(0.0))


@njit(nogil=True, cache=True, forceinline=True)
def _window_gradient(
    layer, y, x, pair, weights, biases, received, received_at, keep, inputs, currents, membranes, spikes,
    gradient
):  # fmt: skip
    """Currents of one window, [plane][8], and their gradient, [step][8]."""
    high, wide = layer.height // 2, layer.width // 2
    wide += wide % 2
    stride = (high + high % 2) * wide * layer.n_steps
    window_currents(layer, inputs, y, x, pair, weights, biases, currents)
    integrate(layer, currents, membranes, spikes)
    at = received_at + 2 * pair * stride + (y * wide + x) * layer.n_steps
    fire_gradient(layer, membranes, spikes, received, at, stride, keep, gradient)


@njit(nogil=True, cache=True)
def backfire(
    layer, group, words, planes, weights, biases, valid, received, received_at, tap_sums, current_sums,
    inputs, currents, membranes, spikes, gradient, taps, sums,
):  # fmt: skip
    """Sums over one group of the gradient of the currents.

    Args:
        layer: Sizes.
        group: Which group.
        words: As in `fire`.
        planes: As in `fire`.
        weights: As in `fire`.
        biases: As in `fire`.
        valid: As in `fire`.
        received: float32 vectors, [output channel][row][column][step] from vector `received_at` on: gradient
            of the pooled spikes, rows and columns made even.
        received_at: See `received`.
        tap_sums: float64 array, [group][pair][input channel][18], zeros, to be added to: gradient times
            input.
        current_sums: float64 array, [group][output channel], zeros, to be added to: gradient.
        inputs: Work space, as in `fire`.
        currents: Work space, [plane][8].
        membranes: Work space, [step][8].
        spikes: Work space, [8].
        gradient: Work space, [step][8].
        taps: Work space, [pair][input channel][18], zeros before and after.
        sums: Work space, [output channel], zeros before and after.
    """
    n_taps = layer.n_out // 2 * layer.n_in * 18
    words_at = group * layer.n_in * layer.height * layer.width
    keep = load_words(valid, group)
    for y in range(layer.height // 2):
        spread(layer, words, words_at, planes, y, inputs)
        for x in range(layer.width // 2):
            for pair in range(layer.n_out // 2):
                _window_gradient(
                    layer, y, x, pair, weights, biases, received, received_at, keep,
                    inputs, currents, membranes, spikes, gradient,
                )  # fmt: skip
                _gather(layer, inputs, y, x, pair, gradient, taps, sums)
        # Sums of many float32 lose digits: no more than a row of windows before going on in float64.
        _flush(taps, n_taps, tap_sums, group * n_taps)
        _flush(sums, layer.n_out, current_sums, group * layer.n_out)


@njit(nogil=True, cache=True, forceinline=True)
def _normalise_back(layer, y, x, pair, has_gradient, gradient, currents, gains, slopes, levels, neurons):
    """Gradient of the convolution's output on a window: gain * gradient + slope * current + level."""
    rows, columns, n_steps = n_rows(layer), n_columns(layer), layer.n_steps
    for i in range(8):
        channel, down, right = 2 * pair + i // 4, 2 * y + i // 2 % 2, 2 * x + i % 2
        if down >= layer.height or right >= layer.width:
            continue  # the border stays zero
        gain, slope, level = splat(gains[channel]), splat(slopes[channel]), splat(levels[channel])
        to = ((channel * rows + down + 1) * columns + right + 1) * n_steps
        for step in range(n_steps):
            value = fma(slope, load(currents, 8 * step + i), level)
            if has_gradient:
                value = fma(gain, load(gradient, 8 * step + i), value)
            store(neurons, to + step, value)


@njit(nogil=True, cache=True, forceinline=True)
def _convolve_back(layer, y, x, turned, neurons, sent, sent_at):
    """Gradient of the inputs on one window's place, all input channels."""
    rows, columns, n_steps = n_rows(layer), n_columns(layer), layer.n_steps
    row = columns * n_steps
    sent_row = (columns - 2) * n_steps
    sent_channel = (rows - 2) * sent_row
    corner = 2 * y * row + 2 * x * n_steps
    zero = splat(0.0)
    for pair in range(layer.n_in // 2):
        to = sent_at + 2 * pair * sent_channel + 2 * y * sent_row + 2 * x * n_steps
        for step in range(n_steps):
            window = (zero, zero, zero, zero, zero, zero, zero, zero)
            for channel in range(layer.n_out):
                patch = corner + channel * rows * row + step
                weights_at = (pair * layer.n_out + channel) * 18
                window = add_window(window, neurons, patch, row, n_steps, turned, weights_at)
            put_window(sent, to + step, sent_channel, sent_row, n_steps, window)


@njit(nogil=True, cache=True)
def send_back(
    layer, group, words, planes, weights, biases, valid, received, received_at, gains, slopes, levels, turned,
    sent, sent_at, inputs, neurons, currents, membranes, spikes, gradient,
):  # fmt: skip
    """Gradient of the spikes that came into a layer, for one group.

    Args:
        layer: Sizes; every step has a plane of its own.
        group: Which group.
        words: As in `fire`.
        planes: As in `fire`.
        weights: As in `fire`.
        biases: As in `fire`.
        valid: As in `fire`.
        received: As in `backfire`.
        received_at: As in `backfire`.
        gains: float32 array of shape (n_out,): factor of the currents' gradient in that of the convolution's
            output.
        slopes: float32 array of shape (n_out,): factor of the current in it.
        levels: float32 array of shape (n_out,): what is added to it.
        turned: float32 array, [pair of input channels][output channel][18]: weights, each 3 x 3 turned by 180
            degrees.
        sent: float32 vectors to write, [input channel][row][column][step] from vector `sent_at` on, rows and
            columns made even; what lies outside the layer is without meaning.
        sent_at: See `sent`.
        inputs: Work space, as in `fire`.
        neurons: Work space for the gradient of the convolution's output, spread out, zero at its border.
        currents: Work space, [plane][8].
        membranes: Work space, [step][8].
        spikes: Work space, [8].
        gradient: Work space, [step][8].
    """
    high, wide = n_rows(layer) // 2 - 1, n_columns(layer) // 2 - 1
    words_at = group * layer.n_in * layer.height * layer.width
    keep = load_words(valid, group)
    for y in range(high + 1):
        if y < high:
            spread(layer, words, words_at, planes, y, inputs)
            for x in range(wide):
                has_gradient = y < layer.height // 2 and x < layer.width // 2  # pooling drops an odd edge
                for pair in range(layer.n_out // 2):
                    if has_gradient:
                        _window_gradient(
                            layer, y, x, pair, weights, biases, received, received_at, keep,
                            inputs, currents, membranes, spikes, gradient,
                        )  # fmt: skip
                    else:
                        window_currents(layer, inputs, y, x, pair, weights, biases, currents)
                    _normalise_back(
                        layer, y, x, pair, has_gradient, gradient, currents, gains, slopes, levels, neurons
                    )
        if y > 0:  # one row behind, as a window of inputs reaches neurons of the next row
            for x in range(wide):
                _convolve_back(layer, y - 1, x, turned, neurons, sent, sent_at)
