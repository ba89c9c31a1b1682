"""Sizes of a spiking layer, and where its data lies in memory.

Everything is in vectors of 16 samples (`lanes.py`); a group is 16 samples. Spikes rest packed: one 32-bit
word for each neuron and sample, bit t for step t. For a kernel they are spread out to floats,
[channel][row][column][plane], with a border of zeros and an even number of rows and columns, so that every
pooling window sees a whole patch.

A plane is an input that differs from step to step: step t sees plane t mod n_planes. The first layer has as
many planes as the phase code has phases, the others one for each step.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from sqdr_qiskit.simd import bit, load_words, nonzero, select, splat, store

__all__ = ["Layer", "n_columns", "n_received", "n_rows", "spread"]


class Layer(NamedTuple):
    """A convolution with its neurons and pooling; kernels take it as it is.

    The last two say how gradients go back: the surrogate's slope k, and whether pooling hands a gradient to
    the neuron with the largest membrane of its window rather than to the first that fired.
    """

    n_in: int
    n_out: int
    height: int
    width: int
    n_planes: int
    n_steps: int
    slope: float
    to_largest: bool

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return self.height // 2, self.width // 2


@njit(nogil=True, cache=True, forceinline=True)
def n_rows(layer: Layer) -> int:
    """Rows of the inputs spread out: even, with a border."""
    return layer.height + layer.height % 2 + 2


@njit(nogil=True, cache=True, forceinline=True)
def n_columns(layer: Layer) -> int:
    """Columns of the inputs spread out: even, with a border."""
    return layer.width + layer.width % 2 + 2


@njit(nogil=True, cache=True, forceinline=True)
def n_received(layer: Layer) -> int:
    """Vectors of the gradient of pooled spikes: [channel][row][column][step], rows and columns made even."""
    high, wide = layer.height // 2, layer.width // 2
    return layer.n_out * (high + high % 2) * (wide + wide % 2) * layer.n_steps


@njit(nogil=True, cache=True, forceinline=True)
def spread(layer, words, at, weights, y, inputs):  # type: ignore[no-untyped-def]
    """Spread packed spikes out to floats: those rows that windows of row `y` are the first to see.

    Called with y = 0, 1, 2 ... while the windows are worked on, it leaves the inputs in the cache for them.

    Args:
        layer: Sizes.
        words: uint32 vectors [channel][row][column] from vector `at` on; bit p for plane p.
        at: See `words`.
        weights: float32 array of shape (n_planes,): value of a spike in each plane.
        y: Row of windows.
        inputs: float32 vectors to write; the border is left as it is (zeros).
    """
    rows, columns, n_planes = n_rows(layer), n_columns(layer), layer.n_planes
    zero = splat(0.0)
    for channel in range(layer.n_in):
        for down in range(2 * y + 1 if y > 0 else 0, min(2 * y + 3, layer.height)):
            start = at + (channel * layer.height + down) * layer.width
            for right in range(layer.width):
                word = load_words(words, start + right)
                to = ((channel * rows + down + 1) * columns + right + 1) * n_planes
                for plane in range(n_planes):
                    fired = nonzero(word & bit(plane))
                    store(inputs, to + plane, select(fired, splat(weights[plane]), zero))
