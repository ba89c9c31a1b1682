"""Writes the circuit of tiles: fused into one gate per run, with the original gates, or as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import Instruction, ParameterExpression, ParameterVector, QuantumCircuit

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.cones import ONLY_IZ, Cone, flow
from sqdr_qiskit.lightcone.operations import CZ, ChannelModel, Fixed, NormalForm, Rotation, noiseless
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.runs import Run, euler_angles, quaternion_of

__all__ = [
    "Block",
    "elementary",
    "is_free",
    "ROTATION_SLOTS",
    "split_runs",
    "write_fused",
    "write_plain",
    "write_register",
    "Written",
]


# Gates that turn once by each of their parameters -> their slots in the order in which the rotations act (a
# number stands for a rotation by that constant), as `operations.normal_form` writes them.
ROTATION_SLOTS: dict[str, tuple[int | None, ...]] = {
    "rx": (0,),
    "ry": (0,),
    "rz": (0,),
    "p": (0,),
    "u1": (0,),
    "u2": (1, None, 0),
    "u": (2, 0, 1),
    "u3": (2, 0, 1),
}


def is_free(value: object) -> bool:
    """Whether a gate's parameter depends on a parameter of the circuit."""
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def elementary(circuit: QuantumCircuit, channels: ChannelModel = noiseless) -> QuantumCircuit:
    """`circuit` with every gate that has free angles and is not in `ROTATION_SLOTS` taken apart.

    Args:
        circuit: Any circuit that the exact engine takes.
        channels: The noise; a gate that it follows cannot be taken apart.

    Returns:
        A circuit that does the same, on the same qubits.

    Raises:
        UnsupportedError: A gate with free angles that has no definition, or has noise, by name.
    """
    if not any(_is_compound(item.operation) for item in circuit.data):
        return circuit
    flat = circuit.copy_empty_like()
    for item in circuit.data:
        wires = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        for operation, where in _parts(item.operation, wires, channels):
            flat.append(operation, where)
    return flat


def _is_compound(gate: Instruction) -> bool:
    return gate.name not in ROTATION_SLOTS and any(is_free(value) for value in gate.params)


def _parts(
    gate: Instruction, wires: tuple[int, ...], channels: ChannelModel
) -> Iterator[tuple[Instruction, tuple[int, ...]]]:
    if not _is_compound(gate):
        yield gate, wires
        return
    if gate.definition is None or getattr(gate, "blocks", None):
        raise UnsupportedError(
            f"Gate `{gate.name}` on qubits {list(wires)} must consist of RX, RY, RZ, P or U rotations and "
            f"fixed gates for the parameter-shift rule; write it out as such gates, or use the gradient "
            f"`exact` or `spsa`."
        )
    if channels.after(gate.label or gate.name, wires):
        raise UnsupportedError(
            f"Gate `{gate.name}` on qubits {list(wires)} must not have noise of its own, because its angle "
            f"turns more than one rotation, each to be shifted alone; attach the noise to the gates that it "
            f"consists of."
        )
    for item in gate.definition.data:
        inner = tuple(wires[gate.definition.find_bit(qubit).index] for qubit in item.qubits)
        part = item.operation
        if gate.name == "r" and channels.after(part.label or part.name, inner):
            # the one gate that runs whole elsewhere: its part would bring noise that it does not have
            raise UnsupportedError(
                f"Gate `r` on qubits {list(wires)} must be written as rx and rz, or as u, where gate "
                f"`{part.name}` has noise: the parameter-shift rule cannot turn it whole."
            )
        yield from _parts(part, inner, channels)


@dataclass(frozen=True)
class Block:
    """A tile as it was written; its fields are those of `tiles.Tile`."""

    wires: tuple[int, ...]
    qubits: tuple[int, ...]
    operations: tuple[int, ...]
    rotations: dict[int, int]


