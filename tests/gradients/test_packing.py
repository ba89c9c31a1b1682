"""Packing of parameter shifts: counts by formula, results against the exact engine."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients.packing import ShiftPlan, Unit, colour, fewest_colours, pack
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.tiles import TiledCircuit, tile_circuit, whole_register
from tests.lightcone.dense import GateNoise, pauli_channel, random_circuit

_BIT_FLIP = GateNoise({"u": pauli_channel(scale=(1.0, 0.96, 0.96))})


def _measured(plan: ShiftPlan, parameters: np.ndarray, channels: ChannelModel = noiseless) -> np.ndarray:
    """The Jacobian that a plan's executions give."""
    rows = plan.values(parameters)
    if not plan.n_pairs:
        return np.zeros((len(parameters), len(plan.tiled.observables), len(plan.wanted)))
    engine = ExactEngine(plan.tiled.circuit, plan.tiled.terms, channels)
    found = engine.values(rows.reshape(-1, rows.shape[2])).reshape(*rows.shape[:2], -1)
    return plan.jacobian(parameters, (found[0::2] - found[1::2]) / 2)


def _layouts(circuit: QuantumCircuit, observables: list[SparsePauliOp]) -> list[tuple[TiledCircuit, Unit]]:
    return [
        (tile_circuit(circuit, observables), "rotation"),
        (tile_circuit(circuit, observables), "gate"),
        (tile_circuit(circuit, observables, fuse=False), "rotation"),
        (whole_register(circuit, observables), "rotation"),
    ]


@pytest.mark.parametrize(
    ("name", "executions"),
    [
        *((f"2b-{n}q", 26) for n in (3, 4, 5, 9, 10, 18, 64)),
        *((f"3b-{n}q", 62) for n in (5, 9)),
        *((f"4b-{n}q", 114) for n in (7, 9, 18)),
    ],
)
def test_side_by_side_the_number_of_executions_does_not_depend_on_the_number_of_qubits(
    name: str, executions: int
) -> None:
    model = build_circuit(name)
    assert pack(tile_circuit(model.circuit, model.observables)).n_executions == executions


@pytest.mark.parametrize(
    ("name", "executions"), [("2b-9q", 12), ("2b-10q", 12), ("3b-9q", 34), ("4b-9q", 68)]
)
def test_turning_whole_gates_takes_fewer(name: str, executions: int) -> None:
    model = build_circuit(name)
    assert pack(tile_circuit(model.circuit, model.observables), unit="gate").n_executions == executions


@pytest.mark.parametrize("n", [3, 4, 6, 7, 8, 9, 10, 11, 18])
def test_without_tiles_two_blocks_need_26_executions_on_any_ring_but_that_of_five(n: int) -> None:
    model = build_circuit(f"2b-{n}q")
    plan = pack(whole_register(model.circuit, model.observables))
    assert plan.n_executions == 26 == 2 * plan.fewest


def test_on_a_ring_of_five_without_tiles_the_first_block_needs_a_colour_for_each_qubit() -> None:
    model = build_circuit("2b-5q")  # three shifts on five qubits, any two of which some output sees: 15 pairs
    assert pack(whole_register(model.circuit, model.observables)).n_executions == 30


@pytest.mark.parametrize("n", [9, 10, 18])
def test_bit_flip_after_every_rot_forbids_merging(n: int) -> None:
    model = build_circuit(f"2b-{n}q")
    tiled = whole_register(model.circuit, model.observables, noise=lambda plain: (plain, _BIT_FLIP))
    assert pack(tiled, assume="structural").n_pairs == 18


@pytest.mark.parametrize(
    "channel",
    [pauli_channel(scale=(0.9, 0.9, 0.95)), pauli_channel(scale=(0.9, 0.9, 0.81), shift=0.19)],
    ids=["phase", "damping"],
)
def test_noise_that_commutes_with_rz_keeps_the_merging(channel: np.ndarray) -> None:
    model = build_circuit("2b-9q")
    noise = GateNoise({"u": channel})
    tiled = whole_register(model.circuit, model.observables, noise=lambda plain: (plain, noise))
    assert pack(tiled, assume="structural").n_pairs == 13


@pytest.mark.parametrize("name", ["2b-3q", "2b-10q", "4b-9q", "sqnn-9q", "hea-9q"])
def test_all_layouts_give_the_exact_jacobian(name: str, rng: np.random.Generator) -> None:
    model = build_circuit(name)
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    for tiled, unit in _layouts(model.circuit, list(model.observables)):
        assert np.abs(_measured(pack(tiled, unit=unit), parameters) - exact).max() < 1e-10


