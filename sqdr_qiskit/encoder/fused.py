"""The whole encoder as one autograd function, on our kernels.

Forward: pack the pixels, then fire layer by layer; in between, batch norm's statistics come from correlations
of the spikes over the whole batch. Backward: the same way back, with everything but the packed spikes
computed again. What is kept from forward to backward is a few kB for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import nn

from sqdr_qiskit.encoder.batch_norm import N_TERMS, Fold, correlate, edge_sums, tap_moments
from sqdr_qiskit.encoder.convolution import Layer, n_columns, n_received, n_rows
from sqdr_qiskit.encoder.readout import count_spikes, head_rates, send_head_back
from sqdr_qiskit.encoder.reference import PoolGradient
from sqdr_qiskit.encoder.spiking_layer import backfire, fire, send_back
from sqdr_qiskit.parallel import n_threads, run_chunks
from sqdr_qiskit.simd import LANES, vectors

__all__ = [
    "Call",
    "code_fits",
    "fire_pass",
    "fused_rates",
    "head_back_pass",
    "head_pass",
    "make_plan",
    "pack_pass",
    "Plan",
    "Scratch",
    "send_back_pass",
    "WorkSpace",
]


Floats = npt.NDArray[np.float32]
Call = tuple[Any, ...]


@dataclass(frozen=True)
class WorkSpace:
    """One thread's work space: shared by all layers, and each layer's own, which keep a border of zeros.

    The first layer has no `neurons`: nothing goes back from it.
    """

    scratch: Scratch
    inputs: tuple[Floats, ...]
    neurons: tuple[Floats, ...]


@dataclass(frozen=True)
class Plan:
    """Layers and tables for one size of image.

    `bits`, `energies`, `levels`: see `passes.pack_pass`; in units of 2^-K (levels) and 4^-K (energies).
    """

    layers: tuple[Layer, ...]
    planes: tuple[Floats, ...]
    n_phases: int
    bits: npt.NDArray[np.uint32]
    energies: npt.NDArray[np.uint32]
    levels: npt.NDArray[np.int64]
    _free: list[WorkSpace] = field(default_factory=list, repr=False)
    _large: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict, repr=False)

    def run(self, n_groups: int, *calls: Call) -> None:
        """Run passes over all groups, on all threads; a thread runs one call after the other on its groups.

        A call is a kernel and its arguments after `start` and `stop`. A function among those is called with
        the thread's work space, and its result passed on.
        """

        def part(start: int, stop: int) -> None:
            # list.pop and list.append are atomic: a work space has one thread at a time.
            try:
                space = self._free.pop()
            except IndexError:
                space = self._make_space()
            for kernel, *args in calls:
                kernel(start, stop, *(arg(space) if callable(arg) else arg for arg in args))
            self._free.append(space)

        run_chunks(part, n_groups, chunk=-(-n_groups // (4 * n_threads())))

    def take(self, name: str, n_vectors: int, dtype: type = np.float32) -> npt.NDArray[Any]:
        """A large array, at least so long; a used one if possible, as fresh pages cost more than filling."""
        try:
            array = self._large.setdefault(name, []).pop()
        except IndexError:
            array = vectors(0, dtype)
        return array if len(array) >= n_vectors * LANES else vectors(n_vectors, dtype)

    def give(self, name: str, array: npt.NDArray[Any]) -> None:
        """Hand an array back for the next `take`; few are held."""
        held = self._large.setdefault(name, [])
        if len(held) < 2:
            held.append(array)

    def _make_space(self) -> WorkSpace:
        first, last = self.layers[0], self.layers[-1]
        steps = first.n_steps

        def zeros(count: int) -> Floats:
            array = vectors(count)
            array[:] = 0.0
            return array

        scratch = Scratch(
            energies=vectors(first.n_in * first.height * first.width, np.uint32),
            currents=vectors(8 * steps),
            membranes=vectors(8 * steps),
            spikes=vectors(8, np.uint32),
            gradient=vectors(8 * steps),
            received=vectors(n_received(first)),
            taps=zeros(9 * last.n_out * last.n_in),
            sums=zeros(last.n_out),
            means=vectors(last.n_out * steps),
            inner=vectors(last.n_out * steps),
        )
        return WorkSpace(
            scratch,
            tuple(
                zeros(layer.n_in * layer.n_planes * n_rows(layer) * n_columns(layer)) for layer in self.layers
            ),
            tuple(zeros(layer.n_out * steps * n_rows(layer) * n_columns(layer)) for layer in self.layers[1:]),
        )


def code_fits(n_steps: int, n_phases: int) -> bool:
    """Whether the kernels take a code: at most 16 steps, and at most 3 for each phase."""
    return n_steps <= 16 and n_steps <= 3 * n_phases


@lru_cache(maxsize=4)
def make_plan(
    channels: int, height: int, width: int, n_steps: int, n_phases: int, slope: float, to_largest: bool
) -> Plan:
    """The plan for images of one size, one code and one way back, see `Layer`."""
    layers, planes = [], []
    n_planes = min(n_phases, n_steps)
    values = np.array([2.0 ** -(1 + phase) for phase in range(n_planes)], np.float32)
    for _ in range(3):
        layers.append(Layer(channels, 2 * channels, height, width, n_planes, n_steps, slope, to_largest))
        planes.append(values)
        channels, height, width = 2 * channels, height // 2, width // 2
        n_planes, values = n_steps, np.ones(n_steps, np.float32)
    pixels = np.arange(256)
    phases = np.arange(min(n_phases, n_steps))
    sent = pixels[:, None] >> (7 - phases) & 1
    times = np.bincount(np.arange(n_steps) % n_phases)
    return Plan(
        layers=tuple(layers),
        planes=tuple(planes),
        n_phases=n_phases,
        bits=(sent << phases).sum(axis=1).astype(np.uint32),
        # `times` is at most 3: two bits, which fill the places of 4^k without meeting the next phase's.
        energies=(sent * times << 2 * (n_phases - 1 - phases)).sum(axis=1).astype(np.uint32),
        levels=(sent * times << n_phases - 1 - phases).sum(axis=1).astype(np.int64),
    )


# mypy: disable-error-code="no-untyped-def"


class Scratch(NamedTuple):
    """Work space of one thread, in vectors; which kernel uses what is said there."""

    energies: npt.NDArray[np.uint32]
    currents: npt.NDArray[np.float32]
    membranes: npt.NDArray[np.float32]
    spikes: npt.NDArray[np.uint32]
    gradient: npt.NDArray[np.float32]
    received: npt.NDArray[np.float32]
    taps: npt.NDArray[np.float32]
    sums: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32]
    inner: npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def pack_pass(
    start, stop, layer, images, bits, energies, levels, words, valid, sums, terms, with_sums, scratch
):
    """Pixels to packed spikes, 16 samples side by side, and the sums that their statistics need.

    Args:
        start: First group.
        stop: Group after the last.
        layer: Sizes of the first layer.
        images: uint8 array of shape (batch, C, H, W).
        bits: uint32 array of shape (256,): a pixel's spikes, bit k for phase k.
        energies: uint32 array of shape (256,): so that common bits of two pixels spell the sum of weight^2.
        levels: int64 array of shape (256,): a pixel's sum of weights.
        words: uint32 vectors to write, [group][channel][row][column].
        valid: uint32 vectors to write, [group].
        sums: int64 array of shape (groups, C, 9) to write, of levels: all, upper, lower row, left, right
            column, corners.
        terms: int64 array of shape (groups, C, C, N_TERMS) to write: see `correlate`.
        with_sums: Whether to write `sums` and `terms`.
        scratch: Work space.
    """
    height, width = layer.height, layer.width
    area = height * width
    for group in range(start, stop):
        n = min(LANES, len(images) - group * LANES)
        for lane in range(LANES):
            valid[group * LANES + lane] = 0xFFFFFFFF if lane < n else 0
        for channel in range(layer.n_in):
            for y in range(height):
                for x in range(width):
                    place = (channel * height + y) * width + x
                    to = (group * layer.n_in * area + place) * LANES
                    level = 0
                    for lane in range(LANES):
                        pixel = images[group * LANES + lane, channel, y, x] if lane < n else np.uint8(0)
                        words[to + lane] = bits[pixel]
                        scratch.energies[place * LANES + lane] = energies[pixel]
                        level += levels[pixel]
                    if with_sums:
                        upper, lower, left, right = y == 0, y == height - 1, x == 0, x == width - 1
                        sums[group, channel, 0] += level
                        if upper:
                            sums[group, channel, 1] += level
                        if lower:
                            sums[group, channel, 2] += level
                        if left:
                            sums[group, channel, 3] += level
                        if right:
                            sums[group, channel, 4] += level
                        if (upper or lower) and (left or right):
                            sums[group, channel, 5 + 2 * lower + right] += level
        if with_sums:
            correlate(scratch.energies, 0, layer.n_in, height, width, False, terms[group])


@njit(nogil=True, cache=True)
def fire_pass(
    start, stop, layer, words, planes, weights, biases, valid, pooled, terms, with_terms, inputs, scratch
):  # fmt: skip
    """`fire` for groups `start` to `stop`, and the correlations that the next layer's statistics need."""
    for group in range(start, stop):
        fire(
            layer, group, words, planes, weights, biases, valid, pooled,
            inputs, scratch.currents, scratch.membranes, scratch.spikes,
        )  # fmt: skip
        if with_terms:
            high, wide = layer.height // 2, layer.width // 2
            correlate(pooled, group * layer.n_out * high * wide, layer.n_out, high, wide, True, terms[group])


