"""What the fused encoder prepares once for a size of image: layers, tables of the code, work space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sqdr_qiskit.encoder.lanes import LANES, vectors
from sqdr_qiskit.encoder.layers import Layer
from sqdr_qiskit.encoder.passes import Scratch
from sqdr_qiskit.parallel import n_threads, run_chunks

__all__ = ["Plan", "WorkSpace", "code_fits", "make_plan"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WorkSpace:
    """One thread's work space: shared by all layers, and each layer's own, which keep a border of zeros."""

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
    _large: list[Floats] = field(default_factory=list, repr=False)

    def run(self, kernel: Callable[..., None], n_groups: int, *args: Any) -> None:
        """Call `kernel(start, stop, *args)` over all groups, on all threads.

        Where an argument is a function, it is called with the thread's work space and its result is passed on.
        """

        def part(start: int, stop: int) -> None:
            # list.pop and list.append are atomic: a work space has one thread at a time.
            space = self._free.pop() if self._free else self._make_space()
            try:
                kernel(start, stop, *(arg(space) if callable(arg) else arg for arg in args))
            finally:
                self._free.append(space)

        run_chunks(part, n_groups, chunk=-(-n_groups // (4 * n_threads())))

    def take(self, n_vectors: int) -> Floats:
        """A large array, used before if there is one: fresh pages cost more than what is written to them."""
        try:
            array = self._large.pop()
        except IndexError:
            array = vectors(0)
        return array if len(array) >= n_vectors * LANES else vectors(n_vectors)

    def give(self, array: Floats) -> None:
        """Hand an array back for the next `take`."""
        if len(self._large) < 2:
            self._large.append(array)

    def _make_space(self) -> WorkSpace:
        first, last = self.layers[0], self.layers[-1]
        steps = first.n_steps
        received = max(layer.n_out * layer.pooled[0] * layer.pooled[1] for layer in self.layers) * steps

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
            taps=zeros(9 * last.n_out * last.n_in),
            sums=zeros(last.n_out),
            received=vectors(received),
            means=vectors(last.n_out * steps),
            inner=vectors(last.n_out * steps),
        )
        return WorkSpace(
            scratch,
            tuple(zeros(layer.n_spread) for layer in self.layers),
            tuple(zeros(layer._replace(n_in=layer.n_out).n_spread) for layer in self.layers),
        )


def code_fits(n_steps: int, n_phases: int) -> bool:
    """Whether the kernels take a code: at most 16 steps, which pack into a word, and at most 3 for each phase."""
    return n_steps <= 16 and n_steps <= 3 * n_phases


@lru_cache(maxsize=4)
def make_plan(channels: int, height: int, width: int, n_steps: int, n_phases: int) -> Plan:
    """The plan for images of one size and one code."""
    layers, planes = [], []
    n_planes = min(n_phases, n_steps)
    values = np.array([2.0 ** -(1 + phase) for phase in range(n_planes)], np.float32)
    for _ in range(3):
        layers.append(Layer(channels, 2 * channels, height, width, n_planes, n_steps))
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
