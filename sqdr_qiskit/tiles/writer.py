"""Writes the circuit of tiles: fused into one gate per run, with the original gates, or as it was.

A run of one-qubit gates is composed as unit quaternions and read as Euler angles: q = (q_0, q_1, q_2, q_3)
stands for the gate q_0 - i (q_1 X + q_2 Y + q_3 Z). Composing on the host costs nothing on a chip, where the
result is one `u` gate: two SX pulses, whatever went into it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from qiskit.circuit import Gate, Operation, Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import PermutationGate, RXGate, RYGate, RZGate, UnitaryGate

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.cones import ONLY_IZ, Cone, flow
from sqdr_qiskit.lightcone.instructions import is_free, kind_of, written_out
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation, normal_form
from sqdr_qiskit.lightcone.tape import split_runs
from sqdr_qiskit.noise_models import ComplexArray, RealArray, gate_key, pauli_matrices

__all__ = [
    "Block",
    "euler_angles",
    "multiply",
    "plain",
    "quaternion_of",
    "rotate_vector",
    "rotation",
    "Run",
    "write_fused",
    "write_plain",
    "write_register",
    "Written",
]


@dataclass(frozen=True, eq=False)
class Run:
    """One-qubit gates that follow each other on one wire.

    Attributes:
        wire: The qubit of the tiled circuit.
        steps: In the order in which they act: (rotation's number, axis 1 = X, 2 = Y, 3 = Z), or a fixed
            quaternion.
        columns: Where theta, phi and lambda of U(theta, phi, lambda) stand among the circuit's parameters;
            None for an angle that changes nothing and is 0 (lambda on |0>, phi before a measurement of Z).
    """

    wire: int
    steps: tuple[tuple[int, int] | RealArray, ...]
    columns: tuple[int | None, int | None, int | None]

    def compose(self, angles: RealArray, shifts: Mapping[int, float] = MappingProxyType({})) -> RealArray:
        """The run as quaternions.

        Args:
            angles: Shape (..., n_rotations), radians.
            shifts: Added to the angles of single rotations, radians.

        Returns:
            Shape (4, ...).
        """
        # Quaternions, and not matrices: four real numbers, and a global phase that nobody has to take out.
        total = np.zeros((4, *angles.shape[:-1]))
        total[0] = 1.0
        for step in self.steps:
            if isinstance(step, tuple):
                number, axis = step
                total = multiply(rotation(axis, angles[..., number] + shifts.get(number, 0.0)), total)
            else:
                total = multiply(step.reshape(4, *[1] * (total.ndim - 1)), total)
        return total


def rotation(axis: int, angle: RealArray) -> RealArray:
    """exp(-i angle P / 2), shape (4, ...)."""
    # (cos, sin times the axis): q stands for q0 - i (q1 X + q2 Y + q3 Z).
    found = np.zeros((4, *np.shape(angle)))
    found[0], found[axis] = np.cos(angle / 2), np.sin(angle / 2)
    return found


def multiply(left: RealArray, right: RealArray) -> RealArray:
    """The gate `right` and then `left`; shapes (4, ...)."""
    a0, a1, a2, a3 = left
    b0, b1, b2, b3 = right
    return np.stack(
        np.broadcast_arrays(
            a0 * b0 - a1 * b1 - a2 * b2 - a3 * b3,
            a0 * b1 + a1 * b0 + a2 * b3 - a3 * b2,
            a0 * b2 - a1 * b3 + a2 * b0 + a3 * b1,
            a0 * b3 + a1 * b2 - a2 * b1 + a3 * b0,
        )
    )


def rotate_vector(gate: RealArray, vector: RealArray) -> RealArray:
    """The Bloch vector `vector`, shape (3, ...), turned by `gate`, shape (4, ...)."""
    scalar, axis = gate[0], gate[1:]
    axis, vector = np.broadcast_arrays(axis, vector)
    # q v q* without the two products: v + 2 (w (a x v) + a x (a x v)), for a quaternion (w, a).
    cross = np.cross(axis, vector, axis=0)
    return np.asarray(vector + 2.0 * (scalar * cross + np.cross(axis, cross, axis=0)))


def quaternion_of(unitary: ComplexArray) -> RealArray:
    """A gate's matrix, shape (2, 2), as a quaternion (up to a global phase).

    Raises:
        ArgumentError: The matrix is not unitary.
    """
    determinant = np.linalg.det(unitary)
    if abs(abs(determinant) - 1.0) > 1e-9:
        raise ArgumentError(f"Argument `unitary` must be unitary, but has determinant {determinant:.3g}.")
    # Of determinant 1, so that its parts along I, X, Y, Z are real or imaginary; the sign of the root is a
    # phase.
    special = unitary / np.sqrt(determinant)
    parts = np.einsum("aij,ji->a", pauli_matrices(1), special) / 2
    return np.array([parts[0].real, *(-parts[1:].imag)])


def euler_angles(gate: RealArray) -> RealArray:
    """(theta, phi, lambda) with U(theta, phi, lambda) = `gate` up to a phase: (4, ...) -> (3, ...)."""
    q0, q1, q2, q3 = gate
    # By atan2, since arccos loses half of its digits near 0 and pi.
    theta = 2.0 * np.arctan2(np.hypot(q1, q2), np.hypot(q0, q3))
    half_sum, half_difference = np.arctan2(q3, q0), np.arctan2(-q1, q2)
    return np.stack([theta, half_sum + half_difference, half_sum - half_difference])


# Gates that turn once by each of their parameters -> their slots in the order in which the rotations act (a
# number stands for a rotation by that constant), as `operations.normal_form` writes them.
_ROTATION_SLOTS: dict[str, tuple[int | None, ...]] = {
    "rx": (0,),
    "ry": (0,),
    "rz": (0,),
    "p": (0,),
    "u1": (0,),
    "u2": (1, None, 0),
    "u": (2, 0, 1),
    "u3": (2, 0, 1),
}


@dataclass(frozen=True, eq=False)
class Block:
    """A tile as it was written.

    Attributes:
        wires: The tiled circuit's qubits it stands on, ascending.
        qubits: For each of them the qubit of the original circuit (the normal form's name) that it stands
            for.
        operations: The normal form's operations on it, by number, ascending.
        rotations: For each of the normal form's rotations on it (by the number of the operation), its number
            among the tiled circuit's rotations.
    """

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
    # Cones of a tile share what they have in common; no tile has what its own terms do not need.
    needs = [sorted({number for member in cones for number in member.operations}) for cones in groups]
    touched = [{qubit for member in cones for qubit in member.qubits} for cones in groups]
    blocks = _blocks(form, needs, touched)
    drafts: list[tuple[tuple[int, ...], Run | None]] = []
    n_parameters = 0
    for block, cones in zip(blocks, groups, strict=True):
        wire = dict(zip(block.qubits, block.wires, strict=True))
        # What the state can be before each run and what is read behind it, for all terms of a tile together.
        sets = flow(form, block.operations, [member.term for member in cones])
        for piece in split_runs(form, block.operations):
            if not isinstance(piece, tuple):
                assert isinstance(piece, CZ)  # gates alone are written
                drafts.append((tuple(wire[qubit] for qubit in piece.qubits), None))
                continue
            # phi is the last turn about Z, lambda the first one
            useless = (False, not sets.after[piece[-1]] & ~ONLY_IZ, not sets.before[piece[0]] & ~ONLY_IZ)
            # A run without a rotation is one fixed gate, whatever the parameters are.
            free = any(isinstance(form.operations[number], Rotation) for number in piece)
            # Counted in the order of drawing, which is the order in which Qiskit sorts a vector's elements.
            columns: list[int | None] = [None, None, None]
            for place in range(3):
                if free and not useless[place]:
                    columns[place] = n_parameters
                    n_parameters += 1
            steps = tuple(_step(form, block, number) for number in piece)
            run = Run(wire[_qubit(form, piece[0])], steps, (columns[0], columns[1], columns[2]))
            drafts.append(((run.wire,), run))
    # A second pass, since only now the vector's length is known.
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
    """The instructions that the cones need, whole, every free angle a parameter of its own.

    Args:
        circuit: Of gates that turn once by each of their angles, and of fixed gates on one or two qubits
            (`plain`).
        form: Its normal form.
        groups: The cones that share a tile.
    """
    needs, touched = [], []
    for cones in groups:
        instructions = {index for member in cones for index in member.instructions}
        needs.append([i for i, op in enumerate(form.operations) if op.instruction in instructions])
        # All qubits of an instruction that is kept whole, though no cone may reach some of them.
        names = {name for index in instructions for name in form.instruction_names[index]}
        touched.append(names | {qubit for member in cones for qubit, _ in member.term.paulis})
    blocks = _blocks(form, needs, touched)
    written = QuantumCircuit(sum(len(block.wires) for block in blocks))
    slots = _Slots(form, sum(len(block.rotations) for block in blocks))
    for block in blocks:
        wire = dict(zip(block.qubits, block.wires, strict=True))
        for index in sorted({form.operations[number].instruction for number in block.operations}):
            wires = [wire[name] for name in form.instruction_names[index]]
            slots.write(circuit.data[index].operation, wires, slots.turns[index], block, written)
    return Written(written, blocks, None, slots.columns(written))


def plain(circuit: QuantumCircuit) -> QuantumCircuit:
    """`circuit` as `write_plain` takes it."""
    return written_out(circuit, free=_ROTATION_SLOTS, fixed=None)


def write_register(circuit: QuantumCircuit, form: NormalForm) -> Written:
    """The circuit as it is on all its qubits, every free angle a parameter of its own.

    Instruction for instruction: a gate whose angle turns several rotations becomes a gate of the same name
    and label whose definition has a parameter for each of them, so that noise, which follows instructions,
    stays where it was. `form` may be of a circuit with further instructions between (markers of noise), as
    long as they do not turn.
    """
    # Rotations stand in the normal form in the instructions' order, so that counting them through finds each.
    numbers = [i for i, op in enumerate(form.operations) if isinstance(op, Rotation)]
    rotations = {number: row for row, number in enumerate(numbers)}
    wires = tuple(range(circuit.num_qubits))
    block = Block(wires, form.names, tuple(range(len(form.operations))), rotations)
    written = QuantumCircuit(circuit.num_qubits)
    slots = _Slots(form, len(numbers))
    used = 0
    for item in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        used += slots.write(item.operation, where, numbers[used:], block, written)
    return Written(written, (block,), None, slots.columns(written))


class _Slots:
    """Gives free angles parameters of their own, and remembers which rotation each is the angle of."""

    def __init__(self, form: NormalForm, n_rotations: int) -> None:
        self._vector = ParameterVector("angle", n_rotations)
        self.turns: dict[int, list[int]] = defaultdict(list)
        for number, op in enumerate(form.operations):
            if isinstance(op, Rotation):
                self.turns[op.instruction].append(number)
        self._rotation_of: dict[Parameter, int] = {}

    def write(
        self,
        operation: Operation,
        wires: Sequence[int],
        numbers: Sequence[int],
        block: Block,
        written: QuantumCircuit,
    ) -> int:
        """Append an instruction; `numbers` begins with its rotations. How many these are."""
        turned = 0
        if any(is_free(value) for value in operation.params):
            slots = _ROTATION_SLOTS.get(kind_of(operation))
            if slots is None:
                operation, turned = self._composite(operation, numbers, block)
            else:
                operation = operation.to_mutable()
                turned = len(slots)
                for number, slot in zip(numbers, slots, strict=False):
                    if slot is not None and is_free(operation.params[slot]):
                        operation.params[slot] = self._parameter(number, block)
        written.append(operation, wires)
        return turned

    def _parameter(self, number: int, block: Block) -> Parameter:
        parameter = self._vector[len(self._rotation_of)]
        self._rotation_of[parameter] = block.rotations[number]
        return parameter

    def _composite(self, operation: Operation, numbers: Sequence[int], block: Block) -> tuple[Gate, int]:
        """The gate with a parameter for each rotation of its normal form, which it is written from."""
        alone = QuantumCircuit(operation.num_qubits)
        alone.append(operation, alone.qubits)
        # From its own normal form, since its rotations are what the shift rule turns.
        form = normal_form(alone)
        inner = QuantumCircuit(operation.num_qubits)
        turned = 0
        for op in form.operations:
            if isinstance(op, Rotation):
                turn = (RXGate, RYGate, RZGate)[op.axis - 1]
                inner.append(turn(self._parameter(numbers[turned], block)), [op.qubit])
                turned += 1
            elif isinstance(op, CZ):
                inner.cz(*op.qubits)
            elif isinstance(op, Fixed) and op.unitary is not None:
                inner.append(UnitaryGate(op.unitary, check_input=False), [op.qubit])
            else:
                raise UnsupportedError(
                    f"Instruction `{operation.name}` must consist of gates for the parameter-shift rule."
                )
        # The normal form has no SWAPs but renames qubits; the gate must leave them where the original does.
        if form.names != tuple(range(inner.num_qubits)):
            inner.append(PermutationGate(list(form.names)), inner.qubits)
        # another name, so that nobody takes it for the gate of that name with fewer parameters
        label = gate_key(operation)
        gate = Gate(f"{operation.name}:turned", operation.num_qubits, list(inner.parameters), label=label)
        gate.definition = inner
        return gate, turned

    def columns(self, written: QuantumCircuit) -> tuple[int, ...]:
        """For each parameter of `written`, the rotation that it is the angle of."""
        return tuple(self._rotation_of[parameter] for parameter in written.parameters)


def _blocks(
    form: NormalForm, needs: Sequence[Sequence[int]], touched: Sequence[set[int]]
) -> tuple[Block, ...]:
    """Wires and rotations counted through, block by block."""
    blocks = []
    # Wires and rotations follow those of the blocks before, so that a tile's angles lie side by side.
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
