"""A logical circuit made into one that a device runs: once, checked, with the way back.

Tiled: each output's cone on a chain of coupled qubits of its own, the best calibrated ones, several samples
side by side; nothing to route. Whole: what all outputs need, routed by Qiskit, the best of several seeds.
Either way the host computes the angles of the fused turns, and what changes no output (the last CZ layer) is
gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.layout_file import refuse, require_circuit, require_device
from sqdr_qiskit.devices.programs import LAYOUTS, DeviceProgram, LayoutOptions
from sqdr_qiskit.devices.routing import compile_whole, route, whole_logical
from sqdr_qiskit.devices.tiling import compile_tiled
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.specs.device import LayoutSpec

__all__ = ["compile_as_chosen", "compile_for_device", "DeviceProgram", "LayoutOptions", "LAYOUTS"]


_BESIDE = (
    "The layout file places the circuit, not its cones side by side, on which gradients are measured; these "
    "take its level and seed"
)


def compile_as_chosen(
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
    require_circuit(choice, circuit, observables)
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
        return compile_as_chosen(circuit, observables, chip, options.choice)
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
