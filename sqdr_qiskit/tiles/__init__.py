"""Tiles: blocks of one circuit that share no qubit, each a light cone with angles of its own.

What a chip runs, and what packed parameter shifts are bound into. A tile holds what one or several Pauli
terms depend on. `writer` writes their circuit, `turns` computes its angles, compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.angles import AngleStage, prepared
from sqdr_qiskit.lightcone.cones import (
    Cone,
    Paulis,
    PauliTerm,
    TermSums,
    cone,
    cones_together,
    pauli_terms,
    term_sums,
    tight_cone,
)
from sqdr_qiskit.lightcone.operations import ChannelModel, NormalForm, Rotation, normal_form
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.tiles.turns import Turns
from sqdr_qiskit.tiles.writer import (
    Block,
    Run,
    Written,
    euler_angles,
    plain,
    write_fused,
    write_plain,
    write_register,
)

__all__ = ["Tile", "tile_circuit", "TiledCircuit", "whole_register", "write_run"]


@dataclass(frozen=True, eq=False)
class Tile(Block):
    """A block of the tiled circuit, and what is read there.

    Attributes:
        terms: The Pauli terms that are read here, by their number in `TiledCircuit.terms`.
        outputs: The observables that have a term here (a sum of Pauli strings may be read on several tiles).
        cones: For each of `terms`, what it depends on: one cone, or several if readings err.
    """

    terms: tuple[int, ...]
    outputs: tuple[int, ...]
    cones: tuple[tuple[Cone, ...], ...]


@dataclass(frozen=True, eq=False)
class TiledCircuit:
    """Tiles of a circuit, and how its parameters become theirs.

        tiled = tile_circuit(circuit, observables)
        values = tiled.bind(tiled.angles(parameters))
        estimator.run([(tiled.circuit, [[o] for o in tiled.observables], values)])

    gives the original observables' expectation values for parameters of shape (batch, n_params).

    Attributes:
        circuit: The tiles side by side.
        observables: The original ones, in order, on the tiled circuit's qubits.
        terms: The single Pauli strings that they are sums of, each once, on the tiled circuit's qubits.
        weights: Shape (n_observables, n_terms): observables = weights @ terms + constants.
        constants: Shape (n_observables,).
        tiles: The blocks.
        form: Normal form of the original circuit.
        stage: Computes the parameters that angles are affine in from the original circuit's; None if they are
            the same.
        coefficients: Shape (n_rotations, n_inner): rotation angles = coefficients @ inner + offsets, where
            inner = stage(parameters).
        offsets: Shape (n_rotations,), radians.
        runs: The runs of one-qubit gates, one `u` gate each; None if the circuit's own gates were kept.
        columns: Without runs: the rotation that each parameter of `circuit` is the angle of.
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    terms: tuple[SparsePauliOp, ...]
    weights: RealArray
    constants: RealArray
    tiles: tuple[Tile, ...]
    form: NormalForm
    stage: AngleStage | None
    coefficients: RealArray
    offsets: RealArray
    runs: tuple[Run, ...] | None
    columns: tuple[int, ...]

    @property
    def n_rotations(self) -> int:
        """Number of rotations, over all tiles."""
        return len(self.offsets)

    def angles(self, parameters: RealArray) -> RealArray:
        """Rotation angles: parameters of shape (..., n_params) -> shape (..., n_rotations), radians.

        Args:
            parameters: In the order of the original circuit's parameters.
        """
        inner = parameters if self.stage is None else self.stage.values(parameters)
        return np.asarray(inner @ self.coefficients.T + self.offsets)

    def slopes(self, parameters: RealArray) -> RealArray:
        """Derivatives of the rotation angles along the original circuit's parameters.

        Args:
            parameters: Shape (batch, n_params), in the order of the original circuit's parameters.

        Returns:
            Shape (batch or 1, n_rotations, n_params): 1 where they are the same for all.
        """
        if self.stage is None:
            return self.coefficients[None]
        return np.asarray(np.einsum("ri,bip->brp", self.coefficients, self.stage.slopes(parameters)))

    @property
    def depends(self) -> NDArray[np.bool_]:
        """Which rotation depends on which of the original circuit's parameters, (n_rotations, n_params)."""
        moved = self.coefficients != 0.0
        return moved if self.stage is None else moved @ self.stage.depends

    @cached_property
    def turns(self) -> Turns:
        """How the parameters that angles are affine in become those of a fused circuit, compiled."""
        assert self.runs is not None
        return Turns.of(
            [run.steps for run in self.runs],
            [run.columns for run in self.runs],
            self.coefficients,
            self.offsets,
            self.circuit.num_parameters,
        )

    def bind(self, angles: RealArray) -> RealArray:
        """The circuit's parameter values for rotation angles, shifted or not.

        Args:
            angles: Shape (..., n_rotations), radians.

        Returns:
            Shape (..., circuit.num_parameters), in the order of `circuit.parameters`.
        """
        if angles.shape[-1] != self.n_rotations:
            raise ArgumentError(
                f"Argument `angles` must have shape (..., {self.n_rotations}), but has {angles.shape}."
            )
        if self.runs is None:
            # One parameter for each angle: to bind them is to choose columns.
            return np.ascontiguousarray(angles[..., list(self.columns)])
        values = np.zeros((*angles.shape[:-1], self.circuit.num_parameters))
        for run in self.runs:
            write_run(run, run.compose(angles), values)
        return values


