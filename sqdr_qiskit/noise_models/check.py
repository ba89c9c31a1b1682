"""What a noise model amounts to, and whether it is really there.

Aer leaves noise out without a word where a gate's name or label differs, so it is probed before use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit.circuit import CircuitInstruction, ParameterExpression, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import DensityMatrix, SuperOp, random_unitary
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, QuantumError

from sqdr_qiskit.errors import BackendError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models.build import attach
from sqdr_qiskit.noise_models.channels import (
    average_gate_fidelity,
    completeness_error,
    kraus_operators,
    kraus_to_ptm,
)
from sqdr_qiskit.noise_models.convert import error_after, error_ptm
from sqdr_qiskit.noise_models.places import gate_key
from sqdr_qiskit.specs.noise import ErrorSpec, NoiseSpec

__all__ = ["describe_channels", "describe_gates", "probe", "restrict"]


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


_SEED = 20231  # for the probing states: any generic ones do
_AGREES = 1e-8


def probe(model: NoiseModel, circuit: QuantumCircuit) -> None:
    """Run each kind of noisy gate of a circuit once on Aer and compare with what the noise model says.

    From a generic state, the gate (with generic angles) and its error must give the density matrix that
    Qiskit computes from the error's superoperator, and so differ from the ideal one. Once at the start of a
    run.

    Args:
        model: The noise model. One without gate errors (strength 0, or readout errors only) passes.
        circuit: The circuit it is meant for.

    Raises:
        SpecError: The circuit has none of the gates that the model attaches noise to.
        BackendError: Aer ignores an error, or computes something else.
    """
    noisy = sorted(name for name in model.noise_instructions if name != "measure")
    if not noisy:
        return
    cases: dict[tuple[str, int], tuple[CircuitInstruction, tuple[int, ...], QuantumError]] = {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        key = gate_key(instruction)
        error = error_after(model, key, qubits)
        if error is not None and instruction.operation.name not in ("barrier", "measure"):
            cases.setdefault((key, id(error)), (instruction, qubits, error))
    if not cases:
        present = sorted({gate_key(instruction) for instruction in circuit.data})
        raise SpecError(
            f"The noise model attaches noise to {', '.join(noisy)}, but the circuit has only "
            f"{', '.join(present)}: nothing would be noisy."
        )
    rng = np.random.default_rng(_SEED)
    for (key, _), (instruction, qubits, error) in cases.items():
        _probe_gate(model, key, instruction, qubits, error, rng)


def _probe_gate(
    model: NoiseModel,
    key: str,
    instruction: CircuitInstruction,
    qubits: tuple[int, ...],
    error: QuantumError,
    rng: np.random.Generator,
) -> None:
    operation = instruction.operation
    if any(isinstance(parameter, ParameterExpression) for parameter in operation.params):
        operation = operation.to_mutable()
        operation.params = [float(angle) for angle in rng.uniform(0.3, 1.2, len(operation.params))]
    prepare = UnitaryGate(random_unitary(2 ** len(qubits), seed=rng), label="probing state")
    small = QuantumCircuit(len(qubits))
    small.append(prepare, small.qubits)
    small.append(operation, small.qubits)
    ideal = DensityMatrix(small.copy())
    small.save_density_matrix()
    simulator = AerSimulator(method="density_matrix", noise_model=restrict(model, qubits))
    result = simulator.run(small, shots=1).result()
    if not result.success:
        raise BackendError(f"Aer cannot run gate `{key}` of the circuit: {result.status}.")
    found = np.asarray(result.data(0)["density_matrix"])
    expected = ideal.evolve(SuperOp(error)).data
    if np.max(np.abs(found - expected)) < _AGREES:
        return
    where = f"gate `{key}` on qubits {list(qubits)}"
    if np.max(np.abs(found - ideal.data)) < _AGREES:
        raise BackendError(f"Aer ignores the noise of {where}: nothing would be noisy.")
    raise BackendError(f"Aer computes another noise for {where} than the model says.")


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
