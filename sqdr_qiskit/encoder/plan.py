"""What the fused encoder prepares once for a size of image: layers, tables of the code, work space."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sqdr_qiskit.encoder.layers import Layer, n_columns, n_received, n_rows
from sqdr_qiskit.encoder.passes import Scratch
from sqdr_qiskit.parallel import n_threads, run_chunks
from sqdr_qiskit.simd import LANES, vectors

__all__ = ["Call", "Plan", "WorkSpace", "code_fits", "make_plan"]

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
