"""Kernels of the encoder's end: average pool, linear map, IF neurons, mean over the steps."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sqdr_qiskit.encoder.spiking_layer import PI
from sqdr_qiskit.simd import bit, fma, load, load_words, nonzero, select, splat, store, total

__all__ = ["count_spikes", "head_rates", "send_head_back"]


@njit(nogil=True, cache=True)
def count_spikes(words, group, n_channels, area, n_steps, means):
    """Average pool of packed spikes over their places, [channel][step], into `means`."""
    zero, one, whole = splat(0.0), splat(1.0), splat(area)
    for channel in range(n_channels):
        at = (group * n_channels + channel) * area
        for step in range(n_steps):
            count = zero
            for i in range(area):
                count = count + select(nonzero(load_words(words, at + i) & bit(step)), one, zero)
            store(means, channel * n_steps + step, count / whole)


@njit(nogil=True, cache=True)
def _membranes(feature, n_channels, n_steps, means, weights, biases, membranes):
    """Membranes of one feature at every step, before the reset, and its number of spikes."""
    zero, one = splat(0.0), splat(1.0)
    for step in range(n_steps):
        store(membranes, step, splat(biases[feature]))
    for channel in range(n_channels):
        weight = splat(weights[feature, channel])
        for step in range(n_steps):
            current = fma(weight, load(means, channel * n_steps + step), load(membranes, step))
            store(membranes, step, current)
    count, u = zero, zero
    for step in range(n_steps):
        u = u + load(membranes, step)
        store(membranes, step, u)
        count = select(u > one, count + one, count)
        u = select(u > one, zero, u)
    return count


@njit(nogil=True, cache=True)
def head_rates(group, n_channels, n_steps, means, weights, biases, rates, membranes):
    """Firing rates, [group][feature].

    Args:
        group: Which group.
        n_channels: Channels of the last layer.
        n_steps: T.
        means: float32 vectors, [channel][step]: the group's average pool.
        weights: float32 array of shape (n_features, n_channels).
        biases: float32 array of shape (n_features,).
        rates: float32 vectors to write.
        membranes: Work space, [step].
    """
    steps = splat(n_steps)
    for feature in range(len(biases)):
        count = _membranes(feature, n_channels, n_steps, means, weights, biases, membranes)
        store(rates, group * len(biases) + feature, count / steps)


@njit(nogil=True, cache=True)
def send_head_back(
    group, layer, means, weights, biases, received, weight_sums, bias_sums, sent, sent_at, membranes, inner
):
    """Gradient of the last layer's pooled spikes, for one group.

    Args:
        group: Which group.
        layer: Sizes of the last layer, and the surrogate's slope.
        means: As in `head_rates`.
        weights: As in `head_rates`.
        biases: As in `head_rates`.
        received: float32 vectors, [group][feature]: gradient of the rates.
        weight_sums: float64 array of shape (groups, n_features, n_channels) to write: gradient of the
            weights.
        bias_sums: float64 array of shape (groups, n_features) to write: gradient of the biases.
        sent: float32 vectors to write, [channel][row][column][step] from vector `sent_at` on, rows and
            columns made even.
        sent_at: See `sent`.
        membranes: Work space, [step].
        inner: Work space, [channel][step].
    """
    n_channels, n_steps, high, wide = layer.n_out, layer.n_steps, layer.height // 2, layer.width // 2
    zero, one = splat(0.0), splat(1.0)
    k, peak = splat(layer.slope), splat(layer.slope / PI)
    for i in range(n_channels * n_steps):
        store(inner, i, zero)
    for feature in range(len(biases)):
        _membranes(feature, n_channels, n_steps, means, weights, biases, membranes)
        given = load(received, group * len(biases) + feature) / splat(n_steps)
        gradient, whole = zero, zero
        for back in range(n_steps):
            step = n_steps - 1 - back
            u = load(membranes, step)
            far = k * (u - one)
            gradient = select(u > one, zero, gradient) + peak * given / fma(far, far, one)
            whole = whole + gradient
            store(membranes, step, gradient)
        bias_sums[group, feature] = total(whole)
        for channel in range(n_channels):
            weight = splat(weights[feature, channel])
            part = zero
            for step in range(n_steps):
                i = channel * n_steps + step
                part = fma(load(membranes, step), load(means, i), part)
                store(inner, i, fma(weight, load(membranes, step), load(inner, i)))
            weight_sums[group, feature, channel] = total(part)
    rows, columns = high + high % 2, wide + wide % 2
    for channel in range(n_channels):
        for y in range(high):
            for x in range(wide):
                to = sent_at + ((channel * rows + y) * columns + x) * n_steps
                for step in range(n_steps):
                    store(sent, to + step, load(inner, channel * n_steps + step) / splat(high * wide))
