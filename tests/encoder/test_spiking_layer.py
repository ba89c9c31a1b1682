"""The IF kernels alone, against snnTorch's neuron stepped in a loop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from numba import njit

from sqdr_qiskit.encoder.convolution import Layer, LayerSpace
from sqdr_qiskit.encoder.ends import LANES
from sqdr_qiskit.encoder.network import PoolGradient, integrate_and_fire, max_pool
from sqdr_qiskit.encoder.spiking_layer import integrate, window_gradient
from sqdr_qiskit.simd import load, vectors

N_STEPS = 10


def a_layer(slope: float, pool_gradient: PoolGradient) -> Layer:
    return Layer(
        n_in=1,
        n_out=2,
        height=2,
        width=2,
        n_planes=N_STEPS,
        n_steps=N_STEPS,
        slope=slope,
        to_largest=pool_gradient == "largest",
    )


def kernel(
    layer: Layer, currents: npt.NDArray[np.float32], received: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Spikes (T, 2, 2, 2, 16) of a window and its currents' gradient; given the pooled spikes' (2, T, 16)."""
    space = LayerSpace(
        inputs=vectors(0),
        outputs=vectors(0),
        currents=np.ascontiguousarray(currents).reshape(-1),
        membranes=vectors(8 * N_STEPS),
        spikes=vectors(8, np.uint32),
        gradient=vectors(8 * N_STEPS),
        taps=vectors(0),
        sums=vectors(0),
    )
    integrate(layer, space)
    back_through_window(layer, received.reshape(-1), np.full(LANES, 0xFFFFFFFF, np.uint32), space)
    spikes = space.spikes.reshape(2, 2, 2, LANES) >> np.arange(N_STEPS)[:, None, None, None, None] & 1
    return spikes.astype(np.int64), space.gradient.reshape(N_STEPS, 2, 2, 2, LANES)


@njit
def back_through_window(layer, received, keep, space):  # type: ignore[no-untyped-def]
    # A vector cannot cross from Python into a kernel: it is loaded here.
    window_gradient(layer, received, 0, N_STEPS, load(keep, 0), space)


@pytest.mark.parametrize("slope", [np.pi, 2 * np.pi, 0.7])
@pytest.mark.parametrize("pool_gradient", ["first", "largest"])
@pytest.mark.parametrize("grid", [False, True], ids=["random", "ties"])
def test_equal_to_snntorch_forward_and_back(
    grid: bool, pool_gradient: PoolGradient, slope: float, rng: np.random.Generator
) -> None:
    shape = (N_STEPS, 2, 2, 2, LANES)
    # On a grid of quarters the membrane is often exactly 1.
    values = rng.integers(-2, 5, shape) / 4 if grid else rng.normal(0.3, 0.6, shape)
    currents = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    received = torch.from_numpy(rng.standard_normal((2, N_STEPS, LANES), dtype=np.float32))
    spikes, membranes = integrate_and_fire(currents, surrogate_slope=slope)
    images, potentials = (of.permute(0, 4, 1, 2, 3).reshape(-1, 2, 2, 2) for of in (spikes, membranes))
    pooled = max_pool(images, potentials, pool_gradient).reshape(N_STEPS, LANES, 2)
    pooled.backward(received.permute(1, 2, 0))
    assert currents.grad is not None

    found, gradient = kernel(a_layer(slope, pool_gradient), currents.detach().numpy(), received.numpy())
    assert np.array_equal(found, spikes.detach().numpy())
    assert 0.1 < found.mean() < 0.9
    np.testing.assert_allclose(gradient, currents.grad.numpy(), rtol=1e-5, atol=1e-6)
