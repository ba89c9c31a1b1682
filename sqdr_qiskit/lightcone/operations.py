"""A Qiskit circuit in the engine's own words: rotations, fixed one-qubit maps and CZ.

Every fixed two-qubit gate becomes CZs between fixed one-qubit gates, a SWAP becomes a change of names, and a
gate that is neither is taken apart by its own definition. Channels of a noise model follow the gate they
belong to. What cannot be said in these words is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

import numpy as np
from qiskit.circuit import Instruction, Parameter, ParameterExpression, QuantumCircuit
from qiskit.circuit.library import CZGate, HGate
from qiskit.synthesis import TwoQubitBasisDecomposer

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.paulis import ComplexArray, RealArray, unitary_ptm

__all__ = [
    "Channel",
    "ChannelModel",
    "CZ",
    "Fixed",
    "noiseless",
    "normal_form",
    "NormalForm",
    "Operation",
    "PairChannel",
    "Rotation",
]


@dataclass(frozen=True)
class Channel:
    """A trace-preserving map on one or two qubits.

    Attributes:
        qubits: The circuit's qubits it acts on.
        ptm: Pauli-transfer matrix, shape (4, 4) or (16, 16), in the convention of `lightcone.paulis`.
    """

    qubits: tuple[int, ...]
    ptm: RealArray

    def __post_init__(self) -> None:
        size = 4 ** len(self.qubits)
        if len(self.qubits) not in (1, 2) or self.ptm.shape != (size, size):
            raise ArgumentError(
                f"Argument `ptm` must have shape (4, 4) for one qubit or (16, 16) for two, but has "
                f"{self.ptm.shape} for {len(self.qubits)} qubits."
            )
        first_row = np.zeros(size)
        first_row[0] = 1.0
        if not np.allclose(self.ptm[0], first_row, atol=1e-9):
            raise ArgumentError(
                "Argument `ptm` must preserve the trace, but its first row is not (1, 0, ...)."
            )


class ChannelModel(Protocol):
    """A noise model as the engine sees it."""

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        """Channels that follow the gate of this label, or else name, on `qubits`, in the order in which they
        act.
        """
        ...  # pragma: no cover


class _Noiseless:
    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        return ()


noiseless: ChannelModel = _Noiseless()


@dataclass(frozen=True)
class Rotation:
    """exp(-i angle P / 2) about `axis` 1 = X, 2 = Y, 3 = Z, by the angle numbered `angle` of the normal
    form.
    """

    qubit: int
    axis: int
    angle: int
    instruction: int


@dataclass(frozen=True, eq=False)
class Fixed:
    """A one-qubit map without parameters; `unitary` is its matrix if it is a gate, None if it is a
    channel.
    """

    qubit: int
    ptm: RealArray
    unitary: ComplexArray | None
    instruction: int


@dataclass(frozen=True)
class CZ:
    """The controlled-Z gate."""

    qubits: tuple[int, int]
    instruction: int


@dataclass(frozen=True, eq=False)
class PairChannel:
    """A two-qubit channel; `ptm` has shape (16, 16), the first qubit of `qubits` counts by four."""

    qubits: tuple[int, int]
    ptm: RealArray
    instruction: int


Operation: TypeAlias = Rotation | Fixed | CZ | PairChannel


@dataclass(frozen=True, eq=False)
class NormalForm:
    """A circuit as a sequence of operations.

    Attributes:
        n_qubits: Number of qubits of the circuit.
        operations: In the order in which they act.
        coefficients: Shape (n_angles, n_params): angles = coefficients @ parameters + offsets, in radians.
        offsets: Shape (n_angles,), radians.
        line: `line[q]` is the name under which `operations` know the qubit that ends on wire q (SWAPs
            rename).
        instruction_lines: For each instruction of the circuit, the names of the qubits it acted on.
    """

    n_qubits: int
    operations: tuple[Operation, ...]
    coefficients: RealArray
    offsets: RealArray
    line: tuple[int, ...]
    instruction_lines: tuple[tuple[int, ...], ...]

    def radians(self, parameters: RealArray) -> RealArray:
        """Angles, shape (batch, n_angles), of parameters, shape (batch, n_params)."""
        angles: RealArray = parameters @ self.coefficients.T + self.offsets
        return angles

    @property
    def has_channels(self) -> bool:
        """Whether any operation is not unitary."""
        return any(
            isinstance(op, PairChannel) or (isinstance(op, Fixed) and op.unitary is None)
            for op in self.operations
        )


# Gates made of rotations: (axis, sign, which parameter or a constant), in the order in which they act.
_QUARTER = float(np.pi / 2)
_ROTATIONS: dict[str, tuple[tuple[int, float, int | float], ...]] = {
    "rx": ((1, 1.0, 0),),
    "ry": ((2, 1.0, 0),),
    "rz": ((3, 1.0, 0),),
    "p": ((3, 1.0, 0),),
    "u1": ((3, 1.0, 0),),
    "u2": ((3, 1.0, 1), (2, 1.0, _QUARTER), (3, 1.0, 0)),
    "u": ((3, 1.0, 2), (2, 1.0, 0), (3, 1.0, 1)),
    "u3": ((3, 1.0, 2), (2, 1.0, 0), (3, 1.0, 1)),
    "r": ((3, -1.0, 1), (1, 1.0, 0), (3, 1.0, 1)),
}
_NOTHING = frozenset({"barrier", "id", "delay"})


def normal_form(circuit: QuantumCircuit, channels: ChannelModel = noiseless) -> NormalForm:
    """Rewrite `circuit` as rotations, fixed one-qubit maps, CZs and the channels that follow its gates.

    Args:
        circuit: One-qubit gates, fixed two-qubit gates, and gates whose definitions consist of them. Rotation
            angles are affine in the circuit's parameters. Starts in |0...0>, does not measure.
        channels: The noise: which channels follow which gate.

    Returns:
        The normal form, its parameters in the order of `circuit.parameters`.

    Raises:
        UnsupportedError: A gate or an angle that cannot be expressed, by name.
    """
    return _Writer(circuit, channels).write()


class _Writer:
    def __init__(self, circuit: QuantumCircuit, channels: ChannelModel) -> None:
        self._circuit = circuit
        self._channels = channels
        self._column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
        self._operations: list[Operation] = []
        self._angles: dict[tuple[tuple[tuple[int, float], ...], float], int] = {}
        self._line = list(range(circuit.num_qubits))

    def write(self) -> NormalForm:
        lines = []
        for index, item in enumerate(self._circuit.data):
            wires = tuple(self._circuit.find_bit(qubit).index for qubit in item.qubits)
            lines.append(tuple(self._line[wire] for wire in wires))
            self._gate(item.operation, wires, index)
        coefficients = np.zeros((len(self._angles), len(self._column)))
        offsets = np.zeros(len(self._angles))
        for (terms, offset), row in self._angles.items():
            offsets[row] = offset
            for column, coefficient in terms:
                coefficients[row, column] = coefficient
        return NormalForm(
            n_qubits=self._circuit.num_qubits,
            operations=tuple(self._operations),
            coefficients=coefficients,
            offsets=offsets,
            line=tuple(self._line),
            instruction_lines=tuple(lines),
        )

    def _gate(self, gate: Instruction, wires: tuple[int, ...], index: int) -> None:
        channels = self._channels.after(gate.label or gate.name, wires)  # Aer attaches noise to labels, too
        if gate.name not in _NOTHING:
            self._map(gate, wires, index)
        for channel in channels:
            lines = tuple(self._line[q] for q in channel.qubits)
            if len(lines) == 1:
                self._operations.append(Fixed(lines[0], channel.ptm, None, index))
            else:
                self._operations.append(PairChannel((lines[0], lines[1]), channel.ptm, index))

    def _map(self, gate: Instruction, wires: tuple[int, ...], index: int) -> None:
        free = any(isinstance(p, ParameterExpression) and p.parameters for p in gate.params)
        if gate.name in _ROTATIONS and free:
            for axis, sign, which in _ROTATIONS[gate.name]:
                value = gate.params[which] if isinstance(which, int) else which
                angle = self._angle(value, sign, gate.name)
                self._operations.append(Rotation(self._line[wires[0]], axis, angle, index))
        elif gate.name == "cz":
            self._operations.append(CZ((self._line[wires[0]], self._line[wires[1]]), index))
        elif gate.name == "swap":
            first, second = wires
            self._line[first], self._line[second] = self._line[second], self._line[first]
        elif not free and len(wires) <= 2 and _matrix(gate) is not None:
            self._fixed(gate, wires, index)
        elif gate.definition is not None and not getattr(gate, "blocks", ()):
            for item in gate.definition.data:
                inner = tuple(wires[gate.definition.find_bit(q).index] for q in item.qubits)
                self._gate(item.operation, inner, index)
        else:
            raise UnsupportedError(
                f"Gate `{gate.name}` on qubits {list(wires)} must be a one-qubit or fixed two-qubit gate, "
                f"or made of them, for light cones to be computed; the backend `aer` may run it."
            )

    def _fixed(self, gate: Instruction, wires: tuple[int, ...], index: int) -> None:
        matrix = _matrix(gate)
        assert matrix is not None
        if len(wires) == 1:
            self._operations.append(Fixed(self._line[wires[0]], unitary_ptm(matrix), matrix, index))
            return
        if gate.name == "cx":
            hadamard = Fixed(
                self._line[wires[1]], unitary_ptm(HGate().to_matrix()), HGate().to_matrix(), index
            )
            self._operations += [hadamard, CZ((self._line[wires[0]], self._line[wires[1]]), index), hadamard]
            return
        for item in _decomposer()(matrix).data:
            wire = [wires[i] for i in (_qubit_index(q) for q in item.qubits)]
            if len(wire) == 2:
                self._operations.append(CZ((self._line[wire[0]], self._line[wire[1]]), index))
            else:
                unitary = item.operation.to_matrix()
                self._operations.append(Fixed(self._line[wire[0]], unitary_ptm(unitary), unitary, index))

    def _angle(self, value: ParameterExpression | float, sign: float, gate: str) -> int:
        """Number of the angle sign * value, which must be affine in the parameters."""
        terms: list[tuple[int, float]] = []
        offset = 0.0
        if isinstance(value, Parameter):
            terms.append((self._column[value], sign))
        elif isinstance(value, ParameterExpression) and value.parameters:
            for parameter in value.parameters:
                slope = value.gradient(parameter)
                if isinstance(slope, ParameterExpression) and slope.parameters:
                    raise UnsupportedError(
                        f"Angle `{value}` of gate `{gate}` must be affine in the parameters (a sum of "
                        f"multiples), but its slope along `{parameter.name}` is `{slope}`; use a "
                        f"parameter of its own for it."
                    )
                terms.append((self._column[parameter], sign * float(slope)))
            offset = sign * float(value.bind(dict.fromkeys(value.parameters, 0.0)))
        else:
            offset = sign * float(value)
        return self._angles.setdefault((tuple(sorted(terms)), offset), len(self._angles))


def _matrix(gate: Instruction) -> ComplexArray | None:
    """The gate's matrix, or None if it has none (measure, reset, control flow)."""
    to_matrix = getattr(gate, "to_matrix", None)
    if to_matrix is None:
        return None
    try:
        return np.asarray(to_matrix(), dtype=complex)
    except Exception:  # Qiskit raises several types for gates without a matrix; the caller names the gate.
        return None


@lru_cache(maxsize=1)
def _decomposer() -> TwoQubitBasisDecomposer:
    return TwoQubitBasisDecomposer(CZGate())


def _qubit_index(qubit: object) -> int:
    return int(qubit._index)  # type: ignore[attr-defined]
