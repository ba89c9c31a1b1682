"""The spiking convolutional encoder: images in, firing rates out.

There are two ways to the same rates: compiled kernels (`fused`), and `SpikingEncoder.spikes`, written
plainly with torch modules and snnTorch's neuron. The plain one is what the kernels are held to, and what
other devices take. Source of the phase code: Kim et al., "Deep neural networks with weighted spikes",
Neurocomputing 311 (2018).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, get_args

import torch
from snntorch import Leaky, SpikingNeuron, surrogate
from torch import nn
from torch.nn import functional

from sqdr_qiskit.encoder.ends import N_BITS
from sqdr_qiskit.encoder.fused import PoolGradient, code_fits, fused_rates
from sqdr_qiskit.errors import ArgumentError

__all__ = [
    "EncoderPath",
    "PoolGradient",
    "SpikingEncoder",
    "integrate_and_fire",
    "max_pool",
    "phase_code",
    "quantise",
]

EncoderPath = Literal["auto", "fused", "reference"]

N_LAYERS = 3
MOMENTUM = math.sqrt(0.1)  # torch's convention: the new batch's share of the running statistics


class SpikingEncoder(nn.Module):
    """Phase code, 3 x [Conv 3x3, BatchNorm, IF neuron, MaxPool 2x2], average pool, Linear, IF, mean.

    Channels grow C -> 2C -> 4C -> 8C; convolutions have padding 1 and no bias. Batch norm takes its
    statistics over steps and batch together, with momentum sqrt(0.1). Parameters for C = 1: 378 in the
    convolutions, 28 in the batch norms, 9 in the linear map for each feature.

    Args:
        in_channels: C, channels of an image.
        n_features: Number of firing rates that come out.
        n_steps: T, number of time steps.
        n_phases: K, number of phases (bits) of the code, 1 to 8.
        path: How `forward` computes. "fused": our kernels, for float32 on the CPU, T at most 16 and 3 K.
            "reference": torch modules and snnTorch's neuron stepped in a loop, on any device. "auto": fused
            where it can be, else reference. Both have the same spikes and gradients, up to float32 rounding.
        surrogate_slope: k, above 0: backward, the derivative of a spike by its membrane u is that of
            arctan(k (u - 1)) / pi. The paper's is pi; snnTorch's `surrogate.atan(a)` has k = pi a / 2.
        pool_gradient: Which neuron of a pooling window the gradient goes to, step by step. "first": the first
            that fired, or the first if none did, as max pooling of spikes has it. "largest": the one with the
            largest membrane. Neither setting touches the forward pass.

    Raises:
        ArgumentError: If a number is out of range, or `path` or `pool_gradient` unknown.

    Source: Luu et al., arXiv 2512.03895, section 3.
    """

    def __init__(
        self,
        in_channels: int = 1,
        n_features: int = 27,
        n_steps: int = 10,
        n_phases: int = 8,
        *,
        path: EncoderPath = "auto",
        surrogate_slope: float = math.pi,
        pool_gradient: PoolGradient = "first",
    ) -> None:
        super().__init__()
        _check_code(n_steps, n_phases)
        for name, value in (("in_channels", in_channels), ("n_features", n_features)):
            if value < 1:
                raise ArgumentError(f"Argument `{name}` must be at least 1, but is {value}.")
        if path not in get_args(EncoderPath):
            raise ArgumentError(f"Argument `path` must be auto, fused or reference, but is {path!r}.")
        if not (math.isfinite(surrogate_slope) and surrogate_slope > 0.0):
            raise ArgumentError(f"Argument `surrogate_slope` must be above 0, but is {surrogate_slope}.")
        if pool_gradient not in get_args(PoolGradient):
            raise ArgumentError(
                f"Argument `pool_gradient` must be first or largest, but is {pool_gradient!r}."
            )
        self.in_channels = in_channels
        self.n_features = n_features
        self.n_steps = n_steps
        self.n_phases = n_phases
        self.path = path
        self.surrogate_slope = surrogate_slope
        self.pool_gradient: PoolGradient = pool_gradient
        # No bias: batch norm would subtract it again.
        widths = [in_channels << layer for layer in range(N_LAYERS + 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(narrow, wide, 3, padding=1, bias=False) for narrow, wide in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(wide, momentum=MOMENTUM) for wide in widths[1:])
        self.linear = nn.Linear(widths[-1], n_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Firing rates of a batch of images.

        Args:
            images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1] (quantised to 8
                bits). H and W must be at least 8: three poolings halve them.

        Returns:
            float32 tensor of shape (batch, n_features), multiples of 1 / T in [0, 1].

        Raises:
            ArgumentError: If `images` does not fit, or requires a gradient (bits have none).
        """
        # Other shapes are refused by `quantise`, which knows what images may be.
        if images.ndim == 4 and images.shape[1] != self.in_channels:
            raise ArgumentError(
                f"Argument `images` must have {self.in_channels} channels, but has {images.shape[1]} "
                f"(shape {tuple(images.shape)})."
            )
        if images.ndim == 4 and min(images.shape[2:]) < 2**N_LAYERS:
            raise ArgumentError(
                f"Argument `images` must be at least {2**N_LAYERS} pixels high and wide, but is "
                f"{images.shape[2]} x {images.shape[3]}."
            )
        pixels = quantise(images)
        # Bits, from here on: both paths see the same 8-bit pixels, whatever type the images had.
        if not self._takes_kernels(pixels):
            return self.spikes(pixels)[-1].mean(dim=0)
        return fused_rates(
            pixels,
            list(self.convs),
            list(self.norms),
            self.linear,
            n_steps=self.n_steps,
            n_phases=self.n_phases,
            surrogate_slope=self.surrogate_slope,
            pool_gradient=self.pool_gradient,
        )

    def spikes(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Spikes of all layers, the plain way: module by module, neurons stepped in a loop.

        Args:
            images: As for `forward`.

        Returns:
            The phase code, of shape (T, batch, C, H, W), a spike of phase k being 2^-(1 + k); for each
            convolution its neurons' spikes after pooling, 0 or 1, of shape (T, batch, channels, H / 2, W / 2)
            and so on; the features' spikes, of shape (T, batch, n_features), whose means are the rates.
        """
        layers = [phase_code(images, self.n_steps, self.n_phases).to(self.linear.weight.dtype)]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            spikes = layers[-1]
            # Steps and batch as one axis: batch norm takes its statistics over both.
            currents = norm(conv(spikes.flatten(0, 1))).unflatten(0, spikes.shape[:2])
            fired, membranes = integrate_and_fire(currents, surrogate_slope=self.surrogate_slope)
            pooled = max_pool(fired.flatten(0, 1), membranes.flatten(0, 1), self.pool_gradient)
            layers.append(pooled.unflatten(0, spikes.shape[:2]))
        # The pool is linear, so that one average serves all features.
        currents = self.linear(layers[-1].mean(dim=(-2, -1)))
        layers.append(integrate_and_fire(currents, surrogate_slope=self.surrogate_slope)[0])
        return layers

    def _takes_kernels(self, pixels: torch.Tensor) -> bool:
        """Whether to use the kernels; an error where they were asked for and cannot be used."""
        if self.path == "reference":
            return False
        weight = self.linear.weight
        reason = None
        if pixels.device.type != "cpu" or weight.device.type != "cpu":
            reason = f"images and parameters on the CPU, but they are on {pixels.device} and {weight.device}"
        elif weight.dtype != torch.float32:
            reason = f"float32 parameters, but they are {weight.dtype}"
        elif not code_fits(self.n_steps, self.n_phases):
            reason = (
                f"n_steps at most 16 and at most 3 n_phases, but has n_steps = {self.n_steps} and "
                f"n_phases = {self.n_phases}"
            )
        if reason is not None and self.path == "fused":
            raise ArgumentError(
                f"Argument `path` is fused, which needs {reason}; use path auto or reference."
            )
        return reason is None


# ---- the phase code ----------------------------------------------------------------------------------------


def _check_code(n_steps: int, n_phases: int) -> None:
    if n_steps < 1:
        raise ArgumentError(f"Argument `n_steps` must be at least 1, but is {n_steps}.")
    if not 1 <= n_phases <= N_BITS:
        raise ArgumentError(f"Argument `n_phases` must lie in 1 to 8 (bits of a pixel), but is {n_phases}.")


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
        ArgumentError: As in `quantise`, or a number of steps or phases that is out of range.
    """
    _check_code(n_steps, n_phases)
    pixels = quantise(images)
    planes = []
    for step in range(n_steps):
        phase = step % n_phases
        planes.append((pixels >> (N_BITS - 1 - phase) & 1).to(torch.float32) * 2.0 ** -(1 + phase))
    return torch.stack(planes)


# ---- neurons and pooling, plainly --------------------------------------------------------------------------


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
