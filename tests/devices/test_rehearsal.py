from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from scipy import stats

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, fake_backend
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.rehearsal import LocalSender, aer_noise, part_in_use
from sqdr_qiskit.devices.success import schedule
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.devices.devices_for_tests import snapshot

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
    monkeypatch.setattr("sqdr_qiskit.devices.rehearsal._WIDEST_JOINED", 2)
    np.testing.assert_array_equal(values(coupled), values(plain))
    assert "ZZ coupling between neighbouring tiles on fake_kingston is left out" in caplog.text


@pytest.mark.parametrize("simulator", ["exact", "aer"])
@pytest.mark.parametrize(("name", "device"), [("2b-9q", "fake_kingston"), ("4b-5q", "fake_manila")])
def test_shots_scatter_around_the_expectation(
    simulator: str, name: str, device: str, rng: np.random.Generator
) -> None:
    """z = (mean of shots - expectation) / its standard error is standard normal, of either simulator."""
    model, chip = build_circuit(name), snapshot(device)
    values = rng.uniform(-4, 4, (24, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables], values)
    options = LayoutOptions(copies=1)
    exact, drawn = (
        DeviceEstimator(chip, sender, shots=4096, options=options).run([pub]).result()[0].data.evs
        for sender in (LocalSender(chip, sampled=False), LocalSender(chip, seed=7, simulator=simulator))
    )
    z = ((drawn - exact) / np.sqrt((1 - exact**2) / 4096)).ravel()
    assert 0.005 < stats.chi2.cdf(np.sum(z**2), len(z)) < 0.995
    assert stats.kstest(z, "norm").pvalue > 0.005


def test_sums_and_constants_are_read_term_by_term(rng: np.random.Generator) -> None:
    chip, circuit = snapshot("fake_manila"), QuantumCircuit(5)
    circuit.sx(0)
    circuit.rz(0.4, 0)
    circuit.sx(0)
    single = [{"IIIIZ": 1.0}, {"IIIZI": 1.0}, {"IIIZZ": 1.0}]
    both = [{"IIIIZ": 2.0, "IIIZI": -1.0, "IIIII": 3.0}, {"IIIZZ": 0.5}]
    sender = LocalSender(chip, sampled=False)

    def expectations(observables: list[dict[str, float]]) -> np.ndarray:
        pubs = [EstimatorPub.coerce((circuit, [dict(o) for o in observables]))]
        handle = sender.send(pubs, precision=0.1, label="one")
        return np.asarray(sender.collect(handle)[0].data.evs)

    first, second, pair = expectations(single)
    np.testing.assert_allclose(expectations(both), [2 * first - second + 3, 0.5 * pair], atol=1e-12)


def test_an_unknown_simulator_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`simulator` must be exact or aer, but is `magic`"):
        LocalSender(snapshot("fake_manila"), simulator="magic")


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


def test_a_seed_repeats_samples_and_requests_differ(rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    chip = snapshot("fake_manila")
    pub = (
        model.circuit,
        [[o] for o in model.observables],
        rng.uniform(-4, 4, (2, model.circuit.num_parameters)),
    )

    def twice() -> tuple[np.ndarray, np.ndarray]:
        estimator = DeviceEstimator(chip, LocalSender(chip, seed=5), shots=100)
        first, second = (estimator.run([pub]).result()[0].data.evs for _ in range(2))
        return first, second

    first, second = twice()
    again, _ = twice()
    np.testing.assert_array_equal(first, again)
    assert np.any(first != second)


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
