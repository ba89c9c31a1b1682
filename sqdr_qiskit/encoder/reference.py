"""The encoder written plainly: torch modules, and snnTorch's neuron stepped in a loop.

It is what the fused kernels are held to, and the path that other devices take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from snntorch import Leaky, SpikingNeuron, surrogate
from torch import nn
from torch.nn import functional

from sqdr_qiskit.encoder.phase import phase_code

__all__ = ["PoolGradient", "integrate_and_fire", "max_pool", "reference_rates", "reference_spikes"]

PoolGradient = Literal["first", "largest"]


def _neuron(device: torch.device, slope: float) -> nn.Module:
    # snnTorch's alpha is 2 k / pi; beta = 1 leaks nothing, and a reset to zero drops what is above the
    # threshold.
    spike_grad = surrogate.atan(alpha=2.0 * slope / math.pi)
    neuron = Leaky(beta=1.0, threshold=1.0, reset_mechanism="zero", spike_grad=spike_grad)
    # snnTorch lists every neuron it ever made and would keep this one, and its last graph, alive.
    SpikingNeuron.instances[:] = [other for other in SpikingNeuron.instances if other is not neuron]
    return neuron.to(device)


def integrate_and_fire(
    currents: torch.Tensor, *, surrogate_slope: float = math.pi
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integrate-and-fire neurons: u_t = (1 - s_(t-1)) u_(t-1) + I_t, s_t = 1 where u_t > 1.

    The derivative of s_t by u_t is that of arctan(k (u_t - 1)) / pi, which is (k / pi) / (1 + (k (u_t -
    1))^2); the reset carries none.

    Args:
        currents: Tensor of shape (T, ...), input of each neuron at each step.
        surrogate_slope: k, the surrogate's steepness. snnTorch's `surrogate.atan(a)` has k = pi a / 2.

    Returns:
        Spikes s, 0 or 1, and membranes u before the reset, of the same shape.
    """
    neuron = _neuron(currents.device, surrogate_slope)
    membrane = torch.zeros_like(currents[0])
    # Step by step as snnTorch does it: the neuron keeps the membrane before the reset, and resets at the next
    # step.
    spikes, membranes = [], []
    for current in currents:
        spike, membrane = neuron(current, membrane)
        spikes.append(spike.to(currents.dtype))  # snnTorch's spikes are float32
        membranes.append(membrane)
    return torch.stack(spikes), torch.stack(membranes)


def max_pool(spikes: torch.Tensor, membranes: torch.Tensor, pool_gradient: PoolGradient) -> torch.Tensor:
    """Spikes after pooling 2 x 2, which are 1 where any of a window's neurons fired.

    Args:
        spikes: Tensor of shape (N, channels, H, W).
        membranes: Before the reset, of the same shape.
        pool_gradient: Which neuron of a window the gradient goes to. `first`: the first that fired, or the
            first if none did, as max pooling of spikes has it. `largest`: the one with the largest membrane
            (the first of equals); it fired if any did, so the result is the same.
    """
    if pool_gradient == "first":
        return functional.max_pool2d(spikes, 2)
    # Which neuron is largest is a choice, not a function to be differentiated.
    pooled, places = functional.max_pool2d(membranes.detach(), 2, return_indices=True)
    return spikes.flatten(2).gather(2, places.flatten(2)).view_as(pooled)


def reference_rates(
    images: torch.Tensor,
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    *,
    n_steps: int,
    n_phases: int,
    surrogate_slope: float = math.pi,
    pool_gradient: PoolGradient = "first",
) -> torch.Tensor:
    """Firing rates of the encoder, module by module.

    Args:
        images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1].
        convs: Convolutions.
        norms: Batch norms, one for each convolution; statistics run over steps and batch together.
        linear: Maps the last convolution's channels to the features.
        n_steps: T, number of steps.
        n_phases: K, number of phases of the code.
        surrogate_slope: See `integrate_and_fire`.
        pool_gradient: See `max_pool`.

    Returns:
        Tensor of shape (batch, n_features), of the parameters' type, multiples of 1 / T in [0, 1].
    """
    spikes = reference_spikes(
        images,
        convs,
        norms,
        linear,
        n_steps=n_steps,
        n_phases=n_phases,
        surrogate_slope=surrogate_slope,
        pool_gradient=pool_gradient,
    )
    return spikes[-1].mean(dim=0)


def reference_spikes(
    images: torch.Tensor,
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    *,
    n_steps: int,
    n_phases: int,
    surrogate_slope: float = math.pi,
    pool_gradient: PoolGradient = "first",
) -> list[torch.Tensor]:
    """Spikes of the encoder's layers, module by module; arguments as in `reference_rates`.

    Returns:
        The phase code, of shape (T, batch, C, H, W), a spike of phase k being 2^-(1 + k); for each
        convolution its neurons' spikes after pooling, 0 or 1, of shape (T, batch, channels, H / 2, W / 2) and
        so on; the features' spikes, of shape (T, batch, n_features).
    """
    layers = [phase_code(images, n_steps, n_phases).to(cast("torch.Tensor", linear.weight).dtype)]
    for conv, norm in zip(convs, norms, strict=True):
        spikes = layers[-1]
        # Steps and batch as one axis: batch norm takes its statistics over both.
        currents = norm(conv(spikes.flatten(0, 1)))
        fired, membranes = integrate_and_fire(
            currents.unflatten(0, spikes.shape[:2]), surrogate_slope=surrogate_slope
        )
        pooled = max_pool(fired.flatten(0, 1), membranes.flatten(0, 1), pool_gradient)
        layers.append(pooled.unflatten(0, spikes.shape[:2]))
    # The pool is linear, so that one average serves all features.
    currents = linear(layers[-1].mean(dim=(-2, -1)))
    layers.append(integrate_and_fire(currents, surrogate_slope=surrogate_slope)[0])
    return layers