@dataclass(frozen=True)
class Written:
    """The circuit, its blocks, and what its parameters are: runs' angles, or single rotations' angles."""

    circuit: QuantumCircuit
    blocks: tuple[Block, ...]
    runs: tuple[Run, ...] | None
    columns: tuple[int, ...]


def write_fused(circuit: QuantumCircuit, form: NormalForm, groups: Sequence[Sequence[Cone]]) -> Written:
    """What the cones' terms depend on and no more: CZs, and one `u` gate for each run of one-qubit gates."""
    needs = [sorted({number for member in cones for number in member.operations}) for cones in groups]
    touched = [{qubit for member in cones for qubit in member.qubits} for cones in groups]
    blocks = _blocks(form, needs, touched)
    drafts: list[tuple[tuple[int, ...], Run | None]] = []
    n_parameters = 0
    for block, cones in zip(blocks, groups, strict=True):
        wire = dict(zip(block.qubits, block.wires, strict=True))
        sets = flow(form, block.operations, [member.term for member in cones])
        for piece in split_runs(form, block.operations):
            if isinstance(piece, CZ):
                drafts.append((tuple(wire[qubit] for qubit in piece.qubits), None))
                continue
            # phi is the last turn about Z, lambda the first one
            useless = (False, not sets.after[piece[-1]] & ~ONLY_IZ, not sets.before[piece[0]] & ~ONLY_IZ)
            free = any(isinstance(form.operations[number], Rotation) for number in piece)
            columns: list[int | None] = [None, None, None]
            for place in range(3):
                if free and not useless[place]:
                    columns[place] = n_parameters
                    n_parameters += 1
            steps = tuple(_step(form, block, number) for number in piece)
            run = Run(wire[_qubit(form, piece[0])], steps, (columns[0], columns[1], columns[2]))
            drafts.append(((run.wire,), run))
    angles = ParameterVector("angle", n_parameters)
    written = QuantumCircuit(sum(len(block.wires) for block in blocks))
    for wires, drawn in drafts:
        if drawn is None:
            written.cz(*wires)
        elif drawn.columns == (None, None, None):
            theta, phi, lam = (float(angle) for angle in euler_angles(drawn.compose(np.zeros(0))))
            written.u(theta, phi, lam, wires[0])
        else:
            written.u(*(0.0 if column is None else angles[column] for column in drawn.columns), wires[0])
    runs = tuple(run for _, run in drafts if run is not None and run.columns != (None, None, None))
    return Written(written, blocks, runs, ())


def split_runs(form: NormalForm, operations: Sequence[int]) -> list[tuple[int, ...] | CZ]:
    """CZs, and between them the one-qubit operations on each qubit."""
    pending: dict[int, list[int]] = {}
    pieces: list[tuple[int, ...] | CZ] = []
    for number in operations:
        op = form.operations[number]
        if isinstance(op, CZ):
            pieces += [tuple(pending.pop(qubit)) for qubit in op.qubits if qubit in pending]
            pieces.append(op)
        else:
            pending.setdefault(_qubit(form, number), []).append(number)
    return pieces + [tuple(numbers) for _, numbers in sorted(pending.items())]


def _qubit(form: NormalForm, number: int) -> int:
    op = form.operations[number]
    assert isinstance(op, Rotation | Fixed)
    return op.qubit


def _step(form: NormalForm, block: Block, number: int) -> tuple[int, int] | RealArray:
    op = form.operations[number]
    if isinstance(op, Rotation):
        return block.rotations[number], op.axis
    assert isinstance(op, Fixed)
    assert op.unitary is not None
    return quaternion_of(op.unitary)


