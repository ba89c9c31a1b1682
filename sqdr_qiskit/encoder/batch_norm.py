"""Batch norm from the spikes alone, folded into the convolution before it, forward and back.

A convolution is linear: the mean and variance of z = W s follow from the mean of s and from the second
moments E[s_j s_k] of the inputs that its taps see. Spikes are bits, so a second moment is a count of bits in
common: an AND and a population count in place of the convolution itself, and exact. The same moments serve
the backward pass, where batch norm needs the sum of z times each input. The moment of taps j and k is the
correlation of two images of spikes at the distance k - j, less what lies at an edge and has its centre
outside: at most one row or column, as taps reach one pixel far.

With mu and v the mean and variance of z, and a = gamma / sqrt(v + eps): forward, the neurons' current a z +
(beta - a mu) has the weights a W and a bias. Backward, with g the gradient of the current and N the number of
values,

    dL/dz = a (g - m1 - m2 zhat),  m1 = sum(g) / N,  m2 = sum(g zhat) / N,  zhat = (z - mu) / sqrt(v + eps),

where a zhat = (current - beta) / sqrt(v + eps) is known from the neurons' current again, and all sums over z
follow from sums over the inputs, z being linear in them. Without batch statistics m1 = m2 = 0. All but the
correlations is float64 on a few hundred numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import nn

from sqdr_qiskit.simd import bit, load, popcount, total_words

__all__ = [
    "N_TERMS",
    "correlate",
    "edge_sums",
    "FoldedNorm",
    "LayerGradients",
    "NormGradients",
    "tap_moments",
]


Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def _in_pairs(weights: Doubles) -> Floats:
    """Weights (n_out, n_in, 9) in the kernels' order, [pair][input][channel of the pair][tap], flat."""
    n_out, n_in, _ = weights.shape
    order = weights.reshape(n_out // 2, 2, n_in, 9).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(order, np.float32).reshape(-1)


def _double(tensor: torch.Tensor | nn.Module | None) -> Doubles:
    return cast("torch.Tensor", tensor).detach().numpy().astype(np.float64)


class NormGradients(NamedTuple):
    """How a gradient goes back through batch norm: gain * gradient + slope * current + level, by channel.

    Attributes:
        gains: float32 array of shape (n_out,).
        slopes: float32 array of shape (n_out,).
        levels: float32 array of shape (n_out,).
        turned: float32 array, [pair of input channels][output channel][18]: the convolution's weights, each 3
            x 3 turned by 180 degrees, which convolve that gradient back to the inputs. Empty for an odd
            number of input channels, which only a first layer has, from which nothing goes back.
    """

    gains: Any
    slopes: Any
    levels: Any
    turned: Any


@dataclass(frozen=True)
class LayerGradients:
    """Gradients of a layer's parameters, float64, and the way on to the layer before."""

    weight: Doubles
    norm_weight: Doubles
    norm_bias: Doubles
    norm: NormGradients


class FoldedNorm:
    """A convolution and its batch norm as one; updates the running statistics if the batch's are given.

    Args:
        conv: Convolution with weights (n_out, n_in, 3, 3).
        norm: Its batch norm.
        inputs: Array of shape (9 n_in,): sum of the input at each tap, over all outputs; None where running
            statistics are used, as `moments`.
        moments: Array of shape (9 n_in, 9 n_in): sums of products of inputs.
        n_values: Number of outputs of a channel in the batch.

    Attributes:
        weights: What the kernels take, float32.
        biases: The same.
    """

    def __init__(
        self, conv: nn.Module, norm: nn.Module, inputs: Doubles | None, moments: Doubles | None, n_values: int
    ) -> None:
        weight = _double(conv.weight)
        flat = weight.reshape(len(weight), -1)
        if inputs is None or moments is None:
            mean, variance = _double(norm.running_mean), _double(norm.running_var)
        else:
            mean = flat @ inputs / n_values
            # E[z^2] - E[z]^2 cancels digits, which float64 has to spare as sums are exact counts; rounding
            # may still fall below 0.
            variance = np.maximum((flat @ moments * flat).sum(axis=1) / n_values - mean**2, 0.0)
            # torch normalises by the biased variance, and keeps the unbiased one.
            _update(norm, mean, variance * (n_values / (n_values - 1)))
        self._raw, self._mean = weight.reshape(*weight.shape[:2], 9), mean
        self._inputs, self._moments, self._n_values = inputs, moments, n_values
        self._scale = 1.0 / np.sqrt(variance + float(cast("float", norm.eps)))
        self._gamma, self._beta = _double(norm.weight), _double(norm.bias)
        gain = self._gamma * self._scale
        self.weights = _in_pairs(self._raw * gain[:, None, None])
        self.biases = (self._beta - gain * mean).astype(np.float32)

    def backward(self, n_groups: int, tap_sums: Doubles, current_sums: Doubles) -> LayerGradients:
        """Gradients from the sums of `parameter_gradients`.

        Args:
            n_groups: Number of groups.
            tap_sums: [group][pair][n_in][18], flat.
            current_sums: [group][n_out], flat.
        """
        n_out, n_in, _ = self._raw.shape
        # [group][pair][input][channel of the pair][tap] -> (n_out, 9 n_in), groups added in their order
        taps = tap_sums.reshape(n_groups, n_out // 2, n_in, 2, 9).sum(axis=0)
        taps = taps.transpose(0, 2, 1, 3).reshape(n_out, n_in * 9)
        flat = self._raw.reshape(n_out, n_in * 9)
        total = current_sums.reshape(n_groups, n_out).sum(axis=0)
        total_hat = self._scale * ((flat * taps).sum(axis=1) - self._mean * total)
        gain = self._gamma * self._scale
        weight = taps
        m1, m2 = np.zeros(n_out), np.zeros(n_out)
        if self._inputs is not None and self._moments is not None:
            m1, m2 = total / self._n_values, total_hat / self._n_values
            input_hat = self._scale[:, None] * (flat @ self._moments - self._mean[:, None] * self._inputs)
            weight = taps - m1[:, None] * self._inputs - m2[:, None] * input_hat
        slope = -m2 * self._scale
        turned = (
            _in_pairs(self._raw[:, :, ::-1].transpose(1, 0, 2)) if n_in % 2 == 0 else np.empty(0, np.float32)
        )
        return LayerGradients(
            weight=(gain[:, None] * weight).reshape(n_out, n_in, 3, 3),
            norm_weight=total_hat,
            norm_bias=total,
            norm=NormGradients(
                gains=gain.astype(np.float32),
                slopes=slope.astype(np.float32),
                levels=(-slope * self._beta - gain * m1).astype(np.float32),
                turned=turned,
            ),
        )


def _update(norm: nn.Module, mean: Doubles, variance: Doubles) -> None:
    """Move the running statistics towards the batch's, by torch's rule."""
    share = float(cast("float", norm.momentum))
    with torch.no_grad():
        for name, value in (("running_mean", mean), ("running_var", variance)):
            cast("torch.Tensor", getattr(norm, name)).lerp_(torch.from_numpy(value.astype(np.float32)), share)
        cast("torch.Tensor", norm.num_batches_tracked).add_(1)


# mypy: disable-error-code="no-untyped-def"


# Distances (down, right) in the upper half plane: 13 that two of the 3 x 3 taps can have. The other half is
# their mirror.
_FAR = [(0, 0), (0, 1), (0, 2)] + [(down, right) for down in (1, 2) for right in (-2, -1, 0, 1, 2)]
# What correlate() sums for a pair of channels: whole images at 13 distances, then the upper and lower edge
# rows and the left and right edge columns at distances 0, 1, 2, then the four corners.
N_TERMS = 13 + 4 * 3 + 4

# Rows that a 32-bit sum can hold: spread words are below 2^16, so 2^16 of them.
_MOST = 1 << 16


@njit(nogil=True, cache=True)
def _in_common(first, second, a, a_step, b, b_step, n, counted):
    """Sum over `n` places of what two packed images have in common: bits (`counted`) or words."""
    found = bit(0) ^ bit(0)
    if counted:
        for _ in range(n):
            found = found + popcount(load(first, a) & load(second, b))
            a += a_step
            b += b_step
    else:
        for _ in range(n):
            found = found + (load(first, a) & load(second, b))
            a += a_step
            b += b_step
    return found


@njit(nogil=True, cache=True)
def correlate(words, at, n_channels, height, width, counted, terms):
    """Correlations of packed images of one group, at every distance that two taps of a 3 x 3 window can have.

    Args:
        words: uint32 vectors, [channel][row][column] from vector `at` on.
        at: See `words`.
        n_channels: Number of images.
        height: Rows, at least 2.
        width: Columns, at least 2.
        counted: Whether common bits count 1 each; otherwise common bits count as the number they spell.
        terms: int64 array of shape (n_channels, n_channels, N_TERMS) to write.
    """
    size = height * width
    # A 32-bit lane overflows after that many words: a strip of rows at a time, then on in 64 bits.
    strip = max(1, _MOST // width)
    for a in range(n_channels):
        for b in range(n_channels):
            first, second = at + a * size, at + b * size
            term = 0
            for down in range(3):
                # The same 13 distances, in the same order, as `_FAR`.
                for right in range(0 if down == 0 else -2, 3):
                    left, n = max(0, -right), width - abs(right)
                    count = 0
                    for top in range(0, height - down, strip):
                        found = bit(0) ^ bit(0)
                        for y in range(top, min(top + strip, height - down)):
                            i = first + y * width + left
                            j = second + (y + down) * width + left + right
                            found = found + _in_common(words, words, i, 1, j, 1, n, counted)
                        count += total_words(found)
                    terms[a, b, term] = count
                    term += 1
            for edge in range(4):
                start = (0, size - width, 0, width - 1)[edge]
                along, length = (1, width) if edge < 2 else (width, height)
                for far in range(3):
                    i, j = first + start, second + start + far * along
                    n = length - far
                    found = _in_common(words, words, i, along, j, along, n, counted)
                    terms[a, b, term] = total_words(found)
                    term += 1
            for corner in range(4):
                i = (0, width - 1, size - width, size - 1)[corner]
                found = _in_common(words, words, first + i, 0, second + i, 0, 1, counted)
                terms[a, b, term] = total_words(found)
                term += 1


@lru_cache(maxsize=1)
def _recipe() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Moment of taps j, k of channels a, b: sum of forward * terms[a, b] + mirrored * terms[b, a].

    Returns:
        Two arrays of shape (9, 9, N_TERMS), the factors of terms[a, b] and of terms[b, a].
    """
    forward = np.zeros((9, 9, N_TERMS))
    mirrored = np.zeros((9, 9, N_TERMS))

    def put(j: int, k: int, offset: int, distance: int, sign: int) -> None:
        (forward if distance >= 0 else mirrored)[j, k, offset + abs(distance)] += sign

    for j in range(9):
        for k in range(9):
            (jy, jx), (ky, kx) = (divmod(tap, 3) for tap in (j, k))
            down, right = ky - jy, kx - jx
            if (down, right) in _FAR:
                forward[j, k, _FAR.index((down, right))] += 1
            else:
                mirrored[j, k, _FAR.index((-down, -right))] += 1
            # A tap one row down reaches the upper edge row from a centre above the image; and so on.
            rows = [edge for edge, tap in ((0, 2), (1, 0)) if jy == ky == tap]
            columns = [edge for edge, tap in ((0, 2), (1, 0)) if jx == kx == tap]
            for edge in rows:
                put(j, k, 13 + 3 * edge, right, -1)
            for edge in columns:
                put(j, k, 19 + 3 * edge, down, -1)
            for upper in rows:
                for left in columns:
                    forward[j, k, 25 + 2 * upper + left] += 1
    return forward, mirrored


def tap_moments(terms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Sums of products of inputs, for every two taps of a 3 x 3 convolution with padding 1.

    Args:
        terms: Array of shape (n_channels, n_channels, N_TERMS), from `correlate`, summed over groups.

    Returns:
        Array of shape (9 n_channels, 9 n_channels), taps in the order [channel][row][column].
    """
    forward, mirrored = _recipe()
    n = len(terms)
    ahead = terms.reshape(n * n, N_TERMS).astype(np.float64)  # exact: counts stay below 2^53
    behind = terms.transpose(1, 0, 2).reshape(n * n, N_TERMS).astype(np.float64)
    whole = ahead @ forward.reshape(81, N_TERMS).T + behind @ mirrored.reshape(81, N_TERMS).T
    return np.ascontiguousarray(whole.reshape(n, n, 9, 9).transpose(0, 2, 1, 3)).reshape(9 * n, 9 * n)


def edge_sums(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Sums of the inputs that each tap of a 3 x 3 convolution with padding 1 sees.

    Args:
        sums: Array of shape (n_channels, 9): over the whole image, the upper and lower row, the left and
            right column, the four corners in reading order.

    Returns:
        Array of shape (9 n_channels,), taps in the order [channel][row][column].
    """
    seen = np.empty((len(sums), 3, 3))
    for row, missed in enumerate((1, None, 0)):  # the upper tap never sees the lower edge row
        for column, lost in enumerate((1, None, 0)):
            value = sums[:, 0].astype(np.float64)
            if missed is not None:
                value = value - sums[:, 1 + missed]
            if lost is not None:
                value = value - sums[:, 3 + lost]
            if missed is not None and lost is not None:
                value = value + sums[:, 5 + 2 * missed + lost]
            seen[:, row, column] = value
    return seen.reshape(-1)
