"""A logical circuit made into one that a device runs: once, checked, with the way back.

Tiled: each output's cone on a line of its own, the best calibrated ones, several samples side by side;
nothing to route. Whole: what all outputs need, routed by Qiskit, the best of several seeds. Either way the
host computes the angles of the fused turns, and what changes no output (the last CZ layer) is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.utils.utils import is_isa_circuit

from sqdr_qiskit.backends.chip import Chip
from sqdr_qiskit.backends.fusing import Entanglers, Fused, fuse
from sqdr_qiskit.backends.success import estimate_success
from sqdr_qiskit.backends.tiling.lines import LineNeeds, needs_of
from sqdr_qiskit.backends.tiling.placement import place_copies
from sqdr_qiskit.errors import ArgumentError, BackendError, UnsupportedError
from sqdr_qiskit.lightcone.cones import cone, pauli_terms
from sqdr_qiskit.lightcone.layouts import tile_circuit
from sqdr_qiskit.lightcone.operations import CZ, Operation, normal_form
from sqdr_qiskit.lightcone.tiles import TiledCircuit

__all__ = [
    "LAYOUTS",
    "DeviceProgram",
    "LayoutOptions",
    "compile_for_device",
    "compile_tiled",
    "compile_whole",
]

LAYOUTS = ("tiled", "whole")

_Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """How circuits are laid out.

    Attributes:
        layout: `tiled` (falls back to `whole` where a cone fits no line, and says so) or `whole`.
        copies: Samples side by side; None: as many as good lines allow. Tiled only.
        spacing: 1 leaves an unused qubit between lines, against crosstalk. Tiled only.
        seeds: Seeds tried. Whole only.
        level: Qiskit's optimisation level, 0 to 3. Whole only.
    """

    layout: str = "tiled"
    copies: int | None = None
    spacing: int = 0
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    level: int = 3

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


@dataclass(frozen=True, eq=False)
class DeviceProgram:
    """A circuit and its observables as a device runs them.

    Attributes:
        layout: `tiled` or `whole`.
        circuit: The device's own gates on all its qubits.
        copies: For each of the samples side by side, its part of the circuit.
        observables: For each copy, the original observables on the device's qubits.
        lines: For each copy the qubits of each tile; one tile of all qubits used where it is whole.
        measured: Qubits that are measured.
        note: Why it is whole although tiles were asked for; else empty.
        seed: Of the transpiler; None where it was not needed.
    """

    layout: str
    circuit: QuantumCircuit
    copies: tuple[Fused, ...]
    observables: tuple[tuple[SparsePauliOp, ...], ...]
    lines: tuple[tuple[tuple[int, ...], ...], ...]
    measured: tuple[int, ...]
    logical: TiledCircuit
    note: str = ""
    seed: int | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The circuit's parameters in the order of `bind`'s columns."""
        return tuple(parameter for copy in self.copies for parameter in copy.parameters)

    @property
    def qubits(self) -> tuple[int, ...]:
        """The device's qubits in use, ascending."""
        return tuple(sorted({qubit for copy in self.lines for line in copy for qubit in line}))

    def bind(self, values: _Float) -> _Float:
        """Parameter values for a batch: `len(copies)` samples share a row, the last row is filled up.

        Args:
            values: Shape (batch, n_params), radians, in the order of the original circuit's parameters.

        Returns:
            Shape (rows, len(parameters)), radians.
        """
        inner = self.logical.bind(self.logical.angles(values))
        n_rows = -(-len(values) // len(self.copies))
        inner = inner[np.minimum(np.arange(n_rows * len(self.copies)), len(values) - 1)]
        parts = [copy.angles(inner[number :: len(self.copies)]) for number, copy in enumerate(self.copies)]
        return np.concatenate(parts, axis=1)

    def unfold(self, evs: _Float, batch: int) -> _Float:
        """Results by sample: shape (copies * outputs, rows) -> (batch, outputs)."""
        n_outputs = len(self.observables[0])
        by_copy = evs.reshape(len(self.copies), n_outputs, -1)
        return by_copy.transpose(2, 0, 1).reshape(-1, n_outputs)[:batch]


def compile_for_device(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    chip: Chip,
    options: LayoutOptions | None = None,
) -> DeviceProgram:
    """Lay a circuit out on a device as the options say.

    Raises:
        UnsupportedError: The circuit is wider than the device, or cannot be taken apart.
        BackendError: The result is not made of the device's own gates (a fault of this package).
    """
    options = options or LayoutOptions()
    if options.layout == "whole":
        return compile_whole(circuit, observables, chip, options)
    found = compile_tiled(circuit, observables, chip, options)
    if isinstance(found, DeviceProgram):
        return found
    return replace(compile_whole(circuit, observables, chip, options), note=found)


def compile_tiled(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    chip: Chip,
    options: LayoutOptions,
) -> DeviceProgram | str:
    """The cones of all observables on lines of their own; or why that cannot be, as a sentence."""
    tiled = tile_circuit(circuit, observables)
    widest = max((len(tile.wires) for tile in tiled.tiles), default=0)
    if not tiled.tiles:
        return "No observable depends on the circuit"
    if len(tiled.tiles) > 1 and widest >= circuit.num_qubits:
        return f"A cone is as wide as the circuit ({widest} qubits)"
    read = _letters(tiled.observables)
    needs: list[LineNeeds] = []
    for tile in tiled.tiles:
        line = needs_of(tiled.circuit, tile.wires, read)
        if line is None:
            return f"A cone of {len(tile.wires)} qubits forms no line"
        needs.append(line)
    placement = place_copies(chip, needs, n_copies=options.copies, spacing=options.spacing)
    if placement is None:
        copies = "" if options.copies in (None, 1) else f"{options.copies} copies of "
        return f"{chip.name} has no room for {copies}{len(needs)} lines of up to {widest} qubits"
    fused, placed = [], []
    for number, lines in enumerate(placement.lines):
        where = {
            wire: qubit
            for need, line in zip(needs, lines, strict=True)
            for wire, qubit in zip(need.wires, line, strict=True)
        }
        form = normal_form(tiled.circuit)
        operations = [_moved(operation, where) for operation in form.operations]
        placed.append(tuple(_placed(o, where, chip.n_qubits) for o in tiled.observables))
        fused.append(
            fuse(
                operations,
                n_qubits=chip.n_qubits,
                coefficients=form.coefficients,
                offsets=form.offsets,
                measured=_letters(placed[-1]),
                entanglers=_entanglers(chip),
                style=chip.one_qubit_gates,
                prefix=f"s{number}",
            )
        )
    return _checked(
        DeviceProgram(
            layout="tiled",
            circuit=_side_by_side(fused, chip),
            copies=tuple(fused),
            observables=tuple(placed),
            lines=placement.lines,
            measured=tuple(sorted(_letters([o for copy in placed for o in copy]))),
            logical=tiled,
        ),
        chip,
    )


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
    form = normal_form(circuit)
    terms = {term.paulis for o in observables for term in pauli_terms(o, form) if term.paulis}
    logical = tile_circuit(circuit, observables, groups=[range(len(terms))] if terms else [])
    width = logical.circuit.num_qubits
    if width > len(chip.neighbours):
        raise UnsupportedError(
            f"The circuit needs {width} qubits, but {chip.name} has {len(chip.neighbours)} that work; use a "
            f"larger device or `--layout tiled`."
        )
    programs = [_route(logical, chip, options.level, seed) for seed in options.seeds]
    return _checked(min(programs, key=lambda p: estimate_success(p.circuit, chip, p.measured).cost), chip)


def _route(logical: TiledCircuit, chip: Chip, level: int, seed: int) -> DeviceProgram:
    manager = generate_preset_pass_manager(optimization_level=level, target=chip.target, seed_transpiler=seed)
    routed = manager.run(logical.circuit)
    final = routed.layout.final_index_layout(filter_ancillas=True)
    placed = tuple(_placed(o, dict(enumerate(final)), chip.n_qubits) for o in logical.observables)
    form = normal_form(routed)
    terms = [term for observable in placed for term in pauli_terms(observable, form) if term.paulis]
    alive = sorted({number for term in terms for number in cone(form, term).operations})
    column = {parameter: i for i, parameter in enumerate(logical.circuit.parameters)}
    coefficients = np.zeros((len(form.coefficients), len(column)))
    coefficients[:, [column[p] for p in routed.parameters]] = form.coefficients
    measured = _letters(placed)
    fused = fuse(
        [form.operations[number] for number in alive],
        n_qubits=chip.n_qubits,
        coefficients=coefficients,
        offsets=form.offsets,
        measured=measured,
        entanglers=_entanglers(chip),
        style=chip.one_qubit_gates,
        prefix="s0",
    )
    used = {fused.circuit.find_bit(qubit).index for item in fused.circuit.data for qubit in item.qubits}
    return DeviceProgram(
        layout="whole",
        circuit=fused.circuit,
        copies=(fused,),
        observables=(placed,),
        lines=((tuple(sorted(used | set(measured))),),),
        measured=tuple(sorted(measured)),
        logical=logical,
        seed=seed,
    )


def _checked(program: DeviceProgram, chip: Chip) -> DeviceProgram:
    message = is_isa_circuit(program.circuit, chip.target)
    if message:
        raise BackendError(f"The circuit for {chip.name} is not one that it can run: {message}")
    return program


def _side_by_side(parts: Sequence[Fused], chip: Chip) -> QuantumCircuit:
    total = QuantumCircuit(chip.n_qubits)
    for part in parts:
        for item in part.circuit.data:
            total.append(item.operation, [part.circuit.find_bit(qubit).index for qubit in item.qubits])
    return total


def _entanglers(chip: Chip) -> Entanglers:
    return {pair: (edge.name, edge.qubits) for pair, edge in chip.edges.items()}


def _moved(operation: Operation, where: dict[int, int]) -> Operation:
    if isinstance(operation, CZ):
        first, second = operation.qubits
        return replace(operation, qubits=(where[first], where[second]))
    assert not hasattr(operation, "qubits")
    return replace(operation, qubit=where[operation.qubit])


def _placed(observable: SparsePauliOp, where: dict[int, int], n_qubits: int) -> SparsePauliOp:
    entries = [
        (letters, [where[wire] for wire in wires], coefficient)
        for letters, wires, coefficient in observable.to_sparse_list()
    ]
    return SparsePauliOp.from_sparse_list(entries, n_qubits)


def _letters(observables: Sequence[SparsePauliOp]) -> dict[int, bool]:
    """Qubits that the observables look at -> whether in Z alone."""
    found: dict[int, bool] = {}
    for observable in observables:
        for letters, qubits, _ in observable.to_sparse_list():
            for letter, qubit in zip(letters, qubits, strict=True):
                found[int(qubit)] = found.get(int(qubit), True) and letter == "Z"
    return found
