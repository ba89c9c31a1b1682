"""A Qiskit circuit in the engine's own words: rotations, fixed one-qubit maps and CZ.

Every fixed two-qubit gate becomes CZs between fixed one-qubit gates, a SWAP becomes a change of names, and a
gate that is neither is taken apart by its own definition. Channels of a noise model follow the gate they
belong to. What cannot be said in these words is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol, TypeAlias

import numpy as np
from qiskit.circuit import Operation as QiskitOperation
from qiskit.circuit import ParameterExpression, QuantumCircuit
from qiskit.circuit.library import CZGate, HGate
from qiskit.synthesis import TwoQubitBasisDecomposer

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.angles import affine
from sqdr_qiskit.lightcone.instructions import definition_of, is_free, kind_of, matrix_of
from sqdr_qiskit.noise_models import Channel, ComplexArray, RealArray, gate_key, kraus_to_ptm

__all__ = [
    "ChannelModel",
    "CZ",
    "Fixed",
    "is_unitary",
    "noiseless",
    "normal_form",
    "NormalForm",
    "Operation",
    "PairChannel",
    "PairRotation",
    "Rotation",
]


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

    @property
    def qubits(self) -> tuple[int]:
        """The qubit, as for operations on two."""
        return (self.qubit,)


@dataclass(frozen=True, eq=False)
class Fixed:
    """A one-qubit map without parameters; `unitary` is its matrix if it is a gate, None if it is a
    channel.
    """

    qubit: int
    ptm: RealArray
    unitary: ComplexArray | None
    instruction: int
    # What `cones` found for each set of Paulis so far, of observables and of states; -1: it stays as it is.
    pulled: dict[int, int] = field(default_factory=dict, init=False, repr=False)
    pushed: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    @property
    def qubits(self) -> tuple[int]:
        """The qubit, as for operations on two."""
        return (self.qubit,)


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


def is_unitary(op: Operation) -> bool:
    """Whether an operation is a gate, and not a channel."""
    return op.unitary is not None if isinstance(op, Fixed) else not isinstance(op, PairChannel)


@dataclass(frozen=True)
class PairRotation:
    """Operations `begin` to `end` (exclusive) of a normal form, which together are exp(-i angle P Q / 2).

    Attributes:
        begin: Number of the first of them.
        end: Number behind the last.
        qubits: The two qubits.
        letters: P and Q, 1 = X, 2 = Y, 3 = Z.
    """

    begin: int
    end: int
    qubits: tuple[int, int]
    letters: tuple[int, int]


@dataclass(frozen=True, eq=False)
class NormalForm:
    """A circuit as a sequence of operations.

    Attributes:
        n_qubits: Number of qubits of the circuit.
        operations: In the order in which they act.
        coefficients: Shape (n_angles, n_params): angles = coefficients @ parameters + offsets, in radians.
        offsets: Shape (n_angles,), radians.
        names: `names[q]` is the name under which `operations` know the qubit that ends on wire q (SWAPs
            rename).
        instruction_names: For each instruction of the circuit, the names of the qubits it acted on.
        pair_rotations: What is known of some operations as a whole, in their order.
    """

    n_qubits: int
    operations: tuple[Operation, ...]
    coefficients: RealArray
    offsets: RealArray
    names: tuple[int, ...]
    instruction_names: tuple[tuple[int, ...], ...]
    pair_rotations: tuple[PairRotation, ...] = ()

    def radians(self, parameters: RealArray) -> RealArray:
        """Angles, shape (batch, n_angles), of parameters, shape (batch, n_params)."""
        if self._single is not None:  # as usual: a product with a large matrix of zeros costs more
            columns, factors = self._single
            return np.asarray(parameters[:, columns] * factors + self.offsets)
        angles: RealArray = parameters @ self.coefficients.T + self.offsets
        return angles

    @cached_property
    def _single(self) -> tuple[np.ndarray, RealArray] | None:
        """The parameter of each angle and its coefficient, if none depends on two."""
        if not self.coefficients.shape[1] or (np.count_nonzero(self.coefficients, axis=1) > 1).any():
            return None
        columns = np.abs(self.coefficients).argmax(axis=1)
        return columns, self.coefficients[np.arange(len(columns)), columns]

    @property
    def has_channels(self) -> bool:
        """Whether any operation is not unitary."""
        return not all(map(is_unitary, self.operations))


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
_PAIR_ROTATIONS = {"rxx": (1, 1), "ryy": (2, 2), "rzz": (3, 3), "rzx": (3, 1)}
_NOTHING = frozenset({"barrier", "id", "delay"})
_RESET: RealArray = np.array([[1.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1.0, 0, 0, 0]])


def normal_form(circuit: QuantumCircuit, channels: ChannelModel = noiseless) -> NormalForm:
    """Rewrite `circuit` as rotations, fixed one-qubit maps, CZs and the channels that follow its gates.

    Args:
        circuit: One-qubit gates, fixed two-qubit gates, and gates whose definitions consist of them, as
            `angles.prepared` returns it: angles are affine in its parameters, and nothing is measured. Starts
            in |0...0>.
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
        self._pairs: list[PairRotation] = []
        # Equal angles have one number: their cosines and sines are computed once for a sample.
        self._angles: dict[tuple[tuple[tuple[int, float], ...], float], int] = {}
        self._names = list(range(circuit.num_qubits))

    def write(self) -> NormalForm:
        names = []
        for index, item in enumerate(self._circuit.data):
            wires = tuple(self._circuit.find_bit(qubit).index for qubit in item.qubits)
            # Before the gate is taken apart: a SWAP renames what comes after it.
            names.append(tuple(self._names[wire] for wire in wires))
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
            names=tuple(self._names),
            instruction_names=tuple(names),
            pair_rotations=tuple(self._pairs),
        )

    def _gate(self, gate: QiskitOperation, wires: tuple[int, ...], index: int) -> None:
        """An instruction as it stands in the circuit, and what follows it; its parts have no noise of their
        own, as in Aer, which attaches noise to labels and else to names.
        """
        # Asked for by wire, as noise models know qubits; acting under the name that the wire has behind the
        # gate.
        channels = self._channels.after(gate_key(gate), wires)
        self._map(gate, wires, index)
        for channel in channels:
            if len(channel.qubits) == 1:
                self._operations.append(Fixed(self._names[channel.qubits[0]], channel.ptm, None, index))
            else:
                self._operations.append(PairChannel(self._pair(channel.qubits), channel.ptm, index))

    def _map(self, gate: QiskitOperation, wires: tuple[int, ...], index: int) -> None:
        kind = kind_of(gate)  # not the name: a user's gate may have any
        if kind in _NOTHING:
            return
        free = any(is_free(p) for p in getattr(gate, "params", ()))
        # A turn by a constant is a fixed map further down, which needs no angle.
        if kind in _ROTATIONS and free:
            for axis, sign, which in _ROTATIONS[kind]:
                value = gate.params[which] if isinstance(which, int) else which
                angle = self._angle(value, sign, gate.name)
                self._operations.append(Rotation(self._names[wires[0]], axis, angle, index))
            return
        if kind == "cz":
            self._operations.append(CZ(self._pair(wires), index))
            return
        if kind == "swap":
            first, second = wires
            self._names[first], self._names[second] = self._names[second], self._names[first]
            return
        if kind == "reset":
            self._operations.append(Fixed(self._names[wires[0]], _RESET, None, index))
            return
        # Larger gates have matrices too, but no short way back to CZs: their definitions are taken.
        matrix = matrix_of(gate) if len(wires) <= 2 else None
        if matrix is not None:
            self._fixed(kind, matrix, wires, index)
            return
        definition = definition_of(gate)
        if definition is None or definition.num_clbits:
            raise UnsupportedError(
                f"Instruction `{gate.name}` on qubits {list(wires)} must be a gate, or made of gates, for "
                f"light cones to be computed; measurements in the middle and classical control are not."
            )
        begin = len(self._operations)
        for item in definition.data:
            inner = tuple(wires[definition.find_bit(q).index] for q in item.qubits)
            self._map(item.operation, inner, index)
        if kind in _PAIR_ROTATIONS:
            end = len(self._operations)
            self._pairs.append(PairRotation(begin, end, self._pair(wires), _PAIR_ROTATIONS[kind]))

    def _fixed(self, kind: str, matrix: ComplexArray, wires: tuple[int, ...], index: int) -> None:
        if np.array_equal(matrix, np.eye(len(matrix))):
            return
        if len(wires) == 1:
            self._operations.append(self._one_qubit(matrix, wires[0], index))
            return
        # H CZ H as it stands: the general decomposition of a CX may have more one-qubit gates.
        if kind == "cx":
            hadamard = self._one_qubit(HGate().to_matrix(), wires[1], index)
            self._operations += [hadamard, CZ(self._pair(wires), index), hadamard]
            return
        # At most three CZs (Vatan and Williams 2004), and one-qubit gates around them.
        for item in _decomposer()(matrix).data:
            inner = tuple(wires[qubit._index] for qubit in item.qubits)
            if len(inner) == 2:
                self._operations.append(CZ(self._pair(inner), index))
            else:
                self._operations.append(self._one_qubit(item.operation.to_matrix(), inner[0], index))

    def _pair(self, wires: tuple[int, ...]) -> tuple[int, int]:
        first, second = wires
        return self._names[first], self._names[second]

    def _one_qubit(self, matrix: ComplexArray, wire: int, index: int) -> Fixed:
        return Fixed(self._names[wire], kraus_to_ptm(matrix[None]), matrix, index)

    def _angle(self, value: ParameterExpression | float, sign: float, gate: str) -> int:
        """Number of the angle sign * value, which must be affine in the parameters."""
        terms: list[tuple[int, float]] = []
        if is_free(value):
            found = affine(value)
            if found is None:
                raise UnsupportedError(
                    f"Angle `{value}` of gate `{gate}` must be affine in the parameters here; "
                    f"`lightcone.angles.prepared` puts a parameter in its place."
                )
            terms = [(self._column[parameter], sign * slope) for parameter, slope in found[0].items()]
            offset = sign * found[1]
        else:
            offset = sign * float(value)
        # Sorted: an angle is the same sum in whatever order Qiskit lists its parameters.
        return self._angles.setdefault((tuple(sorted(terms)), offset), len(self._angles))


@lru_cache(maxsize=1)
def _decomposer() -> TwoQubitBasisDecomposer:
    return TwoQubitBasisDecomposer(CZGate())
