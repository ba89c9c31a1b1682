"""Kernels of a spiking layer: convolution, batch norm, IF neurons and pooling, forward and back.

One window is worked on at a time, from the currents to what pooling makes of it. Batch norm is folded in: its
gain into the weights, the rest into a bias, so that the convolution's sum is at once the current of a neuron.
Nothing but packed spikes leaves the forward kernel; the backward pass computes the rest again, which costs
less than writing and reading it.

Backward there are two sweeps over the batch for a layer, as batch norm couples its samples:
`parameter_gradients` goes from the gradient of the pooled spikes to that of the currents, and sums what
weights and batch norm need; `_input_gradient` needs those sums over the whole batch, computes the currents'
gradient again, and goes on through batch norm and convolution to the spikes of the layer before.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba import njit

from sqdr_qiskit.encoder.batch_norm import correlate
from sqdr_qiskit.encoder.convolution import (
    add_taps,
    add_window,
    load_taps,
    load_window,
    n_columns,
    n_rows,
    store_many,
    store_window,
    unpack_rows,
)
from sqdr_qiskit.simd import bit, floats, fma, load, nonzero, select, store, total

__all__ = [
    "LayerSums",
    "PooledGradient",
    "back_through_layer",
    "fire_layer",
    "integrate",
    "parameter_gradients",
    "window_gradient",
]


class PooledGradient(NamedTuple):
    """Gradient of a layer's pooled spikes.

    Attributes:
        values: float32 vectors, [group][output channel][row][column][step], rows and columns made even; what
            lies outside the layer is without meaning.
        stride: Vectors from one group to the next; 0 where each thread has a place for one group alone.
    """

    values: Any
    stride: int


class LayerSums(NamedTuple):
    """What the parameters' gradients are made of, one slot for each group, to be added up in that order.

    Attributes:
        taps: float64 array, [group][pair][input channel][18], zeros to add to: currents' gradient times
            input.
        currents: float64 array, [group][output channel], zeros to add to: currents' gradient.
    """

    taps: Any
    currents: Any


# ---- forward -----------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True, forceinline=True)
def _window_currents(layer, source, y, x, pair, space):
    """Currents of one window, [plane][8], from the unpacked inputs into `space.currents`."""
    columns, n_planes = n_columns(layer), layer.n_planes
    row = columns * n_planes
    size = n_rows(layer) * row
    first, second = floats(source.biases[2 * pair]), floats(source.biases[2 * pair + 1])
    corner = (2 * y * columns + 2 * x) * n_planes
    for plane in range(n_planes):
        # 8 sums stay in registers over all input channels.
        window = (first, first, first, first, second, second, second, second)
        for channel in range(layer.n_in):
            window = add_window(
                window,
                space.inputs,
                corner + channel * size + plane,
                row,
                n_planes,
                source.weights,
                (pair * layer.n_in + channel) * 18,
            )
        store_many(space.currents, 8 * plane, window)


@njit(nogil=True, cache=True, forceinline=True)
def integrate(layer, space):
    """Integrate and fire on one window: u_t = (1 - s_(t-1)) u_(t-1) + I_t, s_t = 1 where u_t > 1.

    Args:
        layer: Sizes.
        space: Its `currents` I are read, `membranes` u and `spikes` s written.
    """
    zero, one = floats(0.0), floats(1.0)
    # A vector of zeros, by way of what the intrinsics offer.
    silent = bit(0) ^ bit(0)
    # Four neurons at once: their chains of additions do not wait for each other. Written out, as a tuple of
    # vectors that a loop changes is not kept in registers.
    for channel in range(2):
        u0, u1, u2, u3 = zero, zero, zero, zero
        s0, s1, s2, s3 = silent, silent, silent, silent
        plane = 0
        for step in range(layer.n_steps):
            at, to = 8 * plane + 4 * channel, 8 * step + 4 * channel
            u0 = u0 + load(space.currents, at)
            u1 = u1 + load(space.currents, at + 1)
            u2 = u2 + load(space.currents, at + 2)
            u3 = u3 + load(space.currents, at + 3)
            store(space.membranes, to, u0)
            store(space.membranes, to + 1, u1)
            store(space.membranes, to + 2, u2)
            store(space.membranes, to + 3, u3)
            now = bit(step)
            s0 = select(u0 > one, s0 | now, s0)
            s1 = select(u1 > one, s1 | now, s1)
            s2 = select(u2 > one, s2 | now, s2)
            s3 = select(u3 > one, s3 | now, s3)
            u0 = select(u0 > one, zero, u0)
            u1 = select(u1 > one, zero, u1)
            u2 = select(u2 > one, zero, u2)
            u3 = select(u3 > one, zero, u3)
            # step mod n_planes, without a division
            plane = plane + 1 if plane + 1 < layer.n_planes else 0
        store(space.spikes, 4 * channel, s0)
        store(space.spikes, 4 * channel + 1, s1)
        store(space.spikes, 4 * channel + 2, s2)
        store(space.spikes, 4 * channel + 3, s3)


@njit(nogil=True, cache=True)
def fire_layer(start, stop, layer, source, pooled, terms, space):
    """Pooled spikes of groups `start` to `stop`, and the correlations that the next batch norm needs.

    Args:
        start: First group.
        stop: Group after the last.
        layer: Sizes.
        source: A `LayerInput`.
        pooled: uint32 vectors to write, [group][output channel][row][column]: packed spikes after pooling.
        terms: int64 array of shape (groups, n_out, n_out, N_TERMS) to write, see `correlate`; of no group if
            nobody needs them.
        space: Work space, a `LayerSpace`.
    """
    high, wide = layer.height // 2, layer.width // 2
    for group in range(start, stop):
        keep = load(source.valid, group)
        for y in range(high):
            unpack_rows(layer, source, group, y, space.inputs)
            for x in range(wide):
                for pair in range(layer.n_out // 2):
                    _window_currents(layer, source, y, x, pair, space)
                    integrate(layer, space)
                    for channel in range(2):
                        i = 4 * channel
                        # A pooled spike is 1 where any of the four is: max pooling of bits is OR.
                        top = load(space.spikes, i) | load(space.spikes, i + 1)
                        low = load(space.spikes, i + 2) | load(space.spikes, i + 3)
                        to = ((group * layer.n_out + 2 * pair + channel) * high + y) * wide + x
                        store(pooled, to, (top | low) & keep)
        if len(terms) > 0:
            # At once, while the group's spikes are in the cache.
            correlate(pooled, group * layer.n_out * high * wide, layer.n_out, high, wide, True, terms[group])


# ---- back to the currents ----------------------------------------------------------------------------------


@njit(nogil=True, cache=True, forceinline=True)
def window_gradient(layer, received, at, stride, keep, space):
    """Gradient of one window's currents, [step][8], through pooling, surrogate and membrane.

    Pooling hands a step's gradient to one neuron of the window: the first that fired, or the first if none
    did; or, with `layer.to_largest`, the one with the largest membrane. Backwards in time, with k the
    surrogate's slope, g_t = (handed over)_t (k / pi) / (1 + (k (u_t - 1))^2) + (1 - s_t) g_(t+1).

    Args:
        layer: Sizes, and how gradients go back.
        received: float32 vectors: gradient of the pooled spikes, one for each step, from vector `at` on for
            the first channel, `stride` further for the second.
        at: See `received`.
        stride: See `received`.
        keep: Word with all bits set for real samples, none for those that fill up a group.
        space: Its `membranes` and `spikes` are read, `gradient` is written.
    """
    zero, one = floats(0.0), floats(1.0)
    # The surrogate: the derivative of arctan(k x) / pi in place of the step's, which is 0 almost everywhere.
    k, peak = floats(layer.slope), floats(layer.slope / math.pi)
    for channel in range(2):
        s0, s1 = load(space.spikes, 4 * channel), load(space.spikes, 4 * channel + 1)
        s2, s3 = load(space.spikes, 4 * channel + 2), load(space.spikes, 4 * channel + 3)
        # A word for each neuron: at which steps it is the first of the window that fired.
        first1 = (s0 | s1) ^ s0
        first2 = (s0 | s1 | s2) ^ (s0 | s1)
        first3 = (s0 | s1 | s2 | s3) ^ (s0 | s1 | s2)
        g0, g1, g2, g3 = zero, zero, zero, zero
        for back in range(layer.n_steps):
            step = layer.n_steps - 1 - back
            now = bit(step)
            i = 8 * step + 4 * channel
            u0, u1 = load(space.membranes, i), load(space.membranes, i + 1)
            u2, u3 = load(space.membranes, i + 2), load(space.membranes, i + 3)
            if layer.to_largest:  # of these masks the last that holds counts
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
            # What fills up a group has no pixels, but biases alone may make it fire: it must not count.
            given = select(nonzero(keep), given, zero)
            to3, given = select(is3, given, zero), select(is3, zero, given)
            to2, given = select(is2, given, zero), select(is2, zero, given)
            to1, to0 = select(is1, given, zero), select(is1, zero, given)
            # A reset hands nothing back: what came after a spike does not depend on what was before it.
            g0 = select(nonzero(s0 & now), zero, g0) + to0
            g1 = select(nonzero(s1 & now), zero, g1) + to1
            g2 = select(nonzero(s2 & now), zero, g2) + to2
            g3 = select(nonzero(s3 & now), zero, g3) + to3
            store(space.gradient, i, g0)
            store(space.gradient, i + 1, g1)
            store(space.gradient, i + 2, g2)
            store(space.gradient, i + 3, g3)


@njit(nogil=True, cache=True, forceinline=True)
def _current_gradient(layer, source, group, y, x, pair, received, received_at, space):
    """Currents of one window, computed again, and their gradient."""
    high, wide = layer.height // 2, layer.width // 2
    wide += wide % 2
    stride = (high + high % 2) * wide * layer.n_steps
    _window_currents(layer, source, y, x, pair, space)
    integrate(layer, space)
    at = received_at + 2 * pair * stride + (y * wide + x) * layer.n_steps
    window_gradient(layer, received, at, stride, load(source.valid, group), space)


@njit(nogil=True, cache=True, forceinline=True)
def _add_to_sums(layer, y, x, pair, space):
    """Add one window to the sums of gradient times input (`taps`) and of the gradient (`sums`)."""
    n_planes, columns = layer.n_planes, n_columns(layer)
    for step in range(n_planes, layer.n_steps):  # steps that saw the same plane share its input
        for i in range(8):
            to = 8 * (step % n_planes) + i
            store(space.gradient, to, load(space.gradient, to) + load(space.gradient, 8 * step + i))
    for channel in range(2):
        part = load(space.sums, 2 * pair + channel)
        for plane in range(n_planes):
            i = 8 * plane + 4 * channel
            part = part + (load(space.gradient, i) + load(space.gradient, i + 1))
            part = part + (load(space.gradient, i + 2) + load(space.gradient, i + 3))
        store(space.sums, 2 * pair + channel, part)
    row = columns * n_planes
    corner = (2 * y * columns + 2 * x) * n_planes
    for channel in range(layer.n_in):
        to = (pair * layer.n_in + channel) * 18
        held = load_taps(space.taps, to)  # 18 sums stay in registers over all planes
        patch = corner + channel * n_rows(layer) * row
        for plane in range(n_planes):
            window = load_window(space.gradient, 8 * plane)
            held = add_taps(held, window, space.inputs, patch + plane, row, n_planes)
        store_many(space.taps, to, held)


@njit(nogil=True, cache=True, forceinline=True)
def _flush(vectors, n, totals, at):
    """Move `n` vectors' sums over samples on to float64 totals, and clear them."""
    for i in range(n):
        totals[at + i] += total(load(vectors, i))
        store(vectors, i, floats(0.0))


