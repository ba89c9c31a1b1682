"""A device's noise for logical circuits: its median errors after their gates, a model for gradients."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.noise_models.build import quantum_error
from sqdr_qiskit.noise_models.device import device_channels
from sqdr_qiskit.noise_models.rules import PlacedChannel

__all__ = ["median_noise"]

_TURNS = ("u", "u1", "u2", "u3", "rx", "ry", "r", "h", "sx", "sxdg", "x", "y")
_PAIRS = ("cz", "cx", "ecr")


def median_noise(chip: Chip) -> NoiseModel:
    """The median noise of a device as a noise model for circuits that are not transpiled.

    A turn has the error of one SX: a data Rot and a weight Rot are fused into two of them. A CZ or CX has the
    error of the device's two-qubit gate; RZ is a change of frame.

    Args:
        chip: The device; faulty gates are left out.
    """
    turning = "sx" if chip.one_qubit_gates == "zsx" else "u3"
    qubits = list(chip.neighbours)
    t1, t2 = (median(chip.relaxation(qubit)[i] for qubit in qubits) for i in (0, 1))
    edges = list(chip.edges.values())
    one = _error(
        median(chip.turn_error(q) for q in qubits), [chip.duration(turning, (q,)) for q in qubits], t1, t2, 1
    )
    two = _error(median(edge.error for edge in edges), [edge.duration for edge in edges], t1, t2, 2)
    model = NoiseModel()
    if one is not None:
        model.add_all_qubit_quantum_error(one, list(_TURNS), warnings=False)
    if two is not None:
        model.add_all_qubit_quantum_error(two, list(_PAIRS), warnings=False)
    p01, p10 = (median(chip.readout[qubit][i] for qubit in qubits) for i in (0, 1))
    if p01 or p10:
        model.add_all_qubit_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), warnings=False)
    return model


def _error(
    error: float, seconds: Iterable[float], t1: float, t2: float, n_qubits: int
) -> QuantumError | None:
    times = tuple(None if t == float("inf") else t * 1e6 for t in (t1, t2))
    channels = device_channels(
        error, median(seconds) * 1e9 or None, (times[0],) * n_qubits, (times[1],) * n_qubits
    )
    placed = tuple(PlacedChannel(channel, operands) for channel, operands in channels)
    return quantum_error(placed, n_qubits) if placed else None
