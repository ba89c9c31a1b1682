"""Cones too deep for the expansion, by the cheaper of the two ways that hold a whole state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqdr_qiskit.lightcone.cones import Cone
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation
from sqdr_qiskit.lightcone.pauli_vector import PauliVectors
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.statevector import Statevectors

__all__ = ["DeepCones", "cost"]

_PER_AMPLITUDE = (
    6  # multiply-adds of a tape that one amplitude and operation are worth (measured, 2 to 9 qubits)
)
_LARGEST = 2**15  # multiply-adds; no longer tape is written, it would take seconds


def cost(form: NormalForm, member: Cone) -> int:
    """What holding this cone's whole state costs, in multiply-adds of a tape."""
    size = len(member.qubits) * (1 if _is_unitary(form, member) else 2)
    return min(_PER_AMPLITUDE * len(member.operations) << size, _LARGEST)


def _is_unitary(form: NormalForm, member: Cone) -> bool:
    operations = [form.operations[index] for index in member.operations]
    return all(
        isinstance(op, Rotation | CZ) or (isinstance(op, Fixed) and op.unitary is not None)
        for op in operations
    )


class DeepCones:
    """Statevectors, or with noise Pauli vectors; cones on the same qubits share one.

    Args:
        form: The circuit.
        cones: Output number and cone of each Pauli term.

    Raises:
        UnsupportedError: A cone that does not fit into memory.
    """

    def __init__(self, form: NormalForm, cones: Sequence[tuple[int, Cone]]) -> None:
        groups: dict[tuple[tuple[int, ...], bool], list[tuple[int, Cone]]] = {}
        for number, member in cones:
            groups.setdefault((member.qubits, _is_unitary(form, member)), []).append((number, member))
        self._coefficients = form.coefficients
        self._parts = [
            (
                np.array([number for number, _ in members]),
                np.array([member.term.coefficient for _, member in members]),
                (Statevectors if unitary else PauliVectors)(form, qubits, [member for _, member in members]),
            )
            for (qubits, unitary), members in groups.items()
        ]

    @property
    def methods(self) -> dict[int, set[str]]:
        """For each output number the names of the methods that contribute to it."""
        found: dict[int, set[str]] = {}
        for numbers, _, states in self._parts:
            for number in numbers.tolist():
                found.setdefault(number, set()).add(states.method)
        return found

    def add(
        self, angles: RealArray, start: int, with_jacobian: bool, values: RealArray, jacobian: RealArray
    ) -> None:
        """Add expectation values and Jacobians of samples `start` on; `angles` has shape (n_angles,
        samples).
        """
        for numbers, weights, states in self._parts:
            expectations = np.zeros(len(numbers))
            slopes = np.zeros((len(numbers), len(angles)))
            for sample in range(angles.shape[1]):
                states.run(np.ascontiguousarray(angles[:, sample]), with_jacobian, expectations, slopes)
                np.add.at(values[start + sample], numbers, weights * expectations)
                if with_jacobian:
                    np.add.at(
                        jacobian[start + sample], numbers, (weights[:, None] * slopes) @ self._coefficients
                    )
