from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from sqdr_qiskit.encoder.batch_norm import N_TERMS, correlate, edge_sums, tap_moments
from sqdr_qiskit.encoder.ends import LANES


def taps(images: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What the taps of a 3 x 3 window see: (channels, ..., height, width) to (channels, 9, ..., places)."""
    around = [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
    seen = sliding_window_view(np.pad(images, around), (3, 3), axis=(-2, -1))
    return np.moveaxis(seen.reshape(*images.shape[:-2], -1, 9), -1, 1)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (2, 2, 3), (3, 5, 4)])
def test_moments_are_those_of_the_taps(
    channels: int, height: int, width: int, rng: np.random.Generator
) -> None:
    words = rng.integers(0, 1 << 16, (channels, height, width, LANES)).astype(np.uint32)
    bits = words[..., None] >> np.arange(16) & 1
    for counted, weights in ((True, np.ones(16)), (False, 2.0 ** np.arange(16))):
        terms = np.empty((channels, channels, N_TERMS), np.int64)
        correlate(words.reshape(-1), 0, channels, height, width, counted, terms)
        seen = taps(np.moveaxis(bits, (1, 2), (-2, -1)))  # (channels, 9, LANES, 16, height * width)
        seen = seen.reshape(channels * 9, LANES, 16, height * width).astype(float)
        assert np.array_equal(tap_moments(terms), np.einsum("jltp,kltp,t->jk", seen, seen, weights))


def test_edge_sums_are_those_of_the_taps(rng: np.random.Generator) -> None:
    images = rng.integers(0, 100, (2, 4, 5))
    edges = [
        images[:, 0],
        images[:, -1],
        images[:, :, 0],
        images[:, :, -1],
        *(images[:, y, x][:, None] for y in (0, -1) for x in (0, -1)),
    ]
    sums = np.stack([images.sum(axis=(1, 2)), *(edge.sum(axis=1) for edge in edges)], axis=1)
    assert np.array_equal(edge_sums(sums), taps(images).sum(axis=-1).reshape(-1))
