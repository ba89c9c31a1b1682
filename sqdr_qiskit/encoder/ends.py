"""Kernels of the encoder's two ends: pixels to packed spikes, and pooled spikes to firing rates.

First the phase code, packed; then average pool, linear map, IF neurons and their mean over the steps.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sqdr_qiskit.encoder.batch_norm import correlate
from sqdr_qiskit.encoder.spiking_layer import parameter_gradients
from sqdr_qiskit.simd import FLOATS, bit, floats, fma, load, nonzero, select, store, total

__all__ = [
    "LANES",
    "N_BITS",
    "PixelTables",
    "Readout",
    "ReadoutSpace",
    "ReadoutSums",
    "back_through_readout",
    "firing_rates",
    "pack_pixels",
    "pixel_tables",
]

LANES = FLOATS.count  # samples side by side
N_BITS = 8

# ---- pixels ------------------------------------------------------------------------------------------------


class PixelTables(NamedTuple):
    """What a pixel's value becomes, by its value.

    Attributes:
        bits: uint32 array of shape (256,): its spikes, bit k for phase k.
        energies: uint32 array of shape (256,): such that the bits that two pixels have in common spell the
            sum over steps of weight^2, in units of 4^-K.
        levels: int64 array of shape (256,): the sum over steps of its weights, in units of 2^-K.
    """

    bits: Any
    energies: Any
    levels: Any


def pixel_tables(n_steps: int, n_phases: int) -> PixelTables:
    """The tables of a code of at most 3 steps for each phase."""
    # Later phases than there are steps are never sent.
    phases = np.arange(min(n_phases, n_steps))
    sent = np.arange(256)[:, None] >> (N_BITS - 1 - phases) & 1
    times = np.bincount(np.arange(n_steps) % n_phases)
    return PixelTables(
        bits=(sent << phases).sum(axis=1).astype(np.uint32),
        # `times` is at most 3: two bits, which fill the places of 4^k without meeting the next phase's.
        energies=(sent * times << 2 * (n_phases - 1 - phases)).sum(axis=1).astype(np.uint32),
        levels=(sent * times << n_phases - 1 - phases).sum(axis=1).astype(np.int64),
    )


@njit(nogil=True, cache=True)
def pack_pixels(start, stop, images, tables, words, valid, sums, terms, energies):
    """Pixels to packed spikes, 16 samples side by side, and the sums that the first batch norm needs.

    Args:
        start: First group.
        stop: Group after the last.
        images: uint8 array of shape (batch, C, H, W).
        tables: `PixelTables`.
        words: uint32 vectors to write, [group][channel][row][column].
        valid: uint32 vectors to write, [group]: all bits set for real samples.
        sums: int64 array of shape (groups, C, 9), zeros to add to, of levels: all, upper, lower row, left,
            right column, corners; of no group if nobody needs them.
        terms: int64 array of shape (groups, C, C, N_TERMS) to write, see `correlate`; likewise.
        energies: Work space, uint32 vectors [channel][row][column].
    """
    _, n_channels, height, width = images.shape
    for group in range(start, stop):
        # The last group may not be full: its other lanes are black images, which `valid` keeps out of all
        # sums.
        n = min(LANES, len(images) - group * LANES)
        for lane in range(LANES):
            valid[group * LANES + lane] = 0xFFFFFFFF if lane < n else 0
        for channel in range(n_channels):
            for y in range(height):
                for x in range(width):
                    place = (channel * height + y) * width + x
                    to = (group * n_channels * height * width + place) * LANES
                    level = 0
                    for lane in range(LANES):
                        # From here on samples lie side by side.
                        pixel = images[group * LANES + lane, channel, y, x] if lane < n else np.uint8(0)
                        words[to + lane] = tables.bits[pixel]
                        energies[place * LANES + lane] = tables.energies[pixel]
                        level += tables.levels[pixel]
                    if len(sums) > 0:
                        upper, lower, left, right = y == 0, y == height - 1, x == 0, x == width - 1
                        sums[group, channel, 0] += level
                        # What a tap does not see lies in one row, one column or a corner: from these nine
                        # sums each tap's own follows.
                        if upper:
                            sums[group, channel, 1] += level
                        if lower:
                            sums[group, channel, 2] += level
                        if left:
                            sums[group, channel, 3] += level
                        if right:
                            sums[group, channel, 4] += level
                        if (upper or lower) and (left or right):
                            sums[group, channel, 5 + 2 * lower + right] += level
        if len(terms) > 0:
            correlate(energies, 0, n_channels, height, width, False, terms[group])


# ---- rates -------------------------------------------------------------------------------------------------


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
    """Gradients of the linear map into `sums`, and of the last layer's pooled spikes into `sent`, from vector
    `sent_at` on, [channel][row][column][step]; of one group, whose average pool is in `space.means`.
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
