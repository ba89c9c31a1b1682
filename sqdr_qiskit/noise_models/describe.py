"""What a noise file amounts to, as plain data: operators, transfer matrices, fidelities."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit_aer.noise import NoiseModel, QuantumError

from sqdr_qiskit.noise_models.channels import (
    average_gate_fidelity,
    completeness_error,
    kraus_operators,
    kraus_to_ptm,
)
from sqdr_qiskit.noise_models.convert import error_after, error_ptm
from sqdr_qiskit.noise_models.places import gate_key
from sqdr_qiskit.specs.noise import ErrorSpec, NoiseSpec

__all__ = ["describe_channels", "describe_gates"]


def describe_channels(spec: NoiseSpec) -> list[dict[str, Any]]:
    """Each channel of a file: where it acts, Kraus operators, completeness, transfer matrix, fidelity.

    Complex numbers are [real, imaginary] pairs; `completeness_error` is the largest entry of
    |sum K^dagger K - 1|; transfer matrices have the order I, X, Y, Z, for two qubits the first one slowest.
    """
    return [_channel(error) for error in spec.errors]


def _channel(error: ErrorSpec) -> dict[str, Any]:
    operators = kraus_operators(error.channel)
    ptm = kraus_to_ptm(operators)
    return {
        "channel": error.channel.kind,
        "description": error.channel.describe(),
        "after": list(error.after),
        "qubits": None if error.qubits is None else list(error.qubits),
        "pairs": None if error.pairs is None else [list(pair) for pair in error.pairs],
        "kraus": np.stack([operators.real, operators.imag], axis=-1).tolist(),
        "completeness_error": completeness_error(operators),
        "pauli_transfer_matrix": ptm.tolist(),
        "average_gate_fidelity": average_gate_fidelity(ptm),
    }


def describe_gates(model: NoiseModel, circuit: QuantumCircuit) -> list[dict[str, Any]]:
    """The composed error of each noisy gate of a circuit, as Aer has it; equal ones together.

    Returns:
        For each distinct error the gate (or place), its qubits, the transfer matrix and the average gate
        fidelity; a two-qubit error also with what it does to each qubit.
    """
    found: dict[tuple[str, int], tuple[QuantumError, list[list[int]]]] = {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        key = gate_key(instruction)
        error = error_after(model, key, qubits)
        if error is not None:
            _, places = found.setdefault((key, id(error)), (error, []))
            if list(qubits) not in places:
                places.append(list(qubits))
    return [_gate(key, error, places) for (key, _), (error, places) in found.items()]


def _gate(key: str, error: QuantumError, places: list[list[int]]) -> dict[str, Any]:
    ptm = error_ptm(error)
    facts: dict[str, Any] = {
        "gate": key,
        "qubits": places,
        "pauli_transfer_matrix": ptm.tolist(),
        "average_gate_fidelity": average_gate_fidelity(ptm),
    }
    if error.num_qubits == 2:
        blocks = ptm.reshape(4, 4, 4, 4)
        facts["on_each_qubit"] = [blocks[:, 0, :, 0].tolist(), blocks[0, :, 0, :].tolist()]
    return facts
