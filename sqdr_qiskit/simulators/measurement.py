"""What is measured together after a cone, and what its counts say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import IGate

from sqdr_qiskit.simulators.cone_programs import Pauli

__all__ = ["Measurement", "measurements_for"]

_X, _Y = 1, 2


@dataclass(frozen=True)
class Measurement:
    """Qubits measured in one run of a program, each along one axis.

    Attributes:
        basis: (qubit, letter) pairs; entry i is read into classical bit i.
        outputs: Numbers of the program's outputs that this measurement gives.
        masks: For each of them, the classical bits whose parity it is.
        readout: For each entry of `basis`, the label of its readout error, or None.
    """

    basis: Pauli
    outputs: tuple[int, ...]
    masks: tuple[int, ...]
    readout: tuple[str | None, ...]

    def append_to(self, circuit: QuantumCircuit) -> None:
        """Turn each axis to Z, let the readout error act, measure."""
        for bit, (qubit, letter) in enumerate(self.basis):
            if letter == _Y:
                circuit.sdg(qubit)
            if letter in (_X, _Y):
                circuit.h(qubit)
            label = self.readout[bit]
            if label is not None:
                circuit.append(IGate(label=label), [qubit])
        for bit, (qubit, _) in enumerate(self.basis):
            circuit.measure(qubit, bit)

    def means(self, counts: Mapping[str, int]) -> list[float]:
        """Mean of each output (values +1 and -1) from Aer's counts by hexadecimal outcome."""
        outcomes = [(int(key, 16), count) for key, count in counts.items()]
        total = sum(count for _, count in outcomes)
        return [
            sum(-count if (outcome & mask).bit_count() & 1 else count for outcome, count in outcomes) / total
            for mask in self.masks
        ]


def measurements_for(
    outputs: Sequence[Pauli], readout: Callable[[int], str | None]
) -> tuple[Measurement, ...]:
    """Measurements, found greedily, that give all outputs: Paulis that agree on every qubit share one.

    Args:
        outputs: Pauli strings on a program's qubits, none empty.
        readout: Qubit -> label of its readout error, or None.
    """
    found: list[tuple[dict[int, int], list[int]]] = []
    for number, output in enumerate(outputs):
        for basis, members in found:
            if all(basis.get(qubit, letter) == letter for qubit, letter in output):
                basis.update(output)
                members.append(number)
                break
        else:
            found.append((dict(output), [number]))
    return tuple(_measurement(outputs, basis, members, readout) for basis, members in found)


def _measurement(
    outputs: Sequence[Pauli], basis: dict[int, int], members: list[int], readout: Callable[[int], str | None]
) -> Measurement:
    order = sorted(basis.items())
    bit = {qubit: i for i, (qubit, _) in enumerate(order)}
    masks = [sum(1 << bit[qubit] for qubit, _ in outputs[number]) for number in members]
    labels = [readout(qubit) for qubit, _ in order]
    return Measurement(tuple(order), tuple(members), tuple(masks), tuple(labels))
