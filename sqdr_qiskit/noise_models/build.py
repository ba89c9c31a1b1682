"""Noise file -> Aer `NoiseModel`: one error per instruction, so that one Rot (`u`) is one noisy gate."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Kraus, Pauli
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError, pauli_error

from sqdr_qiskit.noise_models.attach import attach
from sqdr_qiskit.noise_models.channels import (
    ComplexArray,
    compose,
    kraus_operators,
    minimal_kraus,
    pauli_probabilities,
)
from sqdr_qiskit.noise_models.check import check_gates
from sqdr_qiskit.noise_models.convert import error_ptm
from sqdr_qiskit.noise_models.places import gate_key, with_places
from sqdr_qiskit.noise_models.rules import NoiseRules, PlacedChannel
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.noise import NoiseSpec

__all__ = ["build_noise_model", "noisy_circuit", "quantum_error"]

_Paulis = dict[str, float]


def noisy_circuit(spec: NoiseSpec, circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit that a noise model is made for: with markers where the file names places (`idle`, ...).

    The same object if it names none.
    """
    return with_places(circuit, spec.places)


def build_noise_model(spec: NoiseSpec, circuit: QuantumCircuit) -> NoiseModel:
    """Aer noise model of a noise file for one circuit.

    Noise that is the same on all qubits becomes an all-qubit error of its gate, other noise one local error
    for each set of qubits on which the circuit has the gate. Readout errors become Aer readout errors.

    Args:
        spec: The noise file.
        circuit: The circuit to run, as `noisy_circuit` returns it.

    Returns:
        The noise model; its basis gates are the circuit's gates, so that nothing needs to be rewritten.

    Raises:
        SpecError: A qubit that the circuit does not have, or a gate named in the file that it does not have.
        UnsupportedError: A device snapshot and a circuit that was not transpiled for the device.
    """
    check_gates(spec, circuit)
    rules = NoiseRules(spec, circuit.num_qubits)
    model = NoiseModel(basis_gates=sorted({instruction.operation.name for instruction in circuit.data}))
    done: set[tuple[str, tuple[int, ...] | None]] = set()
    for instruction in circuit.data:
        key = gate_key(instruction)
        if instruction.operation.name in ("barrier", "measure") or instruction.clbits:
            continue
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        where = None if rules.is_uniform(key) else qubits
        if (key, where) in done:
            continue
        done.add((key, where))
        placed = rules.after(key, qubits)
        if not placed:
            continue
        error = quantum_error(placed, len(qubits))
        if not np.array_equal(error_ptm(error), np.eye(4 ** len(qubits))):
            attach(model, error, key, where)
    for qubit in range(circuit.num_qubits):
        p01, p10 = rules.readout(qubit)
        if p01 or p10:
            model.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit], warnings=False)
    return model


@lru_cache(maxsize=4096)
def quantum_error(placed: tuple[PlacedChannel, ...], n_qubits: int) -> QuantumError:
    """One Aer error for the channels that follow a gate of `n_qubits` qubits (1 or 2), in their order.

    Neighbouring channels of a qubit are merged: Paulis into one Pauli mixture (cheap to sample), others into
    the fewest Kraus operators. Qiskit's qubit 0 is the gate's first qubit.
    """
    wires: list[list[ChannelSpec]] = [[] for _ in range(n_qubits)]
    parts: list[QuantumError] = []
    for item in placed:
        if len(item.operands) == 1:
            wires[item.operands[0]].append(item.channel)
            continue
        parts += _side_by_side(wires)
        wires = [[] for _ in range(n_qubits)]
        parts.append(_two_qubit(item.channel))
    parts += _side_by_side(wires)
    if not parts:
        parts = [pauli_error([("I" * n_qubits, 1.0)])]
    total = parts[0]
    for part in parts[1:]:
        total = total.compose(part)
    return total


def _side_by_side(wires: list[list[ChannelSpec]]) -> list[QuantumError]:
    """The one-qubit channels of each wire as one error on all wires, or nothing."""
    if not any(wires):
        return []
    total = _one_qubit(wires[0])
    for channels in wires[1:]:
        total = total.expand(_one_qubit(channels))
    return [total]


def _one_qubit(channels: list[ChannelSpec]) -> QuantumError:
    merged: list[_Paulis | ComplexArray] = []
    for channel in channels:
        paulis = pauli_probabilities(channel)
        last = merged[-1] if merged else None
        if paulis is not None and isinstance(last, dict):
            merged[-1] = _convolve(last, paulis)
        elif paulis is not None:
            merged.append(paulis)
        elif isinstance(last, np.ndarray):
            merged[-1] = minimal_kraus(compose(last, kraus_operators(channel)))
        else:
            merged.append(minimal_kraus(kraus_operators(channel)))
    error = pauli_error([("I", 1.0)])
    for position, part in enumerate(merged):
        new = _pauli_error(part) if isinstance(part, dict) else QuantumError(Kraus(list(part)))
        error = new if position == 0 else error.compose(new)
    return error


def _two_qubit(channel: ChannelSpec) -> QuantumError:
    paulis = pauli_probabilities(channel)
    if paulis is not None:
        return _pauli_error({word[::-1]: value for word, value in paulis.items()})
    # kron(A, B) with A on the first qubit becomes Qiskit's kron(B, A): swap the two factors.
    operators = minimal_kraus(kraus_operators(channel)).reshape(-1, 2, 2, 2, 2)
    return QuantumError(Kraus(list(operators.transpose(0, 2, 1, 4, 3).reshape(-1, 4, 4))))


def _pauli_error(probabilities: _Paulis) -> QuantumError:
    return pauli_error([(Pauli(word), value) for word, value in probabilities.items() if value > 0.0])


_PRODUCT = {
    **{("I", letter): letter for letter in "IXYZ"},
    **{(letter, "I"): letter for letter in "XYZ"},
    **{(letter, letter): "I" for letter in "XYZ"},
    **{(a, b): next(c for c in "XYZ" if c not in (a, b)) for a in "XYZ" for b in "XYZ" if a != b},
}


def _convolve(first: _Paulis, second: _Paulis) -> _Paulis:
    """Probabilities of the product of two independent random Paulis."""
    total = dict.fromkeys("IXYZ", 0.0)
    for a, p in first.items():
        for b, q in second.items():
            total[_PRODUCT[a, b]] += p * q
    return total
