"""How likely a circuit runs without error on a device: the product of all fidelities, by source."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.schedule import schedule

__all__ = ["Success", "estimate_success"]

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
