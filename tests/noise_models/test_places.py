"""Markers at places that are no gates."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.noise_models.places import gate_key, with_places
from sqdr_qiskit.specs.noise import PLACES


def keys(circuit: QuantumCircuit) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (gate_key(item), tuple(circuit.find_bit(qubit).index for qubit in item.qubits))
        for item in circuit.data
    ]


def test_without_places_the_circuit_itself_comes_back() -> None:
    circuit = build_circuit("2b-3q").circuit
    assert with_places(circuit, ()) is circuit


def test_runs_end_before_each_two_qubit_gate_and_at_the_end() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.x(0)
    circuit.cz(0, 1)
    circuit.h(1)
    assert keys(with_places(circuit, ["run_end"])) == [
        ("h", (0,)),
        ("x", (0,)),
        ("run_end", (0,)),
        ("cz", (0, 1)),
        ("h", (1,)),
        ("run_end", (1,)),
    ]


def test_a_block_of_two_rots_is_one_run_and_a_ring_one_layer() -> None:
    marked = keys(with_places(build_circuit("2b-5q").circuit, ["run_end", "layer_end"]))
    assert [key for key, _ in marked[:10]] == ["u"] * 10
    assert sum(key == "run_end" for key, _ in marked) == 2 * 5
    assert sum(key == "layer_end" for key, _ in marked) == 2 * 5
    assert marked[-1][0] == "layer_end"


@pytest.mark.parametrize(("n_qubits", "waits"), [(4, 0), (5, 1 + 1 + 3), (6, 0)])
def test_a_ring_of_cz_takes_two_steps_or_three(n_qubits: int, waits: int) -> None:
    circuit = QuantumCircuit(n_qubits)
    for qubit in range(n_qubits):
        circuit.cz(qubit, (qubit + 1) % n_qubits)
    marked = with_places(circuit, ["idle"])
    assert sum(key == "idle" for key, _ in keys(marked)) == waits
    np.testing.assert_allclose(Operator(marked).data, Operator(circuit).data, atol=1e-15)


def test_gates_that_do_not_commute_keep_their_order() -> None:
    circuit = QuantumCircuit(4)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.cx(3, 0)
    marked = with_places(circuit, ["idle"])
    assert keys(marked) == [
        ("cx", (0, 1)),
        ("idle", (2,)),
        ("idle", (3,)),
        ("cx", (1, 2)),
        ("cx", (3, 0)),
    ]
    np.testing.assert_allclose(Operator(marked).data, Operator(circuit).data, atol=1e-15)


@pytest.mark.parametrize("name", ["2b-5q", "hea-9q", "sqnn-9q"])
def test_markers_change_no_gate(name: str, rng: np.random.Generator) -> None:
    circuit = build_circuit(name).circuit
    circuit = circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
    marked = with_places(circuit, PLACES)
    np.testing.assert_allclose(Operator(marked).data, Operator(circuit).data, atol=1e-13)


def test_unknown_places_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`places` must be among idle, .*, but has 'nowhere'"):
        with_places(QuantumCircuit(1), ["nowhere"])
