"""Sizes of a spiking layer, and where its data lies in memory.

Everything is in vectors of 16 samples (`lanes.py`); a group is 16 samples. Spikes rest packed: one 32-bit word for each
neuron and sample, bit t for step t. For a kernel they are spread out to floats: [channel][row][column][plane], with a
border of zeros and an even number of rows and columns, so that every pooling window sees a whole patch.

A plane is an input that differs from step to step: step t sees plane t mod n_planes. The first layer has as many planes as
the phase code has phases, the others one for each step.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from sqdr_qiskit.encoder.lanes import bit, load_words, nonzero, select, splat, store

__all__ = ["Layer", "n_columns", "n_rows", "spread"]


class Layer(NamedTuple):
    """A convolution with its neurons and pooling; kernels take it as it is."""

    n_in: int
    n_out: int
    height: int
    width: int
    n_planes: int
    n_steps: int

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return self.height // 2, self.width // 2

    @property
    def n_spread(self) -> int:
        """Vectors of the inputs spread out; with `n_out` for `n_in`, of the neurons'."""
        return self.n_in * n_rows(self) * n_columns(self) * self.n_planes


@njit(nogil=True, cache=True)
def n_rows(layer: Layer) -> int:
    """Rows of the inputs spread out: even, with a border."""
    return layer.height + layer.height % 2 + 2


@njit(nogil=True, cache=True)
def n_columns(layer: Layer) -> int:
    """Columns of the inputs spread out: even, with a border."""
    return layer.width + layer.width % 2 + 2


@njit(nogil=True, cache=True)
def spread(layer, words, at, weights, inputs):  # type: ignore[no-untyped-def]
    """Spread packed spikes out to floats.

    Args:
        layer: Sizes.
        words: uint32 vectors [channel][row][column] from vector `at` on; bit p for plane p.
        weights: float32 array of shape (n_planes,): value of a spike in each plane.
        inputs: float32 vectors to write; the border is left as it is (zeros).
    """
    rows, columns, n_planes = n_rows(layer), n_columns(layer), layer.n_planes
    zero = splat(0.0)
    for channel in range(layer.n_in):
        for y in range(layer.height):
            for x in range(layer.width):
                word = load_words(words, at)
                at += 1
                to = ((channel * rows + y + 1) * columns + x + 1) * n_planes
                for plane in range(n_planes):
                    fired = nonzero(word & bit(plane))
                    store(inputs, to + plane, select(fired, splat(weights[plane]), zero))
