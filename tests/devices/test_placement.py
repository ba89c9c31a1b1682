from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.placement import (
    ChainNeeds,
    chain_cost,
    chains_of,
    needs_of,
    place,
    place_copies,
    place_rounds,
)
from tests.devices.devices_for_tests import grid_chip, snapshot

_NEEDS = ChainNeeds(wires=(0, 1, 2), entangles=(1, 1), turns=(1, 2, 1), measured=(False, True, False))


def _chain(n: int, rng: np.random.Generator) -> Chip:
    pairs = {(i, i + 1): float(e) for i, e in enumerate(rng.uniform(0.001, 0.05, n - 1))}
    return grid_chip(pairs, rng.uniform(0.005, 0.2, n).tolist(), turn=0.001)


def test_a_tile_is_read_in_the_order_of_its_line() -> None:
    circuit = QuantumCircuit(5)
    circuit.u(0.1, 0.2, 0.3, 0)
    circuit.cz(0, 2)
    circuit.cz(0, 1)
    circuit.cz(0, 2)
    circuit.h(3)
    assert needs_of(circuit, [0, 1, 2], [0]) == ChainNeeds(
        wires=(1, 0, 2), entangles=(1, 2), turns=(0, 1, 0), measured=(False, True, False)
    )
    assert needs_of(circuit, [3], [3]) == ChainNeeds((3,), (), (1,), (True,))


@pytest.mark.parametrize("pairs", [[(0, 1), (1, 2), (2, 0)], [(0, 1), (0, 2), (0, 3)], [(0, 1), (2, 3)]])
def test_a_ring_a_star_and_two_pieces_are_no_line(pairs: list[tuple[int, int]]) -> None:
    circuit = QuantumCircuit(4)
    for pair in pairs:
        circuit.cz(*pair)
    wires = sorted({q for pair in pairs for q in pair})
    assert needs_of(circuit, wires, [0]) is None


def test_every_line_is_found_once() -> None:
    chip = grid_chip({(0, 1): 0.01, (1, 2): 0.01, (2, 3): 0.01, (3, 0): 0.01, (2, 4): 0.6}, [0.01] * 5)
    assert sorted(chains_of(chip, 3)) == [(0, 1, 2), (0, 3, 2), (1, 0, 3), (1, 2, 3)]  # 2-4 is faulty
    assert len(chains_of(chip, 1)) == 5


def test_cost_is_minus_log_of_the_fidelities() -> None:
    chip = grid_chip({(0, 1): 0.01, (1, 2): 0.03}, [0.2, 0.05, 0.3], turn=0.002)
    expected = 0.99 * 0.97 * 0.998**8 * 0.95
    assert chain_cost(chip, _NEEDS, (0, 1, 2)) == pytest.approx(-math.log(expected))
    at_the_end = ChainNeeds((0, 1), (1,), (1, 1), (False, True))
    assert chain_cost(chip, at_the_end, (1, 2)) == math.inf  # its readout says nothing
    assert chain_cost(chip, at_the_end, (2, 1)) < 1


@pytest.mark.parametrize("spacing", [0, 1])
def test_the_placement_is_the_best_one(spacing: int, rng: np.random.Generator) -> None:
    chip = _chain(11, rng)
    found = place(chip, [_NEEDS] * 2, spacing=spacing)
    assert found is not None
    costs = {chain: chain_cost(chip, _NEEDS, chain) for chain in chains_of(chip, 3)}
    best = min(
        costs[a] + costs[b]
        for a, b in itertools.combinations(costs, 2)
        if not set(a) & set(b) and (not spacing or min(abs(p - q) for p in a for q in b) > 1)
    )
    assert sum(found.costs[0]) == pytest.approx(best, rel=0.011)
    assert sum(chain_cost(chip, _NEEDS, chain) for chain in found.chains[0]) == pytest.approx(
        sum(found.costs[0])
    )


def test_what_does_not_fit_has_no_placement(rng: np.random.Generator) -> None:
    chip = _chain(8, rng)
    assert place(chip, [_NEEDS] * 3) is None
    assert place(chip, [_NEEDS] * 2, n_copies=2) is None


def test_tiles_of_several_lengths_share_a_chip(rng: np.random.Generator) -> None:
    chip = _chain(8, rng)
    short = ChainNeeds((0, 1), (2,), (1, 1), (True, False))
    found = place(chip, [short, _NEEDS, short])
    assert found is not None
    assert [len(chain) for chain in found.chains[0]] == [2, 3, 2]
    assert len({qubit for chain in found.chains[0] for qubit in chain}) == 7


def test_copies_are_added_while_lines_are_good() -> None:
    chip = snapshot("fake_brisbane")
    alone = place(chip, [_NEEDS] * 9)
    more = place_copies(chip, [_NEEDS] * 9)
    assert alone is not None
    assert more is not None
    assert more.n_copies == 3
    assert alone.mean_cost <= more.mean_cost <= 1.5 * alone.mean_cost


def test_rounds_are_as_few_as_good_lines_allow() -> None:
    assert [m for m, _ in place_rounds(snapshot("fake_manila"), [_NEEDS] * 2) or []] == [[0], [1]]
    assert [m for m, _ in place_rounds(snapshot("fake_brisbane"), [_NEEDS] * 9) or []] == [list(range(9))]
    seven = ChainNeeds(tuple(range(7)), (1, 2, 3, 3, 2, 1), (3,) * 7, (False,) * 3 + (True,) + (False,) * 3)
    rounds = place_rounds(
        snapshot("fake_brisbane"), [seven] * 18
    )  # 126 of 127 qubits would be needed at once
    assert rounds is not None
    assert [len(members) for members, _ in rounds] == [9, 9]
    assert place_rounds(snapshot("fake_manila"), [seven]) is None
