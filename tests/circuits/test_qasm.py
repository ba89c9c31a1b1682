from __future__ import annotations

from pathlib import Path

import pytest

from sqdr_qiskit.circuits.qasm import read_qasm
from sqdr_qiskit.errors import DataError

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
