"""A logical circuit made into one that a device runs: once, checked, with the way back.

Tiled: each output's cone on a line of its own, the best calibrated ones, several samples side by side;
nothing to route. Whole: what all outputs need, routed by Qiskit, the best of several seeds. Either way the
host computes the angles of the fused turns, and what changes no output (the last CZ layer) is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.chosen import compile_as_chosen
from sqdr_qiskit.devices.programs import LAYOUTS, DeviceProgram, LayoutOptions
from sqdr_qiskit.devices.routing import compile_whole
from sqdr_qiskit.devices.tiling import compile_tiled

__all__ = ["LAYOUTS", "DeviceProgram", "LayoutOptions", "compile_for_device"]


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
    return replace(compile_whole(circuit, observables, chip, options), note=found)
