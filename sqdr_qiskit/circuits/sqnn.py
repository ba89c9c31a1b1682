"""The circuit of the SQNN of Konar et al. 2023, as section 3.2 of Luu et al. gives it."""

from __future__ import annotations

from qiskit.circuit import ParameterVector, QuantumCircuit

from sqdr_qiskit.circuits.interface import CircuitModel, entangled_pairs, local_z
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["build_sqnn"]


def build_sqnn(spec: CircuitSpec) -> CircuitModel:
    """H and RZ(data) on every qubit, then b times RX(w), RZ(w) on every qubit and CNOT between neighbours.

    U_enc = RZ(x_i) H on every qubit. U_train = CNOTs times M(w_i) on every qubit, M(w) = RZ(w) RX(w): one
    weight turns both rotations, as the formula writes it. The paper has one training layer (`n_blocks` = 1);
    more of them repeat U_train with weights of their own.

    Args:
        spec: Of kind `sqnn`.

    Returns:
        The model with n features, x[i] on qubit i, and nb weights, w[kn + i] on qubit i in layer k.
    """
    n = spec.n_qubits
    x = ParameterVector("x", n)
    w = ParameterVector("w", n * spec.n_blocks)
    circuit = QuantumCircuit(n, name=spec.name)
    for qubit in range(n):
        circuit.h(qubit)
        circuit.rz(x[qubit], qubit)
    for block in range(spec.n_blocks):
        for qubit in range(n):
            circuit.rx(w[block * n + qubit], qubit)
            circuit.rz(w[block * n + qubit], qubit)
        if block < spec.n_blocks - 1 or spec.last_entangler:
            for control, target in entangled_pairs(spec):
                circuit.cx(control, target)
    return CircuitModel(spec=spec, circuit=circuit, x=x, w=w, observables=local_z(n))