@njit(nogil=True, cache=True)
def parameter_gradients(layer, group, source, received, received_at, sums, space):
    """Sums over one group of the gradient of the currents.

    Args:
        layer: Sizes.
        group: Which group.
        source: A `LayerInput`.
        received: float32 vectors, [output channel][row][column][step] from vector `received_at` on: gradient
            of the pooled spikes.
        received_at: See `received`.
        sums: `LayerSums` to add to.
        space: Work space, a `LayerSpace`.
    """
    n_taps = layer.n_out // 2 * layer.n_in * 18
    for y in range(layer.height // 2):
        unpack_rows(layer, source, group, y, space.inputs)
        for x in range(layer.width // 2):
            for pair in range(layer.n_out // 2):
                _current_gradient(layer, source, group, y, x, pair, received, received_at, space)
                _add_to_sums(layer, y, x, pair, space)
        # Sums of many float32 lose digits: no more than a row of windows before going on in float64.
        _flush(space.taps, n_taps, sums.taps, group * n_taps)
        _flush(space.sums, layer.n_out, sums.currents, group * layer.n_out)


# ---- back to the inputs ------------------------------------------------------------------------------------


@njit(nogil=True, cache=True, forceinline=True)
def _output_gradient(layer, y, x, pair, has_gradient, norm, space):
    """Gradient of the convolution's output on a window: gain * gradient + slope * current + level."""
    rows, columns, n_steps = n_rows(layer), n_columns(layer), layer.n_steps
    for i in range(8):
        channel, down, right = 2 * pair + i // 4, 2 * y + i // 2 % 2, 2 * x + i % 2
        # Sizes were made even: the last window may stick out.
        if down >= layer.height or right >= layer.width:
            continue  # the border stays zero
        gain = floats(norm.gains[channel])
        slope, level = floats(norm.slopes[channel]), floats(norm.levels[channel])
        to = ((channel * rows + down + 1) * columns + right + 1) * n_steps
        for step in range(n_steps):
            value = fma(slope, load(space.currents, 8 * step + i), level)
            if has_gradient:
                value = fma(gain, load(space.gradient, 8 * step + i), value)
            store(space.outputs, to + step, value)


@njit(nogil=True, cache=True, forceinline=True)
def _convolve_back(layer, y, x, turned, outputs, sent, sent_at):
    """Gradient of the inputs on one window's place, all input channels."""
    rows, columns, n_steps = n_rows(layer), n_columns(layer), layer.n_steps
    row = columns * n_steps
    sent_row = (columns - 2) * n_steps
    sent_channel = (rows - 2) * sent_row
    corner = 2 * y * row + 2 * x * n_steps
    zero = floats(0.0)
    for pair in range(layer.n_in // 2):
        to = sent_at + 2 * pair * sent_channel + 2 * y * sent_row + 2 * x * n_steps
        for step in range(n_steps):
            window = (zero, zero, zero, zero, zero, zero, zero, zero)
            for channel in range(layer.n_out):
                patch = corner + channel * rows * row + step
                weights_at = (pair * layer.n_out + channel) * 18
                window = add_window(window, outputs, patch, row, n_steps, turned, weights_at)
            store_window(sent, to + step, sent_channel, sent_row, n_steps, window)


@njit(nogil=True, cache=True)
def _input_gradient(layer, group, source, received, received_at, norm, sent, sent_at, space):
    """Gradient of the spikes that came into a layer, for one group: into `sent` from vector `sent_at` on,
    [input channel][row][column][step], rows and columns made even. Every step has a plane of its own.
    """
    high, wide = n_rows(layer) // 2 - 1, n_columns(layer) // 2 - 1
    for y in range(high + 1):
        if y < high:
            unpack_rows(layer, source, group, y, space.inputs)
            for x in range(wide):
                # Pooling drops an odd edge, but batch norm's mean and variance depend on it all the same.
                has_gradient = y < layer.height // 2 and x < layer.width // 2
                for pair in range(layer.n_out // 2):
                    if has_gradient:
                        _current_gradient(layer, source, group, y, x, pair, received, received_at, space)
                    else:
                        _window_currents(layer, source, y, x, pair, space)
                    _output_gradient(layer, y, x, pair, has_gradient, norm, space)
        if y > 0:  # one row behind, as a window of inputs reaches neurons of the next row
            for x in range(wide):
                _convolve_back(layer, y - 1, x, norm.turned, space.outputs, sent, sent_at)


@njit(nogil=True, cache=True)
def back_through_layer(
    start, stop, upper, upper_source, upper_pooled, norm, upper_space, layer, source, pooled, sums, space
):
    """From the currents of a layer to those of the layer before, for groups `start` to `stop`.

    One group after the other, so that what `_input_gradient` writes is in the cache for
    `parameter_gradients`.

    Args:
        start: First group.
        stop: Group after the last.
        upper: Sizes of the later layer.
        upper_source: Its `LayerInput`.
        upper_pooled: Its `PooledGradient`.
        norm: Its `NormGradients`.
        upper_space: Work space, a `LayerSpace`.
        layer: Sizes of the layer before.
        source: Its `LayerInput`.
        pooled: Its `PooledGradient`, to be written.
        sums: Its `LayerSums`, to be added to.
        space: Work space, a `LayerSpace`.
    """
    for group in range(start, stop):
        at = group * pooled.stride
        upper_at = group * upper_pooled.stride
        _input_gradient(
            upper, group, upper_source, upper_pooled.values, upper_at, norm, pooled.values, at, upper_space
        )
        parameter_gradients(layer, group, source, pooled.values, at, sums, space)
