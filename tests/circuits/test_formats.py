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
from sqdr_qiskit.circuits.formats import export_circuit, picture, read_qasm
from sqdr_qiskit.errors import ArgumentError, DataError, StorageError
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


_TWO = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3];'
_THREE = 'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; bit[3] c;'


def _file(folder: Path, text: str) -> Path:
    path = folder / "mine.qasm"
    path.write_text(text, encoding="utf-8")
    return path


def test_measured_qubits_are_what_is_read(tmp_path: Path) -> None:
    circuit, read = read_qasm(
        _file(tmp_path, _TWO + "h q; ccx q[0],q[1],q[2]; barrier q; measure q[2]->c[0];")
    )
    assert read == (2,)
    assert circuit.count_ops() == {"h": 3, "ccx": 1}
    _, everything = read_qasm(_file(tmp_path, _TWO + "h q;"))
    assert everything == (0, 1, 2)


def test_inputs_are_parameters(tmp_path: Path) -> None:
    pytest.importorskip("qiskit_qasm3_import")
    text = (
        "// OPENQASM 2 was before\n"
        + _THREE
        + "input float[64] a; input float b; rx(a) q[0]; rz(2*b+a) q[1];"
    )
    circuit, _ = read_qasm(_file(tmp_path, text))
    assert [parameter.name for parameter in circuit.parameters] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            _TWO + "measure q[0]->c[0]; if(c==1) x q[1];",
            r"a classical value decides about a gate \(`if_else`\)",
        ),
        (_TWO + "measure q[0]->c[0]; h q[0];", "gate `h` follows the measurement of qubit 0"),
        (_TWO + "reset q[1];", "qubit 1 is reset"),
        (_TWO + "h q[3];", "is not valid OpenQASM: 1,"),
        ('OPENQASM 2.0; include "nope.inc";', "includes 'nope.inc', which was not read"),
        ("OPENQASM 4.0; qreg q[1];", r"OpenQASM 2.0, but given 4.0"),
        ("", "must have qubits, but has none"),
        ("{}", "is not valid OpenQASM: 1,0"),
    ],
)
def test_what_is_no_circuit_of_gates_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_qasm(_file(tmp_path, text))
    assert str(refused.value).startswith("mine.qasm: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c[0] = measure q[0]; if (c[0]) { x q[1]; }", "a classical value decides"),
        ("while (c[0]) { c[0] = measure q[0]; }", "a classical value decides"),
        ("c[0] = measure q[0]; x q[0];", "gate `x` follows the measurement of qubit 0"),
        ("nope q[0];", "gate 'nope' is not defined"),
        ("h q[0]", "is not valid OpenQASM: it cannot be parsed"),
    ],
)
def test_so_it_is_in_openqasm_3(text: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("qiskit_qasm3_import")
    with pytest.raises(DataError, match=message) as refused:
        read_qasm(_file(tmp_path, _THREE + text))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no readable OpenQASM file"):
        read_qasm(tmp_path / "nowhere.qasm")
