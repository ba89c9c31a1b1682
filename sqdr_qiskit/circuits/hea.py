"""The hardware-efficient ansatz of table 2: equation 2 of Luu et al., after Kandala et al. 2017."""

from __future__ import annotations

from qiskit.circuit import ParameterVector, QuantumCircuit

from sqdr_qiskit.circuits.interface import CircuitModel, entangled_pairs, local_z
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["build_hea"]


def build_hea(spec: CircuitSpec) -> CircuitModel:
    """Data as RX angles, RZ caps, then b times an entangling layer and a rotation layer, RZ and RX in turn.

    Equation 2 is read as a product of operators, the rightmost acting first: the cap RZ(theta_cap), then for
    l = 1 ... N_L the entangler (CZ between neighbours) and the layer l, RZ for odd l and RX for even l. N_L
    is `n_blocks`. The paper does not say how the data enters; RX angles on |0...0> are chosen (PennyLane's
    `AngleEmbedding`, the default of the library the paper used). A last RZ layer (odd N_L) cannot change a
    Pauli-Z output; it is kept because the equation has it.

    Args:
        spec: Of kind `hea`.

    Returns:
        The model with n features, x[i] on qubit i, and n(N_L + 1) weights, w[ln + i] on qubit i in layer l,
        the cap being l = 0.
    """
    n = spec.n_qubits
    x = ParameterVector("x", n)
    w = ParameterVector("w", n * (spec.n_blocks + 1))
    circuit = QuantumCircuit(n, name=spec.name)
    for qubit in range(n):
        circuit.rx(x[qubit], qubit)
    for qubit in range(n):
        circuit.rz(w[qubit], qubit)
    for layer in range(1, spec.n_blocks + 1):
        if layer < spec.n_blocks or spec.last_entangler:
            for first, second in entangled_pairs(spec):
                circuit.cz(first, second)
        for qubit in range(n):
            angle = w[layer * n + qubit]
            if layer % 2:
                circuit.rz(angle, qubit)
            else:
                circuit.rx(angle, qubit)
    return CircuitModel(spec=spec, circuit=circuit, x=x, w=w, observables=local_z(n))
