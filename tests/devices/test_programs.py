from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from qiskit import qasm3, qpy
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import InstructionProperties

from sqdr_qiskit import records
from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import DeviceProgram, LayoutOptions, digest_of, layout_options, write_isa
from sqdr_qiskit.devices.study import (
    Finding,
    Source,
    Task,
    carry_out,
    choose_layout,
    compile_task,
    require_layout_path,
    snapshot_chip,
)
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError, SpecError
from sqdr_qiskit.gradients.parameter_shift import PackedParameterShift
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.tiles import tile_circuit, whole_register
from tests.devices.devices_for_tests import IdealSender, snapshot

_MODEL = build_circuit("2b-9q")
_SOURCE = Source(_MODEL.name, _MODEL.circuit, _MODEL.observables)
_Errors: TypeAlias = dict[tuple[str, tuple[int, ...]], float]
_TASKS = [Task("2b-9q", "fake_brisbane", "tiled"), Task("2b-9q", "fake_brisbane", "whole", 3, 1)]


def _found(task: Task) -> Finding:
    found = carry_out(_SOURCE, task)
    assert isinstance(found, Finding)
    return found


def _choice(task: Task) -> LayoutSpec:
    return choose_layout(_found(task), _SOURCE, snapshot(task.device))


@pytest.fixture(scope="module")
def tiled() -> LayoutSpec:
    return _choice(_TASKS[0])


@pytest.fixture(scope="module")
def whole() -> LayoutSpec:
    return _choice(_TASKS[1])


def _pub(rng: np.random.Generator, batch: int = 4) -> tuple[Any, ...]:
    values = rng.uniform(-4, 4, (batch, _MODEL.circuit.num_parameters))
    return _MODEL.circuit, [[o] for o in _MODEL.observables], values


def _changed(chip: Chip, errors: _Errors, *, drift: float = 1.0) -> Chip:
    """The chip, calibrated anew: two-qubit errors up to `drift` times larger or smaller, some set."""
    target = copy.deepcopy(chip.target)
    rng = np.random.default_rng(1)
    for pair, known in chip.target[chip.entangler].items():
        error = min(known.error * drift ** float(rng.uniform(-1, 1)), 1.0)
        target.update_instruction_properties(
            chip.entangler, pair, InstructionProperties(error=error, duration=known.duration)
        )
    for (name, qubits), error in errors.items():
        target.update_instruction_properties(
            name, qubits, InstructionProperties(error=error, duration=target[name][qubits].duration)
        )
    return Chip(chip.name, target, chip.readout, "2026-02-03T04:05:06+00:00")


@pytest.mark.parametrize("task", _TASKS, ids=lambda task: task.layout)
def test_a_written_layout_is_used_on_exactly_its_qubits(
    task: Task, tmp_path: Path, rng: np.random.Generator
) -> None:
    found = _found(task)
    choice = choose_layout(found, _SOURCE, snapshot(task.device))
    path = records.write_text(tmp_path / "best.toml", choice.text())
    backend = make_backend("fake_brisbane", layout=str(path), shots=200, seed=3)
    assert isinstance(backend.estimator, DeviceEstimator)
    program = backend.estimator.program(_MODEL.circuit, _MODEL.observables)
    assert program.tiles == found.tiles
    assert program.two_qubit_gates == found.two_qubit_gates
    used = {q for part in found.tiles for copy in part for tile in copy for q in tile}
    (part,) = program.rounds
    touched = {part.circuit.find_bit(q).index for item in part.circuit.data for q in item.qubits}
    assert touched <= used
    pub = _pub(rng)
    exact = ExactEstimator().run([pub]).result()[0].data.evs
    chip = snapshot("fake_brisbane")
    ideal = DeviceEstimator(chip, IdealSender(chip), options=layout_options(path))
    np.testing.assert_allclose(ideal.run([pub]).result()[0].data.evs, exact, atol=1e-10)


def test_the_same_placement_and_seed_give_the_same_samples(
    tiled: LayoutSpec, rng: np.random.Generator
) -> None:
    pub = _pub(rng, 1)
    given = make_backend("fake_brisbane", layout=tiled, shots=100, seed=3).estimator.run([pub]).result()
    free = make_backend("fake_brisbane", layout="tiled", shots=100, seed=3).estimator.run([pub]).result()
    np.testing.assert_array_equal(given[0].data.evs, free[0].data.evs)


def test_a_gradient_is_measured_on_the_same_lines(tiled: LayoutSpec) -> None:
    chip = snapshot("fake_brisbane")
    estimator = DeviceEstimator(chip, IdealSender(chip), options=layout_options(tiled))
    plan = PackedParameterShift(estimator).plan(_MODEL.circuit, _MODEL.observables)
    program = estimator.program(plan.tiled.circuit, plan.tiled.terms)
    assert program.tiles == tiled.tiles
    assert not program.note


