"""From a circuit's description to a Qiskit circuit with parameters and observables.

model = build_circuit("2b-9q")
model.circuit, model.x, model.w, model.observables

First what every circuit is (`CircuitModel`), then the kinds (data re-uploading, hardware-efficient ansatz,
SQNN), then their table and what builds one. Equations and tables are those of Luu et al., arXiv 2512.03895.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.circuit import CircuitSpec, circuit_spec

__all__ = [
    "build_circuit",
    "build_hea",
    "build_reupload",
    "build_sqnn",
    "CIRCUIT_KINDS",
    "CircuitModel",
    "entangled_pairs",
    "local_z",
    "variations",
]


@dataclass(frozen=True, kw_only=True)
class CircuitModel:
    """A circuit that data and weights go into and expectation values come out of.

    Attributes:
        spec: The description that it was built from.
        circuit: The circuit; its parameters are exactly those of `x` and `w`. Qiskit sorts them by name, so
            in `circuit.parameters` all of `w` stand before all of `x`.
        x: Data, radians.
        w: Weights, radians.
        observables: One per output, on the circuit's qubits.

    Raises:
        ArgumentError: The circuit has other parameters than `x` and `w`, or an observable another size.
    """

    # Equal by description alone: all else follows from it, and Qiskit compares circuits slowly.
    spec: CircuitSpec
    circuit: QuantumCircuit = field(compare=False)
    x: ParameterVector = field(compare=False)
    w: ParameterVector = field(compare=False)
    observables: tuple[SparsePauliOp, ...] = field(compare=False)

    def __post_init__(self) -> None:
        if set(self.circuit.parameters) != {*self.x, *self.w}:
            raise ArgumentError(
                f"Argument `circuit` must have the parameters of `x` and `w`, but {self.name!r} has others."
            )
        if any(observable.num_qubits != self.n_qubits for observable in self.observables):
            raise ArgumentError(
                f"Argument `observables` must act on {self.n_qubits} qubits, but one does not."
            )

    @property
    def name(self) -> str:
        """What lists and checkpoints call it."""
        return self.spec.name

    @property
    def n_qubits(self) -> int:
        """Number of qubits n."""
        return self.circuit.num_qubits

    @property
    def n_features(self) -> int:
        """Number of data angles, len(x)."""
        return len(self.x)

    @property
    def n_weights(self) -> int:
        """Number of weights, len(w)."""
        return len(self.w)

    @property
    def n_outputs(self) -> int:
        """Number of expectation values, len(observables)."""
        return len(self.observables)


def entangled_pairs(spec: CircuitSpec) -> Iterator[tuple[int, int]]:
    """The neighbours (i, i+1) that a circuit entangles, in the order of i; the ring's last is (n-1, 0).

    Two qubits have one pair on a line and on a ring; one qubit has none, nor has entangler `none`.
    """
    if spec.entangler == "none":
        return
    yield from ((qubit, qubit + 1) for qubit in range(spec.n_qubits - 1))
    if spec.entangler == "ring" and spec.n_qubits > 2:
        yield spec.n_qubits - 1, 0


def local_z(n_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Pauli Z on qubit 0, 1, ... n-1 (equation 6)."""
    return tuple(SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], n_qubits) for qubit in range(n_qubits))


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
        # A last layer of CZ commutes with the Zs that are measured: a file may leave it out.
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


CIRCUIT_KINDS: Mapping[str, Callable[[CircuitSpec], CircuitModel]] = {
    "reupload": build_reupload,
    "hea": build_hea,
    "sqnn": build_sqnn,
}
"""Kind in a circuit file -> what builds it."""


def build_circuit(circuit: str | os.PathLike[str] | CircuitSpec) -> CircuitModel:
    """Build the circuit that a user's argument means.

    Args:
        circuit: A catalogue name, a name of the form `<b>b-<n>q`, a path, or a description.

    Raises:
        CatalogError: There is no such circuit.
        SpecError: Its file says something that cannot be.
    """
    spec = circuit_spec(circuit)
    return CIRCUIT_KINDS[spec.kind](spec)


def variations(spec: CircuitSpec) -> dict[str, CircuitModel]:
    """The circuit with the other entangler, and with its last entangling layer the other way.

    Both are other circuits: they may have other expectation values, and other weights suit them.

    Returns:
        By what was changed: `entangler line` or `entangler ring`, `last layer off` or `last layer on`;
        without those that change nothing.
    """
    entangler: Literal["ring", "line"] = "line" if spec.entangler == "ring" else "ring"
    last = not spec.last_entangler
    changed = {
        f"entangler {entangler}": replace(spec, entangler=entangler),
        f"last layer {'on' if last else 'off'}": replace(spec, last_entangler=last),
    }
    if list(entangled_pairs(changed[f"entangler {entangler}"])) == list(entangled_pairs(spec)):
        del changed[f"entangler {entangler}"]
    return {
        name: build_circuit(replace(other, name=f"{spec.name} {name}")) for name, other in changed.items()
    }
