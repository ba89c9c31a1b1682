"""Which tile stands on which line: disjoint lines of least total cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.optimize
import scipy.sparse

from sqdr_qiskit.devices.chains import LineNeeds, line_cost, lines_of
from sqdr_qiskit.devices.chip import Chip

__all__ = ["MOST_COST", "Placement", "Placements", "place", "place_copies", "place_rounds"]

MOST_COST = 1.5  # more tiles run at once as long as their mean cost stays below this multiple of fewer tiles'
_NODES = 200  # of branch and bound: a limit in nodes, not in time, so that the answer is always the same


@dataclass(frozen=True)
class Placement:
    """Tiles on lines.

    Attributes:
        lines: `lines[c][t]` are the device's qubits for copy c of tile t, in the order of its
            `LineNeeds.wires`.
        costs: -log of the estimated fidelity of each, in the same order.
    """

    lines: tuple[tuple[tuple[int, ...], ...], ...]
    costs: tuple[tuple[float, ...], ...]

    @property
    def n_copies(self) -> int:
        """Samples side by side."""
        return len(self.lines)

    @property
    def mean_cost(self) -> float:
        """Mean of -log(estimated fidelity) over all tiles."""
        return float(np.mean(self.costs))


Placements: TypeAlias = list[tuple[list[int], Placement]]
"""For each round the numbers of its tiles and their placement."""


def place(chip: Chip, tiles: Sequence[LineNeeds], *, n_copies: int = 1, spacing: int = 0) -> Placement | None:
    """Put `n_copies` of every tile on disjoint lines such that the product of all fidelities is largest.

    Args:
        chip: The device.
        tiles: The tiles.
        n_copies: Samples side by side.
        spacing: 0, or 1 to leave at least one unused qubit between lines, against crosstalk.

    Returns:
        The placement, or None if they do not fit. Where the search ends early, to a per cent of the best one.
    """
    kinds: dict[tuple[object, ...], list[int]] = {}
    for number, needs in enumerate(tiles):
        kinds.setdefault(needs.shape, []).append(number)
    candidates: list[tuple[int, tuple[int, ...], float]] = []  # kind, line, cost
    for kind, members in enumerate(kinds.values()):
        needs = tiles[members[0]]
        for line in lines_of(chip, needs.length):
            cost, way = min((line_cost(chip, needs, way), way) for way in (line, line[::-1]))
            if math.isfinite(cost):
                candidates.append((kind, way, cost))
    wanted = [len(members) * n_copies for members in kinds.values()]
    chosen = _choose(chip, candidates, wanted, spacing)
    if chosen is None:
        return None
    lines: list[list[tuple[int, ...]]] = [[()] * len(tiles) for _ in range(n_copies)]
    costs = [[0.0] * len(tiles) for _ in range(n_copies)]
    for kind, members in enumerate(kinds.values()):
        own = sorted((cost, line) for of, line, cost in (candidates[i] for i in chosen) if of == kind)
        for rank, (cost, line) in enumerate(own):
            copy, member = divmod(rank, len(members))
            lines[copy][members[member]], costs[copy][members[member]] = line, cost
    return Placement(tuple(map(tuple, lines)), tuple(map(tuple, costs)))


def place_copies(
    chip: Chip, tiles: Sequence[LineNeeds], *, n_copies: int | None = None, spacing: int = 0
) -> Placement | None:
    """Place tiles for as many samples side by side as good lines allow, or for `n_copies`.

    More samples in one execution cost less time on the device but stand on worse qubits: copies are added
    while the mean cost of a line stays below `MOST_COST` times that of one copy.
    """
    if n_copies is not None:
        return place(chip, tiles, n_copies=n_copies, spacing=spacing)
    best = found = place(chip, tiles, spacing=spacing)
    while found is not None and best is not None:
        n_qubits = (found.n_copies + 1) * sum(needs.length for needs in tiles)
        more = None
        if n_qubits <= chip.n_qubits:
            more = place(chip, tiles, n_copies=found.n_copies + 1, spacing=spacing)
        if more is None or more.mean_cost > MOST_COST * best.mean_cost:
            return found
        found = more
    return found


def place_rounds(
    chip: Chip, tiles: Sequence[LineNeeds], *, n_copies: int | None = None, spacing: int = 0
) -> Placements | None:
    """Place tiles in as few rounds as good lines allow.

    One more round is taken where the tiles do not fit, or where fewer at once stand so much better that their
    mean cost falls below 1 / `MOST_COST` of what it was.

    Returns:
        For each round the numbers of its tiles and their placement; None if a tile fits nowhere.
    """
    chosen: list[list[int]] | None = None
    cost = 0.0
    for n_rounds in range(1, len(tiles) + 1):
        parts = [part.tolist() for part in np.array_split(np.arange(len(tiles)), n_rounds)]
        if chosen is not None and len(parts[0]) == len(chosen[0]):
            continue
        first = place(chip, [tiles[i] for i in parts[0]], n_copies=n_copies or 1, spacing=spacing)
        if first is None:
            continue
        if chosen is not None and first.mean_cost * MOST_COST > cost:
            break
        chosen, cost = parts, first.mean_cost
    if chosen is None:
        return None
    rounds = []
    for members in chosen:
        found = place_copies(chip, [tiles[i] for i in members], n_copies=n_copies, spacing=spacing)
        if found is None:
            return None
        rounds.append((members, found))
    return rounds


def _choose(
    chip: Chip, candidates: Sequence[tuple[int, tuple[int, ...], float]], wanted: Sequence[int], spacing: int
) -> list[int] | None:
    """Numbers of the candidates taken: `wanted[k]` of kind k, disjoint, of least total cost."""
    if any(sum(kind == of for of, _, _ in candidates) < number for kind, number in enumerate(wanted)):
        return None
    on_qubit: list[set[int]] = [set() for _ in range(chip.n_qubits)]
    for number, (_, line, _) in enumerate(candidates):
        for qubit in line:
            on_qubit[qubit].add(number)
    exclusive = on_qubit
    if spacing:  # no two lines may touch one coupling
        exclusive = on_qubit + [set.union(*(on_qubit[qubit] for qubit in pair)) for pair in chip.edges]
    constraints = [scipy.optimize.LinearConstraint(_incidence(exclusive, len(candidates)), ub=1)]
    kinds = [{i for i, (of, _, _) in enumerate(candidates) if of == kind} for kind in range(len(wanted))]
    constraints.append(
        scipy.optimize.LinearConstraint(_incidence(kinds, len(candidates)), lb=wanted, ub=wanted)
    )
    result = scipy.optimize.milp(
        np.array([cost for _, _, cost in candidates]),
        integrality=np.ones(len(candidates)),
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.01, "node_limit": _NODES},
    )
    return None if result.x is None else [int(i) for i in np.flatnonzero(result.x > 0.5)]


def _incidence(groups: Sequence[set[int]], n_columns: int) -> scipy.sparse.csr_array:
    rows = [row for row, members in enumerate(groups) for _ in members]
    columns = [column for members in groups for column in sorted(members)]
    return scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(groups), n_columns))
