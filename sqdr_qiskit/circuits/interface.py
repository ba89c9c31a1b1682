"""What every kind of circuit gives: a parametrised Qiskit circuit and its observables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["CircuitModel", "entangled_pairs", "local_z"]


@dataclass(frozen=True, kw_only=True)
class CircuitModel:
    """A circuit that data and weights go into and expectation values come out of.

    Attributes:
        spec: The description that it was built from.
        circuit: The circuit; its parameters are exactly those of `x` and `w`. Qiskit sorts them by name, so
            in `circuit.parameters` all of `w` stand before all of `x`.
        x: Data, radians.
        w: Weights, radians.
        observables: One per output, on the circuit's qubits.

    Raises:
        ArgumentError: The circuit has other parameters than `x` and `w`, or an observable another size.
    """

    spec: CircuitSpec
    circuit: QuantumCircuit = field(compare=False)
    x: ParameterVector = field(compare=False)
    w: ParameterVector = field(compare=False)
    observables: tuple[SparsePauliOp, ...] = field(compare=False)

    def __post_init__(self) -> None:
        if set(self.circuit.parameters) != {*self.x, *self.w}:
            raise ArgumentError(
                f"Argument `circuit` must have the parameters of `x` and `w`, but {self.name!r} has others."
            )
        if any(observable.num_qubits != self.n_qubits for observable in self.observables):
            raise ArgumentError(
                f"Argument `observables` must act on {self.n_qubits} qubits, but one does not."
            )

    @property
    def name(self) -> str:
        """What lists and checkpoints call it."""
        return self.spec.name

    @property
    def n_qubits(self) -> int:
        """Number of qubits n."""
        return self.circuit.num_qubits

    @property
    def n_features(self) -> int:
        """Number of data angles, len(x)."""
        return len(self.x)

    @property
    def n_weights(self) -> int:
        """Number of weights, len(w)."""
        return len(self.w)

    @property
    def n_outputs(self) -> int:
        """Number of expectation values, len(observables)."""
        return len(self.observables)


def entangled_pairs(spec: CircuitSpec) -> Iterator[tuple[int, int]]:
    """The neighbours (i, i+1) that a circuit entangles, in the order of i; the ring's last is (n-1, 0).

    Two qubits have one pair on a line and on a ring; one qubit has none, nor has entangler `none`.
    """
    if spec.entangler == "none":
        return
    yield from ((qubit, qubit + 1) for qubit in range(spec.n_qubits - 1))
    if spec.entangler == "ring" and spec.n_qubits > 2:
        yield spec.n_qubits - 1, 0


def local_z(n_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Pauli Z on qubit 0, 1, ... n-1 (equation 6)."""
    return tuple(SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], n_qubits) for qubit in range(n_qubits))
