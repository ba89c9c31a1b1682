"""Which tile stands on which chain: disjoint chains of coupled qubits, of least total cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.optimize
import scipy.sparse
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.programs import refuse
from sqdr_qiskit.specs.device import LayoutSpec

__all__ = [
    "chain_cost",
    "ChainNeeds",
    "chains_of",
    "MOST_COST",
    "needs_of",
    "place",
    "place_as_chosen",
    "place_copies",
    "place_rounds",
    "Placement",
    "Placements",
]


@dataclass(frozen=True)
class ChainNeeds:
    """What a tile asks of the places of a chain.

    Attributes:
        wires: The tile's wires in the order in which they stand on the chain.
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


def needs_of(circuit: QuantumCircuit, wires: Iterable[int], measured: Iterable[int]) -> ChainNeeds | None:
    """The needs of the tile on `wires` of a circuit of CZs and one-qubit gates; None if it is no chain.

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
    return ChainNeeds(
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
    # No end is a ring, three neighbours a branching: neither lies on a chain.
    ends = sorted(vertex for vertex, others in beside.items() if len(others) <= 1)
    if not ends or any(len(others) > 2 for others in beside.values()):
        return None
    order = [ends[0]]
    # All neighbours but the one it came from.
    while following := [vertex for vertex in beside[order[-1]] if vertex not in order[-2:-1]]:
        order.append(following[0])
    return order if len(order) == len(vertices) else None


def chains_of(chip: Chip, length: int) -> list[tuple[int, ...]]:
    """Every chain of `length` coupled qubits, each once, its smaller end first."""
    if length == 1:
        return [(qubit,) for qubit in range(chip.n_qubits)]
    found: list[tuple[int, ...]] = []
    neighbours = chip.neighbours

    def extend(chain: list[int]) -> None:
        if len(chain) == length:
            # Found from both ends; kept from one of them.
            if chain[0] < chain[-1]:
                found.append(tuple(chain))
            return
        for qubit in neighbours[chain[-1]]:
            if qubit not in chain:
                extend([*chain, qubit])

    for qubit in neighbours:
        extend([qubit])
    return found


def chain_cost(chip: Chip, needs: ChainNeeds, chain: tuple[int, ...]) -> float:
    """-log of the product of all fidelities of a tile on a chain; infinite where it cannot be measured.

    Args:
        chip: The device.
        needs: What the tile does.
        chain: The device's qubits that the tile's places fall on, in this direction.
    """
    cost = 0.0
    for place, qubit in enumerate(chain):
        if needs.measured[place]:
            if not chip.can_measure(qubit):
                return math.inf
            cost -= math.log1p(-chip.readout_error(qubit))
        # A turn is two pulses; RZ is a change of frame and costs nothing.
        cost -= 2 * needs.turns[place] * _log(chip.turn_error(qubit))
    for pair, count in zip(itertools.pairwise(chain), needs.entangles, strict=True):
        cost -= count * _log(chip.edges[frozenset(pair)].error)
    return cost


def _log(error: float) -> float:
    return math.log1p(-error) if error < 1.0 else -math.inf


MOST_COST = 1.5  # more tiles run at once as long as their mean cost stays below this multiple of fewer tiles'
_NODES = 200  # of branch and bound: a limit in nodes, not in time, so that the answer is always the same


@dataclass(frozen=True)
class Placement:
    """Tiles on chains.

    Attributes:
        chains: `chains[c][t]` are the device's qubits for copy c of tile t, in the order of its
            `ChainNeeds.wires`.
        costs: -log of the estimated fidelity of each, in the same order.
    """

    chains: tuple[tuple[tuple[int, ...], ...], ...]
    costs: tuple[tuple[float, ...], ...]

    @property
    def n_copies(self) -> int:
        """Samples side by side."""
        return len(self.chains)

    @property
    def mean_cost(self) -> float:
        """Mean of -log(estimated fidelity) over all tiles."""
        return float(np.mean(self.costs))


Placements: TypeAlias = list[tuple[list[int], Placement]]
"""For each round the numbers of its tiles and their placement."""


def place(
    chip: Chip, tiles: Sequence[ChainNeeds], *, n_copies: int = 1, spacing: int = 0
) -> Placement | None:
    """Put `n_copies` of every tile on disjoint chains such that the product of all fidelities is largest.

    Args:
        chip: The device.
        tiles: The tiles.
        n_copies: Samples side by side.
        spacing: 0, or 1 to leave at least one unused qubit between chains, against crosstalk.

    Returns:
        The placement, or None if they do not fit. Where the search ends early, to a per cent of the best one.
    """
    kinds: dict[tuple[object, ...], list[int]] = {}
    for number, needs in enumerate(tiles):
        # Tiles of one shape may change places: chains are chosen for a kind, and dealt out afterwards.
        kinds.setdefault(needs.shape, []).append(number)
    candidates: list[tuple[int, tuple[int, ...], float]] = []  # kind, chain, cost
    for kind, members in enumerate(kinds.values()):
        needs = tiles[members[0]]
        for chain in chains_of(chip, needs.length):
            # A chain can be walked from either end; only the better way is a candidate.
            cost, way = min((chain_cost(chip, needs, way), way) for way in (chain, chain[::-1]))
            if math.isfinite(cost):
                candidates.append((kind, way, cost))
    wanted = [len(members) * n_copies for members in kinds.values()]
    chosen = _choose(chip, candidates, wanted, spacing)
    if chosen is None:
        return None
    chains: list[list[tuple[int, ...]]] = [[()] * len(tiles) for _ in range(n_copies)]
    costs = [[0.0] * len(tiles) for _ in range(n_copies)]
    for kind, members in enumerate(kinds.values()):
        # The best chains go to the first copy: a batch of one sample then stands on them.
        own = sorted((cost, chain) for of, chain, cost in (candidates[i] for i in chosen) if of == kind)
        for rank, (cost, chain) in enumerate(own):
            copy, member = divmod(rank, len(members))
            chains[copy][members[member]], costs[copy][members[member]] = chain, cost
    return Placement(tuple(map(tuple, chains)), tuple(map(tuple, costs)))


def place_copies(
    chip: Chip, tiles: Sequence[ChainNeeds], *, n_copies: int | None = None, spacing: int = 0
) -> Placement | None:
    """Place tiles for as many samples side by side as good chains allow, or for `n_copies`.

    More samples in one execution cost less time on the device but stand on worse qubits: copies are added
    while the mean cost of a chain stays below `MOST_COST` times that of one copy.
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
    chip: Chip, tiles: Sequence[ChainNeeds], *, n_copies: int | None = None, spacing: int = 0
) -> Placements | None:
    """Place tiles in as few rounds as good chains allow.

    One more round is taken where the tiles do not fit, or where fewer at once stand so much better that their
    mean cost falls below 1 / `MOST_COST` of what it was.

    Returns:
        For each round the numbers of its tiles and their placement; None if a tile fits nowhere.
    """
    chosen: list[list[int]] | None = None
    cost = 0.0
    for n_rounds in range(1, len(tiles) + 1):
        parts = [part.tolist() for part in np.array_split(np.arange(len(tiles)), n_rounds)]
        # As many tiles in its first round as before: one round more would gain nothing.
        if chosen is not None and len(parts[0]) == len(chosen[0]):
            continue
        first = place(chip, [tiles[i] for i in parts[0]], n_copies=n_copies or 1, spacing=spacing)
        if first is None:
            continue
        # Good enough as it was: every round costs the whole batch once more.
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
    for number, (_, chain, _) in enumerate(candidates):
        for qubit in chain:
            on_qubit[qubit].add(number)
    exclusive = on_qubit
    if spacing:  # no two chains may touch one coupling
        exclusive = on_qubit + [set.union(*(on_qubit[qubit] for qubit in pair)) for pair in chip.edges]
    # Set packing: each candidate is taken or not, every qubit (or coupling) by one of them at most.
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
    # Whole numbers up to rounding; a search that ended early has its best placement so far.
    return None if result.x is None else [int(i) for i in np.flatnonzero(result.x > 0.5)]