@pytest.mark.parametrize("entangler", ["ring", "line"])
@pytest.mark.parametrize("kind", ["reupload", "sqnn", "hea"])
def test_every_kind_on_ring_and_line(kind: str, entangler: str, rng: np.random.Generator) -> None:
    sizes = {"n_qubits": 5, "n_blocks": 2, "kind": kind, "entangler": entangler}
    model = build_circuit(CircuitSpec.from_dict({"name": "x", "observables": "local_z", **sizes}))
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    for tiled, unit in _layouts(model.circuit, list(model.observables)):
        assert np.abs(_measured(pack(tiled, unit=unit), parameters) - exact).max() < 1e-10


def _commuting(rng: np.random.Generator, n_qubits: int) -> list[SparsePauliOp]:
    """Three sums of Pauli strings that are read in one basis."""
    basis = rng.choice(list("XYZ"), size=n_qubits)
    found = []
    for _ in range(3):
        strings = ["".join(np.where(rng.random(n_qubits) < 0.5, basis, "I")) for _ in range(2)]
        found.append(SparsePauliOp(strings, rng.normal(size=2)))
    return found


@pytest.mark.parametrize("block", range(10))
def test_three_hundred_random_circuits(block: int, rng: np.random.Generator) -> None:
    for _ in range(30):
        n_qubits = int(rng.integers(1, 5))
        circuit = random_circuit(rng, n_qubits, int(rng.integers(4, 18)))
        observables = _commuting(rng, n_qubits)
        parameters = rng.uniform(-np.pi, np.pi, (2, circuit.num_parameters))
        _, exact = ExactEngine(circuit, observables).jacobian(parameters)
        for tiled, unit in _layouts(circuit, observables):
            plan = pack(tiled, unit=unit)
            assert np.abs(_measured(plan, parameters) - exact).max() < 1e-10, f"{unit}\n{circuit.draw()}"


@pytest.mark.parametrize("block", range(4))
def test_random_circuits_with_random_noise(block: int, rng: np.random.Generator) -> None:
    for _ in range(25):
        n_qubits = int(rng.integers(2, 5))
        circuit = random_circuit(rng, n_qubits, 14, pairs=("cz", "cx"))
        noise = GateNoise(
            {
                name: pauli_channel(scale=(a, a, a * a), shift=1 - a * a)
                if rng.random() < 0.5
                else pauli_channel(scale=(1.0, a, a))
                for name in ("u", "r", "rx", "ry", "rz", "cz", "cx", "h")
                if rng.random() < 0.5
                for a in [rng.uniform(0.8, 1.0)]
            }
        )
        observables = _commuting(rng, n_qubits)
        parameters = rng.uniform(-np.pi, np.pi, (2, circuit.num_parameters))
        _, exact = ExactEngine(circuit, observables, noise).jacobian(parameters)
        register = pack(
            whole_register(circuit, observables, noise=lambda plain: (plain, noise)),  # noqa: B023
            assume="structural",
        )
        assert np.abs(_measured(register, parameters, noise) - exact).max() < 1e-10, circuit.draw()


def test_ideal_merging_under_bit_flip_would_be_wrong(rng: np.random.Generator) -> None:
    model = build_circuit("2b-9q")
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables, _BIT_FLIP).jacobian(parameters)
    tiled = whole_register(model.circuit, model.observables, noise=lambda plain: (plain, _BIT_FLIP))
    assert np.abs(_measured(pack(tiled, assume="ideal"), parameters, _BIT_FLIP) - exact).max() > 1e-3
    assert np.abs(_measured(pack(tiled, assume="structural"), parameters, _BIT_FLIP) - exact).max() < 1e-10


def test_virtual_rz_merges_rz_alone() -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.rx(a, 1)
    circuit.cx(0, 1)
    circuit.rx(b, 1)  # the same derivative as the first RX's: a CX lets X on its target through
    circuit.rz(a, 0)
    circuit.rz(b, 0)
    circuit.h(0)
    observables = [SparsePauliOp("ZI"), SparsePauliOp("IZ")]
    tiled = whole_register(circuit, observables)
    assert pack(tiled, assume="ideal").n_merged == 2
    assert pack(tiled, assume="virtual-rz").n_merged == 1


