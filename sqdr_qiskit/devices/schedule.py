"""When gates run on a device: as late as possible, and how long qubits wait in between."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip

__all__ = ["Schedule", "schedule"]


@dataclass(frozen=True)
class Schedule:
    """A circuit in time.

    Attributes:
        duration: Seconds from the first gate to the end of the measurement.
        waits: For each instruction, (qubit, seconds) pairs: how long its qubits then wait for their next gate
            or for the measurement.
    """

    duration: float
    waits: tuple[tuple[tuple[int, float], ...], ...]


def schedule(circuit: QuantumCircuit, chip: Chip, measured: Collection[int]) -> Schedule:
    """Schedule a circuit of the device's own gates as late as possible, all measurements together at the end.

    A qubit in |0> is not disturbed before its first gate, and an unmeasured one not missed after its last.

    Args:
        circuit: On the device's qubits, without measurements.
        chip: Gives durations.
        measured: Qubits that are measured.
    """
    to_end: dict[int, float] = {}  # seconds from the start of the qubit's next gate to the measurement
    waits: list[tuple[tuple[int, float], ...]] = []
    for item in reversed(circuit.data):
        qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        start = max(to_end.get(qubit, 0.0) for qubit in qubits)
        waits.append(
            tuple(
                (qubit, start - to_end.get(qubit, 0.0))
                for qubit in qubits
                if (qubit in to_end or qubit in measured) and start - to_end.get(qubit, 0.0) > 1e-10
            )
        )
        duration = chip.duration(item.operation.name, qubits)
        for qubit in qubits:
            to_end[qubit] = start + duration
    reading = max((chip.duration("measure", (qubit,)) for qubit in measured), default=0.0)
    return Schedule(max(to_end.values(), default=0.0) + reading, tuple(reversed(waits)))
