"""A circuit as a device runs it: in one round or several, samples side by side, with the way back.

First how circuits are laid out, by options or by the layout file that `transpile` wrote and `infer` and
`train` take; then the program that comes of it; then its files.
"""

from __future__ import annotations

import io
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from qiskit import qasm3, qpy
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit import records
from sqdr_qiskit.catalog import is_path
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.fusing import Fused
from sqdr_qiskit.errors import ArgumentError, BackendError, SpecError
from sqdr_qiskit.specs.device import LAYOUTS, LayoutSpec, TileQubits, read_layout
from sqdr_qiskit.tiles import TiledCircuit, tile_circuit

__all__ = [
    "checked",
    "DeviceProgram",
    "digest_of",
    "layout_options",
    "LayoutOptions",
    "LAYOUTS",
    "measured_in",
    "note_calibration",
    "on_qubits",
    "refuse",
    "require_device",
    "Round",
    "write_isa",
]

_log = logging.getLogger("sqdr_qiskit")

_Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """How circuits are laid out.

    Attributes:
        layout: `tiled` (falls back to `whole` where a cone fits no chain of coupled qubits, and says so) or
            `whole`.
        copies: Samples side by side; None: as many as good chains allow. Tiled only.
        spacing: 1 leaves an unused qubit between chains, against crosstalk. Tiled only.
        seeds: Seeds tried. Whole only.
        level: Qiskit's optimisation level, 0 to 3. Whole only.
        choice: The layout that was chosen before, from a file: it says all of the above.
    """

    layout: str = "tiled"
    copies: int | None = None
    spacing: int = 0
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    level: int = 3
    choice: LayoutSpec | None = None

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ArgumentError(f"Argument `layout` must be {' or '.join(LAYOUTS)}, but is `{self.layout}`.")
        if self.copies is not None and self.copies < 1:
            raise ArgumentError(f"Argument `copies` must be at least 1, but is {self.copies}.")
        if self.spacing not in (0, 1):
            raise ArgumentError(f"Argument `spacing` must be 0 or 1, but is {self.spacing}.")
        if not self.seeds:
            raise ArgumentError("Argument `seeds` must hold at least one seed, but is empty.")
        if self.level not in (0, 1, 2, 3):
            raise ArgumentError(f"Argument `level` must be 0, 1, 2 or 3, but is {self.level}.")


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