def _incidence(groups: Sequence[set[int]], n_columns: int) -> scipy.sparse.csr_array:
    rows = [row for row, members in enumerate(groups) for _ in members]
    columns = [column for members in groups for column in sorted(members)]
    return scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(groups), n_columns))


def place_as_chosen(chip: Chip, tiles: Sequence[ChainNeeds], choice: LayoutSpec) -> Placements:
    """Put the tiles where the file says, in its order: the first round has the first tiles.

    Raises:
        SpecError: The file's `tiles` are for more or fewer tiles, of another length, or chains that the chip
            does not have or can no longer use.
    """
    counts = [len(copies[0]) for copies in choice.tiles]
    if sum(counts) != len(tiles):
        refuse(choice, "tiles", f"must have a chain for each of {len(tiles)} tiles, but has {sum(counts)}")
    found: Placements = []
    for number, (copies, count) in enumerate(zip(choice.tiles, counts, strict=True), 1):
        members = list(range(sum(counts[: number - 1]), sum(counts[: number - 1]) + count))
        costs = [
            tuple(
                _chosen_cost(chip, tiles[member], chain, choice, f"tile {member + 1} in round {number}")
                for member, chain in zip(members, copy, strict=True)
            )
            for copy in copies
        ]
        found.append((members, Placement(copies, tuple(costs))))
    return found


def _chosen_cost(
    chip: Chip, needs: ChainNeeds, chain: tuple[int, ...], choice: LayoutSpec, where: str
) -> float:
    """`chain_cost` of a tile on the chain that the file names, if the chip still carries it there."""
    if len(chain) != needs.length:
        refuse(choice, "tiles", f"must have {needs.length} qubits for {where}, but has {list(chain)}")
    for qubit in chain:
        if qubit >= chip.n_qubits:
            refuse(choice, "tiles", f"names qubit {qubit}, but {chip.name} has {chip.n_qubits}")
    for pair in itertools.pairwise(chain):
        if frozenset(pair) not in chip.edges:
            refuse(
                choice,
                "tiles",
                f"puts {where} on {list(chain)}, but {chip.name} has no working two-qubit gate on "
                f"{pair[0]} and {pair[1]}",
            )
    cost = chain_cost(chip, needs, chain)
    if math.isinf(cost):
        refuse(choice, "tiles", f"names {list(chain)}, which {chip.name} cannot read out any more")
    return cost
