"""The whole encoder as one autograd function, on our kernels.

Forward: pack the pixels, then fire layer by layer; in between, batch norm's statistics come from correlations
of the spikes over the whole batch. Backward: the same way back, with everything but the packed spikes
computed again. What is kept from forward to backward is a few kB for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sqdr_qiskit.encoder.batch_norm import N_TERMS, edge_sums, tap_moments
from sqdr_qiskit.encoder.layers import n_received
from sqdr_qiskit.encoder.normalise import Fold
from sqdr_qiskit.encoder.passes import (
    Scratch,
    fire_pass,
    head_back_pass,
    head_pass,
    pack_pass,
    send_back_pass,
)
from sqdr_qiskit.encoder.plan import Call, Plan, WorkSpace, make_plan
from sqdr_qiskit.encoder.reference import PoolGradient
from sqdr_qiskit.simd import LANES, vectors

__all__ = ["fused_rates"]

N_AT_ONCE = 2048  # images; more are taken in parts where nothing couples them


@dataclass
class _Run:
    """What one forward pass leaves for its backward pass."""

    plan: Plan
    n_images: int
    words: list[npt.NDArray[np.uint32]]
    folds: list[Fold]
    valid: npt.NDArray[np.uint32]
    head: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

    @property
    def n_groups(self) -> int:
        return -(-self.n_images // LANES)

    def __del__(self) -> None:
        for i, array in enumerate(self.words):
            self.plan.give(f"words {i}", array)


def _scratch(space: WorkSpace) -> Scratch:
    return space.scratch


def _to_numpy(tensor: torch.Tensor | nn.Module) -> npt.NDArray[Any]:
    return np.ascontiguousarray(cast("torch.Tensor", tensor).detach().numpy())


def _forward(
    images: npt.NDArray[np.uint8],
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    plan: Plan,
) -> tuple[npt.NDArray[np.float32], _Run]:
    n_images = len(images)
    n_groups = -(-n_images // LANES)
    first, last = plan.layers[0], plan.layers[-1]
    n_steps = first.n_steps
    sizes = [layer.n_in * layer.height * layer.width for layer in plan.layers]
    sizes.append(last.n_out * last.pooled[0] * last.pooled[1])
    words = [plan.take(f"words {i}", n_groups * size, np.uint32) for i, size in enumerate(sizes)]
    valid = vectors(n_groups, np.uint32)

    def space_for(channels: int, needed: bool) -> npt.NDArray[np.int64]:
        return np.zeros((n_groups if needed else 0, channels, channels, N_TERMS), np.int64)

    training = [bool(norm.training) for norm in norms] + [False]
    sums = np.zeros((n_groups, first.n_in, 9), np.int64)
    terms = space_for(first.n_in, training[0])
    pack = (
        pack_pass, first, images, plan.bits, plan.energies, plan.levels,
        words[0], valid, sums, terms, training[0], _scratch,
    )  # fmt: skip
    plan.run(n_groups, pack)
    folds = []
    for i, layer in enumerate(plan.layers):
        inputs, moments = None, None
        if training[i]:
            moments = tap_moments(terms.sum(axis=0))
            if i == 0:
                inputs = edge_sums(sums.sum(axis=0)) / 2.0**plan.n_phases
                moments /= 4.0**plan.n_phases
            else:
                inputs = np.diagonal(moments).copy()  # a bit is its own square
        n_values = n_images * n_steps * layer.height * layer.width
        fold = Fold.of(convs[i], norms[i], inputs, moments, n_values)
        folds.append(fold)
        terms = space_for(layer.n_out, training[i + 1])
        fire = (
            fire_pass, layer, words[i], plan.planes[i], fold.weights, fold.biases, valid,
            words[i + 1], terms, training[i + 1], lambda space, i=i: space.inputs[i], _scratch,
        )  # fmt: skip
        if i < 2:
            plan.run(n_groups, fire)
    weights, biases = _to_numpy(linear.weight), _to_numpy(linear.bias)
    rates = vectors(n_groups * len(biases))
    area = last.pooled[0] * last.pooled[1]
    head = (head_pass, last.n_out, area, n_steps, words[-1], weights, biases, rates, _scratch)
    plan.run(n_groups, fire, head)
    out = rates.reshape(n_groups, len(biases), LANES).transpose(0, 2, 1).reshape(-1, len(biases))[:n_images]
    return np.ascontiguousarray(out), _Run(plan, n_images, words, folds, valid, (weights, biases))


def _backward(run: _Run, gradient: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float64]]:
    """Gradients of all parameters, in the order that `fused_rates` lists them."""
    plan, n_groups, words = run.plan, run.n_groups, run.words
    weights, biases = run.head
    n_features = len(biases)
    full = np.zeros((n_groups * LANES, n_features), np.float32)
    full[: run.n_images] = gradient
    received = np.ascontiguousarray(full.reshape(n_groups, LANES, n_features).transpose(0, 2, 1)).reshape(-1)
    weight_sums = np.empty((n_groups, *weights.shape))
    bias_sums = np.empty((n_groups, n_features))
    tap_sums = [np.zeros(n_groups * layer.n_out * layer.n_in * 9) for layer in plan.layers]
    current_sums = [np.zeros(n_groups * layer.n_out) for layer in plan.layers]
    # The first layer's are used at once, and need no place of their own for every group.
    sent = {i: plan.take(f"sent {i}", n_groups * n_received(plan.layers[i])) for i in (1, 2)}

    def layer_arguments(i: int) -> Call:
        fold = run.folds[i]
        return plan.layers[i], words[i], plan.planes[i], fold.weights, fold.biases

    head = (
        head_back_pass, weights, biases, received, weight_sums, bias_sums, words[-1],
        *layer_arguments(2), run.valid, sent[2],
        tap_sums[2], current_sums[2], lambda space: space.inputs[2], _scratch,
    )  # fmt: skip
    plan.run(n_groups, head)
    found = [run.folds[2].backward(n_groups, tap_sums[2], current_sums[2])]
    for i in (1, 0):
        back = found[0]
        step = (
            send_back_pass, *layer_arguments(i + 1), sent[i + 1],
            back.gains, back.slopes, back.levels, back.turned,
            lambda space, i=i: space.inputs[i + 1], lambda space, i=i: space.neurons[i],
            *layer_arguments(i), run.valid, sent[i] if i else lambda space: space.scratch.received, i > 0,
            tap_sums[i], current_sums[i], lambda space, i=i: space.inputs[i], _scratch,
        )  # fmt: skip
        plan.run(n_groups, step)
        found.insert(0, run.folds[i].backward(n_groups, tap_sums[i], current_sums[i]))
    for i in (1, 2):
        plan.give(f"sent {i}", sent[i])
    return [
        *(back.weight for back in found),
        *(back.norm_weight for back in found),
        *(back.norm_bias for back in found),
        weight_sums.sum(axis=0),
        bias_sums.sum(axis=0),
    ]


class _FusedRates(torch.autograd.Function):
    """Rates of a batch; parameters are inputs so that autograd asks for their gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        images: torch.Tensor,
        plan: Plan,
        convs: Sequence[nn.Module],
        norms: Sequence[nn.Module],
        linear: nn.Module,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        rates, ctx.run = _forward(images.numpy(), convs, norms, linear, plan)
        return torch.from_numpy(rates)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = _backward(ctx.run, _to_numpy(gradient))
        gradients = (torch.from_numpy(array.astype(np.float32)) for array in found)
        return (None, None, None, None, None, *gradients)