def write_run(run: Run, gate: RealArray, values: RealArray) -> None:
    """Write a run's gate, quaternions of shape (4, ...), into parameter values of shape (..., n)."""
    for angle, column in zip(euler_angles(gate), run.columns, strict=True):
        if column is not None:
            values[..., column] = angle


_MOST_WIRES = 8  # times the circuit's qubits, for tiles on a simulator


def tile_circuit(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    *,
    fuse: bool = True,
    one_basis: bool = True,
    groups: Sequence[Sequence[int]] | None = None,
) -> TiledCircuit:
    """Lay the cones of `observables` side by side.

    Args:
        circuit: Gates, as the exact engine takes them.
        observables: Real sums of Pauli strings on the circuit's qubits; they need not commute.
        fuse: One `u` gate for all one-qubit gates between two CZs, which makes a chip's circuit as shallow as
            can be; else the circuit's own gates.
        one_basis: Whether the terms of a tile are read in one execution, as a chip does, and so must commute
            qubit by qubit. A simulator reads any: terms share tiles then, and where their cones would take
            more than eight times the circuit's qubits, all that have one cone's qubits share its tile.
        groups: Which Pauli terms share a tile, by number in order of appearance; None gives each its own, but
            a term whose cone lies wholly within another's joins it.

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name; terms
            of a group that do not commute qubit by qubit.
        ArgumentError: `groups` that do not hold every term once.
    """
    inner, stage = prepared(circuit)
    # Runs are composed from the normal form; gates that are kept must turn once by each of their angles.
    flat = inner if fuse else plain(inner)
    form = normal_form(flat)
    # A `u` gate cannot hold what is no turn.
    if fuse and form.has_channels:
        raise UnsupportedError(
            "Instruction `reset` must stand at the beginning of a circuit whose cones lie side by side."
        )
    asked = term_sums(observables, form)
    terms = asked.terms
    # Tight: what does nothing to |0...0> would take a chip's time and its noise.
    cones = [tight_cone(form, PauliTerm(1.0, paulis)) for paulis in terms]
    if groups is None:
        chosen = _joined(cones, one_basis=one_basis, limit=_MOST_WIRES * circuit.num_qubits)
    else:
        chosen = [tuple(group) for group in groups]
    _check_groups(chosen, terms, one_basis=one_basis)
    for group in chosen:
        for number, member in zip(group, cones_together(form, [cones[i] for i in group]), strict=True):
            cones[number] = member
    if fuse:
        written = write_fused(flat, form, [[cones[i] for i in group] for group in chosen])
    else:
        # An instruction is kept or left out whole. Operations that are dead from the end may come back with
        # it, those that do nothing to |0...0> only if nothing was left out before them: so not the tight
        # cones here.
        whole = [cone(form, member.term) for member in cones]
        written = write_plain(flat, form, [[whole[i] for i in group] for group in chosen])
    tiles = tuple(
        Tile(
            **vars(block),
            terms=group,
            outputs=tuple(int(number) for number in np.flatnonzero(asked.weights[:, group].any(axis=1))),
            cones=tuple((cones[i],) for i in group),
        )
        for block, group in zip(written.blocks, chosen, strict=True)
    )
    # Where each term is read: every tile has wires of its own for the original qubits.
    wire = [
        (dict(zip(tile.qubits, tile.wires, strict=True)), i)
        for tile, group in zip(tiles, chosen, strict=True)
        for i in group
    ]
    n_wires = written.circuit.num_qubits
    strings: dict[int, tuple[str, list[int]]] = {
        i: ("".join("IXYZ"[letter] for _, letter in terms[i]), [where[qubit] for qubit, _ in terms[i]])
        for where, i in wire
    }
    sums = []
    for row, constant in zip(asked.weights, asked.constants, strict=True):
        entries = [(*strings[i], row[i]) for i in range(len(terms)) if row[i] != 0.0]
        if constant != 0.0 or not entries:
            entries.append(("", [], constant))
        sums.append(SparsePauliOp.from_sparse_list(entries, n_wires))
    single = [SparsePauliOp.from_sparse_list([(*strings[i], 1.0)], n_wires) for i in range(len(terms))]
    return _assemble(written, form, tiles, sums, single, asked, stage)


