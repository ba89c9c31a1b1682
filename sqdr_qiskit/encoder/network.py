"""The spiking convolutional encoder: images in, firing rates out."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import nn

from sqdr_qiskit.encoder.fused import code_fits, fused_rates
from sqdr_qiskit.encoder.phase import check_code, quantise
from sqdr_qiskit.encoder.reference import PoolGradient, reference_rates
from sqdr_qiskit.errors import ArgumentError

__all__ = ["EncoderPath", "PoolGradient", "SpikingEncoder", "check_backward"]

EncoderPath = Literal["auto", "fused", "reference"]

N_LAYERS = 3
MOMENTUM = math.sqrt(0.1)  # torch's convention: the new batch's share of the running statistics


def check_backward(surrogate_slope: float, pool_gradient: str) -> None:
    """Refuse settings of the backward pass that have no meaning.

    Raises:
        ArgumentError: If `surrogate_slope` is not above 0 and finite, or `pool_gradient` unknown.
    """
    if not (math.isfinite(surrogate_slope) and surrogate_slope > 0.0):
        raise ArgumentError(f"Argument `surrogate_slope` must be above 0, but is {surrogate_slope}.")
    if pool_gradient not in get_args(PoolGradient):
        raise ArgumentError(f"Argument `pool_gradient` must be first or largest, but is {pool_gradient!r}.")


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
        check_code(n_steps, n_phases)
        for name, value in (("in_channels", in_channels), ("n_features", n_features)):
            if value < 1:
                raise ArgumentError(f"Argument `{name}` must be at least 1, but is {value}.")
        if path not in get_args(EncoderPath):
            raise ArgumentError(f"Argument `path` must be auto, fused or reference, but is {path!r}.")
        check_backward(surrogate_slope, pool_gradient)
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
        rates = fused_rates if self._takes_kernels(pixels) else reference_rates
        return rates(
            pixels,
            list(self.convs),
            list(self.norms),
            self.linear,
            n_steps=self.n_steps,
            n_phases=self.n_phases,
            surrogate_slope=self.surrogate_slope,
            pool_gradient=self.pool_gradient,
        )

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
