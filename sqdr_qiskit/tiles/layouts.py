"""Ways to lay a circuit's cones out as one circuit: side by side, or as the register that they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.channels import ChannelModel, noiseless
from sqdr_qiskit.lightcone.cones import Cone, PauliTerm, cone, pauli_terms
from sqdr_qiskit.lightcone.flow import tight_cone
from sqdr_qiskit.lightcone.operations import NormalForm, Rotation, normal_form
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.tiles.elementary import elementary
from sqdr_qiskit.tiles.tiles import Tile, TiledCircuit
from sqdr_qiskit.tiles.writer import Written, write_fused, write_plain, write_register

__all__ = ["tile_circuit", "whole_register"]

_Pauli = tuple[tuple[int, int], ...]


def tile_circuit(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    *,
    fuse: bool = True,
    channels: ChannelModel = noiseless,
    groups: Sequence[Sequence[int]] | None = None,
) -> TiledCircuit:
    """Lay the cones of `observables` side by side.

    Args:
        circuit: RX, RY, RZ, P and U rotations, fixed one- and two-qubit gates, and gates made of them.
        observables: Real sums of Pauli strings on the circuit's qubits; they need not commute.
        fuse: One `u` gate for all one-qubit gates between two CZs, which makes a chip's circuit as shallow as
            can be; else the circuit's own gates with their labels, as noise that follows gates needs it.
        channels: The noise; run the result under `TiledChannels(channels, tiled.tiles)`.
        groups: Which Pauli terms share a tile, by number in order of appearance; None gives each its own, but
            a term whose cone lies wholly within another's joins it.

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name; noise with
            `fuse`; terms of a group that do not commute qubit by qubit.
        ArgumentError: `groups` that do not hold every term once.
    """
    flat = elementary(circuit, channels)
    form = normal_form(flat, channels)
    if fuse and form.has_channels:
        raise UnsupportedError(
            "Argument `fuse` must be false with noise that follows the circuit's gates, because fused they "
            "are other gates."
        )
    terms = _distinct(observables, form)
    cones = [tight_cone(form, PauliTerm(1.0, paulis)) for paulis in terms]
    chosen = _joined(cones) if groups is None else [tuple(group) for group in groups]
    _check_groups(chosen, terms)
    if fuse:
        written = write_fused(flat, form, [[cones[i] for i in group] for group in chosen])
    else:
        # An instruction is kept or left out whole. Operations that are dead from the end may come back with
        # it, those that do nothing to |0...0> only if nothing was left out before them: so not the tight
        # cones here.
        whole = [cone(form, member.term) for member in cones]
        written = write_plain(flat, form, [[whole[i] for i in group] for group in chosen])
    weights, constants = _weights(observables, form, terms)
    tiles = tuple(
        Tile(
            wires=block.wires,
            qubits=block.qubits,
            terms=group,
            outputs=tuple(int(number) for number in np.flatnonzero(weights[:, group].any(axis=1))),
            cones=tuple((cones[i],) for i in group),
            operations=block.operations,
            rotations=block.rotations,
        )
        for block, group in zip(written.blocks, chosen, strict=True)
    )
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
    for row, constant in zip(weights, constants, strict=True):
        entries = [(*strings[i], row[i]) for i in range(len(terms)) if row[i] != 0.0]
        if constant != 0.0 or not entries:
            entries.append(("", [], constant))
        sums.append(SparsePauliOp.from_sparse_list(entries, n_wires))
    single = [SparsePauliOp.from_sparse_list([(*strings[i], 1.0)], n_wires) for i in range(len(terms))]
    return _assemble(written, form, tiles, sums, single, weights, constants, circuit)


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
        observables: Real sums of Pauli strings that commute qubit by qubit.
        noise: Marks in a circuit where noise sits, and gives the channels there; the marks do not turn.
        read: The operator that is read instead of an observable when readings err.

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name; observables that
            do not commute qubit by qubit.
    """
    flat = elementary(circuit, noiseless if noise is None else noise(circuit)[1])
    marked, channels = (flat, noiseless) if noise is None else noise(flat)
    plain = normal_form(flat)
    form = plain if noise is None else normal_form(marked, channels)
    terms = _distinct(observables, plain)
    _check_groups([tuple(range(len(terms)))], terms)
    single = []
    back = {name: wire for wire, name in enumerate(plain.line)}
    for paulis in terms:
        letters, wires = "".join("IXYZ"[letter] for _, letter in paulis), [back[qubit] for qubit, _ in paulis]
        single.append(SparsePauliOp.from_sparse_list([(letters, wires, 1.0)], circuit.num_qubits))
    written = write_register(flat, form)
    (block,) = written.blocks
    cones = tuple(
        tuple(tight_cone(form, term) for term in pauli_terms(read(one), form) if term.paulis)
        for one in single
    )
    tile = Tile(
        wires=block.wires,
        qubits=block.qubits,
        terms=tuple(range(len(terms))),
        outputs=tuple(range(len(observables))),
        cones=cones,
        operations=block.operations,
        rotations=block.rotations,
    )
    weights, constants = _weights(observables, plain, terms)
    return _assemble(written, form, (tile,), list(observables), single, weights, constants, circuit)


