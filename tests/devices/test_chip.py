from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, fake_backend, median_noise
from sqdr_qiskit.devices.chip_noise import Noise, chip_engine
from sqdr_qiskit.devices.programs import LayoutOptions, Round
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.devices.twin import TwinEngine
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import make_gradient
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.noise_models import average_gate_fidelity
from sqdr_qiskit.noise_models.aer_model import error_after, error_ptm, readout_after
from sqdr_qiskit.noise_models.calibration import snapshot as chip_calibration
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.devices.devices_for_tests import grid_chip, snapshot


def test_gates_have_the_median_errors() -> None:
    chip = grid_chip({(0, 1): 0.01, (1, 2): 0.03, (2, 3): 0.02}, [0.1, 0.02, 0.03, 0.04], turn=0.002)
    model = median_noise(chip)
    for gate, qubits, infidelity in (("u", (5,), 0.002), ("cz", (5, 6), 0.02)):
        error = error_after(model, gate, qubits)
        assert error is not None
        assert 1 - average_gate_fidelity(error_ptm(error)) == pytest.approx(infidelity, rel=1e-9)
    assert error_after(model, "rz", (0,)) is None
    assert readout_after(model, 7) == pytest.approx((0.035, 0.035))


def test_a_snapshot_of_a_heron_gets_rx_as_ibm_reports_it() -> None:
    chip = snapshot("fake_kingston")
    other = chip.with_fractional_gates()
    assert (chip.one_qubit_gates, other.one_qubit_gates, other.pulse) == ("zsx", "zrx", "sx")
    assert other.channels_after("rx", (7,)) == chip.channels_after("sx", (7,)) != ()
    assert other.edges == chip.edges
    assert other.readout == chip.readout
    worse = chip_calibration(fake_backend("fake_kingston"))
    worse = replace(worse, gates=tuple(replace(g, error=0.02) if g.name == "sx" else g for g in worse.gates))
    assert other.under(worse).fractional
    assert other.under(worse).gate_error("rx", (7,)) == 0.02


@pytest.mark.parametrize("name", ["fake_brisbane", "fake_cairo", "fake_yorktown"])
def test_a_chip_without_fractional_gates_is_refused(name: str) -> None:
    assert not snapshot(name).has_fractional_gates
    with pytest.raises(ArgumentError, match=rf"`fractional` must be left out with device {name}, which has"):
        snapshot(name).with_fractional_gates()


def test_fractional_gates_change_no_expectation_and_take_less_noise(rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    values = rng.uniform(-4, 4, (20, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables], values)
    ideal = ExactEstimator().run([pub]).result()[0].data.evs
    plain = snapshot("fake_kingston")
    errors, pulses = [], []
    for chip in (plain, plain.with_fractional_gates()):
        program = compile_for_device(model.circuit, model.observables, chip, LayoutOptions(copies=1))
        found = {}
        for gates in (False, True):
            noise = Noise(gates=gates, readout=False)

            def engine(part: Round, chip: Chip = chip, noise: Noise = noise) -> ExactEngine:
                return chip_engine(part.circuit, part.words[0], chip, noise)

            terms = TwinEngine(model.circuit, program, engine).terms(values, None)[0]
            found[gates] = program.observables(terms).T
        np.testing.assert_allclose(found[False], ideal, atol=1e-12)
        pulses.append(sum(item.operation.name in ("sx", "rx") for item in program.rounds[0].circuit.data))
        errors.append(np.sqrt(((found[True] - ideal) ** 2).mean()))
    assert pulses == [5 * 8, 5 * 5]  # two turns on a tile's middle qubit, one on each neighbour
    assert 0.5 * errors[0] < errors[1] < 0.95 * errors[0]


def test_the_model_shrinks_expectations_as_the_device_does(rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    backend = make_backend("fake_manila", shots=20_000, seed=1, layout="tiled")
    values = rng.uniform(-4, 4, (3, model.circuit.num_parameters))
    pub = (model.circuit, [[o] for o in model.observables], values)
    device, ideal, modelled = (
        estimator.run([pub]).result()[0].data.evs
        for estimator in (backend.estimator, ExactEstimator(), ExactEstimator(maker=backend.maker))
    )

    def shrink(evs: np.ndarray) -> float:  # by which factor, after what readout adds
        return float(np.polyfit(ideal.ravel(), evs.ravel(), 1)[0])

    assert 0.85 < shrink(device) < 0.99
    assert 0.85 < shrink(modelled) < 0.99  # of the median qubits; tiles stand on the best


def test_physics_aware_gradients_come_from_the_model(rng: np.random.Generator) -> None:
    model = build_circuit("2b-5q")
    backend = make_backend("fake_manila", seed=1)
    values = rng.uniform(-4, 4, (2, model.circuit.num_parameters))
    gradient = make_gradient("physics-aware", backend)
    found = gradient.jacobian(model.circuit, list(model.observables), values)
    ideal = make_gradient("exact", make_backend()).jacobian(model.circuit, list(model.observables), values)
    ratio = np.abs(found).sum() / np.abs(ideal).sum()
    assert 0.7 < ratio < 0.99  # noise makes slopes smaller
