"""How likely a circuit runs without error on a device: the product of all fidelities, by source."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip

__all__ = ["estimate_success", "Schedule", "schedule", "Success"]


@dataclass(frozen=True)
class Schedule:
    """A circuit in time.

    Attributes:
        duration: Seconds from the first gate to the end of the measurement.
        waits: For each instruction, (qubit, seconds) pairs: how long its qubits then wait for their next gate
            or for the measurement.
        to_end: For each instruction, seconds from its start to the measurement.
    """

    duration: float
    waits: tuple[tuple[tuple[int, float], ...], ...]
    to_end: tuple[float, ...]


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
    starts: list[float] = []
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
        starts.append(start + duration)
        for qubit in qubits:
            to_end[qubit] = start + duration
    reading = max((chip.duration("measure", (qubit,)) for qubit in measured), default=0.0)
    length = max(to_end.values(), default=0.0) + reading
    return Schedule(length, tuple(reversed(waits)), tuple(reversed(starts)))


_WORST = 0.99  # an error of 1 would make every product 0 and hide the rest


@dataclass(frozen=True)
class Success:
    """-log of the fidelity lost to each source; the estimated success probability is exp(-sum).

    Attributes:
        two_qubit: Entangling gates.
        one_qubit: Turns of single qubits.
        idle: Relaxation of waiting qubits.
        readout: Measurement.
        duration: Seconds from the first gate to the end of the measurement.
    """

    two_qubit: float
    one_qubit: float
    idle: float
    readout: float
    duration: float

    @property
    def cost(self) -> float:
        """-log of the success probability."""
        return self.two_qubit + self.one_qubit + self.idle + self.readout

    @property
    def probability(self) -> float:
        """Estimated success probability, 0 to 1."""
        return math.exp(-self.cost)

    @property
    def parts(self) -> dict[str, float]:
        """-log of the fidelity by source."""
        return {
            "two-qubit gates": self.two_qubit,
            "one-qubit gates": self.one_qubit,
            "idle": self.idle,
            "readout": self.readout,
        }


def estimate_success(circuit: QuantumCircuit, chip: Chip, measured: Collection[int]) -> Success:
    """Estimate from the device's calibration how likely a circuit runs and is read without error.

    A qubit that waits for t loses the average infidelity of relaxation,
    1 - (3 + exp(-t/T1) + 2 exp(-t/T2)) / 6.

    Args:
        circuit: Of the device's own gates, on its qubits.
        chip: The device.
        measured: Qubits that are measured.
    """
    two_qubit = one_qubit = idle = 0.0
    times = schedule(circuit, chip, measured)
    for item, waits in zip(circuit.data, times.waits, strict=True):
        qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        lost = _log(chip.gate_error(item.operation.name, qubits))
        if len(qubits) == 2:
            two_qubit += lost
        elif len(qubits) == 1:
            one_qubit += lost
        idle += sum(_log(_waiting(chip, qubit, seconds)) for qubit, seconds in waits)
    readout = sum(_log(chip.readout_error(qubit)) for qubit in measured)
    return Success(two_qubit, one_qubit, idle, readout, times.duration)


def _waiting(chip: Chip, qubit: int, seconds: float) -> float:
    """Average infidelity of relaxation during a time."""
    t1, t2 = chip.relaxation(qubit)
    return 1.0 - (3.0 + math.exp(-seconds / t1) + 2.0 * math.exp(-seconds / t2)) / 6.0


def _log(error: float) -> float:
    return -math.log1p(-min(error, _WORST))
