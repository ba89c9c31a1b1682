"""The kinds of circuit: data re-uploading, hardware-efficient ansatz and SQNN.

Equations and tables are those of Luu et al., arXiv 2512.03895.
"""

from __future__ import annotations

from qiskit.circuit import ParameterVector, QuantumCircuit

from sqdr_qiskit.circuits.interface import CircuitModel, entangled_pairs, local_z
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["build_hea", "build_reupload", "build_sqnn"]


def build_reupload(spec: CircuitSpec) -> CircuitModel:
    """The SQDR-CNN's circuit: blocks of Rot(data) and Rot(weights) on every qubit, then CZ on neighbours.

    Every block takes the same data (equations 3, 5, 6; figure 2).

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


def build_hea(spec: CircuitSpec) -> CircuitModel:
    """The ansatz of table 2: RX(data), RZ caps, then b times entanglers and rotations, RZ and RX in turn.

    After Kandala et al. 2017.

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


def build_sqnn(spec: CircuitSpec) -> CircuitModel:
    """H and RZ(data) on every qubit, then b times RX(w), RZ(w) on every qubit and CNOT between neighbours.

    The circuit of the SQNN of Konar et al. 2023, as section 3.2 gives it.

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