def fused_rates(
    pixels: torch.Tensor,
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    *,
    n_steps: int,
    n_phases: int,
    surrogate_slope: float,
    pool_gradient: PoolGradient,
) -> torch.Tensor:
    """What `reference_rates` computes, on our kernels.

    Args:
        pixels: Contiguous uint8 tensor of shape (batch, C, H, W) on the CPU, H and W at least 8.
        convs: Three convolutions C -> 2C -> 4C -> 8C, 3 x 3, padding 1, no bias, float32.
        norms: Their batch norms; one in training mode gets its running statistics updated.
        linear: Maps the last convolution's channels to the features.
        n_steps: T.
        n_phases: K; see `plan.code_fits` for what the kernels take.
        surrogate_slope: As in `reference_rates`.
        pool_gradient: As in `reference_rates`.

    Returns:
        float32 tensor of shape (batch, n_features).
    """
    plan = make_plan(*pixels.shape[1:], n_steps, n_phases, surrogate_slope, pool_gradient == "largest")
    parameters = [module.weight for module in (*convs, *norms)] + [norm.bias for norm in norms]
    parameters += [linear.weight, linear.bias]
    coupled = torch.is_grad_enabled() or any(norm.training for norm in norms)
    parts = [pixels] if coupled else pixels.split(N_AT_ONCE)
    rates = [_FusedRates.apply(part, plan, convs, norms, linear, *parameters) for part in parts]
    return rates[0] if len(rates) == 1 else torch.cat(rates)
