"""Batch norm, folded into the convolution before it, forward and back.

With z = W s the convolution's output, mu and v its mean and variance, and a = gamma / sqrt(v + eps): forward,
the neurons' current a z + (beta - a mu) has the weights a W and a bias. Backward, with g the gradient of the
current and N the number of values,

    dL/dz = a (g - m1 - m2 zhat),  m1 = sum(g) / N,  m2 = sum(g zhat) / N,  zhat = (z - mu) / sqrt(v + eps),

where a zhat = (current - beta) / sqrt(v + eps) is known from the neurons' current again, and all sums over z
follow from sums over the inputs, z being linear in them. Without batch statistics m1 = m2 = 0. Everything
here is float64 on a few hundred numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

__all__ = ["Fold", "Gradients", "in_pairs"]

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def in_pairs(weights: Doubles) -> Floats:
    """Weights (n_out, n_in, 9) in the kernels' order, [pair][input][channel of the pair][tap], flat."""
    n_out, n_in, _ = weights.shape
    order = weights.reshape(n_out // 2, 2, n_in, 9).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(order, np.float32).reshape(-1)


def _double(tensor: torch.Tensor | nn.Module | None) -> Doubles:
    return cast("torch.Tensor", tensor).detach().numpy().astype(np.float64)


@dataclass(frozen=True)
class Gradients:
    """Gradients of a layer's parameters, and what `send_back` needs to go on to the layer before."""

    weight: Doubles
    norm_weight: Doubles
    norm_bias: Doubles
    gains: Floats
    slopes: Floats
    levels: Floats
    turned: Floats


@dataclass(frozen=True)
class Fold:
    """A convolution and its batch norm as one.

    `weights` and `biases` are what the kernels take; `raw` has shape (n_out, n_in, 9); `inputs` and `moments`
    are the inputs' sums and sums of products for the taps, None where running statistics are used.
    """

    weights: Floats
    biases: Floats
    raw: Doubles
    gamma: Doubles
    beta: Doubles
    mean: Doubles
    scale: Doubles
    inputs: Doubles | None
    moments: Doubles | None
    n_values: int

    @staticmethod
    def of(
        conv: nn.Module, norm: nn.Module, inputs: Doubles | None, moments: Doubles | None, n_values: int
    ) -> Fold:
        """Fold a convolution with its batch norm; update the running statistics if the batch's are given.

        Args:
            conv: Convolution with weights (n_out, n_in, 3, 3).
            norm: Its batch norm.
            inputs: Array of shape (9 n_in,): sum of the input at each tap, over all outputs.
            moments: Array of shape (9 n_in, 9 n_in): sums of products of inputs.
            n_values: Number of outputs of a channel in the batch.
        """
        weight = _double(conv.weight)
        raw = weight.reshape(*weight.shape[:2], 9)
        flat = weight.reshape(len(weight), -1)
        if inputs is None or moments is None:
            mean, variance = _double(norm.running_mean), _double(norm.running_var)
        else:
            mean = flat @ inputs / n_values
            variance = np.maximum((flat @ moments * flat).sum(axis=1) / n_values - mean**2, 0.0)
            _update(norm, mean, variance * (n_values / (n_values - 1)))
        scale = 1.0 / np.sqrt(variance + float(cast("float", norm.eps)))
        gamma, beta = _double(norm.weight), _double(norm.bias)
        gain = gamma * scale
        return Fold(
            weights=in_pairs(raw * gain[:, None, None]),
            biases=(beta - gain * mean).astype(np.float32),
            raw=raw,
            gamma=gamma,
            beta=beta,
            mean=mean,
            scale=scale,
            inputs=inputs,
            moments=moments,
            n_values=n_values,
        )

    def backward(self, n_groups: int, tap_sums: Doubles, current_sums: Doubles) -> Gradients:
        """Gradients from the sums of `backfire`.

        Args:
            n_groups: Number of groups.
            tap_sums: [group][pair][n_in][18], flat.
            current_sums: [group][n_out], flat.
        """
        n_out, n_in, _ = self.raw.shape
        taps = tap_sums.reshape(n_groups, n_out // 2, n_in, 2, 9).sum(axis=0)
        taps = taps.transpose(0, 2, 1, 3).reshape(n_out, n_in * 9)
        flat = self.raw.reshape(n_out, n_in * 9)
        total = current_sums.reshape(n_groups, n_out).sum(axis=0)
        total_hat = self.scale * ((flat * taps).sum(axis=1) - self.mean * total)
        gain = self.gamma * self.scale
        weight = taps
        m1, m2 = np.zeros(n_out), np.zeros(n_out)
        if self.inputs is not None and self.moments is not None:
            m1, m2 = total / self.n_values, total_hat / self.n_values
            input_hat = self.scale[:, None] * (flat @ self.moments - self.mean[:, None] * self.inputs)
            weight = taps - m1[:, None] * self.inputs - m2[:, None] * input_hat
        slope = -m2 * self.scale
        return Gradients(
            weight=(gain[:, None] * weight).reshape(n_out, n_in, 3, 3),
            norm_weight=total_hat,
            norm_bias=total,
            gains=gain.astype(np.float32),
            slopes=slope.astype(np.float32),
            levels=(-slope * self.beta - gain * m1).astype(np.float32),
            turned=in_pairs(self.raw[:, :, ::-1].transpose(1, 0, 2))
            if n_in % 2 == 0
            else np.empty(0, np.float32),
        )


def _update(norm: nn.Module, mean: Doubles, variance: Doubles) -> None:
    """Move the running statistics towards the batch's, by torch's rule."""
    share = float(cast("float", norm.momentum))
    with torch.no_grad():
        for name, value in (("running_mean", mean), ("running_var", variance)):
            cast("torch.Tensor", getattr(norm, name)).lerp_(torch.from_numpy(value.astype(np.float32)), share)
        cast("torch.Tensor", norm.num_batches_tracked).add_(1)
