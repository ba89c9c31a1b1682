"""Against hidden truths: chips whose noise is not what their calibration says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, fake_backend
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.learning import _calibrated, _tiles, learn_noise
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.errors import ArgumentError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models.calibration import snapshot as calibration_of
from sqdr_qiskit.specs.device import DeviceGate, DeviceSnapshot
from tests.devices.devices_for_tests import snapshot

_DEVICE = "fake_kingston"
_MODEL = build_circuit("2b-5q")
_SHOTS = 4096


def perturbed(device: DeviceSnapshot, rng: np.random.Generator) -> DeviceSnapshot:
    """Every rate times a factor of its own between 0.5 and 3 (relaxation times by its inverse)."""

    def factor() -> float:
        return float(np.exp(rng.uniform(np.log(0.5), np.log(3.0))))

    def rates(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(None if value is None else min(value * factor(), 0.4) for value in values)

    def times(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(None if value is None else value / factor() for value in values)

    shared: dict[tuple[int, ...], float] = {}  # SX and X are one pulse, and a pair has one gate

    def gate(one: DeviceGate) -> DeviceGate:
        if one.error is None or one.error > 0.1:
            return one
        return replace(one, error=one.error * shared.setdefault(tuple(sorted(one.qubits)), factor()))

    return replace(
        device,
        t1_us=times(device.t1_us),
        t2_us=times(device.t2_us),
        p01=rates(device.p01),
        p10=rates(device.p10),
        gates=tuple(gate(one) for one in device.gates),
    )


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


def test_tiles_are_those_of_the_engine_with_their_slopes(rng: np.random.Generator) -> None:
    chip, values = snapshot(_DEVICE), _values(rng, 6)
    estimator, expected = _measured(chip, values, seed=None)
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    everything = np.arange(len(values))
    tiles = _tiles(program.rounds[0], 1, program.inner(values), everything, chip)
    assert len(tiles) == 5
    for tile in tiles:
        keys = sorted(tile.keys)
        assert {what for what, _ in keys} == {"T1", "T2", "p01", "p10", "pair", "pulse"}
        # rates as calibrated, none of them raised to the least that is believed
        rates = {key: _calibrated(chip, key) for key in keys}
        chosen = np.ones(len(tile.samples), dtype=bool)
        found, slopes = tile.predict(rates, chosen, keys)
        np.testing.assert_allclose(found, expected[np.ix_(tile.samples, tile.terms)], atol=1e-4)
        for i, key in enumerate(keys):
            up, down = ({**rates, key: rates[key] * np.exp(step)} for step in (1e-5, -1e-5))
            slope = (tile.predict(up, chosen)[0] - tile.predict(down, chosen)[0]) / 2e-5
            np.testing.assert_allclose(slopes[:, :, i], slope, atol=1e-9)


def test_a_hidden_truth_is_learnt(rng: np.random.Generator) -> None:
    calibration = calibration_of(fake_backend(_DEVICE))
    chip = snapshot(_DEVICE)
    truth = chip.under(perturbed(calibration, rng))
    values = _values(rng, 200)
    estimator, measured = _measured(truth, values)
    assert estimator.usage.qpu_seconds < 160
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    found = learn_noise(program, chip, values, measured, shots=_SHOTS)
    assert found.fits
    assert found.after < found.before
    assert (found.n_fitted + found.n_held_out, found.n_held_out > 100) == (1000, True)
    learnt = chip.under(found.applied_to(calibration, chip))
    fresh = _values(rng, 100)
    right, before, after = (_measured(one, fresh, seed=None)[1] for one in (truth, chip, learnt))
    noise = np.sqrt((1 - right**2) / _SHOTS)
    excess = [float(np.sqrt(np.mean(((guess - right) / noise) ** 2))) for guess in (before, after)]
    assert excess[1] ** 2 < excess[0] ** 2 / 2  # most of what the calibration gets wrong is gone
    assert np.hypot(1, excess[1]) < 1.2  # with the shot noise of a measurement
    inside = [e.low <= _calibrated(truth, (e.what, e.qubits)) <= e.high for e in found.estimates]
    assert np.mean(inside) > 0.85
    told = [e for e in found.estimates if e.told]
    assert {e.what for e in told} >= {"p10"}
    assert not all(e.told for e in found.estimates)  # one pulse more or less in a hundred shots is not seen


def test_a_truth_outside_the_model_is_said(rng: np.random.Generator) -> None:
    """A chip that turns too far: every angle off by 0.15 rad."""
    chip, values = snapshot(_DEVICE), _values(rng, 60)
    estimator, measured = _measured(chip, values + 0.15)
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    found = learn_noise(program, chip, values, measured, shots=_SHOTS)
    assert not found.fits
    assert found.after > 1.5


def test_what_cannot_be_learnt_from_is_refused(rng: np.random.Generator) -> None:
    chip, values = snapshot(_DEVICE), _values(rng, 20)
    estimator, measured = _measured(chip, values)
    program = estimator.program(_MODEL.circuit, _MODEL.observables)
    with pytest.raises(ArgumentError, match="at least 10 samples, 2 side by side, but holds 3"):
        learn_noise(program, chip, values[:3], measured[:3], shots=_SHOTS)
    whole, seen = _measured(chip, values, options=LayoutOptions(layout="whole", seeds=(1,)))
    with pytest.raises(UnsupportedError, match="tiles of at most 4 qubits"):
        learn_noise(whole.program(_MODEL.circuit, _MODEL.observables), chip, values, seen, shots=_SHOTS)
    both = [SparsePauliOp(["IIIIZ", "IIIZI"], [1.0, 1.0])]
    with pytest.raises(UnsupportedError, match="each output is one reading"):
        learn_noise(estimator.program(_MODEL.circuit, both), chip, values, seen[:, :1], shots=_SHOTS)


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
