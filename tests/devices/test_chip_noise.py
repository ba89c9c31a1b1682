from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, fake_backend
from sqdr_qiskit.devices.chip_noise import aer_noise, estimate_success, part_in_use, schedule
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.devices.twin import LocalSender
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.devices.devices_for_tests import grid_chip, snapshot

_SHOTS = 200_000


@pytest.mark.parametrize(
    ("name", "device", "layout"),
    [
        ("2b-5q", "fake_manila", "tiled"),
        ("2b-5q", "fake_manila", "whole"),
        ("2b-9q", "fake_kingston", "tiled"),
        ("2b-9q", "fake_brisbane", "tiled"),
        ("2b-9q", "fake_fez", "whole"),
        ("4b-9q", "fake_kingston", "tiled"),
        ("4b-4q", "fake_brisbane", "whole"),
    ],
)
def test_expectations_equal_density_matrices(
    name: str, device: str, layout: str, rng: np.random.Generator
) -> None:
    """Gates, waiting and readout: the exact engine against Aer's density matrices of the same circuits."""
    model, chip = build_circuit(name), snapshot(device)
    values = rng.uniform(-4, 4, (2, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables], values)
    options = LayoutOptions(layout=layout, seeds=(1,), copies=1 if layout == "tiled" else None)
    found = [
        DeviceEstimator(chip, LocalSender(chip, simulator=simulator, sampled=False), options=options)
        .run([pub])
        .result()[0]
        .data
        for simulator in ("exact", "aer")
    ]
    np.testing.assert_allclose(found[0].evs, found[1].evs, atol=1e-9)
    assert not found[0].stds.any()
    ideal = ExactEstimator().run([pub]).result()[0].data.evs
    assert np.abs(found[0].evs - ideal).max() > 1e-3  # there is noise


@pytest.mark.parametrize(
    ("name", "device", "copies"), [("2b-5q", "fake_kingston", 2), ("2b-4q", "fake_brisbane", 1)]
)
def test_pairs_that_turn_too_far_and_crosstalk_equal_density_matrices(
    name: str, device: str, copies: int, rng: np.random.Generator
) -> None:
    """CZs and ECRs that turn too far, and neighbouring tiles that are coupled, against Aer's RZZ gates."""
    model, plain = build_circuit(name), snapshot(device)
    values = rng.uniform(-4, 4, (copies, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables], values)
    options = LayoutOptions(copies=copies)
    laid_out = DeviceEstimator(plain, LocalSender(plain), options=options)
    tiles = laid_out.program(model.circuit, model.observables).rounds[0].tiles
    tile = {qubit: (c, n) for c, copy in enumerate(tiles) for n, chain in enumerate(copy) for qubit in chain}
    pairs = [(min(pair), max(pair)) for pair in plain.edges if pair <= set(tile)]
    within = {pair: float(rng.uniform(-0.3, 0.3)) for pair in pairs if tile[pair[0]] == tile[pair[1]]}
    across = {pair: float(rng.uniform(-0.3, 0.3)) for pair in pairs if pair not in within}
    assert within
    assert bool(across) == (copies == 2)
    chip = replace(plain, over_rotation=within, zz=across, _found={})
    found = [
        DeviceEstimator(plain, LocalSender(noisy, simulator=simulator, sampled=False), options=options)
        .run([pub])
        .result()[0]
        .data.evs
        for noisy, simulator in (
            (chip, "exact"),
            (chip, "aer"),
            (plain, "exact"),
            (replace(chip, zz={}, _found={}), "exact"),
        )
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)
    assert (np.abs(found[0] - found[3]).max() > 1e-3) == bool(across)
    assert np.abs(found[3] - found[2]).max() > 1e-3


