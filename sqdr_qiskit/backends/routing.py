"""A circuit as a whole on a device, routed by Qiskit, its turns fused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

from sqdr_qiskit.backends.chip import Chip
from sqdr_qiskit.backends.fusing import fuse
from sqdr_qiskit.backends.programs import DeviceProgram, LayoutOptions, Round, checked, measured_in, on_qubits
from sqdr_qiskit.backends.success import estimate_success
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.cones import cone, pauli_terms
from sqdr_qiskit.lightcone.layouts import tile_circuit
from sqdr_qiskit.lightcone.operations import normal_form
from sqdr_qiskit.lightcone.tiles import TiledCircuit

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


def whole_logical(circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> TiledCircuit:
    """What the observables need as one circuit of U and CZ gates, the last CZ layer gone, Rots fused."""
    form = normal_form(circuit)
    terms = {term.paulis for o in observables for term in pauli_terms(o, form) if term.paulis}
    return tile_circuit(circuit, observables, groups=[range(len(terms))] if terms else [])


def route(logical: TiledCircuit, chip: Chip, *, level: int, seed: int) -> DeviceProgram:
    """A circuit routed on a device by Qiskit, its turns fused.

    Args:
        logical: From `whole_logical`.
        chip: The device.
        level: Qiskit's optimisation level, 0 to 3.
        seed: Of its random choices.

    Raises:
        UnsupportedError: The circuit is wider than the device, or cannot be routed.
    """
    width = logical.circuit.num_qubits
    if width > len(chip.neighbours):
        raise UnsupportedError(
            f"The circuit needs {width} qubits, but {chip.name} has {len(chip.neighbours)} that work; use a "
            f"larger device or `--layout tiled`."
        )
    manager = generate_preset_pass_manager(optimization_level=level, target=chip.target, seed_transpiler=seed)
    try:
        routed = manager.run(logical.circuit)
    except TranspilerError as error:
        reason = str(error).strip("'\"").rstrip(".")
        raise UnsupportedError(
            f"Qiskit cannot route the circuit on {chip.name} at level {level}: {reason}."
        ) from error
    final = routed.layout.final_index_layout(filter_ancillas=True)
    words = tuple(on_qubits(term, dict(enumerate(final)), chip.n_qubits) for term in logical.terms)
    form = normal_form(routed)
    terms = [term for word in words for term in pauli_terms(word, form) if term.paulis]
    alive = sorted({number for term in terms for number in cone(form, term).operations})
    column = {parameter: i for i, parameter in enumerate(logical.circuit.parameters)}
    coefficients = np.zeros((len(form.coefficients), len(column)))
    coefficients[:, [column[p] for p in routed.parameters]] = form.coefficients
    measured = measured_in(words)
    fused = fuse(
        [form.operations[number] for number in alive],
        n_qubits=chip.n_qubits,
        coefficients=coefficients,
        offsets=form.offsets,
        measured=measured,
        entanglers=chip.entanglers,
        style=chip.one_qubit_gates,
        prefix="s0",
    )
    used = {fused.circuit.find_bit(qubit).index for item in fused.circuit.data for qubit in item.qubits}
    only = Round(
        circuit=fused.circuit,
        copies=(fused,),
        terms=tuple(range(len(words))),
        words=(words,),
        lines=((tuple(sorted(used | set(measured))),),),
        measured=tuple(sorted(measured)),
    )
    return DeviceProgram("whole", (checked(only, chip),), logical, seed=seed)


def _cost(part: Round, chip: Chip) -> float:
    return estimate_success(part.circuit, chip, part.measured).cost