def test_a_whole_layout_says_what_becomes_of_the_gradient(
    whole: LayoutSpec, caplog: pytest.LogCaptureFixture
) -> None:
    chip = snapshot("fake_brisbane")
    estimator = DeviceEstimator(chip, IdealSender(chip), options=layout_options(whole))
    plan = PackedParameterShift(estimator).plan(_MODEL.circuit, _MODEL.observables)
    with caplog.at_level(logging.WARNING, "sqdr_qiskit"):
        program = estimator.program(plan.tiled.circuit, plan.tiled.terms)
    assert program.layout == "whole"
    assert program.seed == whole.seed
    assert caplog.messages == [
        "The layout file places the circuit, not its cones side by side, on which gradients are measured; "
        "these take its level and seed: laid out whole."
    ]


@pytest.mark.parametrize("task", _TASKS, ids=lambda task: task.layout)
def test_a_new_calibration_moves_nothing_and_is_told(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    choice = _choice(task)
    edges = snapshot("fake_brisbane").edges.items()
    worse: _Errors = {
        (edge.name, edge.qubits): 0.4 for pair, edge in edges if pair <= set(choice.tiles[0][0][0])
    }
    chip = _changed(snapshot("fake_brisbane"), worse, drift=3.0)
    free = LayoutOptions(layout=task.layout, seeds=(1,))
    moved = compile_for_device(_MODEL.circuit, _MODEL.observables, chip, free)
    assert moved.tiles != choice.tiles  # without the file it would stand elsewhere
    with caplog.at_level(logging.WARNING, "sqdr_qiskit"):
        estimator = DeviceEstimator(chip, IdealSender(chip), options=layout_options(choice))
    assert "The layout was chosen by the calibration of 2025" in caplog.text
    assert estimator.program(_MODEL.circuit, _MODEL.observables).tiles == choice.tiles


@pytest.mark.parametrize("name", ["2b-9q", "3b-6q", "hea-9q", "sqnn-9q", "4b-5q"])
def test_the_digest_is_that_of_gates_and_outputs(name: str) -> None:
    model = build_circuit(name)
    digest = digest_of(model.circuit, model.observables)
    tiled = tile_circuit(model.circuit, model.observables)
    assert digest_of(tiled.circuit, tiled.terms) == digest  # what gradients are measured on
    register = whole_register(model.circuit, model.observables)
    assert digest_of(register.circuit, register.observables) == digest
    named = ParameterVector("other", model.circuit.num_parameters)
    renamed = model.circuit.assign_parameters(dict(zip(model.circuit.parameters, named, strict=True)))
    assert digest_of(renamed, model.observables) == digest
    assert digest_of(model.circuit, model.observables[1:]) != digest
    more = model.circuit.copy()
    more.cz(0, 2)
    more.rx(ParameterVector("more", 1)[0], 0)
    assert digest_of(more, model.observables) != digest


def _refused(choice: LayoutSpec, message: str, *, chip: Chip | None = None) -> None:
    chip = chip or snapshot("fake_brisbane")
    with pytest.raises(SpecError, match=message) as caught:
        DeviceEstimator(chip, IdealSender(chip), options=layout_options(choice)).program(
            _MODEL.circuit, _MODEL.observables
        )
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_another_device_or_circuit_is_refused(tiled: LayoutSpec, whole: LayoutSpec) -> None:
    for choice in (tiled, whole):
        _refused(
            choice,
            "2b-9q on fake_brisbane: key `device` must be `fake_kyiv`, where this runs, but is `fake_bri",
            chip=snapshot("fake_kyiv"),
        )
        other = build_circuit("4b-9q")
        backend = make_backend("fake_brisbane", layout=choice)
        assert backend.require is not None
        with pytest.raises(SpecError, match=r"key `digest` must be .* \(4b-9q: 9 .* of another, 2b-9q;"):
            backend.require(other.circuit, other.observables)


def test_lines_that_the_device_does_not_carry_are_refused(tiled: LayoutSpec) -> None:
    chip = snapshot("fake_brisbane")
    line = tiled.tiles[0][0][0]
    edge = chip.edges[frozenset(line[:2])]
    faulty = _changed(chip, {(edge.name, edge.qubits): 1.0})
    _refused(tiled, rf"tile 1 in round 1 on \[.*no working two-qubit gate on {line[0]} and", chip=faulty)
    readout = tuple((0.4, 0.4) if qubit in line else errors for qubit, errors in enumerate(chip.readout))
    _refused(tiled, "cannot read out any more", chip=Chip(chip.name, chip.target, readout))
    copies = tiled.tiles[0][:1]

    def with_tile(*tile: int) -> LayoutSpec:
        return replace(tiled, tiles=(((tile, *copies[0][1:]),),))

    _refused(with_tile(500, 501, 502), "key `tiles` names qubit 500, but fake_brisbane has 127")
    _refused(with_tile(*line[:2]), r"must have 3 qubits for tile 1 in round 1, but has \[")
    _refused(replace(tiled, tiles=((copies[0][1:],),)), "a chain for each of 9 tiles, but has 8")
    _refused(
        replace(tiled, two_qubit_gates=19), "key `two_qubit_gates` is 19, but fake_brisbane now takes 18"
    )


def test_a_whole_layout_that_comes_out_otherwise_is_refused(tiled: LayoutSpec, whole: LayoutSpec) -> None:
    assert whole.initial is not None
    first, second, *rest = whole.initial
    _refused(replace(whole, initial=(second, first, *rest)), "key `(tiles|two_qubit_gates)`")
    _refused(replace(whole, initial=(500, *whole.initial[1:])), "`initial` names qubits that do not work")
    _refused(replace(whole, tiles=((((0, 1),),),)), "key `tiles` differs from what fake_brisbane gives now")
    chip = snapshot("fake_brisbane")
    used = set(whole.tiles[0][0][0])
    gone: _Errors = {
        (edge.name, edge.qubits): 1.0
        for pair, edge in chip.edges.items()
        if pair <= used and whole.initial[0] in pair
    }
    _refused(whole, "key `", chip=_changed(chip, gone))


def test_tiles_in_rounds_keep_their_order(rng: np.random.Generator) -> None:
    chip = snapshot("fake_manila")
    found = carry_out(_SOURCE, Task("2b-9q", "fake_manila", "tiled"))
    assert isinstance(found, Finding)
    choice = choose_layout(found, _SOURCE, chip)
    assert len(choice.tiles) == 9
    estimator = DeviceEstimator(chip, IdealSender(chip), options=layout_options(choice))
    pub = _pub(rng, 2)
    exact = ExactEstimator().run([pub]).result()[0].data.evs
    np.testing.assert_allclose(estimator.run([pub]).result()[0].data.evs, exact, atol=1e-10)


def test_tiles_that_cannot_be_are_refused() -> None:
    model = build_circuit("4b-5q")
    found = carry_out(
        Source(model.name, model.circuit, model.observables), Task("4b-5q", "fake_brisbane", "whole", 1, 0)
    )
    assert isinstance(found, Finding)
    chip = snapshot("fake_brisbane")
    choice = choose_layout(found, Source(model.name, model.circuit, model.observables), chip)
    bent = replace(choice, layout="tiled", level=None, seed=None, initial=None)
    estimator = DeviceEstimator(chip, IdealSender(chip), options=layout_options(bent))
    with pytest.raises(SpecError, match="key `layout` is tiled, but that cannot be: A cone is as wide as"):
        estimator.program(model.circuit, model.observables)


def test_what_cannot_be_chosen_is_refused() -> None:
    found = _found(Task("2b-9q", "fake_brisbane", "as written", 1, 0))
    with pytest.raises(ArgumentError, match="must be tiled or whole, but is `as written`"):
        choose_layout(found, _SOURCE, snapshot("fake_brisbane"))
    line = build_circuit("2b-6q")
    source = Source(
        "2b-9q", _MODEL.circuit, _MODEL.observables, {"smaller": Source("s", line.circuit, line.observables)}
    )
    found = replace(_found(_TASKS[0]), task=replace(_TASKS[0], variation="smaller"))
    with pytest.raises(ArgumentError, match="must be of the circuit as given, but is of variation `smaller`"):
        choose_layout(found, source, snapshot("fake_brisbane"))
    with pytest.raises(ArgumentError, match=r"`--choose` must name a file FILE.toml, but is `best.json`"):
        require_layout_path("best.json")


def test_a_backend_without_qubits_refuses_a_layout(tiled: LayoutSpec) -> None:
    with pytest.raises(ArgumentError, match="where it has no effect, but is <layout of 2b-9q on fake_bri"):
        make_backend("exact", layout=tiled)
    with pytest.raises(ArgumentError, match="`layout` must be tiled or whole, but is `best`"):
        make_backend("fake_brisbane", layout="best")


def test_a_circuit_without_gates_is_the_same_on_any_register() -> None:
    empty = QuantumCircuit(2)
    assert digest_of(empty, []) == digest_of(QuantumCircuit(3), [])


_SMALL = build_circuit("2b-5q")
_SMALL_SOURCE = Source("2b-5q", _SMALL.circuit, _SMALL.observables)


def _program(layout: str, level: int | None = None, seed: int | None = None) -> DeviceProgram:
    program = compile_task(
        _SMALL_SOURCE, snapshot_chip("fake_nairobi"), Task("2b-5q", "fake_nairobi", layout, level, seed)
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
    values = rng.uniform(-np.pi, np.pi, (1, _SMALL.circuit.num_parameters))
    (part,) = program.rounds
    angles = part.bind(program.inner(values))[0]
    names = {
        f"_{p.name.replace('[', '_').replace(']', '_')}": a
        for p, a in zip(part.parameters, angles, strict=True)
    }
    state = Statevector(circuit.assign_parameters(names))
    found = np.array([[state.expectation_value(word).real for word in part.words[0]]])
    exact = Statevector(_SMALL.circuit.assign_parameters(values[0]))
    expected = [exact.expectation_value(observable).real for observable in _SMALL.observables]
    assert program.observables(found[:, np.argsort(part.terms)])[0] == pytest.approx(expected, abs=1e-9)