def write_plain(circuit: QuantumCircuit, form: NormalForm, groups: Sequence[Sequence[Cone]]) -> Written:
    """The instructions that the cones need, whole, every free angle a parameter of its own."""
    needs, touched = [], []
    for cones in groups:
        instructions = {index for member in cones for index in member.instructions}
        needs.append([i for i, op in enumerate(form.operations) if op.instruction in instructions])
        lines = {name for index in instructions for name in form.instruction_lines[index]}
        touched.append(lines | {qubit for member in cones for qubit, _ in member.term.paulis})
    blocks = _blocks(form, needs, touched)
    written = QuantumCircuit(sum(len(block.wires) for block in blocks))
    slots = _Slots(form, sum(len(block.rotations) for block in blocks))
    for block in blocks:
        wire = dict(zip(block.qubits, block.wires, strict=True))
        for index in sorted({form.operations[number].instruction for number in block.operations}):
            if circuit.data[index].operation.name == "swap":
                raise UnsupportedError("Noise on gate `swap` must be left out to lay cones side by side.")
            slots.write(
                circuit, index, [wire[name] for name in form.instruction_lines[index]], block, written
            )
    return Written(written, blocks, None, slots.columns(written))


def write_register(circuit: QuantumCircuit, form: NormalForm) -> Written:
    """The circuit as it is on all its qubits, every free angle a parameter of its own.

    `form` may be of a circuit with further instructions between (markers of noise), as long as they do not
    turn.
    """
    numbers = [i for i, op in enumerate(form.operations) if isinstance(op, Rotation)]
    rotations = {number: row for row, number in enumerate(numbers)}
    wires = tuple(range(circuit.num_qubits))
    block = Block(wires, form.line, tuple(range(len(form.operations))), rotations)
    written = QuantumCircuit(circuit.num_qubits)
    slots = _Slots(form, len(numbers), in_turn=True)
    for index, item in enumerate(circuit.data):
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        slots.write(circuit, index, where, block, written)
    return Written(written, (block,), None, slots.columns(written))


class _Slots:
    """Gives free angles parameters of their own, and remembers which rotation each is the angle of."""

    def __init__(self, form: NormalForm, n_rotations: int, *, in_turn: bool = False) -> None:
        self._vector = ParameterVector("angle", n_rotations)
        self._rotation: list[int] = []
        self._turns: dict[int, list[int]] = {}
        self._all = [number for number, op in enumerate(form.operations) if isinstance(op, Rotation)]
        self._in_turn = in_turn
        self._next = 0
        for number in self._all:
            self._turns.setdefault(form.operations[number].instruction, []).append(number)

    def write(
        self, circuit: QuantumCircuit, index: int, wires: list[int], block: Block, written: QuantumCircuit
    ) -> None:
        operation = circuit.data[index].operation
        if any(is_free(value) for value in operation.params):
            operation = operation.to_mutable()
            slots = ROTATION_SLOTS[operation.name]
            numbers = self._turns.get(index, [])
            if self._in_turn:
                numbers = self._all[self._next : self._next + len(slots)]
                self._next += len(slots)
            for number, slot in zip(numbers, slots, strict=True):
                if slot is not None and is_free(operation.params[slot]):
                    operation.params[slot] = self._vector[len(self._rotation)]
                    self._rotation.append(block.rotations[number])
        written.append(operation, wires)

    def columns(self, written: QuantumCircuit) -> tuple[int, ...]:
        """For each parameter of `written`, the rotation that it is the angle of."""
        which = dict(zip(self._vector, self._rotation, strict=False))
        return tuple(which[parameter] for parameter in written.parameters)


def _blocks(
    form: NormalForm, needs: Sequence[Sequence[int]], touched: Sequence[set[int]]
) -> tuple[Block, ...]:
    """Wires and rotations counted through, block by block."""
    blocks = []
    n_wires = n_rotations = 0
    for operations, qubits in zip(needs, touched, strict=True):
        turning = [number for number in operations if isinstance(form.operations[number], Rotation)]
        rotations = {number: n_rotations + row for row, number in enumerate(turning)}
        blocks.append(
            Block(
                tuple(range(n_wires, n_wires + len(qubits))),
                tuple(sorted(qubits)),
                tuple(operations),
                rotations,
            )
        )
        n_wires += len(qubits)
        n_rotations += len(turning)
    return tuple(blocks)
