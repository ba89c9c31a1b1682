from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.lightcone.cones import cone, pauli_terms
from sqdr_qiskit.lightcone.operations import CZ, noiseless, normal_form
from tests.lightcone.dense import GateNoise, pauli_channel, random_circuit, random_observables

FLIP = pauli_channel(scale=(1.0, 0.9, 0.9))


def _cone_of(name: str, output: int, noise: object = noiseless) -> tuple[tuple[int, ...], int]:
    model = build_circuit(name)
    form = normal_form(model.circuit, noise)  # type: ignore[arg-type]
    found = cone(form, pauli_terms(model.observables[output], form)[0])
    return found.qubits, sum(isinstance(form.operations[i], CZ) for i in found.operations)


@pytest.mark.parametrize("n_qubits", [9, 10, 18, 40])
@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4])
def test_ring_has_cones_of_2b_minus_1_qubits(n_qubits: int, n_blocks: int) -> None:
    for output in (0, 4, n_qubits - 1):
        qubits, n_cz = _cone_of(f"{n_blocks}b-{n_qubits}q", output)
        reach = range(output - n_blocks + 1, output + n_blocks)
        assert qubits == tuple(sorted(q % n_qubits for q in reach))
        assert n_cz == sum(2 * k for k in range(1, n_blocks))  # the last layer of CZ is dead


def test_small_ring_is_its_own_cone() -> None:
    assert _cone_of("4b-5q", 2)[0] == (0, 1, 2, 3, 4)


def test_bit_flips_between_the_gates_widen_nothing() -> None:
    assert _cone_of("3b-9q", 4, GateNoise({"u": FLIP, "cz": FLIP}))[0] == (2, 3, 4, 5, 6)


def test_an_over_rotation_after_cz_widens_the_cone() -> None:
    tilt = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.8, -0.6], [0, 0, 0.6, 0.8]])
    qubits, _ = _cone_of("2b-9q", 4, GateNoise({"cz": tilt}))
    assert set(qubits) > {3, 4, 5}


def test_dead_gates_are_dropped() -> None:
    theta = ParameterVector("theta", 3)
    circuit = QuantumCircuit(3)
    circuit.ry(theta[0], 0)
    circuit.cz(0, 1)
    circuit.rz(theta[1], 0)
    circuit.ry(theta[2], 2)
    form = normal_form(circuit)
    found = cone(form, pauli_terms(SparsePauliOp("IIZ"), form)[0])
    assert found.instructions == (0,)
    assert found.qubits == (0,)


@pytest.mark.parametrize("case", range(30))
def test_the_cone_alone_gives_the_same_value(case: int, rng: np.random.Generator) -> None:
    n_qubits = 2 + case % 4
    circuit = random_circuit(rng, n_qubits, 6 * n_qubits)
    values = dict(zip(circuit.parameters, rng.uniform(-3, 3, circuit.num_parameters), strict=True))
    form = normal_form(circuit)
    whole = Statevector(circuit.assign_parameters(values))
    for observable in random_observables(rng, n_qubits):
        for term in pauli_terms(observable, form):
            reduced = QuantumCircuit(n_qubits)  # the cone's instructions alone, on the normal form's names
            for index in cone(form, term).instructions:
                reduced.append(circuit.data[index].operation, form.instruction_names[index])
            bound = reduced.assign_parameters({p: v for p, v in values.items() if p in reduced.parameters})
            renamed = SparsePauliOp.from_sparse_list(
                [("".join("IXYZ"[letter] for _, letter in term.paulis), [q for q, _ in term.paulis], 1.0)],
                num_qubits=n_qubits,
            )
            wires = {form.names[wire]: wire for wire in range(n_qubits)}
            original = SparsePauliOp.from_sparse_list(
                [
                    (
                        "".join("IXYZ"[letter] for _, letter in term.paulis),
                        [wires[q] for q, _ in term.paulis],
                        1.0,
                    )
                ],
                num_qubits=n_qubits,
            )
            difference = Statevector(bound).expectation_value(renamed) - whole.expectation_value(original)
            assert abs(difference) < 1e-12, circuit.draw()


@pytest.mark.parametrize("case", range(12))
def test_whole_rotations_of_two_qubits_leave_out_what_changes_nothing(
    case: int, rng: np.random.Generator
) -> None:
    n_qubits = 5
    circuit, angles = QuantumCircuit(n_qubits), ParameterVector("a", 16)
    for k in range(0, 16, 2):
        first, second = (int(q) for q in rng.choice(n_qubits, 2, replace=False))
        getattr(circuit, str(rng.choice(["rzz", "rxx", "ryy", "rzx"])))(angles[k], first, second)
        getattr(circuit, str(rng.choice(["rx", "rz"])))(angles[k + 1], first)
    form = normal_form(circuit)
    observable = SparsePauliOp("".join(rng.choice(list("IIXYZ"), n_qubits)))
    (term,) = pauli_terms(observable, form)
    kept = cone(form, term, whole=True)
    row = rng.uniform(-2, 2, 16)
    short = QuantumCircuit(n_qubits)
    for number, item in enumerate(circuit.assign_parameters(row).data):
        if number in kept.instructions:
            short.append(item)
    expected = Statevector(circuit.assign_parameters(row)).expectation_value(observable)
    assert abs(Statevector(short).expectation_value(observable) - expected) < 1e-12
    piecewise = cone(form, term)
    assert set(kept.qubits) <= set(piecewise.qubits)


def test_a_ring_of_rzz_has_cones_that_do_not_grow_along_it() -> None:
    circuit, angles = QuantumCircuit(12), ParameterVector("a", 4)
    circuit.h(range(12))
    for layer in range(2):
        for qubit in range(12):
            circuit.rzz(angles[2 * layer], qubit, (qubit + 1) % 12)
        circuit.rx(angles[2 * layer + 1], range(12))
    form = normal_form(circuit)
    (term,) = pauli_terms(SparsePauliOp.from_sparse_list([("ZZ", [5, 6], 1.0)], 12), form)
    assert cone(form, term, whole=True).qubits == (3, 4, 5, 6, 7, 8)
