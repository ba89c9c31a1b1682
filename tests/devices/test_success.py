from __future__ import annotations

import math

import pytest
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.success import estimate_success, schedule
from tests.devices.devices_for_tests import grid_chip

_CHIP = grid_chip({(0, 1): 0.01, (1, 2): 0.02}, [0.1, 0.05, 0.02], turn=0.001, seconds=1e-7)


def _circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.sx(1)
    return circuit


def test_gates_run_as_late_as_possible() -> None:
    """Qubit 0 waits for the second CZ and the last turn, unless it is not looked at."""
    plan = schedule(_circuit(), _CHIP, [0, 1])
    assert [[(q, round(s * 1e9)) for q, s in waits] for waits in plan.waits] == [[], [(0, 150)], [], []]
    assert plan.duration == pytest.approx(50e-9 + 2 * 100e-9 + 50e-9 + 1e-6)
    assert schedule(_circuit(), _CHIP, [1]).waits == ((), (), (), ())


def test_success_is_the_product_of_all_fidelities() -> None:
    found = estimate_success(_circuit(), _CHIP, [0, 1])
    idle = 1 - (3 + math.exp(-150e-9 / 1e-4) + 2 * math.exp(-150e-9 / 8e-5)) / 6
    expected = 0.99 * 0.98 * 0.999**2 * 0.9 * 0.95 * (1 - idle)
    assert found.probability == pytest.approx(expected, rel=1e-12)
    assert sum(found.parts.values()) == pytest.approx(-math.log(expected), rel=1e-12)
    assert found.parts["readout"] == pytest.approx(-math.log(0.9 * 0.95))
