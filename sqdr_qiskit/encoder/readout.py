"""Kernels of the encoder's end: average pool, linear map, IF neurons, mean over the steps."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba import njit

from sqdr_qiskit.encoder.spiking_layer import parameter_gradients
from sqdr_qiskit.simd import bit, floats, fma, load, nonzero, select, store, total

__all__ = ["Readout", "ReadoutSpace", "ReadoutSums", "back_through_readout", "firing_rates"]


class Readout(NamedTuple):
    """The linear map.

    Attributes:
        weights: float32 array of shape (n_features, n_channels).
        biases: float32 array of shape (n_features,).
    """

    weights: Any
    biases: Any


class ReadoutSums(NamedTuple):
    """The linear map's gradients, one slot for each group.

    Attributes:
        weights: float64 array of shape (groups, n_features, n_channels) to write.
        biases: float64 array of shape (groups, n_features) to write.
    """

    weights: Any
    biases: Any


class ReadoutSpace(NamedTuple):
    """One thread's work space, in vectors.

    Attributes:
        means: A group's average pool, [channel][step].
        gradient: The average pool's gradient, [channel][step].
        membranes: Of one feature, [step].
    """

    means: Any
    gradient: Any
    membranes: Any


@njit(nogil=True, cache=True)
def _average_pool(layer, group, words, means):
    """Average of a group's packed spikes over their places, [channel][step], into `means`."""
    zero, one = floats(0.0), floats(1.0)
    area = (layer.height // 2) * (layer.width // 2)
    for channel in range(layer.n_out):
        at = (group * layer.n_out + channel) * area
        for step in range(layer.n_steps):
            # Spikes are bits: an average is a count, and exact.
            count = zero
            for i in range(area):
                count = count + select(nonzero(load(words, at + i) & bit(step)), one, zero)
            store(means, channel * layer.n_steps + step, count / floats(area))


@njit(nogil=True, cache=True)
def _membranes(layer, feature, readout, space):
    """Membranes of one feature at every step, before the reset, and its number of spikes."""
    zero, one = floats(0.0), floats(1.0)
    for step in range(layer.n_steps):
        store(space.membranes, step, floats(readout.biases[feature]))
    for channel in range(layer.n_out):
        weight = floats(readout.weights[feature, channel])
        for step in range(layer.n_steps):
            mean = load(space.means, channel * layer.n_steps + step)
            store(space.membranes, step, fma(weight, mean, load(space.membranes, step)))
    count, u = zero, zero
    for step in range(layer.n_steps):
        u = u + load(space.membranes, step)
        store(space.membranes, step, u)
        # Counted where it fires: only the rate leaves, no spike is stored.
        count = select(u > one, count + one, count)
        u = select(u > one, zero, u)
    return count


@njit(nogil=True, cache=True)
def firing_rates(start, stop, layer, words, readout, rates, space):
    """Firing rates of groups `start` to `stop`.

    Args:
        start: First group.
        stop: Group after the last.
        layer: Sizes of the last layer.
        words: uint32 vectors, [group][channel][row][column]: its pooled spikes, packed.
        readout: A `Readout`.
        rates: float32 vectors to write, [group][feature].
        space: Work space, a `ReadoutSpace`.
    """
    for group in range(start, stop):
        _average_pool(layer, group, words, space.means)
        for feature in range(len(readout.biases)):
            count = _membranes(layer, feature, readout, space)
            store(rates, group * len(readout.biases) + feature, count / floats(layer.n_steps))


@njit(nogil=True, cache=True)
def _pooled_gradient(layer, group, readout, received, sums, sent, sent_at, space):
    """Gradients of the linear map, and of the last layer's pooled spikes, for one group.

    Args:
        layer: Sizes of the last layer, and the surrogate's slope.
        group: Which group.
        readout: A `Readout`.
        received: float32 vectors, [group][feature]: gradient of the rates.
        sums: `ReadoutSums` to write.
        sent: float32 vectors to write, [channel][row][column][step] from vector `sent_at` on, rows and
            columns made even.
        sent_at: See `sent`.
        space: Work space; its `means` are read.
    """
    n_channels, n_steps, high, wide = layer.n_out, layer.n_steps, layer.height // 2, layer.width // 2
    n_features = len(readout.biases)
    zero, one = floats(0.0), floats(1.0)
    k, peak = floats(layer.slope), floats(layer.slope / math.pi)
    for i in range(n_channels * n_steps):
        store(space.gradient, i, zero)
    for feature in range(n_features):
        _membranes(layer, feature, readout, space)
        # The rate is the mean of the steps' spikes, so each spike has this much of its gradient.
        given = load(received, group * n_features + feature) / floats(n_steps)
        gradient, whole = zero, zero
        # Backward in time. The membrane passes its gradient on until the step where it fired: the reset
        # carries none.
        for back in range(n_steps):
            step = n_steps - 1 - back
            u = load(space.membranes, step)
            far = k * (u - one)
            # far: k (u - 1); the surrogate's derivative is (k / pi) / (1 + far^2), `peak` its largest value.
            gradient = select(u > one, zero, gradient) + peak * given / fma(far, far, one)
            whole = whole + gradient
            store(space.membranes, step, gradient)  # in the membrane's place, which is not needed any more
        sums.biases[group, feature] = total(whole)
        for channel in range(n_channels):
            weight = floats(readout.weights[feature, channel])
            part = zero
            for step in range(n_steps):
                i = channel * n_steps + step
                part = fma(load(space.membranes, step), load(space.means, i), part)
                store(space.gradient, i, fma(weight, load(space.membranes, step), load(space.gradient, i)))
            sums.weights[group, feature, channel] = total(part)
    # Every place of a channel has the same share of its mean's gradient.
    rows, columns = high + high % 2, wide + wide % 2
    for channel in range(n_channels):
        for y in range(high):
            for x in range(wide):
                to = sent_at + ((channel * rows + y) * columns + x) * n_steps
                for step in range(n_steps):
                    mean = load(space.gradient, channel * n_steps + step)
                    store(sent, to + step, mean / floats(high * wide))


@njit(nogil=True, cache=True)
def back_through_readout(
    start, stop, layer, words, readout, received, readout_sums, source, pooled, sums, readout_space, space
):
    """Back from the rates to the currents of the last layer, for groups `start` to `stop`.

    Args:
        start: First group.
        stop: Group after the last.
        layer: Sizes of the last layer.
        words: As in `firing_rates`.
        readout: A `Readout`.
        received: float32 vectors, [group][feature]: gradient of the rates.
        readout_sums: `ReadoutSums` to write.
        source: The last layer's `LayerInput`.
        pooled: Its `PooledGradient`, to be written: the next pass needs it again.
        sums: Its `LayerSums`, to be added to.
        readout_space: Work space, a `ReadoutSpace`.
        space: Work space, a `LayerSpace`.
    """
    for group in range(start, stop):
        at = group * pooled.stride
        _average_pool(layer, group, words, readout_space.means)
        _pooled_gradient(layer, group, readout, received, readout_sums, pooled.values, at, readout_space)
        parameter_gradients(layer, group, source, pooled.values, at, sums, space)
