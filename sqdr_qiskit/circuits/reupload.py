"""The SQDR-CNN's data re-uploading circuit: equations 3, 5, 6, figure 2 of Luu et al., arXiv 2512.03895."""

from __future__ import annotations

from qiskit.circuit import ParameterVector, QuantumCircuit

from sqdr_qiskit.circuits.interface import CircuitModel, entangled_pairs, local_z
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["build_reupload"]


def build_reupload(spec: CircuitSpec) -> CircuitModel:
    """Blocks of Rot(data) and Rot(weights) on every qubit, then CZ on neighbours; one data for all blocks.

    Rot(phi, theta, omega) = RZ(omega) RY(theta) RZ(phi), RZ(phi) acting first (equation 5). Up to a global
    phase this is Qiskit's U(theta, omega, phi), and a Rot is ONE `u` gate here for two reasons: noise models
    attach to gates, and the paper's noise follows a whole Rot, not each of its three rotations; and one gate
    is one 3x3 rotation to the engine and one pulse sequence (RZ, SX, RZ, SX, RZ) to a chip.

    Args:
        spec: Of kind `reupload`.

    Returns:
        The model with 3n features, qubit i's being x[3i + c], and 3nb weights, those of qubit i in block k
        being w[3(kn + i) + c], where c = 0, 1, 2 is phi, theta, omega; no weights without trained rotations.
    """
    n = spec.n_qubits
    x = ParameterVector("x", 3 * n)
    w = ParameterVector("w", 3 * n * spec.n_blocks if spec.trained_rotations else 0)
    circuit = QuantumCircuit(n, name=spec.name)
    for block in range(spec.n_blocks):
        for qubit in range(n):
            _rot(circuit, x, 3 * qubit, qubit)
        if spec.trained_rotations:
            for qubit in range(n):
                _rot(circuit, w, 3 * (block * n + qubit), qubit)
        if block < spec.n_blocks - 1 or spec.last_entangler:
            for first, second in entangled_pairs(spec):
                circuit.cz(first, second)
    return CircuitModel(spec=spec, circuit=circuit, x=x, w=w, observables=local_z(n))


def _rot(circuit: QuantumCircuit, angles: ParameterVector, start: int, qubit: int) -> None:
    """Rot(angles[start], angles[start + 1], angles[start + 2]) as one gate."""
    phi, theta, omega = angles[start], angles[start + 1], angles[start + 2]
    circuit.u(theta, omega, phi, qubit)
