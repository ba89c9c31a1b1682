"""Forward kernel of a spiking layer: convolution, batch norm, IF neurons and pooling, one window at a time.

Batch norm is folded in: its gain into the weights, the rest into a bias, so that the convolution's sum is at
once the current of a neuron. Nothing but packed spikes leaves the kernel; the backward pass computes the rest
again, which costs less than writing and reading it.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sqdr_qiskit.encoder.convolution import add_window, store_many
from sqdr_qiskit.encoder.layers import n_columns, n_rows, spread
from sqdr_qiskit.simd import bit, load, load_words, select, splat, store, store_words

__all__ = ["fire", "integrate", "window_currents"]


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
