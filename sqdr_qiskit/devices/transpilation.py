"""A logical circuit made into one that a device runs: once, checked, with the way back.

Tiled: each output's cone on a chain of coupled qubits of its own, the best calibrated ones, several samples
side by side; nothing to route. Whole: what all outputs need, routed by Qiskit, the best of several seeds.
Either way the host computes the angles of the fused turns, and what changes no output (the last CZ layer) is
gone. Or as a layout file says, one way or the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.chip_noise import estimate_success
from sqdr_qiskit.devices.fusing import Fused, fuse, unfused
from sqdr_qiskit.devices.placement import (
    ChainNeeds,
    Placement,
    Placements,
    needs_of,
    place_as_chosen,
    place_rounds,
)
from sqdr_qiskit.devices.programs import (
    DeviceProgram,
    LayoutOptions,
    Round,
    checked,
    digest_of,
    measured_in,
    on_qubits,
    refuse,
    require_device,
)
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.angles import prepared
from sqdr_qiskit.lightcone.cones import common_cone, pauli_terms
from sqdr_qiskit.lightcone.operations import CZ, NormalForm, Operation, PairChannel, normal_form
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.tiles import TiledCircuit, tile_circuit

__all__ = [
    "compile_for_device",
    "compile_tiled",
    "compile_whole",
    "MOST_ROUNDS",
    "route",
    "whole_logical",
]


def compile_for_device(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    chip: Chip,
    options: LayoutOptions | None = None,
) -> DeviceProgram:
    """Lay a circuit out on a device as the options say.

    Raises:
        UnsupportedError: The circuit is wider than the device, or cannot be taken apart.
        SpecError: The options name a layout file that is not for this circuit or not for this device.
        BackendError: The result is not made of the device's own gates (a fault of this package).
    """
    options = options or LayoutOptions()
    if options.choice is not None:
        return _as_chosen(circuit, observables, chip, options.choice)
    if options.layout == "whole":
        return compile_whole(circuit, observables, chip, options)
    found = compile_tiled(circuit, observables, chip, options)
    if isinstance(found, DeviceProgram):
        return found
    if circuit.num_qubits > len(chip.neighbours):
        raise UnsupportedError(
            f"The circuit needs {circuit.num_qubits} qubits, but {chip.name} has {len(chip.neighbours)} that "
            f"work; nor can it be run in tiles: {found[0].lower()}{found[1:]}. Use a larger device."
        )
    return replace(compile_whole(circuit, observables, chip, options), note=found)


_BESIDE = (
    "The layout file places the circuit, not its cones side by side, on which gradients are measured; these "
    "take its level and seed"
)


def _as_chosen(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], chip: Chip, choice: LayoutSpec
) -> DeviceProgram:
    """Lay a circuit out as a layout file says.

    Tiled, the file's circuit and its cones side by side, which gradients are measured on, stand on the same
    chains. Whole, level and seed route the file's circuit again, from the qubits that it started on if Qiskit
    now prefers others; the cones side by side, another circuit, are routed freely with that level and seed,
    and `note` says so.

    Raises:
        SpecError: The file is for another circuit or device, or the device does not carry it any more.
    """
    require_device(choice, chip)
    if digest_of(circuit, observables) != choice.digest:
        refuse(
            choice,
            "digest",
            f"must be that of the circuit that runs ({circuit.name}: {circuit.num_qubits} qubits, "
            f"{len(observables)} outputs), but is that of another, {choice.circuit}",
        )
    if choice.layout == "whole":
        return _whole(circuit, observables, chip, choice)
    found = compile_tiled(circuit, observables, chip, LayoutOptions(choice=choice))
    if isinstance(found, str):
        refuse(choice, "layout", f"is tiled, but that cannot be: {found}")
    _require_gates(choice, found, chip)
    return found


def _whole(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], chip: Chip, choice: LayoutSpec
) -> DeviceProgram:
    logical = whole_logical(circuit, observables)
    assert choice.level is not None
    assert choice.seed is not None
    assert choice.initial is not None
    if logical.circuit.num_qubits != len(choice.initial):
        free = LayoutOptions(layout="whole", level=choice.level, seeds=(choice.seed,))
        return replace(compile_whole(circuit, observables, chip, free), note=_BESIDE)
    if any(qubit not in chip.neighbours for qubit in choice.initial):
        refuse(choice, "initial", f"names qubits that do not work on {chip.name}")
    # As it was found; by another calibration Qiskit may start elsewhere, unless told where.
    for initial in (None, choice.initial):
        try:
            found = route(logical, chip, level=choice.level, seed=choice.seed, initial=initial)
        except UnsupportedError as error:
            if initial is not None:
                refuse(choice, "initial", f"is {list(initial)}, but {str(error).rstrip('.')}")
            continue
        same = (found.tiles, found.initial) == (choice.tiles, choice.initial)
        if same and found.two_qubit_gates == choice.two_qubit_gates:
            return found
    if found.tiles != choice.tiles:
        refuse(choice, "tiles", f"differs from what {chip.name} gives now: {list(found.tiles[0][0][0])}")
    _require_gates(choice, found, chip)
    return found


def _require_gates(choice: LayoutSpec, found: DeviceProgram, chip: Chip) -> None:
    if found.two_qubit_gates != choice.two_qubit_gates:
        refuse(
            choice,
            "two_qubit_gates",
            f"is {choice.two_qubit_gates}, but {chip.name} now takes {found.two_qubit_gates}",
        )


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
    whole = QuantumCircuit(chip.n_qubits)
    for part in fused:
        whole.compose(part.circuit, inplace=True)
    return Round(
        circuit=whole,
        copies=tuple(fused),
        terms=terms,
        words=tuple(words),
        tiles=placement.chains,
        measured=tuple(sorted(measured_in([word for copy in words for word in copy]))),
    )


def _wire(operation: Operation) -> int:
    return operation.qubits[0] if isinstance(operation, CZ | PairChannel) else operation.qubit


def _moved(operation: Operation, where: dict[int, int]) -> Operation:
    if isinstance(operation, CZ | PairChannel):
        first, second = operation.qubits
        return replace(operation, qubits=(where[first], where[second]))
    return replace(operation, qubit=where[operation.qubit])


def compile_whole(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    chip: Chip,
    options: LayoutOptions,
) -> DeviceProgram:
    """All that the observables need as one circuit, routed on the device; the best of the seeds.

    Raises:
        UnsupportedError: The circuit is wider than the device.
    """
    logical = whole_logical(circuit, observables)
    programs = [route(logical, chip, level=options.level, seed=seed) for seed in options.seeds]
    return min(programs, key=lambda p: _cost(p.rounds[0], chip))


def whole_logical(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], *, fuse: bool = True
) -> TiledCircuit:
    """What the observables need as one circuit, the last CZ layer gone; of U and CZ if Rots are fused."""
    form = normal_form(prepared(circuit)[0])
    terms = {term.paulis for o in observables for term in pauli_terms(o, form) if term.paulis}
    return tile_circuit(circuit, observables, fuse=fuse, groups=[range(len(terms))] if terms else [])


def route(
    logical: TiledCircuit,
    chip: Chip,
    *,
    level: int,
    seed: int,
    fused: bool = True,
    initial: Sequence[int] | None = None,
) -> DeviceProgram:
    """A circuit routed on a device by Qiskit.

    Args:
        logical: From `whole_logical`.
        chip: The device.
        level: Qiskit's optimisation level, 0 to 3.
        seed: Of its random choices.
        fused: Turns are fused and what changes no output is dropped; else all is left as Qiskit writes it.
        initial: The device's qubit that each logical qubit starts on; None leaves it to Qiskit.

    Raises:
        UnsupportedError: The circuit is wider than the device, or cannot be routed.
    """
    width = logical.circuit.num_qubits
    if width > len(chip.neighbours):
        raise UnsupportedError(
            f"The circuit needs {width} qubits, but {chip.name} has {len(chip.neighbours)} that work; use a "
            f"larger device or `--layout tiled`."
        )
    manager = generate_preset_pass_manager(
        optimization_level=level,
        target=chip.working,
        seed_transpiler=seed,
        initial_layout=None if initial is None else list(initial),
    )
    circuit, shift = logical.circuit, np.zeros(logical.circuit.num_parameters)
    if chip.pulse == "sx":
        circuit, shift = _pulses(logical.circuit)
    try:
        routed = manager.run(circuit)
    except TranspilerError as error:
        reason = str(error).strip("'\"").rstrip(".")
        raise UnsupportedError(
            f"Qiskit cannot route the circuit on {chip.name} at level {level}: {reason}."
        ) from error
    routed.global_phase = 0.0  # of no effect, and as a sum of all angles slow to bind
    # Where SWAPs have left the logical qubits in the end: there they are read.
    final = routed.layout.final_index_layout(filter_ancillas=True)
    words = tuple(on_qubits(term, dict(enumerate(final)), chip.n_qubits) for term in logical.terms)
    form = normal_form(routed)
    # Routing puts nothing new on a cone, but Qiskit keeps what no reading depends on.
    _, alive = common_cone(form, [term for word in words for term in pauli_terms(word, form)])
    column = {parameter: i for i, parameter in enumerate(logical.circuit.parameters)}
    coefficients = np.zeros((len(form.coefficients), len(column)))
    coefficients[:, [column[p] for p in routed.parameters]] = form.coefficients
    measured = measured_in(words)
    if fused:
        part = fuse(
            [form.operations[number] for number in alive],
            n_qubits=chip.n_qubits,
            coefficients=coefficients,
            offsets=form.offsets + coefficients @ shift,
            measured=measured,
            entanglers=chip.entanglers,
            style=chip.one_qubit_gates,
            prefix="s0",
        )
    else:
        part = unfused(routed, list(column), shift)
    used = {part.circuit.find_bit(qubit).index for item in part.circuit.data for qubit in item.qubits}
    only = Round(
        circuit=part.circuit,
        copies=(part,),
        terms=tuple(range(len(words))),
        words=(words,),
        tiles=((tuple(sorted(used | set(measured))),),),
        measured=tuple(sorted(measured)),
    )
    start = tuple(int(qubit) for qubit in routed.layout.initial_index_layout(filter_ancillas=True))
    return DeviceProgram("whole", (checked(only, chip),), logical, seed=seed, initial=start)


def _pulses(circuit: QuantumCircuit) -> tuple[QuantumCircuit, NDArray[np.float64]]:
    """The circuit with each U as RZ SX RZ SX RZ, a parameter p standing for p + shift.

    Qiskit would write p + pi into every gate and sum all angles up to a global phase, which takes it minutes.
    """
    column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    shift = np.zeros(len(column))
    written = circuit.copy_empty_like()
    for item in circuit.data:
        if item.operation.name != "u":
            written.append(item)
            continue
        theta, phi, lam = item.operation.params
        for number, (angle, more) in enumerate(((lam, 0.0), (theta, np.pi), (phi, np.pi))):
            if angle in column:
                shift[column[angle]] = more
                written.rz(angle, item.qubits)
            else:
                written.rz(float(angle) + more, item.qubits)
            if number < 2:
                written.sx(item.qubits)
    return written, shift


def _cost(part: Round, chip: Chip) -> float:
    return estimate_success(part.circuit, chip, part.measured).cost
