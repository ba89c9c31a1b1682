"""Against hidden truths: chips whose noise is not what their calibration says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from benchmarks.learning import hidden_truth
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, fake_backend
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.learning import Estimate, Measured, choose_probes, learn_noise
from sqdr_qiskit.devices.programs import DeviceProgram, LayoutOptions
from sqdr_qiskit.devices.tile_noise import calibrated, tiles_of
from sqdr_qiskit.devices.twin import LocalSender
from sqdr_qiskit.errors import ArgumentError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models.calibration import snapshot as calibration_of
from sqdr_qiskit.specs.device import DeviceSnapshot
from tests.devices.devices_for_tests import snapshot

_DEVICE = "fake_kingston"
_MODEL = build_circuit("2b-5q")
_SHOTS = 4096


def _measured(
    truth: Chip, values: np.ndarray, *, seed: int | None = 1, options: LayoutOptions | None = None
) -> tuple[DeviceEstimator, np.ndarray]:
    """What a chip with this noise gives where the calibration puts the circuit; no shots without a seed."""
    sender = LocalSender(truth, seed=seed, sampled=seed is not None)
    options = options or LayoutOptions(copies=2)
    estimator = DeviceEstimator(snapshot(_DEVICE), sender, shots=_SHOTS, options=options)
    pub = (_MODEL.circuit, [[o] for o in _MODEL.observables], values)
    return estimator, np.asarray(estimator.run([pub]).result()[0].data.evs.T)


def _values(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-3, 3, (n, _MODEL.circuit.num_parameters))


def _truth(program: DeviceProgram, rng: np.random.Generator) -> DeviceSnapshot:
    """Hidden: rates 0.5 to 3 times the calibration's, gates that turn too far, tiles that are coupled."""
    tiles = {
        qubit: (c, t)
        for c, copy in enumerate(program.rounds[0].tiles)
        for t, tile in enumerate(copy)
        for qubit in tile
    }
    return hidden_truth(calibration_of(fake_backend(_DEVICE)), tiles, rng)


def _seen(values: np.ndarray, measured: np.ndarray) -> list[Measured]:
    return [Measured(values, measured, np.arange(len(values)), _SHOTS)]


def test_tiles_are_those_of_the_engine_with_their_slopes(rng: np.random.Generator) -> None:
    """Crosstalk to first order in its angle: five samples on two places, the last row filled up."""
    plain, values = snapshot(_DEVICE), _values(rng, 5)
    program = _measured(plain, values[:1], seed=None)[0].program(_MODEL.circuit, _MODEL.observables)
    places = np.arange(len(values))
    for truth in (plain, plain.under(_truth(program, rng))):
        expected = _measured(truth, values, seed=None)[1]
        tiles = tiles_of(program, plain, program.inner(values), places)
        assert len(tiles) == 10
        assert {what for tile in tiles for what, _ in tile.keys} == {
            *("T1", "T2", "p01", "p10", "pair", "pulse", "over_rotation", "zz")
        }
        for tile in tiles:
            keys = sorted(tile.keys)
            rates = {key: calibrated(truth, key) for key in keys}
            chosen = np.ones(len(tile.samples), dtype=bool)
            found, slopes = tile.predict(rates, chosen, keys)
            coupled = any(rates[key] for key in keys if key[0] == "zz")
            exact = expected[np.ix_(tile.samples, tile.terms)]
            np.testing.assert_allclose(found, exact, atol=1e-5 if coupled else 1e-9)
            for i, key in enumerate(keys):
                step = 1e-6 * (abs(rates[key]) if key[0] in ("T1", "T2") else 1.0)
                up, down = ({**rates, key: rates[key] + sign * step} for sign in (1, -1))
                slope = (tile.predict(up, chosen)[0] - tile.predict(down, chosen)[0]) / (2 * step)
                scale = rates[key] if key[0] in ("T1", "T2") else 1.0
                np.testing.assert_allclose(slopes[:, :, i] * scale, slope * scale, atol=1e-8)