@dataclass(frozen=True, eq=False)
class Round:
    """What a device runs at once.

    Attributes:
        circuit: The device's own gates on all its qubits.
        copies: For each of the samples side by side, its part of the circuit.
        terms: Numbers of the Pauli terms that are measured.
        words: For each copy, these terms on the device's qubits.
        tiles: For each copy the qubits of each tile; one tile of all qubits used where it is whole.
        measured: Qubits that are measured, ascending.
    """

    circuit: QuantumCircuit
    copies: tuple[Fused, ...]
    terms: tuple[int, ...]
    words: tuple[tuple[SparsePauliOp, ...], ...]
    tiles: tuple[tuple[tuple[int, ...], ...], ...]
    measured: tuple[int, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The circuit's parameters in the order of `bind`'s columns."""
        return tuple(parameter for copy in self.copies for parameter in copy.parameters)

    @property
    def qubits(self) -> tuple[int, ...]:
        """The device's qubits in use, ascending."""
        return tuple(sorted({qubit for copy in self.tiles for tile in copy for qubit in tile}))

    @cached_property
    def instructions(self) -> int:
        """Control instructions of one execution on the busiest qubit, its measurement included."""
        busy = Counter(qubit for item in self.circuit.data for qubit in item.qubits)
        return 1 + max(busy.values(), default=0)

    def bind(self, inner: _Float) -> _Float:
        """Parameter values for a batch: `len(copies)` samples share a row, the last row is filled up.

        Args:
            inner: Shape (batch, n_angles): what `logical.bind` gives.

        Returns:
            Shape (rows, len(parameters)), radians.
        """
        n_rows = -(-len(inner) // len(self.copies))
        # Samples that fill up the last row repeat the last one; `unfold` drops them.
        inner = inner[np.minimum(np.arange(n_rows * len(self.copies)), len(inner) - 1)]
        parts = [copy.angles(inner[number :: len(self.copies)]) for number, copy in enumerate(self.copies)]
        return np.concatenate(parts, axis=1)

    def unfold(self, found: _Float, batch: int) -> _Float:
        """Results by sample: shape (copies * terms, rows) -> (batch, terms)."""
        by_copy = found.reshape(len(self.copies), len(self.terms), -1)
        return by_copy.transpose(2, 0, 1).reshape(-1, len(self.terms))[:batch]


@dataclass(frozen=True, eq=False)
class DeviceProgram:
    """A circuit and its observables as a device runs them.

    Attributes:
        layout: `tiled` or `whole`.
        rounds: What runs one after the other; every sample goes through all of them.
        logical: The circuit they were made of, and how terms make up the observables.
        note: Why it is whole although tiles were asked for, or on qubits that its layout file does not name;
            else empty.
        seed: Of the transpiler; None where it was not needed.
        initial: The device's qubit that each logical qubit starts on, before routing; empty for tiles.
    """

    layout: str
    rounds: tuple[Round, ...]
    logical: TiledCircuit
    note: str = ""
    seed: int | None = None
    initial: tuple[int, ...] = ()

    def inner(self, values: _Float) -> _Float:
        """What `Round.bind` takes, from the original circuit's parameters: shape (batch, n_params)."""
        if self.logical.runs is None:
            return self.logical.bind(self.logical.angles(values))
        outer = values if self.logical.stage is None else self.logical.stage.values(values)
        return self.logical.turns.values(outer, with_slopes=False)[0]

    @property
    def tiles(self) -> TileQubits:
        """The device's qubits: of each round, of each sample side by side, of each tile."""
        return tuple(part.tiles for part in self.rounds)

    @property
    def two_qubit_gates(self) -> int:
        """Their number, for one sample."""
        first = [part.copies[0].circuit for part in self.rounds]
        return sum(len(item.qubits) == 2 for circuit in first for item in circuit.data)

    def observables(self, terms: _Float) -> _Float:
        """Values of the original observables: shape (batch, n_terms) -> (batch, n_observables)."""
        return np.asarray(terms @ self.logical.weights.T + self.logical.constants)

    def spread(self, terms: _Float) -> _Float:
        """Standard errors of the original observables from those of the terms, taken as independent."""
        return np.sqrt(terms**2 @ self.logical.weights.T**2)


def checked(part: Round, chip: Chip) -> Round:
    """The round, if the device can run it.

    Raises:
        BackendError: It cannot (a fault of this package).
    """
    # Imports the runtime's client, which takes a second: what only simulates need not wait for it.
    from qiskit_ibm_runtime.utils.utils import is_isa_circuit

    message = is_isa_circuit(part.circuit, chip.target)
    if message:
        raise BackendError(f"The circuit for {chip.name} is not one that it can run: {message}")
    return part


def on_qubits(observable: SparsePauliOp, where: Mapping[int, int], n_qubits: int) -> SparsePauliOp:
    """An observable on other qubits: what acts on i acts on `where[i]`."""
    entries = [
        (letters, [where[wire] for wire in wires], coefficient)
        for letters, wires, coefficient in observable.to_sparse_list()
    ]
    return SparsePauliOp.from_sparse_list(entries, n_qubits)


def measured_in(observables: Sequence[SparsePauliOp]) -> dict[int, bool]:
    """Qubits that the observables look at -> whether in Z alone."""
    found: dict[int, bool] = {}
    for observable in observables:
        for letters, qubits, _ in observable.to_sparse_list():
            for letter, qubit in zip(letters, qubits, strict=True):
                # One letter other than Z asks for a turn before the measurement.
                found[int(qubit)] = found.get(int(qubit), True) and letter == "Z"
    return found


def write_isa(program: DeviceProgram, folder: Path, stem: str) -> list[Path]:
    """Write a program's circuits, their parameters unbound and without measurements.

    The parameters are the angles of the device's turns, which `DeviceProgram.inner` and `Round.bind` compute
    from data and weights. What is read on which qubits is in each circuit's metadata (`terms`: numbers of
    the Pauli terms; `observables`: for each sample side by side, for each of these terms its letters, qubits
    and coefficients) and in the OpenQASM file's first lines.

    Args:
        program: The program.
        folder: Where to; made if it is missing.
        stem: Of the files' names: STEM.qpy with all rounds, STEM.qasm, or STEM-1.qasm and so on for rounds.

    Raises:
        StorageError: A file cannot be written.
    """
    circuits = [_told(part, f"{stem}-{number}") for number, part in enumerate(program.rounds, start=1)]
    buffer = io.BytesIO()
    qpy.dump(circuits, buffer)
    paths = [records.write_bytes(folder / f"{stem}.qpy", buffer.getvalue())]
    for number, circuit in enumerate(circuits, start=1):
        name = f"{stem}.qasm" if len(circuits) == 1 else f"{stem}-{number}.qasm"
        # The version's line must stay the first; what is read is told right behind it.
        head, body = qasm3.dumps(circuit).split("\n", 1)
        paths.append(records.write_text(folder / name, "\n".join((head, *_said(circuit), body))))
    return paths


def _told(part: Round, name: str) -> QuantumCircuit:
    circuit = part.circuit.copy(name=name)
    # Plain numbers and lists, since QPY writes metadata as JSON.
    circuit.metadata = {
        "terms": list(part.terms),
        "observables": [
            [
                [
                    [letters, list(map(int, qubits)), float(c.real)]
                    for letters, qubits, c in word.to_sparse_list()
                ]
                for word in copy
            ]
            for copy in part.words
        ],
    }
    return circuit


def _said(circuit: QuantumCircuit) -> list[str]:
    def term(entries: list[Any]) -> str:
        return " + ".join(
            f"{'' if c == 1 else f'{c:g} '}{letters} on {', '.join(f'q[{q}]' for q in qubits)}"
            for letters, qubits, c in entries
        )

    observables = circuit.metadata["observables"]
    return [
        f"// {'read' if len(observables) == 1 else f'sample {number}: read'} {'; '.join(map(term, copy))}"
        for number, copy in enumerate(observables, start=1)
    ]