def _assemble(
    written: Written,
    form: NormalForm,
    tiles: tuple[Tile, ...],
    observables: Sequence[SparsePauliOp],
    terms: Sequence[SparsePauliOp],
    weights: RealArray,
    constants: RealArray,
    circuit: QuantumCircuit,
) -> TiledCircuit:
    rows = [form.operations[operation] for tile in tiles for operation in tile.rotations]
    numbers = [op.angle for op in rows if isinstance(op, Rotation)]
    return TiledCircuit(
        circuit=written.circuit,
        observables=tuple(observables),
        terms=tuple(terms),
        weights=weights,
        constants=constants,
        tiles=tiles,
        form=form,
        coefficients=form.coefficients[numbers].reshape(len(numbers), circuit.num_parameters),
        offsets=form.offsets[numbers],
        runs=written.runs,
        columns=written.columns,
    )


def _distinct(observables: Sequence[SparsePauliOp], form: NormalForm) -> list[_Pauli]:
    """The Pauli strings of all observables, each once, in order of appearance, without the identity."""
    found: dict[_Pauli, None] = {}
    for observable in observables:
        for term in pauli_terms(observable, form):
            if term.paulis:
                found.setdefault(term.paulis)
    return list(found)


def _weights(
    observables: Sequence[SparsePauliOp], form: NormalForm, terms: Sequence[_Pauli]
) -> tuple[RealArray, RealArray]:
    """Observables as sums of terms: weights (n_observables, n_terms) and constants (n_observables,)."""
    number = {paulis: i for i, paulis in enumerate(terms)}
    weights, constants = np.zeros((len(observables), len(terms))), np.zeros(len(observables))
    for row, observable in enumerate(observables):
        for term in pauli_terms(observable, form):
            if term.paulis:
                weights[row, number[term.paulis]] += term.coefficient
            else:
                constants[row] += term.coefficient
    return weights, constants


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


def _agree(first: _Pauli, second: _Pauli) -> bool:
    """Whether two Pauli strings commute qubit by qubit."""
    letters = dict(first)
    return all(letters.get(qubit, letter) == letter for qubit, letter in second)


def _check_groups(groups: Sequence[tuple[int, ...]], terms: Sequence[_Pauli]) -> None:
    if sorted(i for group in groups for i in group) != list(range(len(terms))):
        raise ArgumentError(
            f"Argument `groups` must hold each of the {len(terms)} terms once, but is {list(groups)}."
        )
    for group in groups:
        if not all(_agree(terms[i], terms[j]) for i in group for j in group):
            raise UnsupportedError(
                "Argument `observables` must commute qubit by qubit to be read in one execution, but they do "
                "not; lay their cones side by side, or ask for them one after the other."
            )