def test_tiles_of_four_blocks_are_those_of_the_engine(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven qubits, in as many pieces as fit in the memory that is allowed."""
    chip, model = snapshot(_DEVICE), build_circuit("4b-9q")
    values = rng.uniform(-3, 3, (3, model.circuit.num_parameters))
    estimator = DeviceEstimator(chip, LocalSender(chip, sampled=False), options=LayoutOptions(copies=1))
    exact = estimator.run([(model.circuit, [[o] for o in model.observables], values)]).result()[0].data.evs.T
    program = estimator.program(model.circuit, model.observables)
    monkeypatch.setattr("sqdr_qiskit.devices.tile_noise._HELD", 1)
    tile = tiles_of(program, chip, program.inner(values), np.arange(3))[0]
    assert len(tile.qubits) == 7
    key = next(key for key in sorted(tile.keys) if key[0] == "p10")
    found, slopes = tile.predict({}, np.ones(3, dtype=bool), [key])
    np.testing.assert_allclose(found, exact[np.ix_(tile.samples, tile.terms)], atol=1e-9)
    up = tile.predict({key: calibrated(chip, key) + 1e-4}, np.ones(3, dtype=bool))[0]
    np.testing.assert_allclose(slopes[:, :, 0], (up - found) / 1e-4, atol=1e-8)


def test_crosstalk_comes_from_the_sample_beside(rng: np.random.Generator) -> None:
    """Against the whole chip: taking the neighbour by its mean leaves out far less than the effect."""
    plain, values = snapshot(_DEVICE), _values(rng, 20)
    program = _measured(plain, values[:1], seed=None)[0].program(_MODEL.circuit, _MODEL.observables)
    hidden = _truth(program, rng)
    zz = tuple(one for one in hidden.rotations if one.kind == "zz")
    coupled = plain.under(replace(calibration_of(fake_backend(_DEVICE)), rotations=zz))
    without, expected = (_measured(chip, values, seed=None)[1] for chip in (plain, coupled))
    found = np.zeros_like(expected)
    for tile in tiles_of(program, plain, program.inner(values), np.arange(len(values))):
        chosen = np.ones(len(tile.samples), dtype=bool)
        rates = {key: calibrated(coupled, key) for key in tile.keys}
        found[np.ix_(tile.samples, tile.terms)] = tile.predict(rates, chosen)[0]
    effect, left = np.abs(expected - without).max(), np.abs(expected - found).max()
    assert effect > 4e-3
    assert left < effect / 100


def test_a_hidden_truth_is_learnt(rng: np.random.Generator) -> None:
    calibration = calibration_of(fake_backend(_DEVICE))
    chip, values = snapshot(_DEVICE), _values(rng, 200)
    program = _measured(chip, values[:1], seed=None)[0].program(_MODEL.circuit, _MODEL.observables)
    truth = chip.under(_truth(program, rng))
    estimator, measured = _measured(truth, values)
    assert estimator.usage.qpu_seconds < 160
    found = learn_noise(program, chip, _seen(values, measured))
    assert found.fits
    assert found.after < found.before
    assert (found.n_fitted + found.n_held_out, found.n_held_out > 100) == (1000, True)
    assert found.held_out.shape == (found.n_held_out, 4)
    learnt = chip.under(found.applied_to(calibration, chip))
    fresh = _values(rng, 100)
    right, before, after = (_measured(one, fresh, seed=None)[1] for one in (truth, chip, learnt))
    noise = np.sqrt((1 - right**2) / _SHOTS)
    excess = [float(np.sqrt(np.mean(((guess - right) / noise) ** 2))) for guess in (before, after)]
    assert excess[1] < excess[0] / 2  # most of what the calibration gets wrong is gone
    assert np.hypot(1, excess[1]) < 1.2  # with the shot noise of a measurement
    wrong = [e for e in found.estimates if not e.low <= _as_written(truth, e) <= e.high]
    assert len(wrong) < 0.15 * len(found.estimates)
    told = {e.what for e in found.estimates if e.told}
    assert told >= {"p10", "over_rotation", "zz"}
    # one pulse more or less in a hundred shots is not seen, and a relaxation time hardly ever
    assert not told & {"pulse", "T1", "T2"}


def _as_written(chip: Chip, estimate: Estimate) -> float:
    value = calibrated(chip, (estimate.what, estimate.qubits))
    return 1.0 / value if estimate.what in ("T1", "T2") else value


def test_probes_tell_more_than_random_angles(rng: np.random.Generator) -> None:
    """Of as many rows, those that were chosen leave less uncertainty; a parameter more is told."""
    chip = snapshot(_DEVICE)
    first = _values(rng, 20)
    estimator, measured = _measured(chip, first)
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    runs = _seen(first, measured)
    probes = choose_probes(program, chip, runs, n_rows=6, shots=_SHOTS, seed=1)
    assert probes.shape == (12, _MODEL.circuit.num_parameters)
    np.testing.assert_array_equal(probes, choose_probes(program, chip, runs, n_rows=6, shots=_SHOTS, seed=1))
    widths = []
    for more in (probes, _values(rng, 12)):
        found = learn_noise(program, chip, [*runs, *_seen(more, _measured(chip, more)[1])])
        assert found.fits
        widths.append([np.log(e.high - e.low) for e in found.estimates])
    assert np.mean(widths[0]) < np.mean(widths[1])


def test_a_truth_outside_the_model_is_said(rng: np.random.Generator) -> None:
    """A chip that turns too far: every angle off by 0.15 rad."""
    chip, values = snapshot(_DEVICE), _values(rng, 60)
    estimator, measured = _measured(chip, values + 0.15)
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    found = learn_noise(program, chip, _seen(values, measured))
    assert not found.fits
    assert found.after > 1.5


def test_what_cannot_be_learnt_from_is_refused(rng: np.random.Generator) -> None:
    chip, values = snapshot(_DEVICE), _values(rng, 20)
    estimator, measured = _measured(chip, values)
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    with pytest.raises(ArgumentError, match="at least 10 samples, 2 side by side, but holds 3"):
        learn_noise(program, chip, _seen(values[:3], measured[:3]))
    wide = build_circuit("2b-9q")
    options = LayoutOptions(layout="whole", seeds=(1,), level=1)
    whole = DeviceEstimator(chip, LocalSender(chip), options=options)
    angles = np.zeros((20, wide.circuit.num_parameters))
    with pytest.raises(UnsupportedError, match="tiles of at most 7 qubits"):
        learn_noise(whole.program(wide.circuit, wide.observables), chip, _seen(angles, np.zeros((20, 9))))
    both = [SparsePauliOp(["IIIIZ", "IIIZI"], [1.0, 1.0])]
    with pytest.raises(UnsupportedError, match="each output is one reading"):
        learn_noise(estimator.program(_MODEL.circuit, both), chip, _seen(values, measured[:, :1]))


def test_noise_learnt_on_other_qubits_is_said(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    calibration, values = calibration_of(fake_backend(_DEVICE)), _values(rng, 1)
    program = _measured(snapshot(_DEVICE), values, seed=None)[0].program(_MODEL.circuit, _MODEL.observables)
    in_use = program.rounds[0].qubits
    for learnt, n_unknown in ((in_use, 0), (in_use[4:], 4)):
        caplog.clear()
        _measured(snapshot(_DEVICE).under(replace(calibration, learnt=learnt)), values)
        said = f"learnt on other qubits: {n_unknown} of the {len(in_use)} in use here"
        assert (said in caplog.text) == bool(n_unknown)


def test_noise_of_another_device_is_refused() -> None:
    with pytest.raises(
        SpecError, match=r"must be of device fake_kingston \(156 qubits\), but is of fake_manila"
    ):
        snapshot(_DEVICE).under(calibration_of(fake_backend("fake_manila")))


def test_a_chip_under_its_own_calibration_is_the_same(rng: np.random.Generator) -> None:
    chip, values = snapshot(_DEVICE), _values(rng, 3)
    same = chip.under(calibration_of(fake_backend(_DEVICE)))
    np.testing.assert_allclose(
        _measured(same, values, seed=None)[1], _measured(chip, values, seed=None)[1], atol=1e-9
    )