@njit(nogil=True, cache=True)
def head_pass(start, stop, n_channels, area, n_steps, words, weights, biases, rates, scratch):
    """`head_rates` for groups `start` to `stop`."""
    for group in range(start, stop):
        count_spikes(words, group, n_channels, area, n_steps, scratch.means)
        head_rates(group, n_channels, n_steps, scratch.means, weights, biases, rates, scratch.membranes)


@njit(nogil=True, cache=True)
def head_back_pass(
    start, stop, head_weights, head_biases, head_received, weight_sums, bias_sums, pooled,
    layer, words, planes, weights, biases, valid, received, tap_sums, current_sums, inputs, scratch,
):  # fmt: skip
    """Back from the rates to the currents of the last layer: `send_head_back`, then `backfire`.

    `received` is written, [group] and as `backfire` has it: the next pass needs it again.
    """
    area = (layer.height // 2) * (layer.width // 2)
    for group in range(start, stop):
        at = group * n_received(layer)
        count_spikes(pooled, group, layer.n_out, area, layer.n_steps, scratch.means)
        send_head_back(
            group, layer, scratch.means, head_weights, head_biases, head_received, weight_sums, bias_sums,
            received, at, scratch.membranes, scratch.inner,
        )  # fmt: skip
        backfire(
            layer, group, words, planes, weights, biases, valid, received, at, tap_sums, current_sums,
            inputs, scratch.currents, scratch.membranes, scratch.spikes, scratch.gradient,
            scratch.taps, scratch.sums,
        )  # fmt: skip


@njit(nogil=True, cache=True)
def send_back_pass(
    start, stop, upper, upper_words, upper_planes, upper_weights, upper_biases, upper_received,
    gains, slopes, levels, turned, upper_inputs, neurons,
    layer, words, planes, weights, biases, valid, received, kept, tap_sums, current_sums, inputs, scratch,
):  # fmt: skip
    """Back from the currents of a layer to those of the layer before: `send_back`, then `backfire`.

    `received` is written; `kept` says that it has a place for every group, for the next pass. One group after
    the other, so that what the first kernel writes is in the cache for the second.
    """
    for group in range(start, stop):
        at = group * n_received(layer) if kept else 0
        send_back(
            upper, group, upper_words, upper_planes, upper_weights, upper_biases, valid,
            upper_received, group * n_received(upper), gains, slopes, levels, turned, received, at,
            upper_inputs, neurons, scratch.currents, scratch.membranes, scratch.spikes, scratch.gradient,
        )  # fmt: skip
        backfire(
            layer, group, words, planes, weights, biases, valid, received, at, tap_sums, current_sums,
            inputs, scratch.currents, scratch.membranes, scratch.spikes, scratch.gradient,
            scratch.taps, scratch.sums,
        )  # fmt: skip


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