def test_what_is_not_wanted_is_not_turned(rng: np.random.Generator) -> None:
    model = build_circuit("2b-9q")
    column = {parameter: i for i, parameter in enumerate(model.circuit.parameters)}
    weights = [column[w] for w in model.w]
    parameters = rng.uniform(-np.pi, np.pi, (2, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    tiled = tile_circuit(model.circuit, model.observables)
    for unit, executions in (("rotation", 18), ("gate", 12)):
        plan = pack(tiled, wanted=weights, unit=unit)  # type: ignore[arg-type]
        assert plan.n_executions == executions
        assert np.abs(_measured(plan, parameters) - exact[:, :, weights]).max() < 1e-10


def test_probes_of_gates_are_right_where_euler_angles_are_not(rng: np.random.Generator) -> None:
    model = build_circuit("2b-4q")  # theta = 0 and pi: RZ before and after cannot be told apart
    parameters = rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2], (20, model.circuit.num_parameters))
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    plan = pack(tile_circuit(model.circuit, model.observables), unit="gate")
    assert np.abs(_measured(plan, parameters) - exact).max() < 1e-10


def test_the_plan_is_described() -> None:
    model = build_circuit("2b-9q")
    words = pack(tile_circuit(model.circuit, model.observables)).describe()
    for part in ("26 executions", "13 pairs", "9 light cones of 3 qubits", "27 qubits", "1,944"):
        assert part in words
    words = pack(whole_register(model.circuit, model.observables)).describe()
    assert "fewer are impossible" in words


def test_a_colouring_lets_no_output_see_two_of_a_colour(rng: np.random.Generator) -> None:
    readers = [frozenset(rng.choice(12, size=3, replace=False).tolist()) for _ in range(40)]
    colours = colour(readers)
    for output in range(12):
        seen = [own for own, of in zip(colours, readers, strict=True) if output in of]
        assert len(seen) == len(set(seen))
    assert fewest_colours(readers) <= max(colours) + 1 <= 40


def test_observables_that_do_not_commute_need_tiles_of_their_own(rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cz(0, 1)
    circuit.rx(Parameter("b"), 1)
    observables = [SparsePauliOp("IX"), SparsePauliOp("IZ"), SparsePauliOp("YZ")]
    with pytest.raises(UnsupportedError, match="must commute qubit by qubit"):
        tile_circuit(circuit, observables, groups=[[0, 1, 2]])  # on a chip, which reads them at once
    parameters = rng.uniform(-np.pi, np.pi, (3, 2))
    _, exact = ExactEngine(circuit, observables).jacobian(parameters)
    for tiled in (tile_circuit(circuit, observables), whole_register(circuit, observables)):
        assert np.abs(_measured(pack(tiled), parameters) - exact).max() < 1e-10


def test_what_cannot_be_taken_is_refused_by_name() -> None:
    again = QuantumCircuit(1)
    again.rx(Parameter("a"), 0)
    again.reset(0)
    with pytest.raises(UnsupportedError, match="`reset` must stand at the beginning"):
        tile_circuit(again, [SparsePauliOp("Z")])
    model = build_circuit("2b-3q")
    with pytest.raises(ArgumentError, match="`assume` must be one of"):
        pack(tile_circuit(model.circuit, model.observables), assume="none")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="`unit` must be `rotation`"):
        pack(whole_register(model.circuit, model.observables), unit="gate")
    with pytest.raises(ArgumentError, match="must hold each of the 3 terms once"):
        tile_circuit(model.circuit, model.observables, groups=[[0], [1]])


@pytest.mark.parametrize("one_basis", [False, True])
@pytest.mark.parametrize("groups", [None, [[0, 1]]])
def test_what_does_nothing_in_a_term_s_own_cone_is_kept_beside_another(
    one_basis: bool, groups: list[list[int]] | None, rng: np.random.Generator
) -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3)
    circuit.rx(a, 0)  # which <ZYX> does not see, so that the S follows |0> in its cone
    circuit.ch(0, 1)
    circuit.ry(b, 2)
    circuit.s(0)
    observables = [SparsePauliOp("ZYX"), SparsePauliOp("ZYI" if one_basis else "XZI")]
    tiled = tile_circuit(circuit, observables, one_basis=one_basis, groups=groups)
    rows = rng.uniform(-3, 3, (3, 2))
    pub = (tiled.circuit, [[o] for o in tiled.observables], tiled.bind(tiled.angles(rows)))
    expected = StatevectorEstimator().run([(circuit, [[o] for o in observables], rows)]).result()[0].data.evs
    np.testing.assert_allclose(StatevectorEstimator().run([pub]).result()[0].data.evs, expected, atol=1e-12)