def whole_register(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    *,
    noise: Callable[[QuantumCircuit], tuple[QuantumCircuit, ChannelModel]] | None = None,
    read: Callable[[SparsePauliOp], SparsePauliOp] = lambda observable: observable,
) -> TiledCircuit:
    """The circuit as it is, as one tile, every angle a parameter of its own; noise stays where it is.

    Args:
        circuit: See `tile_circuit`.
        observables: Real sums of Pauli strings on the circuit's qubits; they need not commute.
        noise: Marks in a circuit where noise sits, and gives the channels there; the marks do not turn.
        read: The operator that is read instead of an observable when readings err.

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name.
    """
    flat, stage = prepared(circuit)
    ideal = normal_form(flat)
    form = ideal if noise is None else normal_form(*noise(flat))
    asked = term_sums(observables, ideal)
    terms = asked.terms
    single = []
    # The normal form renames qubits instead of swapping them; terms are read where the circuit leaves them.
    back = {name: wire for wire, name in enumerate(ideal.names)}
    for paulis in terms:
        letters, wires = "".join("IXYZ"[letter] for _, letter in paulis), [back[qubit] for qubit, _ in paulis]
        single.append(SparsePauliOp.from_sparse_list([(letters, wires, 1.0)], circuit.num_qubits))
    written = write_register(flat, form)
    (block,) = written.blocks
    # Where readings err, another operator is read than the term, and its cones say which turns it sees.
    cones = tuple(
        tuple(tight_cone(form, term) for term in pauli_terms(read(one), form) if term.paulis)
        for one in single
    )
    tile = Tile(
        **vars(block),
        terms=tuple(range(len(terms))),
        outputs=tuple(range(len(observables))),
        cones=cones,
    )
    return _assemble(written, form, (tile,), list(observables), single, asked, stage)


def _assemble(
    written: Written,
    form: NormalForm,
    tiles: tuple[Tile, ...],
    observables: Sequence[SparsePauliOp],
    terms: Sequence[SparsePauliOp],
    asked: TermSums[Paulis],
    stage: AngleStage | None,
) -> TiledCircuit:
    # Counted tile by tile: a rotation that several cones need stands in several rows, with an angle for each.
    rows = [form.operations[operation] for tile in tiles for operation in tile.rotations]
    numbers = [op.angle for op in rows if isinstance(op, Rotation)]
    return TiledCircuit(
        circuit=written.circuit,
        observables=tuple(observables),
        terms=tuple(terms),
        weights=asked.weights,
        constants=asked.constants,
        tiles=tiles,
        form=form,
        stage=stage,
        coefficients=form.coefficients[numbers].reshape(len(numbers), form.coefficients.shape[1]),
        offsets=form.offsets[numbers],
        runs=written.runs,
        columns=written.columns,
    )


def _joined(cones: Sequence[Cone], *, one_basis: bool, limit: int) -> list[tuple[int, ...]]:
    """Groups of terms: one each, but a cone within a larger one joins it if both can be measured together.

    Without `one_basis` they always can; if the tiles would then have more than `limit` qubits, a cone joins
    another one that has its qubits, whatever acts on them.
    """
    # First only where it costs nothing: all operations of a joining cone are there already.
    groups = _within(cones, one_basis=one_basis, whole=True)
    if not one_basis and sum(len(cones[group[0]].qubits) for group in groups) > limit:
        groups = _within(cones, one_basis=False, whole=False)
    return sorted(tuple(sorted(group)) for group in groups)


def _within(cones: Sequence[Cone], *, one_basis: bool, whole: bool) -> list[list[int]]:
    """Each cone with the largest that has its qubits, and if `whole` its operations too."""
    # The largest first, so that the first cone of a group holds all others; ties by number, for one result.
    order = sorted(range(len(cones)), key=lambda i: (-len(cones[i].operations), -len(cones[i].qubits), i))
    groups: list[list[int]] = []
    for number in order:
        own = cones[number]
        for group in groups:
            large = cones[group[0]]
            if (
                set(own.qubits) <= set(large.qubits)
                and (not whole or set(own.operations) <= set(large.operations))
                and (
                    # with every member: each has fixed letters of the one basis that all are read in
                    not one_basis or all(_agree(own.term.paulis, cones[other].term.paulis) for other in group)
                )
            ):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _agree(first: Paulis, second: Paulis) -> bool:
    """Whether two Pauli strings commute qubit by qubit."""
    letters = dict(first)
    return all(letters.get(qubit, letter) == letter for qubit, letter in second)


def _check_groups(groups: Sequence[tuple[int, ...]], terms: Sequence[Paulis], *, one_basis: bool) -> None:
    # A term that stands twice would be counted twice, one that is missing read as 0.
    if sorted(i for group in groups for i in group) != list(range(len(terms))):
        raise ArgumentError(
            f"Argument `groups` must hold each of the {len(terms)} terms once, but is {list(groups)}."
        )
    for group in groups if one_basis else ():
        if not all(_agree(terms[i], terms[j]) for i in group for j in group):
            raise UnsupportedError(
                "Argument `observables` must commute qubit by qubit to be read in one execution, but they do "
                "not; lay their cones side by side, or ask for them one after the other."
            )
