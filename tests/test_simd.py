"""Each vector operation against NumPy's, lane by lane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit

from sqdr_qiskit import simd


@njit
def arithmetic(a, b, c, out):  # type: ignore[no-untyped-def]
    for i in range(2):
        x, y, z = simd.load(a, i), simd.load(b, i), simd.load(c, i)
        simd.store(out, 4 * i, x + y)
        simd.store(out, 4 * i + 1, x * y)
        simd.store(out, 4 * i + 2, simd.fma(x, y, z))
        simd.store(out, 4 * i + 3, z)


@pytest.mark.parametrize(("kind", "dtype"), [(simd.FLOATS, np.float32), (simd.DOUBLES, np.float64)])
def test_arithmetic(kind: simd.Lanes, dtype: type, rng: np.random.Generator) -> None:
    a, b, c = rng.standard_normal((3, 2, kind.count)).astype(dtype)
    out: npt.NDArray[np.floating] = np.empty(8 * kind.count, dtype)
    arithmetic(a.reshape(-1), b.reshape(-1), c.reshape(-1), out)
    found = out.reshape(2, 4, kind.count)
    expected = np.stack([a + b, a * b, a * b + c, c], axis=1)
    assert np.abs(found - expected).max() < 8 * np.finfo(dtype).eps


@njit
def more(a, b, words, floats_out, words_out, sums):  # type: ignore[no-untyped-def]
    x, y, w = simd.load(a, 0), simd.load(b, 0), simd.load(words, 0)
    now = simd.bit(3)
    simd.store(floats_out, 0, x - y)
    simd.store(floats_out, 1, x / y)
    simd.store(floats_out, 2, simd.select(x > y, x, simd.floats(7.5)))
    simd.store(floats_out, 3, simd.select(simd.nonzero(w & now), x, y))
    simd.store(words_out, 0, simd.popcount(w))
    simd.store(words_out, 1, w | now)
    simd.store(words_out, 2, w ^ now)
    simd.store(words_out, 3, w + now)
    sums[0], sums[1] = simd.total(x), simd.total_words(w)


def test_what_the_encoder_needs(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 16)).astype(np.float32)
    words = rng.integers(0, 1 << 32, 16, dtype=np.uint32)
    floats_out, words_out, sums = simd.vectors(4), simd.vectors(4, np.uint32), np.zeros(2)
    more(a, b, words, floats_out, words_out, sums)
    has = words & np.uint32(8) > 0
    expected = np.stack([a - b, a / b, np.where(a > b, a, np.float32(7.5)), np.where(has, a, b)])
    np.testing.assert_allclose(floats_out.reshape(4, 16), expected, rtol=1e-6)
    bits = np.array([bin(word).count("1") for word in words], np.uint32)
    eight = np.uint32(8)
    assert np.array_equal(
        words_out.reshape(4, 16), np.stack([bits, words | eight, words ^ eight, words + eight])
    )
    assert sums[0] == pytest.approx(a.astype(np.float64).sum(), abs=1e-12)
    assert sums[1] == int(words.astype(np.int64).sum())


@pytest.mark.parametrize("dtype", [np.float32, np.uint32])
def test_vectors_begin_at_a_cache_line(dtype: type) -> None:
    found: npt.NDArray[np.generic] = simd.vectors(3, dtype)
    assert found.shape == (48,)
    assert found.dtype == dtype
    assert found.ctypes.data % 64 == 0


@pytest.mark.parametrize("scale", [1e-8, 1.0, 7.0, 1e3, simd.LARGEST_ANGLE])
def test_cosines_and_sines_are_numpys_to_the_last_bit_but_one(scale: float, rng: np.random.Generator) -> None:
    angles = np.concatenate([rng.uniform(-scale, scale, 50_000), np.arange(-40, 41) * np.pi / 4])
    cosines, sines = np.empty_like(angles), np.empty_like(angles)
    simd.cos_sin(angles, cosines, sines)
    assert np.abs(cosines - np.cos(angles)).max() < 2.3e-16
    assert np.abs(sines - np.sin(angles)).max() < 2.3e-16


def test_angles_that_are_no_number_stay_none() -> None:
    angles = np.array([np.nan, 0.0])
    cosines, sines = np.empty(2), np.empty(2)
    simd.cos_sin(angles, cosines, sines)
    assert np.isnan(cosines[0])
    assert (cosines[1], sines[1]) == (1.0, 0.0)
