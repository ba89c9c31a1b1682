"""Cones laid side by side: one circuit whose blocks, the tiles, share no qubit, each with angles of its own.

What a chip runs, and what packed parameter shifts are bound into. A tile holds what one or several Pauli
terms depend on. All one-qubit gates between two CZs are one `u` gate (`fuse`), its angles computed on the
host, or else the circuit's own gates stay as they are, for noise that is attached to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.channels import Channel, ChannelModel
from sqdr_qiskit.lightcone.cones import Cone, PauliTerm, pauli_terms
from sqdr_qiskit.lightcone.elementary import elementary
from sqdr_qiskit.lightcone.flow import tight_cone
from sqdr_qiskit.lightcone.operations import NormalForm, Rotation, normal_form
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.runs import Run, euler_angles
from sqdr_qiskit.lightcone.tile_writer import write_fused, write_plain, write_register

__all__ = ["Tile", "TiledChannels", "TiledCircuit", "distinct_terms", "tile_circuit", "whole_register"]


@dataclass(frozen=True)
class Tile:
    """A block of the tiled circuit.

    Attributes:
        wires: The tiled circuit's qubits it stands on, ascending.
        qubits: For each of them the qubit of the original circuit (the normal form's name) that it stands
            for.
        outputs: The observables that are read here, by number (a sum of Pauli strings may be read on several
            tiles).
        cones: What its Pauli terms depend on.
        operations: The normal form's operations on it, by number, ascending.
        rotations: For each of the normal form's rotations on it (by the number of the operation), its number
            among the tiled circuit's rotations.
    """

    wires: tuple[int, ...]
    qubits: tuple[int, ...]
    outputs: tuple[int, ...]
    cones: tuple[Cone, ...]
    operations: tuple[int, ...]
    rotations: dict[int, int]


@dataclass(frozen=True, eq=False)
class TiledCircuit:
    """Tiles of a circuit, and how its parameters become theirs.

        values = tiled.bind(tiled.angles(parameters))        # for tiled.circuit, in the order of its
        parameters estimator.run([(tiled.circuit, [[o] for o in tiled.observables], values)])

    gives the original observables' expectation values.

    Attributes:
        circuit: The tiles side by side.
        observables: The original ones, in order, on the tiled circuit's qubits.
        tiles: The blocks.
        form: Normal form of the original circuit.
        coefficients: Shape (n_rotations, n_params): rotation angles = coefficients @ parameters + offsets.
        offsets: Shape (n_rotations,), radians.
        runs: The runs of one-qubit gates, one `u` gate each; None if the circuit's own gates were kept.
        columns: Without runs: the rotation that each parameter of `circuit` is the angle of.
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    tiles: tuple[Tile, ...]
    form: NormalForm
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
        return np.asarray(parameters @ self.coefficients.T + self.offsets)

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
            return np.ascontiguousarray(angles[..., list(self.columns)])
        values = np.zeros((*angles.shape[:-1], self.circuit.num_parameters))
        for run in self.runs:
            self.write(run, run.compose(angles), values)
        return values

    @staticmethod
    def write(run: Run, gate: RealArray, values: RealArray) -> None:
        """Write a run's gate, quaternions of shape (4, ...), into parameter values of shape (..., n)."""
        euler = euler_angles(gate)
        for angle, column in zip(euler, run.columns, strict=True):
            if column is not None:
                values[..., column] = angle


def tile_circuit(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    *,
    fuse: bool = True,
    groups: Sequence[Sequence[int]] | None = None,
    form_of: Callable[[QuantumCircuit], NormalForm] = normal_form,
) -> TiledCircuit:
    """Lay the cones of `observables` side by side.

    Args:
        circuit: RX, RY, RZ, P and U rotations, fixed one- and two-qubit gates, and gates made of them.
        observables: Real sums of Pauli strings on the circuit's qubits.
        fuse: One `u` gate for all one-qubit gates between two CZs; right for an ideal circuit, and for a
            chip. Else the circuit's own gates, with their labels.
        groups: Which Pauli terms share a tile, by their number (`distinct_terms`); None gives each its own,
            but a term whose cone lies wholly within another's joins it.
        form_of: The normal form of a circuit (with noise, where there is some).

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name; noise with
        `fuse`. ArgumentError: `groups` do not hold every term once, or terms that cannot be measured
        together.
    """
    flat = elementary(circuit)
    form = form_of(flat)
    if fuse and form.has_channels:
        raise UnsupportedError(
            "Argument `fuse` must be false with noise that follows the circuit's gates: fused, they are "
            "other gates."
        )
    table = [pauli_terms(observable, form) for observable in observables]
    terms = distinct_terms(observables, form)
    cones = [tight_cone(form, PauliTerm(1.0, paulis)) for paulis in terms]
    chosen = _joined(cones) if groups is None else [tuple(group) for group in groups]
    _check_groups(chosen, terms)
    reads = [
        tuple(
            number
            for number, of in enumerate(table)
            if any(terms.index(term.paulis) in group for term in of if term.paulis)
        )
        for group in chosen
    ]
    write = write_fused if fuse else write_plain
    written = write(flat, form, [[cones[i] for i in group] for group in chosen])
    tiles = tuple(
        Tile(
            block.wires,
            block.qubits,
            outputs,
            tuple(cones[i] for i in group),
            block.operations,
            block.rotations,
        )
        for block, outputs, group in zip(written.blocks, reads, chosen, strict=True)
    )
    rows = [form.operations[operation] for block in written.blocks for operation in block.rotations]
    numbers = [op.angle for op in rows if isinstance(op, Rotation)]
    place = {terms[i]: tile for tile, group in zip(tiles, chosen, strict=True) for i in group}
    return TiledCircuit(
        circuit=written.circuit,
        observables=tuple(_placed(of, place, written.circuit.num_qubits) for of in table),
        tiles=tiles,
        form=form,
        coefficients=form.coefficients[numbers].reshape(len(numbers), circuit.num_parameters),
        offsets=form.offsets[numbers],
        runs=written.runs,
        columns=written.columns,
    )


def whole_register(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    *,
    form_of: Callable[[QuantumCircuit], NormalForm] = normal_form,
    read: Sequence[SparsePauliOp] | None = None,
) -> TiledCircuit:
    """The circuit as it is, as one tile, every angle a parameter of its own; noise stays where it is.

    Args:
        circuit: See `tile_circuit`.
        observables: Real sums of Pauli strings that commute qubit by qubit.
        form_of: The normal form of a circuit, with noise; it may be that of the circuit with markers in it.
        read: What is read instead of `observables` when readings are noisy, as operators.

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name.
    """
    flat = elementary(circuit)
    form = form_of(flat)
    terms = distinct_terms(observables if read is None else read, form)
    _check_groups([tuple(range(len(terms)))], terms)
    written = write_register(flat, form)
    (block,) = written.blocks
    cones = tuple(tight_cone(form, PauliTerm(1.0, paulis)) for paulis in terms)
    outputs = tuple(range(len(observables)))
    tile = Tile(block.wires, block.qubits, outputs, cones, block.operations, block.rotations)
    numbers = [op.angle for op in form.operations if isinstance(op, Rotation)]
    return TiledCircuit(
        circuit=written.circuit,
        observables=tuple(observables),
        tiles=(tile,),
        form=form,
        coefficients=form.coefficients[numbers].reshape(len(numbers), circuit.num_parameters),
        offsets=form.offsets[numbers],
        runs=None,
        columns=written.columns,
    )


def distinct_terms(
    observables: Sequence[SparsePauliOp], form: NormalForm
) -> list[tuple[tuple[int, int], ...]]:
    """The Pauli strings of all observables, each once, in order of appearance, without the identity."""
    found: dict[tuple[tuple[int, int], ...], None] = {}
    for observable in observables:
        for term in pauli_terms(observable, form):
            if term.paulis:
                found.setdefault(term.paulis)
    return list(found)


def _joined(cones: Sequence[Cone]) -> list[tuple[int, ...]]:
    """Groups of terms: one each, but a cone within a larger one joins it if both can be measured together."""
    order = sorted(range(len(cones)), key=lambda i: (-len(cones[i].operations), -len(cones[i].qubits), i))
    groups: list[list[int]] = []
    for number in order:
        own = cones[number]
        for group in groups:
            large = cones[group[0]]
            if (
                set(own.operations) <= set(large.operations)
                and set(own.qubits) <= set(large.qubits)
                and all(_agree(own.term.paulis, cones[other].term.paulis) for other in group)
            ):
                group.append(number)
                break
        else:
            groups.append([number])
    return sorted(tuple(sorted(group)) for group in groups)


def _agree(first: tuple[tuple[int, int], ...], second: tuple[tuple[int, int], ...]) -> bool:
    """Whether two Pauli strings commute qubit by qubit."""
    letters = dict(first)
    return all(letters.get(qubit, letter) == letter for qubit, letter in second)


def _check_groups(groups: Sequence[tuple[int, ...]], terms: Sequence[tuple[tuple[int, int], ...]]) -> None:
    if sorted(i for group in groups for i in group) != list(range(len(terms))):
        raise ArgumentError(
            f"Argument `groups` must hold each of the {len(terms)} terms once, but is {list(groups)}."
        )
    for group in groups:
        if not all(_agree(terms[i], terms[j]) for i in group for j in group):
            raise UnsupportedError(
                "Argument `observables` must commute qubit by qubit where they are measured together, but "
                "they do not; give each tile of its own or run them one after the other."
            )


def _placed(
    terms: Sequence[PauliTerm], place: dict[tuple[tuple[int, int], ...], Tile], n_wires: int
) -> SparsePauliOp:
    """An observable on the tiled circuit's qubits."""
    entries: list[tuple[str, list[int], float]] = []
    for term in terms:
        if not term.paulis:
            entries.append(("", [], term.coefficient))
            continue
        tile = place[term.paulis]
        wire = dict(zip(tile.qubits, tile.wires, strict=True))
        letters = "".join("IXYZ"[letter] for _, letter in term.paulis)
        entries.append((letters, [wire[qubit] for qubit, _ in term.paulis], term.coefficient))
    return SparsePauliOp.from_sparse_list(entries or [("", [], 0.0)], n_wires)


@dataclass(frozen=True)
class TiledChannels:
    """Noise of the original circuit's qubits, on the tiles' qubits.

    Args:
        channels: The original circuit's noise.
        tiles: The tiles.
    """

    channels: ChannelModel
    tiles: tuple[Tile, ...]

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        """Channels that follow the gate on the tiles' qubits."""
        original = {
            wire: name for tile in self.tiles for wire, name in zip(tile.wires, tile.qubits, strict=True)
        }
        back = {original[qubit]: qubit for qubit in qubits}
        found = self.channels.after(gate, tuple(original[qubit] for qubit in qubits))
        if any(q not in back for channel in found for q in channel.qubits):
            raise UnsupportedError(
                f"Noise after gate `{gate}` must act on the gate's own qubits to be laid in tiles."
            )
        return tuple(Channel(tuple(back[q] for q in channel.qubits), channel.ptm) for channel in found)
