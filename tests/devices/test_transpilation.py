from __future__ import annotations

import itertools

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import LayoutOptions, Round
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.devices.devices_for_tests import IdealSender, snapshot

_DEVICES = [
    "fake_brisbane",
    "fake_kingston",
    "fake_cairo",
    "fake_almaden",
    "fake_manila",
]  # ECR, CZ, CX; U3; small


def _two_qubit(part: Round) -> tuple[int, int]:
    """Number and depth of two-qubit gates."""
    count = sum(len(item.qubits) == 2 for item in part.circuit.data)
    return count, part.circuit.depth(lambda item: len(item.qubits) == 2)


def _agree(
    circuit: QuantumCircuit,
    observables: list[SparsePauliOp],
    device: str,
    options: LayoutOptions,
    rng: np.random.Generator,
) -> None:
    """Without noise, what runs on the device gives the exact expectations."""
    chip = snapshot(device)
    values = rng.uniform(-4, 4, (5, circuit.num_parameters))
    pub = (circuit, [[o] for o in observables], values)
    found = DeviceEstimator(chip, IdealSender(chip), options=options).run([pub]).result()[0].data.evs
    np.testing.assert_allclose(found, ExactEstimator().run([pub]).result()[0].data.evs, atol=1e-10)


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("name", ["2b-9q", "3b-6q", "hea-9q", "sqnn-9q"])
def test_tiles_compute_the_circuit(device: str, name: str, rng: np.random.Generator) -> None:
    model = build_circuit(name)
    if device == "fake_manila" and name == "sqnn-9q":
        pytest.skip("its cones are wider than five qubits")
    _agree(model.circuit, list(model.observables), device, LayoutOptions(), rng)


@pytest.mark.parametrize("device", _DEVICES[:-1])
@pytest.mark.parametrize("level", [0, 3])
def test_a_whole_layout_computes_the_circuit(device: str, level: int, rng: np.random.Generator) -> None:
    if (device, level) == ("fake_cairo", 0):
        pytest.skip("its first qubits are not connected, and level 0 takes those")
    model = build_circuit("2b-9q")
    options = LayoutOptions(layout="whole", level=level, seeds=(int(rng.integers(1000)),))
    _agree(model.circuit, list(model.observables), device, options, rng)


@pytest.mark.parametrize("layout", ["tiled", "whole"])
def test_any_observable_can_be_read(layout: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    observables = [
        SparsePauliOp.from_sparse_list([("X", [1], 0.5), ("ZY", [2, 3], -1.5), ("", [], 0.25)], 5),
        SparsePauliOp.from_sparse_list([("Z", [0], 1.0), ("Z", [2], 2.0)], 5),
        SparsePauliOp("IIIII"),
    ]
    if layout == "whole":  # read together, so they must commute qubit by qubit
        observables = observables[1:]
    _agree(model.circuit, observables, "fake_brisbane", LayoutOptions(layout=layout), rng)


def test_the_figures_of_fake_brisbane() -> None:
    """18 ECR for the ring without its last layer (36 with it); 2 ECR at depth 2 for each cone."""
    model = build_circuit("2b-9q")
    chip = snapshot("fake_brisbane")
    (tiled,) = compile_for_device(model.circuit, model.observables, chip, LayoutOptions(copies=1)).rounds
    assert _two_qubit(tiled) == (9 * 2, 2)
    (whole,) = compile_for_device(
        model.circuit, model.observables, chip, LayoutOptions(layout="whole")
    ).rounds
    count, depth = _two_qubit(whole)
    assert count <= 20
    assert depth <= 18
    assert len(tiled.measured) == len(whole.measured) == 9


def test_chains_are_disjoint_and_coupled() -> None:
    model = build_circuit("2b-9q")
    chip = snapshot("fake_brisbane")
    (part,) = compile_for_device(model.circuit, model.observables, chip, LayoutOptions(copies=3)).rounds
    tiles = [tile for copy in part.tiles for tile in copy]
    assert len(tiles) == 27
    assert len(part.qubits) == 81
    assert all(frozenset(pair) in chip.edges for tile in tiles for pair in itertools.pairwise(tile))


def test_a_spacing_leaves_a_qubit_between_chains() -> None:
    model = build_circuit("2b-9q")
    chip = snapshot("fake_brisbane")
    (part,) = compile_for_device(
        model.circuit, model.observables, chip, LayoutOptions(copies=1, spacing=1)
    ).rounds
    owner = {qubit: tile for tile in part.tiles[0] for qubit in tile}
    for pair in chip.edges:
        assert len({owner[q] for q in pair if q in owner}) <= 1


def test_more_cones_than_room_run_in_rounds() -> None:
    model = build_circuit("2b-9q")
    program = compile_for_device(model.circuit, model.observables, snapshot("fake_manila"))
    assert program.layout == "tiled"
    assert [part.terms for part in program.rounds] == [(i,) for i in range(9)]


def test_cones_as_wide_as_the_circuit_are_run_whole() -> None:
    model = build_circuit("4b-5q")
    program = compile_for_device(model.circuit, model.observables, snapshot("fake_brisbane"))
    assert program.layout == "whole"
    assert program.note == "A cone is as wide as the circuit (5 qubits)"


def test_cones_that_form_no_chain_are_run_whole() -> None:
    x = ParameterVector("x", 5)
    star = QuantumCircuit(5)
    for qubit in range(4):
        star.ry(x[qubit], qubit)
    for qubit in (1, 2, 3):
        star.cz(0, qubit)
    star.ry(x[4], 0)
    z = SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], 5)
    program = compile_for_device(star, [z], snapshot("fake_brisbane"))
    assert program.note == "A cone of 4 qubits forms no chain"


def test_a_cone_that_fits_nowhere_is_run_whole_or_refused() -> None:
    model = build_circuit("4b-9q")
    with pytest.raises(
        UnsupportedError, match=r"needs 9 qubits, but fake_manila has 5 that work; nor .* tiles"
    ):
        compile_for_device(model.circuit, model.observables, snapshot("fake_manila"))


def test_more_rounds_than_make_sense_are_refused_before_anything_is_made() -> None:
    model = build_circuit("2b-200q")
    with pytest.raises(UnsupportedError, match="more than 64 rounds one after the other for every sample"):
        compile_for_device(model.circuit, model.observables, snapshot("fake_manila"))


def test_what_qiskit_cannot_route_is_refused() -> None:
    model = build_circuit("2b-9q")
    options = LayoutOptions(layout="whole", level=0)
    with pytest.raises(UnsupportedError, match="cannot route the circuit on fake_cairo at level 0"):
        compile_for_device(model.circuit, model.observables, snapshot("fake_cairo"), options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "diagonal"}, "Argument `layout` must be tiled or whole, but is `diagonal`"),
        ({"copies": 0}, "Argument `copies` must be at least 1"),
        ({"spacing": 2}, "Argument `spacing` must be 0 or 1"),
        ({"seeds": ()}, "Argument `seeds` must hold at least one seed"),
        ({"level": 4}, "Argument `level` must be 0, 1, 2 or 3"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        LayoutOptions(**options)  # type: ignore[arg-type]
