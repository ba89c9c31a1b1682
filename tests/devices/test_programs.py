from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qiskit import qasm3, qpy
from qiskit.quantum_info import SparsePauliOp, Statevector

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.programs import DeviceProgram, write_isa
from sqdr_qiskit.devices.study import Source, Task, compile_task, snapshot_chip

_MODEL = build_circuit("2b-5q")
_SOURCE = Source("2b-5q", _MODEL.circuit, _MODEL.observables)


def _program(layout: str, level: int | None = None, seed: int | None = None) -> DeviceProgram:
    program = compile_task(
        _SOURCE, snapshot_chip("fake_nairobi"), Task("2b-5q", "fake_nairobi", layout, level, seed)
    )
    assert isinstance(program, DeviceProgram)
    return program


def test_qpy_gives_back_every_round_with_what_is_read(tmp_path: Path) -> None:
    program = _program("tiled")
    assert len(program.rounds) > 1
    paths = write_isa(program, tmp_path, "it")
    numbers = range(1, len(program.rounds) + 1)
    assert [path.name for path in paths] == ["it.qpy", *(f"it-{number}.qasm" for number in numbers)]
    with paths[0].open("rb") as file:
        circuits = qpy.load(file)
    assert circuits == [part.circuit for part in program.rounds]
    for circuit, part in zip(circuits, program.rounds, strict=True):
        assert circuit.metadata["terms"] == list(part.terms)
        told = [
            [SparsePauliOp.from_sparse_list([tuple(e) for e in word], circuit.num_qubits) for word in copy]
            for copy in circuit.metadata["observables"]
        ]
        assert told == [list(copy) for copy in part.words]


def test_openqasm_3_computes_what_the_source_does(tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("qiskit_qasm3_import")
    program = _program("whole", 1, 0)
    _, path = write_isa(program, tmp_path, "it")
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith("// read Z on q[")
    circuit = qasm3.loads(text)
    values = rng.uniform(-np.pi, np.pi, (1, _MODEL.circuit.num_parameters))
    (part,) = program.rounds
    angles = part.bind(program.inner(values))[0]
    names = {
        f"_{p.name.replace('[', '_').replace(']', '_')}": a
        for p, a in zip(part.parameters, angles, strict=True)
    }
    state = Statevector(circuit.assign_parameters(names))
    found = np.array([[state.expectation_value(word).real for word in part.words[0]]])
    exact = Statevector(_MODEL.circuit.assign_parameters(values[0]))
    expected = [exact.expectation_value(observable).real for observable in _MODEL.observables]
    assert program.observables(found[:, np.argsort(part.terms)])[0] == pytest.approx(expected, abs=1e-9)
