"""The encoder written plainly: torch modules, and snnTorch's neuron stepped in a loop.

It is what the fused kernels are held to, and the path that other devices take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from snntorch import Leaky, SpikingNeuron, surrogate
from torch import nn
from torch.nn import functional

from sqdr_qiskit.encoder.phase import phase_code

__all__ = ["integrate_and_fire", "reference_rates", "reference_spikes"]


def _neuron(device: torch.device) -> nn.Module:
    neuron = Leaky(beta=1.0, threshold=1.0, reset_mechanism="zero", spike_grad=surrogate.atan(alpha=2.0))
    # snnTorch lists every neuron it ever made and would keep this one, and its last graph, alive.
    SpikingNeuron.instances[:] = [other for other in SpikingNeuron.instances if other is not neuron]
    return neuron.to(device)


def integrate_and_fire(currents: torch.Tensor) -> torch.Tensor:
    """Spikes of integrate-and-fire neurons: u_t = (1 - s_(t-1)) u_(t-1) + I_t, s_t = 1 where u_t > 1.

    The derivative of s_t is 1 / (1 + (pi (u_t - 1))^2); the reset carries none.

    Args:
        currents: Tensor of shape (T, ...), input of each neuron at each step.

    Returns:
        Tensor of the same shape, 0 or 1.
    """
    neuron = _neuron(currents.device)
    membrane = torch.zeros_like(currents[0])
    spikes = []
    for current in currents:
        spike, membrane = neuron(current, membrane)
        spikes.append(spike.to(currents.dtype))  # snnTorch's spikes are float32
    return torch.stack(spikes)


def reference_rates(
    images: torch.Tensor,
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    *,
    n_steps: int,
    n_phases: int,
) -> torch.Tensor:
    """Firing rates of the encoder, module by module.

    Args:
        images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1].
        convs: Convolutions.
        norms: Batch norms, one for each convolution; statistics run over steps and batch together.
        linear: Maps the last convolution's channels to the features.
        n_steps: T, number of steps.
        n_phases: K, number of phases of the code.

    Returns:
        Tensor of shape (batch, n_features), of the parameters' type, multiples of 1 / T in [0, 1].
    """
    spikes = reference_spikes(images, convs, norms, linear, n_steps=n_steps, n_phases=n_phases)
    return spikes[-1].mean(dim=0)


def reference_spikes(
    images: torch.Tensor,
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    *,
    n_steps: int,
    n_phases: int,
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
        currents = norm(conv(spikes.flatten(0, 1)))
        fired = integrate_and_fire(currents.unflatten(0, spikes.shape[:2]))
        layers.append(functional.max_pool2d(fired.flatten(0, 1), 2).unflatten(0, spikes.shape[:2]))
    layers.append(integrate_and_fire(linear(layers[-1].mean(dim=(-2, -1)))))
    return layers
