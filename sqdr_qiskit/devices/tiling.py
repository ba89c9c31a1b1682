"""A circuit's cones written for a device, each on a chain of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.fusing import Fused, fuse
from sqdr_qiskit.devices.placement import (
    ChainNeeds,
    Placement,
    Placements,
    needs_of,
    place_as_chosen,
    place_rounds,
)
from sqdr_qiskit.devices.programs import DeviceProgram, LayoutOptions, Round, checked, measured_in, on_qubits
from sqdr_qiskit.lightcone.operations import CZ, NormalForm, Operation, PairChannel, normal_form
from sqdr_qiskit.tiles.tiles import TiledCircuit, tile_circuit

__all__ = ["MOST_ROUNDS", "compile_tiled"]

MOST_ROUNDS = 64
"""More rounds for one sample are a slip of the pen: a device of the circuit's size does it in one."""


def compile_tiled(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    chip: Chip,
    options: LayoutOptions,
) -> DeviceProgram | str:
    """The cones of all observables on chains of their own; or why that cannot be, as a sentence.

    Where the chip has no room, or none that is good, for all cones at once, they run in rounds.

    Raises:
        SpecError: The options name a layout file whose `tiles` the chip does not have.
    """
    tiled = tile_circuit(circuit, observables)
    widest = max((len(tile.wires) for tile in tiled.tiles), default=0)
    if not tiled.tiles:
        return "No observable depends on the circuit"
    # Then a tile is the whole circuit, once for each output: one whole circuit gives all of them.
    if len(tiled.tiles) > 1 and widest >= circuit.num_qubits:
        return f"A cone is as wide as the circuit ({widest} qubits)"
    read = measured_in(tiled.terms)
    needs: list[ChainNeeds] = []
    for tile in tiled.tiles:
        chain = needs_of(tiled.circuit, tile.wires, read)
        if chain is None:
            return f"A cone of {len(tile.wires)} qubits forms no chain"
        needs.append(chain)
    wanted = sum(need.length for need in needs)
    if wanted > MOST_ROUNDS * chip.n_qubits:
        return (
            f"Its tiles have {wanted} qubits together, and {chip.name} has {chip.n_qubits}: more than "
            f"{MOST_ROUNDS} rounds one after the other for every sample"
        )
    if options.choice is not None:
        placements: Placements | None = place_as_chosen(chip, needs, options.choice)
    else:
        placements = place_rounds(chip, needs, n_copies=options.copies, spacing=options.spacing)
    if placements is None:
        copies = "" if options.copies in (None, 1) else f"{options.copies} copies of "
        return f"{chip.name} has no room for {copies}a chain of {widest} qubits"
    # Of the tiles' circuit and not of the original one: its wires are what stands on a chip's qubits.
    form = normal_form(tiled.circuit)
    rounds = tuple(_tiled_round(tiled, form, needs, members, placed, chip) for members, placed in placements)
    return DeviceProgram("tiled", tuple(checked(part, chip) for part in rounds), tiled)


def _tiled_round(
    tiled: TiledCircuit,
    form: NormalForm,
    needs: Sequence[ChainNeeds],
    members: Sequence[int],
    placement: Placement,
    chip: Chip,
) -> Round:
    terms = tuple(term for number in members for term in tiled.tiles[number].terms)
    fused: list[Fused] = []
    words = []
    for number, chains in enumerate(placement.chains):
        where = {
            wire: qubit
            for tile, chain in zip(members, chains, strict=True)
            for wire, qubit in zip(needs[tile].wires, chain, strict=True)
        }
        # Each copy reads the same terms, on chains of its own.
        words.append(tuple(on_qubits(tiled.terms[term], where, chip.n_qubits) for term in terms))
        fused.append(
            # Fused anew for its chain: neighbouring qubits may have other two-qubit gates there.
            fuse(
                [_moved(operation, where) for operation in form.operations if _wire(operation) in where],
                n_qubits=chip.n_qubits,
                coefficients=form.coefficients,
                offsets=form.offsets,
                measured=measured_in(words[-1]),
                entanglers=chip.entanglers,
                style=chip.one_qubit_gates,
                # copies have angles of their own: other samples
                prefix=f"s{number}",
            )
        )
    return Round(
        circuit=_side_by_side(fused, chip),
        copies=tuple(fused),
        terms=terms,
        words=tuple(words),
        tiles=placement.chains,
        measured=tuple(sorted(measured_in([word for copy in words for word in copy]))),
    )


def _wire(operation: Operation) -> int:
    return operation.qubits[0] if isinstance(operation, CZ | PairChannel) else operation.qubit


def _side_by_side(parts: Sequence[Fused], chip: Chip) -> QuantumCircuit:
    total = QuantumCircuit(chip.n_qubits)
    for part in parts:
        for item in part.circuit.data:
            total.append(item.operation, [part.circuit.find_bit(qubit).index for qubit in item.qubits])
    return total


def _moved(operation: Operation, where: dict[int, int]) -> Operation:
    if isinstance(operation, CZ | PairChannel):
        first, second = operation.qubits
        return replace(operation, qubits=(where[first], where[second]))
    return replace(operation, qubit=where[operation.qubit])
