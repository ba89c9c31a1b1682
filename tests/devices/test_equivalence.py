from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.random import random_clifford_circuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from sqdr_qiskit.devices import equivalence
from sqdr_qiskit.devices.equivalence import check_equivalent
from sqdr_qiskit.errors import BackendError, UnsupportedError


def _pulled_back(circuit: QuantumCircuit, observable: SparsePauliOp) -> float:
    return equivalence._pull_back(*equivalence._steps(circuit), observable)


def _random(rng: np.random.Generator) -> QuantumCircuit:
    circuit = random_clifford_circuit(
        5, 12, gates=["cx", "cz", "swap", "h", "s"], seed=int(rng.integers(0, 1_000_000))
    )
    for qubit in range(4):  # one never turned
        circuit.u(*rng.uniform(0, 6, 3), qubit)
    circuit.ecr(0, 3)
    circuit.cz(1, 2)
    circuit.ry(float(rng.uniform(0, 6)), 2)
    return circuit


def test_pulling_back_gives_the_state_vector_s_expectations(rng: np.random.Generator) -> None:
    for _ in range(5):
        circuit = _random(rng)
        word = SparsePauliOp(["ZIXII", "IIYZI", "IIIII"], [0.5, -1.5, 0.25])
        assert _pulled_back(circuit, word) == pytest.approx(
            Statevector(circuit).expectation_value(word).real, abs=1e-10
        )


def test_a_wrong_circuit_is_found(rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    circuit.cz(0, 1)
    circuit.ry(0.4, 0)
    z = SparsePauliOp("IZ")
    right = np.array([_pulled_back(circuit, z)])
    check_equivalent(circuit, [z], right, what="a circuit")
    circuit.ry(0.001, 0)
    with pytest.raises(BackendError, match="a circuit does not compute what its source does"):
        check_equivalent(circuit, [z], right, what="a circuit")


def test_what_strings_cannot_do_a_state_vector_can(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [SparsePauliOp.from_sparse_list([("ZX", [2, 0], 0.5), ("Z", [9], 2.0), ("X", [8], 1.0)], 11)]
    circuit = QuantumCircuit(11)
    circuit.compose(_random(rng), [6, 2, 0, 3, 4], inplace=True)
    exact = np.array([_pulled_back(circuit, word) for word in words])
    monkeypatch.setattr(equivalence, "_MOST_STRINGS", 0)
    check_equivalent(circuit, words, exact, what="a circuit")
    with pytest.raises(BackendError, match=r"an output differs by 0\.1"):
        check_equivalent(circuit, words, exact + 0.1, what="a circuit")
    monkeypatch.setattr(equivalence, "_MOST_QUBITS", 4)
    with pytest.raises(UnsupportedError, match="narrow light cones"):
        check_equivalent(circuit, words, exact, what="a circuit")


def test_a_gate_that_is_not_clifford_is_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.csx(0, 1)
    circuit.h([0, 1])
    with pytest.raises(UnsupportedError, match="Gate `csx` must be a Clifford gate"):
        _pulled_back(circuit, SparsePauliOp("ZZ"))
