from __future__ import annotations

import math

from qiskit.circuit import Parameter, QuantumCircuit

from sqdr_qiskit.circuits.picture import picture


def test_idle_wires_are_left_out() -> None:
    circuit = QuantumCircuit(9)
    circuit.rx(Parameter("a") + math.pi, 7)
    circuit.rz(-math.pi / 2, 3)
    circuit.rz(0.125, 3)
    circuit.cz(7, 3)
    assert picture(circuit, measured=[3]) == {
        "wires": ["3", "7"],
        "measured": [0],
        "gates": [["rx", [1], ["π + a"]], ["rz", [0], ["-π/2"]], ["rz", [0], ["0.125"]], ["cz", [1, 0], []]],
    }


def test_one_tile_of_several() -> None:
    circuit = QuantumCircuit(4)
    circuit.h([0, 3])
    circuit.cx(2, 1)
    drawn = picture(circuit, qubits=[2, 1], measured=[0, 1], labels=["a", "b", "c", "d"])
    assert drawn == {"wires": ["c", "b"], "measured": [1], "gates": [["cx", [0, 1], []]]}
