"""Put an error into an Aer noise model, however weak it is."""

from __future__ import annotations

from qiskit_aer.noise import NoiseModel, QuantumError

__all__ = ["attach"]


def attach(model: NoiseModel, error: QuantumError, gate: str, qubits: tuple[int, ...] | None) -> None:
    """Let `error` follow a gate, on these qubits or (None) on all.

    The same as `NoiseModel.add_quantum_error` and `add_all_qubit_quantum_error` in an empty place, but those
    leave out Kraus errors weaker than about 1e-8 as "ideal".

    Args:
        model: The noise model; has no error there yet.
        error: The error.
        gate: The gate's name or label.
        qubits: Its qubits in the gate's order; None for all.
    """
    if qubits is None:
        model._default_quantum_errors[gate] = error
    else:
        model._local_quantum_errors.setdefault(gate, {})[qubits] = error
        model._noise_qubits.update(qubits)
    model._noise_instructions.add(gate)
    model.add_basis_gates([gate])
