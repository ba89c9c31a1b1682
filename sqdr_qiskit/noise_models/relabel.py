"""A noise model for a few qubits of a register under new numbers: local noise follows the physical qubit."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.noise_models.attach import attach

__all__ = ["restrict"]


def restrict(model: NoiseModel, qubits: Sequence[int]) -> NoiseModel:
    """The part of a noise model that concerns some qubits, with qubit `qubits[i]` renamed to i.

    Args:
        model: Noise model of the whole register. Errors are shared, not copied.
        qubits: The qubits to keep, each once.

    Raises:
        UnsupportedError: Noise that is a pass over the circuit (Aer's relaxation during delays).
    """
    if model._custom_noise_passes:
        raise UnsupportedError(
            "A noise model with passes (relaxation during delays, `NoiseModel.from_backend`) must be run on "
            "the "
            "whole register; build the model with `thermal_relaxation=False`, or mark idle qubits in a "
            "noise file."
        )
    position = {qubit: i for i, qubit in enumerate(qubits)}
    part = NoiseModel(basis_gates=model.basis_gates)
    for gate, error in model._default_quantum_errors.items():
        attach(part, error, gate, None)
    for gate, table in model._local_quantum_errors.items():
        for where, error in table.items():
            if all(qubit in position for qubit in where):
                attach(part, error, gate, tuple(position[qubit] for qubit in where))
    if model._default_readout_error is not None:
        part.add_all_qubit_readout_error(model._default_readout_error, warnings=False)
    for where, readout in model._local_readout_errors.items():
        if all(qubit in position for qubit in where):
            part.add_readout_error(readout, [position[qubit] for qubit in where], warnings=False)
    return part
