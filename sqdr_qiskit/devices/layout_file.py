"""A layout that `transpile` found, as a file that `infer` and `train` use."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import NoReturn

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit import records
from sqdr_qiskit.catalog import is_path
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.errors import SpecError
from sqdr_qiskit.specs.device import LayoutSpec, read_layout
from sqdr_qiskit.tiles.tiles import tile_circuit

__all__ = ["digest_of", "layout_options", "note_calibration", "refuse", "require_circuit", "require_device"]

_log = logging.getLogger("sqdr_qiskit")


def layout_options(layout: str | os.PathLike[str] | LayoutSpec | None) -> LayoutOptions:
    """How circuits are laid out, from `tiled`, `whole`, a layout file's path or what it says; None is tiled.

    Raises:
        ArgumentError: No such word.
        SpecError: The file cannot be read, or says something that cannot be.
    """
    if layout is None:
        return LayoutOptions()
    if isinstance(layout, str) and not is_path(layout):
        return LayoutOptions(layout=layout)
    choice = layout if isinstance(layout, LayoutSpec) else read_layout(layout)
    return LayoutOptions(layout=choice.layout, choice=choice)


def digest_of(circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> str:
    """SHA-256 of what the outputs need: gates and their qubits cone by cone, and what is read there.

    Names do not count, nor does what changes no output. The cones side by side have the digest of the
    circuit that they were made of.

    Raises:
        UnsupportedError: A gate or an observable that cones cannot be computed of, by name.
    """
    tiled = tile_circuit(circuit, observables)
    gates = [
        [item.operation.name, *(tiled.circuit.find_bit(qubit).index for qubit in item.qubits)]
        for item in tiled.circuit.data
    ]
    terms = [[[letters, wires] for letters, wires, _ in term.to_sparse_list()] for term in tiled.terms]
    tiles = [[tile.wires, tile.terms] for tile in tiled.tiles]
    return records.digest({"gates": gates, "terms": terms, "tiles": tiles})


def require_device(choice: LayoutSpec, chip: Chip) -> None:
    """Refuse a layout of another device.

    Raises:
        SpecError: It is.
    """
    if choice.device != chip.name:
        refuse(choice, "device", f"must be `{chip.name}`, where this runs, but is `{choice.device}`")


def require_circuit(
    choice: LayoutSpec, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]
) -> None:
    """Refuse a layout of another circuit.

    Raises:
        SpecError: It is.
    """
    if digest_of(circuit, observables) != choice.digest:
        refuse(
            choice,
            "digest",
            f"must be that of the circuit that runs ({circuit.name}: {circuit.num_qubits} qubits, "
            f"{len(observables)} outputs), but is that of another, {choice.circuit}",
        )


def note_calibration(choice: LayoutSpec, chip: Chip) -> None:
    """Say so if the device has been calibrated since the layout was chosen."""
    if choice.calibrated and chip.calibrated and choice.calibrated != chip.calibrated:
        _log.warning(
            "The layout was chosen by the calibration of %s; %s has one of %s.",
            choice.calibrated,
            chip.name,
            chip.calibrated,
        )


def refuse(choice: LayoutSpec, key: str, why: str) -> NoReturn:
    """Raise the error that names the key of a layout file that does not fit."""
    raise SpecError(
        f"Layout of {choice.circuit} on {choice.device}: key `{key}` {why}; `sqdr-qiskit transpile --choose` "
        "makes one."
    )
