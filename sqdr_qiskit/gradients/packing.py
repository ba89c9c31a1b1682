"""Plans of executions that give all derivatives of a circuit: probes packed so that no output sees two at
once.

Three savings, each exact and each multiplying: all outputs are read in each execution; rotations that change
nothing are dropped and those with equal derivatives merged (`pieces_of`); and turns that no output sees
together are made in one execution (`fewest_colours`). On tiles, where each cone has angles of its own, the
turns of different cones never meet.

Source: parameter-shift rule, Schuld et al., Phys. Rev. A 99, 032331 (2019); the packing is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.probes import (
    ASSUMPTIONS,
    Assumption,
    GateProbe,
    Piece,
    Point,
    Probe,
    RotationProbe,
    n_directions,
    pieces_of,
)
from sqdr_qiskit.lightcone.cones import flow
from sqdr_qiskit.lightcone.operations import CZ, Rotation
from sqdr_qiskit.lightcone.tape import split_runs
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.tiles import Tile, TiledCircuit

__all__ = ["colour", "fewest_colours", "pack", "ShiftPlan", "Unit", "UNITS"]


# The search ends as soon as the bound is reached; this ends it where no colouring can.
_ROUNDS = 400


def fewest_colours(readers: Sequence[frozenset[int]]) -> int:
    """How many colours there must be at least: the largest number of shifts that one output sees."""
    load: dict[int, int] = {}
    for seen in readers:
        for reader in seen:
            load[reader] = load.get(reader, 0) + 1
    return max(load.values(), default=0)


def colour(readers: Sequence[frozenset[int]]) -> list[int]:
    """A colour for each shift, such that no output sees two of one colour.

    The best of a greedy colouring in the given order, DSATUR (Brelaz 1979) and rounds of iterated greedy
    (Culberson 1992), which never get worse; the same input gives the same colours. Optimal where it reaches
    `fewest_colours`.

    Args:
        readers: For each shift, the outputs that see it.

    Returns:
        Colours from 0.
    """
    fewest = fewest_colours(readers)
    # Two starts, since neither is the better one for all circuits.
    best = min((_greedy(readers, range(len(readers))), _dsatur(readers)), key=_number)
    # A fixed seed: a circuit has the same plan in every process.
    rng = np.random.default_rng(0)
    for round_ in range(_ROUNDS):
        if _number(best) <= fewest:
            break
        # Taken class by class in any order, a greedy colouring needs no more colours than before.
        classes = [[i for i, own in enumerate(best) if own == c] for c in range(_number(best))]
        if round_ % 3 == 0:
            classes.reverse()
        elif round_ % 3 == 1:
            classes.sort(key=lambda members: -sum(len(readers[i]) for i in members))
        else:
            rng.shuffle(classes)
        best = _greedy(readers, [i for members in classes for i in members])
    return best


def _number(colours: Sequence[int]) -> int:
    return max(colours, default=-1) + 1


def _greedy(readers: Sequence[frozenset[int]], order: Sequence[int]) -> list[int]:
    colours = [0] * len(readers)
    seen: list[set[int]] = []
    for i in order:
        # `seen` holds what each colour's shifts are seen by, so that a shift is held against colours and not
        # against all other shifts.
        own = next((c for c, taken in enumerate(seen) if not taken & readers[i]), len(seen))
        if own == len(seen):
            seen.append(set())
        seen[own] |= readers[i]
        colours[i] = own
    return colours


def _dsatur(readers: Sequence[frozenset[int]]) -> list[int]:
    """Always the shift next whose neighbours have most colours, of those the one with most readers."""
    colours = [-1] * len(readers)
    taken: list[set[int]] = [set() for _ in readers]
    left = set(range(len(readers)))
    while left:
        # -j settles ties by the order given: nothing may depend on the order of a set.
        i = max(left, key=lambda j: (len(taken[j]), len(readers[j]), -j))
        left.remove(i)
        own = next(c for c in range(len(readers)) if c not in taken[i])
        colours[i] = own
        for j in left:
            if readers[i] & readers[j]:
                taken[j].add(own)
    return colours


Unit: TypeAlias = Literal["rotation", "gate"]
UNITS: tuple[str, ...] = get_args(Unit)


@dataclass(frozen=True, eq=False)
class ShiftPlan:
    """What to execute, and how it becomes a Jacobian.

    Attributes:
        tiled: The circuit to execute.
        pairs: For each pair of executions, the probes turned in it.
        wanted: Columns of the original circuit's parameters to differentiate by.
        assume: What merging relied on.
        unit: What was turned at most: single rotations, or whole gates.
        n_dead: Rotations that the circuit's parameters turn and that change nothing, over all tiles.
        n_merged: Rotations that share another's derivative, over all tiles.
        n_stock: Executions that the ordinary parameter-shift rule needs: two for each rotation and
            observable.
        fewest: The number of pairs that no packing of these probes can go below.
    """

    tiled: TiledCircuit
    pairs: tuple[tuple[Probe, ...], ...]
    wanted: tuple[int, ...]
    assume: Assumption
    unit: Unit
    n_dead: int
    n_merged: int
    n_stock: int
    fewest: int

    @property
    def n_pairs(self) -> int:
        """Pairs of executions."""
        return len(self.pairs)

    @property
    def n_executions(self) -> int:
        """Executions for one sample's Jacobian; the values cost one more."""
        return 2 * len(self.pairs)

    def values(self, parameters: RealArray, *, with_values: bool = False) -> RealArray:
        """What to bind to `tiled.circuit`.

        Args:
            parameters: Shape (batch, n_params), radians, in the order of the original circuit's parameters.
            with_values: Whether an execution without turns goes first.

        Returns:
            Shape (n_executions (+ 1), batch, tiled.circuit.num_parameters): first that without turns, then
            for each pair plus and minus.
        """
        point = Point(self.tiled, parameters)
        first = int(with_values)
        # One array for all executions, so that one broadcast PUB takes them.
        values = np.repeat(point.values[None], self.n_executions + first, axis=0)
        for pair, probes in enumerate(self.pairs):
            for place, sign in enumerate((1.0, -1.0)):
                for probe in probes:
                    probe.write(point, sign, values[first + 2 * pair + place])
        return values

    def jacobian(self, parameters: RealArray, differences: RealArray) -> RealArray:
        """Derivatives from the executions' results.

        Args:
            parameters: As given to `values`.
            differences: Half of plus minus minus, shape (n_pairs, batch, n_terms).

        Returns:
            Shape (batch, n_observables, n_wanted), per radian.
        """
        single = np.zeros((len(parameters), differences.shape[2], len(self.wanted)))
        for pair, terms, slopes in self._slopes(parameters):
            # Only the terms that see a probe: in the same execution other probes move other terms.
            single[:, terms] += differences[pair][:, terms, None] * slopes[:, None, :]
        # Observables are sums of terms, and a term is measured once however many observables hold it.
        return np.asarray(np.einsum("ot,btp->bop", self.tiled.weights, single))

    def variance_shares(self, parameters: RealArray, gradient: RealArray | None = None) -> RealArray:
        """How strongly each pair's differences enter: the sum over parameters of squared factors.

        Args:
            parameters: As given to `values`.
            gradient: If given, weighs by how strongly they enter the norm of this Jacobian, shape (batch,
                n_observables, n_wanted), instead.

        Returns:
            Shape (n_pairs, batch, n_terms): the variance of all derivatives (or of the norm) is the sum of
            these, each times the variance of its difference.
        """
        shares = np.zeros((self.n_pairs, len(parameters), self.tiled.weights.shape[1]))
        for pair, terms, slopes in self._slopes(parameters):
            if gradient is None:
                weight = (self.tiled.weights[:, terms] ** 2).sum(axis=0)
                shares[pair][:, terms] += (slopes**2).sum(axis=1)[:, None] * weight
            else:
                full = np.broadcast_to(slopes, (len(parameters), slopes.shape[1]))
                along = np.einsum("bop,bp->bo", gradient, full)
                shares[pair][:, terms] += (along @ self.tiled.weights[:, terms]) ** 2
        # Where the gradient is 0 the shares are 0, and not 0 / 0.
        norm = 1.0 if gradient is None else max(float((gradient**2).sum()), 1e-300)
        return shares / norm

    def _slopes(self, parameters: RealArray) -> Iterator[tuple[int, list[int], RealArray]]:
        point = Point(self.tiled, parameters)
        for pair, probes in enumerate(self.pairs):
            for probe in probes:
                yield pair, sorted(probe.readers), probe.slopes(point)[:, self.wanted]

    def describe(self) -> str:
        """How many executions, and why, in words."""
        tiled = self.tiled
        n_outputs = len(tiled.observables)
        optimal = self.n_pairs == self.fewest
        what = "one rotation" if self.unit == "rotation" else "a whole one-qubit gate or one rotation"
        lines = [
            f"{self.n_executions} executions per sample for the whole gradient: {self.n_pairs} pairs of "
            f"turns by +90 and -90 degrees, each of {what} per output; the values are one more.",
        ]
        if len(tiled.tiles) > 1:
            sizes = sorted({len(tile.wires) for tile in tiled.tiles})
            size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
            lines.append(
                f"{len(tiled.tiles)} light cones of {size} qubits lie side by side on "
                f"{tiled.circuit.num_qubits} qubits, each with angles of its own: turns in different cones "
                f"share an execution."
            )
        else:
            lines.append(
                f"On the whole register of {tiled.circuit.num_qubits} qubits, turns that no output sees "
                f"together share an execution"
                + ("; fewer are impossible." if optimal else f" (at least {self.fewest} pairs are needed).")
            )
        probes = sum(len(pair) for pair in self.pairs)
        lines.append(
            f"Of {tiled.n_rotations} rotations, {self.n_dead} change no output or are not asked for, "
            f"{self.n_merged} share another's derivative (assuming {_WORDS[self.assume]}), {probes} turns "
            f"remain."
        )
        lines.append(
            f"All {n_outputs} observables are read in every execution. The ordinary parameter-shift rule "
            f"needs {self.n_stock:,} executions."
        )
        return "\n".join(lines)


