"""A circuit in the engine's words written for a chip: native gates, one turn for each run between them.

A run of rotations and fixed gates on one qubit is a unitary U(theta, phi, lambda); on a chip that is
RZ(phi + pi) SX RZ(theta + pi) SX RZ(lambda): two pulses whatever went into it, the RZs being virtual. Where
RX of any angle is one pulse, it is RZ(phi + pi / 2) RX(theta) RZ(lambda - pi / 2), but for the last turn
before a reading: IBM's client writes that one anew, with two SX, whatever it is given. What stands around a
native gate to make it a CZ goes into the neighbouring runs. The RZ that meets |0> and the one before a
measurement of Z do nothing and are left out, and so is everything after which nothing is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import U3Gate
from qiskit.synthesis import OneQubitEulerDecomposer

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.operations import CZ, Fixed, Operation, Rotation
from sqdr_qiskit.tiles.turns import Turns

__all__ = ["Entanglers", "Fused", "fuse", "unfused"]

_Matrix = NDArray[np.complex128]
_Float = NDArray[np.float64]
_Step = tuple[int, int]  # rotation's number, axis
Entanglers = Mapping[frozenset[int], tuple[str, tuple[int, int]]]
"""What stands for a CZ on a pair: `cz`, `ecr` or `cx`, and the qubits in its order."""

_H = np.array([[1, 1], [1, -1]], dtype=complex) / np.sqrt(2)
_X = np.array([[0, 1], [1, 0]], dtype=complex)
_S_DAGGER = np.diag([1, -1j])

# CZ = (after) gate (before) up to a phase; matrices for the gate's first and second qubit.
_Pair = tuple[_Matrix | None, _Matrix | None]
_CORRECTIONS: dict[str, tuple[_Pair, _Pair]] = {
    "cz": ((None, None), (None, None)),
    "cx": ((None, _H), (None, _H)),
    "ecr": ((None, _H), (_S_DAGGER @ _X, _S_DAGGER @ _H)),
}


@dataclass(frozen=True, eq=False)
class Fused:
    """A circuit of turns and entangling gates.

    Attributes:
        circuit: On the device's qubits.
        parameters: Its parameters, fresh ones, in the order of the columns of `angles`.
    """

    circuit: QuantumCircuit
    parameters: tuple[Parameter, ...]
    coefficients: _Float
    offsets: _Float
    runs: tuple[tuple[_Step | _Matrix, ...], ...]
    columns: NDArray[np.intp]  # into (theta, phi, lambda) of run 0, run 1, ...

    def angles(self, values: _Float) -> _Float:
        """Values of `parameters` for values of the parameters that went in.

        Args:
            values: Shape (batch, n_params), radians.

        Returns:
            Shape (batch, len(parameters)), radians.
        """
        return self.turns.values(values, with_slopes=False)[0]

    @cached_property
    def turns(self) -> Turns:
        """How the parameters that went in become the circuit's."""
        # Of each run's three angles where it stands among the parameters; -1 where it was left out.
        columns = np.full(3 * len(self.runs), -1, dtype=np.int64)
        columns[self.columns] = np.arange(len(self.columns))
        return Turns.of(
            self.runs, columns.reshape(-1, 3).tolist(), self.coefficients, self.offsets, len(self.parameters)
        )


def fuse(
    operations: Iterable[Operation],
    *,
    n_qubits: int,
    coefficients: _Float,
    offsets: _Float,
    measured: Mapping[int, bool],
    entanglers: Entanglers,
    style: str = "zsx",
    prefix: str = "a",
) -> Fused:
    """Write a circuit in the engine's words for a device.

    Args:
        operations: Rotations, fixed one-qubit gates and CZs, starting in |0...0>.
        n_qubits: Number of qubits of the result.
        coefficients: Shape (n_rotations, n_params), as in `NormalForm`.
        offsets: Shape (n_rotations,), as in `NormalForm`, radians.
        measured: Qubits that are looked at afterwards -> whether in Z alone.
        entanglers: The device's two-qubit gates.
        style: One-qubit gates: `zsx` (RZ and SX), `zrx` (RZ and RX, SX before a reading) or `u3`.
        prefix: Name of the new parameters.

    Raises:
        UnsupportedError: A pair without a gate, or an operation that is no gate.
    """
    writer = _Writer(n_qubits, style, entanglers, prefix)
    for operation in operations:
        writer.add(operation)
    for qubit in sorted(measured):
        writer.flush(qubit, read=True, last=measured[qubit])
    return Fused(
        circuit=writer.circuit,
        parameters=tuple(writer.parameters),
        coefficients=coefficients,
        offsets=offsets,
        runs=tuple(writer.runs),
        columns=np.array(writer.columns, dtype=np.intp),
    )


def unfused(circuit: QuantumCircuit, parameters: Sequence[Parameter], shift: _Float) -> Fused:
    """A circuit as it is, its angles those that go in.

    Args:
        circuit: The circuit.
        parameters: In the order of the columns that `angles` will be given.
        shift: What a parameter stands for beyond the value given, radians.
    """
    column = {parameter: i for i, parameter in enumerate(parameters)}
    return _AsItIs(
        circuit=circuit,
        parameters=tuple(circuit.parameters),
        coefficients=np.zeros((0, len(parameters))),
        offsets=shift,
        runs=(),
        columns=np.array([column[p] for p in circuit.parameters], dtype=np.intp),
    )


