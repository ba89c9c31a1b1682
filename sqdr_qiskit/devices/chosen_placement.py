"""Tiles on the lines that a layout file names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from sqdr_qiskit.devices.chains import LineNeeds, line_cost
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.layout_file import refuse
from sqdr_qiskit.devices.placement import Placement, Placements
from sqdr_qiskit.specs.layout import LayoutSpec

__all__ = ["place_as_chosen"]


def place_as_chosen(chip: Chip, tiles: Sequence[LineNeeds], choice: LayoutSpec) -> Placements:
    """Put the tiles where the file says, in its order: the first round has the first tiles.

    Raises:
        SpecError: The file has lines for more or fewer tiles, of another length, or such as the chip does not
            have or can no longer use.
    """
    counts = [len(copies[0]) for copies in choice.lines]
    if sum(counts) != len(tiles):
        refuse(choice, "lines", f"must have a line for each of {len(tiles)} tiles, but has {sum(counts)}")
    found: Placements = []
    for number, (copies, count) in enumerate(zip(choice.lines, counts, strict=True), 1):
        members = list(range(sum(counts[: number - 1]), sum(counts[: number - 1]) + count))
        costs = []
        for copy in copies:
            for member, line in zip(members, copy, strict=True):
                _check_line(chip, tiles[member], line, choice, f"tile {member + 1} in round {number}")
            costs.append(
                tuple(line_cost(chip, tiles[i], line) for i, line in zip(members, copy, strict=True))
            )
        for copy, of in zip(copies, costs, strict=True):
            for line, cost in zip(copy, of, strict=True):
                if math.isinf(cost):
                    refuse(choice, "lines", f"names {list(line)}, which {chip.name} cannot read out any more")
        found.append((members, Placement(copies, tuple(costs))))
    return found


def _check_line(chip: Chip, needs: LineNeeds, line: tuple[int, ...], choice: LayoutSpec, where: str) -> None:
    if len(line) != needs.length:
        refuse(choice, "lines", f"must have {needs.length} qubits for {where}, but has {list(line)}")
    for qubit in line:
        if qubit >= chip.n_qubits:
            refuse(choice, "lines", f"names qubit {qubit}, but {chip.name} has {chip.n_qubits}")
    for pair in itertools.pairwise(line):
        if frozenset(pair) not in chip.edges:
            refuse(
                choice,
                "lines",
                f"puts {where} on {list(line)}, but {chip.name} has no working two-qubit gate on "
                f"{pair[0]} and {pair[1]}",
            )
