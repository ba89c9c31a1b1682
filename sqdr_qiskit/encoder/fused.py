"""The whole encoder as one autograd function, on our kernels.

Forward: pack the pixels, then fire layer by layer; in between, batch norm's statistics come from correlations
of the spikes over the whole batch. Backward: the same way back, with everything but the packed spikes
computed again. What is kept from forward to backward is a few kB for each image.

Between two sums over the batch every thread takes groups of 16 samples, one after the other. Such sums go to
one slot for each group and are added up in the order of the groups: no result depends on the number of
threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sqdr_qiskit.encoder.batch_norm import N_TERMS, FoldedNorm, edge_sums, tap_moments
from sqdr_qiskit.encoder.convolution import Layer, LayerInput, LayerSpace, n_columns, n_pooled, n_rows
from sqdr_qiskit.encoder.ends import (
    LANES,
    PixelTables,
    Readout,
    ReadoutSpace,
    ReadoutSums,
    back_through_readout,
    firing_rates,
    pack_pixels,
    pixel_tables,
)
from sqdr_qiskit.encoder.spiking_layer import LayerSums, PooledGradient, back_through_layer, fire_layer
from sqdr_qiskit.parallel import n_threads, run_chunks
from sqdr_qiskit.simd import vectors

__all__ = ["PoolGradient", "code_fits", "fused_rates"]

Floats = npt.NDArray[np.float32]
Call = tuple[Any, ...]
PoolGradient = Literal["first", "largest"]  # where a pooling window's gradient goes

N_AT_ONCE = 2048  # images; more are taken in parts where nothing couples them


def code_fits(n_steps: int, n_phases: int) -> bool:
    """Whether the kernels take a code: at most 16 steps, and at most 3 for each phase."""
    return n_steps <= 16 and n_steps <= 3 * n_phases


# ---- prepared once for a size of image ---------------------------------------------------------------------


@dataclass(frozen=True)
class _WorkSpace:
    """One thread's work space; `pooled` holds one group's gradient of the first layer's pooled spikes."""

    layers: tuple[LayerSpace, ...]
    readout: ReadoutSpace
    energies: npt.NDArray[np.uint32]
    pooled: PooledGradient