_WORDS = {
    "ideal": "an ideal circuit",
    "virtual-rz": "that RZ is a change of frame, without noise",
    "structural": "the noise as it is given",
}


def pack(
    tiled: TiledCircuit,
    *,
    assume: Assumption = "ideal",
    unit: Unit = "rotation",
    wanted: Sequence[int] | None = None,
) -> ShiftPlan:
    """Plan the executions for the Jacobian of a tiled circuit.

    Args:
        tiled: The circuit.
        assume: When rotations are taken to have equal derivatives; see `probes`.
        unit: `rotation`: turn single rotations, the ordinary rule. `gate`: turn whole runs of one-qubit gates
            where that takes fewer executions (see `probes`); needs fused tiles.
        wanted: Columns of the parameters to differentiate by; None is all.

    Raises:
        ArgumentError: An unknown word, or `gate` with a circuit that is not fused.
    """
    for name, given, known in (("assume", assume, ASSUMPTIONS), ("unit", unit, UNITS)):
        if given not in known:
            raise ArgumentError(f"Argument `{name}` must be one of {', '.join(known)}, but is {given!r}.")
    if unit == "gate" and tiled.runs is None:
        raise ArgumentError(
            "Argument `unit` must be `rotation` where the circuit's own gates are kept, but is `gate`."
        )
    columns = tuple(range(tiled.depends.shape[1])) if wanted is None else tuple(wanted)
    # A rotation counts if any parameter asked for turns it, be it through an expression.
    moving = {int(row) for row in np.flatnonzero(tiled.depends[:, columns].any(axis=1))}
    pairs: list[list[Probe]] = []
    n_probed = n_merged = fewest = 0
    for tile in tiled.tiles:
        pieces = pieces_of(tiled, tile, wanted=moving, assume=assume)
        probes: list[Probe] = [_rotation_probe(tiled, piece) for piece in pieces]
        merged = sum(len(piece.members) - 1 for piece in pieces)
        if unit == "gate":
            others = _gate_probes(tiled, tile, moving, assume)
            # Turns of whole gates cannot be merged across CZs, so that they do not always win.
            if fewest_colours([p.readers for p in others]) < fewest_colours([p.readers for p in probes]):
                probes, merged = others, 0
        n_merged += merged
        n_probed += len({r for piece in pieces for r, _ in piece.members})
        readers = [probe.readers for probe in probes]
        fewest = max(fewest, fewest_colours(readers))
        # Tiles never see each other's turns: colours of all of them share the executions, and the tile with
        # most colours decides how many there are.
        for probe, own in zip(probes, colour(readers), strict=True):
            while len(pairs) <= own:
                pairs.append([])
            pairs[own].append(probe)
    return ShiftPlan(
        tiled=tiled,
        pairs=tuple(tuple(pair) for pair in pairs),
        wanted=columns,
        assume=assume,
        unit=unit,
        n_dead=tiled.n_rotations - n_probed,
        n_merged=n_merged,
        # The stock rule asks for one observable at a time, and so for all shifts once for each of them.
        n_stock=2 * _n_turned(tiled) * len(tiled.observables),
        fewest=fewest,
    )