def test_crosstalk_that_joins_wide_cones_is_left_out_and_said(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, plain = build_circuit("2b-5q"), snapshot("fake_kingston")
    pub = (
        model.circuit,
        [[o] for o in model.observables],
        rng.uniform(-4, 4, (1, model.circuit.num_parameters)),
    )
    coupled = replace(plain, zz={(min(pair), max(pair)): 0.3 for pair in plain.edges}, _found={})

    def values(chip: Chip) -> np.ndarray:
        estimator = DeviceEstimator(plain, LocalSender(chip, sampled=False), options=LayoutOptions(copies=1))
        return np.asarray(estimator.run([pub]).result()[0].data.evs)

    assert np.abs(values(coupled) - values(plain)).max() > 1e-3
    assert "left out" not in caplog.text
    monkeypatch.setattr("sqdr_qiskit.devices.chip_noise._WIDEST_JOINED", 2)
    np.testing.assert_array_equal(values(coupled), values(plain))
    assert "ZZ coupling between neighbouring tiles on fake_kingston is left out" in caplog.text


@pytest.mark.parametrize("layout", ["tiled", "whole"])
def test_the_noise_is_that_of_aer_from_backend(layout: str, rng: np.random.Generator) -> None:
    """Gates, and waiting with explicit delays, as `NoiseModel.from_backend` has them; both readout errors."""
    model = build_circuit("2b-5q")
    backend, chip = fake_backend("fake_manila"), snapshot("fake_manila")
    options = LayoutOptions(layout=layout, seeds=(1,))
    values = rng.uniform(-4, 4, (1, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables[:2]], values)
    estimator = DeviceEstimator(chip, LocalSender(chip, seed=1), shots=_SHOTS, options=options)
    found = estimator.run([pub]).result()[0].data.evs[:, 0]

    program = compile_for_device(model.circuit, model.observables[:2], chip, options)
    noise = NoiseModel.from_backend(backend, readout_error=False)
    for qubit in range(5):  # which takes both readout errors for their mean
        known = backend.properties().qubit_property(qubit)
        p01, p10 = known["prob_meas1_prep0"][0], known["prob_meas0_prep1"][0]
        noise.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit])
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    expected = np.zeros(2)
    for part in program.rounds:
        bound = part.circuit.assign_parameters(
            dict(zip(part.parameters, part.bind(program.inner(values))[0], strict=True))
        )
        delayed = QuantumCircuit(5, 5)
        for item, waits in zip(bound.data, schedule(part.circuit, chip, part.measured).waits, strict=True):
            delayed.append(item.operation, [bound.find_bit(q).index for q in item.qubits])
            for qubit, seconds in waits:
                delayed.delay(round(seconds * 1e9), qubit, unit="ns")
        delayed.measure(range(5), range(5))
        counts = simulator.run(delayed, shots=_SHOTS, seed_simulator=3).result().get_counts()
        for term, word in zip(part.terms, part.words[0], strict=True):
            qubit = int(np.flatnonzero(word.paulis.z[0])[0])
            expected[term] = sum((-1) ** int(key[4 - qubit]) * n for key, n in counts.items()) / _SHOTS
    np.testing.assert_allclose(found, expected, atol=6 * np.sqrt(2 / _SHOTS))


def test_only_what_is_used_is_simulated() -> None:
    chip = snapshot("fake_brisbane")
    circuit = QuantumCircuit(127)
    circuit.sx(5)
    circuit.sx(100)
    part = part_in_use(circuit, chip, [5, 100, 120])
    assert part.qubits == (5, 100, 120)
    assert part.circuit.num_qubits == 3
    assert set(aer_noise(part, chip)._local_readout_errors) == {(0,), (1,), (2,)}


def test_waiting_is_marked_by_its_time() -> None:
    chip = snapshot("fake_brisbane")
    circuit = QuantumCircuit(127)
    first, second = chip.edges[frozenset((0, 1))].qubits
    circuit.sx(first)
    circuit.ecr(first, second)
    circuit.sx(first)
    part = part_in_use(circuit, chip, [0, 1])
    label = f"wait~{round(chip.duration('sx', (first,)) * 1e9)}"  # the second waits while the first turns
    assert [item.operation.label for item in part.circuit.data if item.operation.name == "id"] == [label]
    assert label in aer_noise(part, chip)._local_quantum_errors


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
