"""Phase coding: a pixel becomes weighted spikes, one bit a step; as tensors, and packed for the kernels.

Source: Kim et al., "Deep neural networks with weighted spikes", Neurocomputing 311 (2018).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit

from sqdr_qiskit.encoder.batch_norm import correlate
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.simd import FLOATS

__all__ = [
    "PixelTables",
    "check_code",
    "pack_pixels",
    "phase_code",
    "phase_of_step",
    "pixel_tables",
    "quantise",
]

LANES = FLOATS.count  # samples side by side

N_BITS = 8


def check_code(n_steps: int, n_phases: int) -> None:
    """Refuse step and phase counts that the code has no meaning for.

    Raises:
        ArgumentError: If `n_steps` is below 1 or `n_phases` is not between 1 and 8.
    """
    if n_steps < 1:
        raise ArgumentError(f"Argument `n_steps` must be at least 1, but is {n_steps}.")
    if not 1 <= n_phases <= N_BITS:
        raise ArgumentError(f"Argument `n_phases` must lie in 1 to 8 (bits of a pixel), but is {n_phases}.")


def phase_of_step(step: int, n_phases: int) -> tuple[int, float]:
    """Which bit a step sends, and its weight: k = step mod K and 2^-(1 + k), for `step` counted from 0."""
    phase = step % n_phases
    return phase, 2.0 ** -(1 + phase)


def quantise(images: torch.Tensor) -> torch.Tensor:
    """Images as 8-bit pixels.

    Args:
        images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1].

    Returns:
        uint8 tensor of the same shape, contiguous: `images` itself, or round(255 * images).

    Raises:
        ArgumentError: If `images` has another shape or type, is empty, lies outside [0, 1], or requires a
            gradient (pixels become bits, which have none).
    """
    if images.ndim != 4 or 0 in images.shape:
        raise ArgumentError(
            f"Argument `images` must have shape (batch, channels, height, width) with no empty axis, "
            f"but has shape {tuple(images.shape)}."
        )
    if images.requires_grad:
        raise ArgumentError(
            "Argument `images` must not require a gradient, but it does: a pixel becomes bits, "
            "which have none; pass `images.detach()`."
        )
    if images.dtype == torch.uint8:
        return images.contiguous()
    if not images.dtype.is_floating_point:
        raise ArgumentError(
            f"Argument `images` must be uint8, or floating point in [0, 1], but has type {images.dtype}."
        )
    low, high = (float(value) for value in images.aminmax())
    if not (low >= 0.0 and high <= 1.0):  # written so that NaN is refused too
        raise ArgumentError(
            f"Argument `images` of floating-point type must lie in [0, 1], but spans [{low:g}, {high:g}]."
        )
    return (images * 255.0).round().to(torch.uint8).contiguous()


def phase_code(images: torch.Tensor, n_steps: int = 10, n_phases: int = 8) -> torch.Tensor:
    """Weighted spikes of an image: step t sends bit k = mod(t - 1, K) with weight 2^-(1 + k).

    Bits run from the most significant. With K = 8 the first 8 steps sum to the pixel over 256, exactly.

    Args:
        images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1] (quantised to 8 bits).
        n_steps: T, number of steps; steps past `n_phases` repeat the code.
        n_phases: K, number of bits sent, 1 to 8.

    Returns:
        float32 tensor of shape (T, batch, C, H, W).

    Raises:
        ArgumentError: As in `quantise` and `check_code`.
    """
    check_code(n_steps, n_phases)
    pixels = quantise(images)
    planes = []
    for step in range(n_steps):
        phase, weight = phase_of_step(step, n_phases)
        planes.append((pixels >> (N_BITS - 1 - phase) & 1).to(torch.float32) * weight)
    return torch.stack(planes)


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
def pack_pixels(start, stop, images, tables, words, valid, sums, terms, energies):  # type: ignore[no-untyped-def]
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
