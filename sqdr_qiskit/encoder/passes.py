"""Passes over the batch: what a thread does for its groups of samples between two sums over all.

Sums over a batch go to one slot for each group, and are added up in the order of the groups: no result
depends on the number of threads.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sqdr_qiskit.encoder.batch_norm import correlate
from sqdr_qiskit.encoder.fire import fire
from sqdr_qiskit.encoder.layers import n_received
from sqdr_qiskit.encoder.readout import count_spikes, head_rates, send_head_back
from sqdr_qiskit.encoder.spiking_layer import backfire, send_back
from sqdr_qiskit.simd import LANES

__all__ = [
    "Scratch",
    "fire_pass",
    "head_back_pass",
    "head_pass",
    "pack_pass",
    "send_back_pass",
]


class Scratch(NamedTuple):
    """Work space of one thread, in vectors; which kernel uses what is said there."""

    energies: npt.NDArray[np.uint32]
    currents: npt.NDArray[np.float32]
    membranes: npt.NDArray[np.float32]
    spikes: npt.NDArray[np.uint32]
    gradient: npt.NDArray[np.float32]
    received: npt.NDArray[np.float32]
    taps: npt.NDArray[np.float32]
    sums: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32]
    inner: npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def pack_pass(
    start, stop, layer, images, bits, energies, levels, words, valid, sums, terms, with_sums, scratch
):
    """Pixels to packed spikes, 16 samples side by side, and the sums that their statistics need.

    Args:
        start: First group.
        stop: Group after the last.
        layer: Sizes of the first layer.
        images: uint8 array of shape (batch, C, H, W).
        bits: uint32 array of shape (256,): a pixel's spikes, bit k for phase k.
        energies: uint32 array of shape (256,): so that common bits of two pixels spell the sum of weight^2.
        levels: int64 array of shape (256,): a pixel's sum of weights.
        words: uint32 vectors to write, [group][channel][row][column].
        valid: uint32 vectors to write, [group].
        sums: int64 array of shape (groups, C, 9) to write, of levels: all, upper, lower row, left, right
            column, corners.
        terms: int64 array of shape (groups, C, C, N_TERMS) to write: see `correlate`.
        with_sums: Whether to write `sums` and `terms`.
        scratch: Work space.
    """
    height, width = layer.height, layer.width
    area = height * width
    for group in range(start, stop):
        n = min(LANES, len(images) - group * LANES)
        for lane in range(LANES):
            valid[group * LANES + lane] = 0xFFFFFFFF if lane < n else 0
        for channel in range(layer.n_in):
            for y in range(height):
                for x in range(width):
                    place = (channel * height + y) * width + x
                    to = (group * layer.n_in * area + place) * LANES
                    level = 0
                    for lane in range(LANES):
                        pixel = images[group * LANES + lane, channel, y, x] if lane < n else np.uint8(0)
                        words[to + lane] = bits[pixel]
                        scratch.energies[place * LANES + lane] = energies[pixel]
                        level += levels[pixel]
                    if with_sums:
                        upper, lower, left, right = y == 0, y == height - 1, x == 0, x == width - 1
                        sums[group, channel, 0] += level
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
        if with_sums:
            correlate(scratch.energies, 0, layer.n_in, height, width, False, terms[group])


@njit(nogil=True, cache=True)
def fire_pass(
    start, stop, layer, words, planes, weights, biases, valid, pooled, terms, with_terms, inputs, scratch
):  # fmt: skip
    """`fire` for groups `start` to `stop`, and the correlations that the next layer's statistics need."""
    for group in range(start, stop):
        fire(
            layer, group, words, planes, weights, biases, valid, pooled,
            inputs, scratch.currents, scratch.membranes, scratch.spikes,
        )  # fmt: skip
        if with_terms:
            high, wide = layer.height // 2, layer.width // 2
            correlate(pooled, group * layer.n_out * high * wide, layer.n_out, high, wide, True, terms[group])


@njit(nogil=True, cache=True)
def head_pass(start, stop, n_channels, area, n_steps, words, weights, biases, rates, scratch):
    """`head_rates` for groups `start` to `stop`."""
    for group in range(start, stop):
        count_spikes(words, group, n_channels, area, n_steps, scratch.means)
        head_rates(group, n_channels, n_steps, scratch.means, weights, biases, rates, scratch.membranes)


@njit(nogil=True, cache=True)
def head_back_pass(
    start, stop, head_weights, head_biases, head_received, weight_sums, bias_sums, pooled,
    layer, words, planes, weights, biases, valid, received, tap_sums, current_sums, inputs, scratch,
):  # fmt: skip
    """Back from the rates to the currents of the last layer: `send_head_back`, then `backfire`.

    `received` is written, [group] and as `backfire` has it: the next pass needs it again.
    """
    area = (layer.height // 2) * (layer.width // 2)
    for group in range(start, stop):
        at = group * n_received(layer)
        count_spikes(pooled, group, layer.n_out, area, layer.n_steps, scratch.means)
        send_head_back(
            group, layer, scratch.means, head_weights, head_biases, head_received, weight_sums, bias_sums,
            received, at, scratch.membranes, scratch.inner,
        )  # fmt: skip
        backfire(
            layer, group, words, planes, weights, biases, valid, received, at, tap_sums, current_sums,
            inputs, scratch.currents, scratch.membranes, scratch.spikes, scratch.gradient,
            scratch.taps, scratch.sums,
        )  # fmt: skip


@njit(nogil=True, cache=True)
def send_back_pass(
    start, stop, upper, upper_words, upper_planes, upper_weights, upper_biases, upper_received,
    gains, slopes, levels, turned, upper_inputs, neurons,
    layer, words, planes, weights, biases, valid, received, kept, tap_sums, current_sums, inputs, scratch,
):  # fmt: skip
    """Back from the currents of a layer to those of the layer before: `send_back`, then `backfire`.

    `received` is written; `kept` says that it has a place for every group, for the next pass. One group after
    the other, so that what the first kernel writes is in the cache for the second.
    """
    for group in range(start, stop):
        at = group * n_received(layer) if kept else 0
        send_back(
            upper, group, upper_words, upper_planes, upper_weights, upper_biases, valid,
            upper_received, group * n_received(upper), gains, slopes, levels, turned, received, at,
            upper_inputs, neurons, scratch.currents, scratch.membranes, scratch.spikes, scratch.gradient,
        )  # fmt: skip
        backfire(
            layer, group, words, planes, weights, biases, valid, received, at, tap_sums, current_sums,
            inputs, scratch.currents, scratch.membranes, scratch.spikes, scratch.gradient,
            scratch.taps, scratch.sums,
        )  # fmt: skip