def _rotation_probe(tiled: TiledCircuit, piece: Piece) -> RotationProbe:
    first = piece.members[0][0]
    if tiled.runs is None:
        return RotationProbe(piece, None, tiled.columns.index(first))
    return RotationProbe(piece, _run_of(tiled)[first], None)


def _run_of(tiled: TiledCircuit) -> dict[int, int]:
    """Which run each rotation belongs to."""
    assert tiled.runs is not None
    return {step[0]: i for i, run in enumerate(tiled.runs) for step in run.steps if isinstance(step, tuple)}


def _gate_probes(tiled: TiledCircuit, tile: Tile, moving: Collection[int], assume: Assumption) -> list[Probe]:
    """Probes of single gates: all axes that matter of each run, or its rotations where they are no more."""
    # A gate's probe speaks of the axes of its own run, so no generator may leave the run.
    cuts = [number for number in tile.operations if isinstance(tiled.form.operations[number], CZ)]
    run_of = _run_of(tiled)
    by_run: dict[int, list[Piece]] = {}
    for piece in pieces_of(tiled, tile, wanted=moving, assume=assume, cuts=cuts):
        by_run.setdefault(run_of[piece.members[0][0]], []).append(piece)
    # What can stand before and behind each run, over all terms of the tile: a Pauli that never does needs no
    # probe.
    sets = flow(tiled.form, tile.operations, [cone.term for of in tile.cones for cone in of])
    inside: dict[int, tuple[int, ...]] = {}
    for numbers in split_runs(tiled.form, tile.operations):
        if isinstance(numbers, tuple):
            inside |= {
                run_of[tile.rotations[number]]: numbers for number in numbers if number in tile.rotations
            }
    probes: list[Probe] = []
    for run, pieces in sorted(by_run.items()):
        numbers = inside[run]
        rotations = tuple(r for piece in pieces for r, _ in piece.members)
        before, after = _only(sets.before[numbers[0]]), _only(sets.after[numbers[-1]])
        # Where it takes no fewer turns, the ordinary rule, whose factors are +-1 at every angle.
        if n_directions(before, after) >= len(pieces):
            probes += [_rotation_probe(tiled, piece) for piece in pieces]
            continue
        # Whoever sees one rotation of a gate sees the gate turn.
        readers = frozenset().union(*(piece.readers for piece in pieces))
        for which in range(n_directions(before, after)):
            probes.append(GateProbe(run, rotations, before, after, which, readers))
    return probes


def _only(paulis: int) -> int | None:
    """The one Pauli besides the identity in a set; None if there are several."""
    kept = [axis for axis in (1, 2, 3) if paulis >> axis & 1]
    return kept[0] if len(kept) == 1 else None


def _n_turned(tiled: TiledCircuit) -> int:
    """Rotations of the original circuit that its parameters turn."""
    form = tiled.form
    return sum(
        bool((form.coefficients[op.angle] != 0.0).any()) for op in form.operations if isinstance(op, Rotation)
    )
