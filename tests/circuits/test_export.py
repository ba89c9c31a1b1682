"""Circuits written for other programs read back as the same circuits; pictures name what is drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from qiskit import qasm3, qpy
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import Operator

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.circuits.export import export_circuit, picture
from sqdr_qiskit.errors import ArgumentError, StorageError
from sqdr_qiskit.specs.circuit import CIRCUIT_KIND_NAMES, CircuitKind, CircuitSpec


@pytest.mark.parametrize("kind", CIRCUIT_KIND_NAMES)
@pytest.mark.parametrize("ending", [".qasm", ".qpy"])
def test_an_exported_circuit_reads_back(
    kind: CircuitKind, ending: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = build_circuit(CircuitSpec(name="t", kind=kind, n_qubits=3, n_blocks=2))
    path = export_circuit(model, tmp_path / f"t{ending}")
    if ending == ".qpy":
        with path.open("rb") as file:
            (loaded,) = qpy.load(file)
    else:
        loaded = qasm3.loads(path.read_text())
    values = dict(
        zip(model.circuit.parameters, rng.uniform(-3, 3, len(model.circuit.parameters)), strict=True)
    )
    # OpenQASM has no vectors: x[0] is called x_0_ there.
    named = {_plain_name(parameter.name): value for parameter, value in values.items()}
    bound = loaded.assign_parameters(
        {parameter: named[_plain_name(parameter.name)] for parameter in loaded.parameters}
    )
    assert Operator(bound).equiv(Operator(model.circuit.assign_parameters(values)))


def _plain_name(name: str) -> str:
    return name.strip("_").replace("[", "_").replace("]", "").strip("_")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ArgumentError, match=r"^Argument `path` must end in \.qasm or \.qpy, but is 't\.txt'\.$"
    ):
        export_circuit(build_circuit("1b-2q"), tmp_path / "t.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^Cannot write 't\.qpy'"):
        export_circuit(build_circuit("1b-2q"), tmp_path / "file" / "t.qpy")


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
