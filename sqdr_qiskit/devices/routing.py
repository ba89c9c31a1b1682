"""A circuit as a whole on a device, routed by Qiskit, its turns fused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.fusing import fuse, unfused
from sqdr_qiskit.devices.programs import DeviceProgram, LayoutOptions, Round, checked, measured_in, on_qubits
from sqdr_qiskit.devices.success import estimate_success
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.angles import prepared
from sqdr_qiskit.lightcone.cones import pauli_terms, pull
from sqdr_qiskit.lightcone.operations import NormalForm, normal_form
from sqdr_qiskit.tiles.tiles import TiledCircuit, tile_circuit

__all__ = ["compile_whole", "route", "whole_logical"]


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
    final = routed.layout.final_index_layout(filter_ancillas=True)
    words = tuple(on_qubits(term, dict(enumerate(final)), chip.n_qubits) for term in logical.terms)
    form = normal_form(routed)
    alive = _alive(form, words)
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


def _alive(form: NormalForm, words: Sequence[SparsePauliOp]) -> list[int]:
    """Numbers of the operations that any of the words depends on: all cones in one walk back."""
    sets = dict.fromkeys(range(form.n_qubits), 1)  # bits 1, 2, 4, 8: I, X, Y, Z can stand there
    for word in words:
        for term in pauli_terms(word, form):
            for qubit, letter in term.paulis:
                sets[qubit] |= 1 << letter
    numbers = range(len(form.operations) - 1, -1, -1)
    return sorted(number for number in numbers if pull(form.operations[number], sets))


def _cost(part: Round, chip: Chip) -> float:
    return estimate_success(part.circuit, chip, part.measured).cost