class _AsItIs(Fused):
    def angles(self, values: _Float) -> _Float:
        return np.ascontiguousarray((values + self.offsets)[:, self.columns])


class _Writer:
    def __init__(self, n_qubits: int, style: str, entanglers: Entanglers, prefix: str) -> None:
        self.circuit = QuantumCircuit(n_qubits)
        self.parameters: list[Parameter] = []
        self.runs: list[tuple[_Step | _Matrix, ...]] = []
        self.columns: list[int] = []
        self._style = style
        self._entanglers = entanglers
        self._vector = ParameterVector(prefix, 0)
        self._waiting: dict[int, list[_Step | _Matrix]] = {}
        self._touched: set[int] = set()  # no longer in |0>

    def add(self, operation: Operation) -> None:
        if isinstance(operation, Rotation):
            self._waiting.setdefault(operation.qubit, []).append((operation.angle, operation.axis))
        elif isinstance(operation, Fixed) and operation.unitary is not None:
            self._turn(operation.qubit, operation.unitary)
        elif isinstance(operation, CZ):
            self._entangle(operation.qubits)
        else:
            raise UnsupportedError(
                "A circuit to be laid out on a device must consist of gates, but has a channel."
            )

    def flush(self, qubit: int, *, read: bool = False, last: bool = False) -> None:
        """Write the run that waits on a qubit: before a reading, of Z alone if it is the `last`."""
        run = self._waiting.pop(qubit, [])
        fresh = qubit not in self._touched
        if not run:
            return
        if any(isinstance(step, tuple) for step in run):
            self._free(qubit, run, fresh=fresh, read=read, last=last)
        else:
            matrix = run[0]
            assert isinstance(matrix, np.ndarray)
            self._fixed(qubit, matrix, fresh=fresh, read=read, last=last)

    def _turn(self, qubit: int, matrix: _Matrix) -> None:
        waiting = self._waiting.setdefault(qubit, [])
        # Fixed gates in a row become one: a step less for every sample.
        if waiting and isinstance(waiting[-1], np.ndarray):
            waiting[-1] = matrix @ waiting[-1]
        else:
            waiting.append(matrix)

    def _entangle(self, qubits: tuple[int, int]) -> None:
        if frozenset(qubits) not in self._entanglers:
            raise UnsupportedError(f"Qubits {sorted(qubits)} must be coupled on the device, but are not.")
        name, (first, second) = self._entanglers[frozenset(qubits)]
        before, after = _CORRECTIONS[name]
        # What makes the native gate a CZ joins the runs on both sides, and costs no pulse.
        for qubit, matrix in zip((first, second), before, strict=True):
            if matrix is not None:
                self._turn(qubit, matrix)
            self.flush(qubit)
        getattr(self.circuit, name)(first, second)
        self._touched |= {first, second}
        for qubit, matrix in zip((first, second), after, strict=True):
            if matrix is not None:
                self._turn(qubit, matrix)

    def _fixed(self, qubit: int, matrix: _Matrix, *, fresh: bool, read: bool, last: bool) -> None:
        if (fresh or last) and abs(matrix[1, 0]) < 1e-12:  # diagonal: |0> stays, and so do probabilities
            return
        self._touched.add(qubit)
        style = "zsx" if read and self._style == "zrx" else self._style
        for item in _decomposer(style)(matrix).data:
            self.circuit.append(item.operation, [qubit])

    def _free(self, qubit: int, run: list[_Step | _Matrix], *, fresh: bool, read: bool, last: bool) -> None:
        self._touched.add(qubit)  # by angles that may be any: not in |0> from here on
        number = len(self.runs)
        self.runs.append(tuple(run))
        if self._style == "u3":
            self.circuit.append(U3Gate(*(self._new(number, place) for place in range(3))), [qubit])
            return
        if self._style == "zrx" and not read:
            if not fresh:
                self.circuit.rz(self._new(number, 2) - np.pi / 2, qubit)
            self.circuit.rx(self._new(number, 0), qubit)
            self.circuit.rz(self._new(number, 1) + np.pi / 2, qubit)
            return
        if not fresh:  # |0> does not feel a first turn about Z, a reading of Z no last one
            self.circuit.rz(self._new(number, 2), qubit)
        self.circuit.sx(qubit)
        self.circuit.rz(self._new(number, 0) + np.pi, qubit)
        self.circuit.sx(qubit)
        if not last:
            self.circuit.rz(self._new(number, 1) + np.pi, qubit)

    def _new(self, number: int, place: int) -> Parameter:
        # A vector's elements are sorted by number, single parameters by name: angle 10 before angle 2.
        self._vector.resize(len(self.parameters) + 1)
        self.parameters.append(self._vector[len(self.parameters)])
        self.columns.append(3 * number + place)
        return self.parameters[-1]


@lru_cache(maxsize=3)
def _decomposer(style: str) -> OneQubitEulerDecomposer:
    return OneQubitEulerDecomposer({"u3": "U3", "zsx": "ZSXX", "zrx": "ZXZ"}[style])
