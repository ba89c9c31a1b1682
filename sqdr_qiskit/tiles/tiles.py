"""Tiles: blocks of one circuit that share no qubit, each a light cone with angles of its own.

What a chip runs, and what packed parameter shifts are bound into; `layouts` makes them. A tile holds what one
or several Pauli terms depend on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.channels import Channel, ChannelModel
from sqdr_qiskit.lightcone.cones import Cone
from sqdr_qiskit.lightcone.operations import NormalForm
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.runs import Run, euler_angles

__all__ = ["Tile", "TiledChannels", "TiledCircuit", "write_run"]


@dataclass(frozen=True, eq=False)
class Tile:
    """A block of the tiled circuit.

    Attributes:
        wires: The tiled circuit's qubits it stands on, ascending.
        qubits: For each of them the qubit of the original circuit (the normal form's name) that it stands
            for.
        terms: The Pauli terms that are read here, by their number in `TiledCircuit.terms`.
        outputs: The observables that have a term here (a sum of Pauli strings may be read on several tiles).
        cones: For each of `terms`, what it depends on: one cone, or several if readings err.
        operations: The normal form's operations on it, by number, ascending.
        rotations: For each of the normal form's rotations on it (by the number of the operation), its number
            among the tiled circuit's rotations.
    """

    wires: tuple[int, ...]
    qubits: tuple[int, ...]
    terms: tuple[int, ...]
    outputs: tuple[int, ...]
    cones: tuple[tuple[Cone, ...], ...]
    operations: tuple[int, ...]
    rotations: dict[int, int]


@dataclass(frozen=True, eq=False)
class TiledCircuit:
    """Tiles of a circuit, and how its parameters become theirs.

        tiled = layouts.tile_circuit(circuit, observables)
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
        coefficients: Shape (n_rotations, n_params): rotation angles = coefficients @ parameters + offsets.
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
            write_run(run, run.compose(angles), values)
        return values


def write_run(run: Run, gate: RealArray, values: RealArray) -> None:
    """Write a run's gate, quaternions of shape (4, ...), into parameter values of shape (..., n)."""
    for angle, column in zip(euler_angles(gate), run.columns, strict=True):
        if column is not None:
            values[..., column] = angle


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
        original = {w: name for tile in self.tiles for w, name in zip(tile.wires, tile.qubits, strict=True)}
        back = {original[qubit]: qubit for qubit in qubits}
        found = self.channels.after(gate, tuple(original[qubit] for qubit in qubits))
        if any(q not in back for channel in found for q in channel.qubits):
            raise UnsupportedError(
                f"Noise after gate `{gate}` must act on the gate's own qubits to be laid in tiles."
            )
        return tuple(Channel(tuple(back[q] for q in channel.qubits), channel.ptm) for channel in found)