@dataclass(frozen=True)
class _Plan:
    """Layers, tables of the code, and memory used again, for one size of image."""

    layers: tuple[Layer, ...]
    planes: tuple[Floats, ...]
    n_phases: int
    tables: PixelTables
    _free: list[_WorkSpace] = field(default_factory=list, repr=False)
    _large: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict, repr=False)

    def run(self, n_groups: int, *calls: Call) -> None:
        """Run kernels over all groups, on all threads; a thread runs one call after the other on its groups.

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

        # Four chunks for each thread, so that one that is held up does not hold up all.
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

    def _make_space(self) -> _WorkSpace:
        first, last = self.layers[0], self.layers[-1]
        steps = first.n_steps

        def zeros(count: int) -> Floats:
            array = vectors(count)
            array[:] = 0.0
            return array

        # One thread works on one layer at a time: what lives no longer than a window is shared by all of
        # them.
        membranes = vectors(8 * steps)
        shared = {
            "currents": vectors(8 * steps),
            "membranes": membranes,
            "spikes": vectors(8, np.uint32),
            "gradient": vectors(8 * steps),
            "taps": zeros(9 * last.n_out * last.n_in),  # the last layer is the widest
            "sums": zeros(last.n_out),
        }
        layers = tuple(
            LayerSpace(
                inputs=zeros(layer.n_in * layer.n_planes * n_rows(layer) * n_columns(layer)),
                outputs=zeros(
                    0 if layer is first else layer.n_out * steps * n_rows(layer) * n_columns(layer)
                ),
                **shared,
            )
            for layer in self.layers
        )
        return _WorkSpace(
            layers=layers,
            readout=ReadoutSpace(
                means=vectors(last.n_out * steps), gradient=vectors(last.n_out * steps), membranes=membranes
            ),
            energies=vectors(first.n_in * first.height * first.width, np.uint32),
            pooled=PooledGradient(vectors(n_pooled(first)), 0),
        )


@lru_cache(maxsize=4)
def _make_plan(
    channels: int, height: int, width: int, n_steps: int, n_phases: int, slope: float, to_largest: bool
) -> _Plan:
    """The plan for images of one size, one code and one way back, see `Layer`."""
    layers, planes = [], []
    n_planes = min(n_phases, n_steps)
    # The first layer sees weighted bits of pixels, all others spikes of weight 1, a plane for each step.
    values = np.array([2.0 ** -(1 + phase) for phase in range(n_planes)], np.float32)
    for _ in range(3):
        layers.append(Layer(channels, 2 * channels, height, width, n_planes, n_steps, slope, to_largest))
        planes.append(values)
        channels, height, width = 2 * channels, height // 2, width // 2
        n_planes, values = n_steps, np.ones(n_steps, np.float32)
    return _Plan(tuple(layers), tuple(planes), n_phases, pixel_tables(n_steps, n_phases))


# ---- forward and back --------------------------------------------------------------------------------------


@dataclass
class _Run:
    """What one forward pass leaves for its backward pass."""

    plan: _Plan
    n_images: int
    words: list[npt.NDArray[np.uint32]]
    norms: list[FoldedNorm]
    sources: list[LayerInput]
    readout: Readout

    @property
    def n_groups(self) -> int:
        return -(-self.n_images // LANES)

    def __del__(self) -> None:
        for i, array in enumerate(self.words):
            # The spikes' memory goes back when autograd lets go of the graph, whether or not it ran backward.
            self.plan.give(f"words {i}", array)


def _to_numpy(tensor: torch.Tensor | nn.Module) -> npt.NDArray[Any]:
    return np.ascontiguousarray(cast("torch.Tensor", tensor).detach().numpy())


def _forward(
    images: npt.NDArray[np.uint8],
    convs: Sequence[nn.Module],
    norms: Sequence[nn.Module],
    linear: nn.Module,
    plan: _Plan,
) -> tuple[Floats, _Run]:
    n_images = len(images)
    # Samples go in groups as wide as a vector.
    n_groups = -(-n_images // LANES)
    first, last = plan.layers[0], plan.layers[-1]
    sizes = [layer.n_in * layer.height * layer.width for layer in plan.layers]
    sizes.append(last.n_out * last.pooled[0] * last.pooled[1])
    words = [plan.take(f"words {i}", n_groups * size, np.uint32) for i, size in enumerate(sizes)]
    valid = vectors(n_groups, np.uint32)

    def slots(needed: bool, *shape: int) -> npt.NDArray[np.int64]:
        return np.zeros((n_groups if needed else 0, *shape), np.int64)

    # The readout has no batch norm: nothing after the last layer asks for correlations.
    training = [bool(norm.training) for norm in norms] + [False]
    sums = slots(training[0], first.n_in, 9)
    terms = slots(training[0], first.n_in, first.n_in, N_TERMS)
    pack = (pack_pixels, images, plan.tables, words[0], valid, sums, terms, lambda space: space.energies)
    plan.run(n_groups, pack)
    folded, sources = [], []
    for i, layer in enumerate(plan.layers):
        inputs, moments = None, None
        if training[i]:
            moments = tap_moments(terms.sum(axis=0))
            if i == 0:
                # Whole numbers up to here: no order of adding can round.
                inputs = edge_sums(sums.sum(axis=0)) / 2.0**plan.n_phases
                moments /= 4.0**plan.n_phases
            else:
                inputs = np.diagonal(moments).copy()  # a bit is its own square
        n_values = n_images * layer.n_steps * layer.height * layer.width
        norm = FoldedNorm(convs[i], norms[i], inputs, moments, n_values)
        source = LayerInput(words[i], plan.planes[i], norm.weights, norm.biases, valid)
        folded.append(norm)
        sources.append(source)
        terms = slots(training[i + 1], layer.n_out, layer.n_out, N_TERMS)
        fire = (fire_layer, layer, source, words[i + 1], terms, lambda space, i=i: space.layers[i])
        # The last layer waits for the readout, and both run in one pass over its groups.
        if layer is not last:
            plan.run(n_groups, fire)
    readout = Readout(_to_numpy(linear.weight), _to_numpy(linear.bias))
    n_features = len(readout.biases)
    rates = vectors(n_groups * n_features)
    read = (firing_rates, last, words[-1], readout, rates, lambda space: space.readout)
    plan.run(n_groups, fire, read)
    by_sample = rates.reshape(n_groups, n_features, LANES).transpose(0, 2, 1).reshape(-1, n_features)
    return np.ascontiguousarray(by_sample[:n_images]), _Run(plan, n_images, words, folded, sources, readout)


def _backward(run: _Run, gradient: Floats) -> list[npt.NDArray[np.float64]]:
    """Gradients of all parameters, in the order that `fused_rates` lists them."""
    plan, n_groups, layers = run.plan, run.n_groups, run.plan.layers
    n_features = len(run.readout.biases)
    # The lanes that fill up the last group have no gradient.
    full = np.zeros((n_groups * LANES, n_features), np.float32)
    full[: run.n_images] = gradient
    received = np.ascontiguousarray(full.reshape(n_groups, LANES, n_features).transpose(0, 2, 1)).reshape(-1)
    readout_sums = ReadoutSums(
        np.empty((n_groups, *run.readout.weights.shape)), np.empty((n_groups, n_features))
    )
    sums = [
        LayerSums(np.zeros(n_groups * layer.n_out * layer.n_in * 9), np.zeros(n_groups * layer.n_out))
        for layer in layers
    ]
    # The first layer's are used at once, and need no place of their own for every group.
    sent = {i: plan.take(f"sent {i}", n_groups * n_pooled(layers[i])) for i in (1, 2)}
    pooled = {i: PooledGradient(array, n_pooled(layers[i])) for i, array in sent.items()}
    head = (
        back_through_readout, layers[2], run.words[-1], run.readout, received, readout_sums,
        run.sources[2], pooled[2], sums[2], lambda space: space.readout, lambda space: space.layers[2],
    )  # fmt: skip
    plan.run(n_groups, head)
    found = [run.norms[2].backward(n_groups, sums[2].taps, sums[2].currents)]
    for i in (1, 0):
        step = (
            back_through_layer, layers[i + 1], run.sources[i + 1], pooled[i + 1], found[0].norm,
            lambda space, i=i: space.layers[i + 1],
            layers[i], run.sources[i], pooled[i] if i else lambda space: space.pooled, sums[i],
            lambda space, i=i: space.layers[i],
        )  # fmt: skip
        plan.run(n_groups, step)
        found.insert(0, run.norms[i].backward(n_groups, sums[i].taps, sums[i].currents))
    for i, array in sent.items():
        plan.give(f"sent {i}", array)
    return [
        *(back.weight for back in found),
        *(back.norm_weight for back in found),
        *(back.norm_bias for back in found),
        readout_sums.weights.sum(axis=0),
        readout_sums.biases.sum(axis=0),
    ]


class _FusedRates(torch.autograd.Function):
    """Rates of a batch; parameters are inputs so that autograd asks for their gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        images: torch.Tensor,
        plan: _Plan,
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
    """Firing rates of the encoder, as `SpikingEncoder.spikes` has them, on our kernels.

    Args:
        pixels: Contiguous uint8 tensor of shape (batch, C, H, W) on the CPU, H and W at least 8.
        convs: Three convolutions C -> 2C -> 4C -> 8C, 3 x 3, padding 1, no bias, float32.
        norms: Their batch norms; one in training mode gets its running statistics updated.
        linear: Maps the last convolution's channels to the features.
        n_steps: T.
        n_phases: K; see `code_fits` for what the kernels take.
        surrogate_slope: See `SpikingEncoder`, as `pool_gradient`.
        pool_gradient: See there.

    Returns:
        float32 tensor of shape (batch, n_features).
    """
    plan = _make_plan(*pixels.shape[1:], n_steps, n_phases, surrogate_slope, pool_gradient == "largest")
    parameters = [module.weight for module in (*convs, *norms)] + [norm.bias for norm in norms]
    parameters += [linear.weight, linear.bias]
    # Batch statistics couple all images, and a backward pass wants one graph; else parts bound the memory.
    coupled = torch.is_grad_enabled() or any(norm.training for norm in norms)
    parts = [pixels] if coupled else pixels.split(N_AT_ONCE)
    rates = [_FusedRates.apply(part, plan, convs, norms, linear, *parameters) for part in parts]
    return rates[0] if len(rates) == 1 else torch.cat(rates)
