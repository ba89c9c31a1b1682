"""Lines of coupled qubits on a device, and what a tile would suffer on each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip

__all__ = ["LineNeeds", "line_cost", "lines_of", "needs_of"]


@dataclass(frozen=True)
class LineNeeds:
    """What a tile asks of the places of a line.

    Attributes:
        wires: The tile's wires in the order in which they stand on the line.
        entangles: For each pair of neighbours the number of two-qubit gates on it.
        turns: For each place the number of one-qubit turns (of two pulses each).
        measured: For each place whether it is measured.
    """

    wires: tuple[int, ...]
    entangles: tuple[int, ...]
    turns: tuple[int, ...]
    measured: tuple[bool, ...]

    @property
    def length(self) -> int:
        """Number of qubits."""
        return len(self.wires)

    @property
    def shape(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]:
        """What tiles that may change places have in common."""
        return self.entangles, self.turns, self.measured


def needs_of(circuit: QuantumCircuit, wires: Iterable[int], measured: Iterable[int]) -> LineNeeds | None:
    """The needs of the tile on `wires` of a circuit of CZs and one-qubit gates; None if it is no line.

    Args:
        circuit: The tiles, side by side.
        wires: Those of one tile.
        measured: Wires that are measured.
    """
    inside = set(wires)
    pairs: dict[frozenset[int], int] = {}
    turns = dict.fromkeys(inside, 0)
    for item in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if not inside.issuperset(where):
            continue
        if len(where) == 2:
            pairs[frozenset(where)] = pairs.get(frozenset(where), 0) + 1
        else:
            turns[where[0]] += 1
    order = _path(inside, pairs)
    if order is None:
        return None
    read = set(measured)
    return LineNeeds(
        wires=tuple(order),
        entangles=tuple(pairs[frozenset(pair)] for pair in itertools.pairwise(order)),
        turns=tuple(turns[wire] for wire in order),
        measured=tuple(wire in read for wire in order),
    )


def _path(vertices: set[int], edges: Mapping[frozenset[int], int]) -> list[int] | None:
    """The vertices in the order of the path that the edges form, the end of smaller number first."""
    beside: dict[int, list[int]] = {vertex: [] for vertex in vertices}
    for edge in edges:
        first, second = edge
        beside[first].append(second)
        beside[second].append(first)
    ends = sorted(vertex for vertex, others in beside.items() if len(others) <= 1)
    if not ends or any(len(others) > 2 for others in beside.values()):
        return None
    order = [ends[0]]
    while following := [vertex for vertex in beside[order[-1]] if vertex not in order[-2:-1]]:
        order.append(following[0])
    return order if len(order) == len(vertices) else None


def lines_of(chip: Chip, length: int) -> list[tuple[int, ...]]:
    """Every line of `length` coupled qubits, each once, its smaller end first."""
    if length == 1:
        return [(qubit,) for qubit in range(chip.n_qubits)]
    found: list[tuple[int, ...]] = []
    neighbours = chip.neighbours

    def extend(line: list[int]) -> None:
        if len(line) == length:
            if line[0] < line[-1]:
                found.append(tuple(line))
            return
        for qubit in neighbours[line[-1]]:
            if qubit not in line:
                extend([*line, qubit])

    for qubit in neighbours:
        extend([qubit])
    return found


def line_cost(chip: Chip, needs: LineNeeds, line: tuple[int, ...]) -> float:
    """-log of the product of all fidelities of a tile on a line; infinite where it cannot be measured.

    Args:
        chip: The device.
        needs: What the tile does.
        line: The device's qubits that the tile's places fall on, in this direction.
    """
    cost = 0.0
    for place, qubit in enumerate(line):
        if needs.measured[place]:
            if not chip.can_measure(qubit):
                return math.inf
            cost -= math.log1p(-chip.readout_error(qubit))
        cost -= 2 * needs.turns[place] * _log(chip.turn_error(qubit))
    for pair, count in zip(itertools.pairwise(line), needs.entangles, strict=True):
        cost -= count * _log(chip.edges[frozenset(pair)].error)
    return cost


def _log(error: float) -> float:
    return math.log1p(-error) if error < 1.0 else -math.inf
