from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.catalog import find
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import fake_backend
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients import GRADIENTS, GradientOptions, PackedParameterShift, make_gradient
from sqdr_qiskit.gradients.parameter_shift import repetitions
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.noise_models.calibration import snapshot as calibration_of
from sqdr_qiskit.simulators.aer import AerConeEstimator
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.device import DeviceRotation
from sqdr_qiskit.specs.noise import NoiseSpec, noise_text, read_noise

_EXACT = Backend("exact", ExactEstimator(), default_gradient="exact")


@pytest.mark.parametrize("name", list(GRADIENTS))
def test_every_gradient_keeps_the_contract(name: str, rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    parameters = rng.uniform(-3, 3, (4, model.circuit.num_parameters))
    gradient = make_gradient(name, _EXACT)
    jacobian = gradient.jacobian(model.circuit, model.observables, parameters)
    assert jacobian.shape == (4, 3, model.circuit.num_parameters)
    some = gradient.jacobian(model.circuit, model.observables, parameters, parameters=list(model.w)[3:7])
    assert some.shape == (4, 3, 4)
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    if name != "spsa":
        assert np.abs(jacobian - exact).max() < 1e-10
    one = gradient.run([model.circuit], [model.observables[1]], [list(parameters[2])]).result()
    assert one.gradients[0].shape == (model.circuit.num_parameters,)


def test_the_noise_of_a_backend_decides_what_is_merged() -> None:
    noise = read_noise(find("noise_models", "bit-flip"))
    noisy = Backend("aer_noisy", AerConeEstimator(noise), default_gradient="parameter-shift")
    model = build_circuit("2b-4q")
    for backend, assume, tiles in ((noisy, "structural", 1), (_EXACT, "ideal", 4)):
        gradient = make_gradient("parameter-shift", backend)
        assert isinstance(gradient, PackedParameterShift)
        plan = gradient.plan(model.circuit, model.observables)
        assert (plan.assume, len(plan.tiled.tiles)) == (assume, tiles)
    device = Backend("fake_brisbane", ExactEstimator(), default_gradient="parameter-shift")
    gradient = make_gradient(None, device)
    assert isinstance(gradient, PackedParameterShift)
    assert gradient.plan(model.circuit, model.observables).assume == "virtual-rz"
    with pytest.raises(UnsupportedError, match="`gate-shift` must run on an ideal simulator or a device"):
        make_gradient("gate-shift", noisy)


def test_an_option_without_effect_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`averages` must be left out with gradient exact"):
        make_gradient("exact", _EXACT, GradientOptions(averages=3))
    with pytest.raises(ArgumentError, match="`gradient` must be one of"):
        make_gradient("guess", _EXACT)


def test_exact_is_refused_on_a_device() -> None:
    device = Backend("fake_brisbane", ExactEstimator(), default_gradient="parameter-shift")
    with pytest.raises(UnsupportedError, match="Gradient `exact` must run on a simulator"):
        make_gradient("exact", device)


def test_on_a_device_the_model_of_its_noise_is_named(rng: np.random.Generator) -> None:
    device = Backend("fake_brisbane", ExactEstimator(), default_gradient="parameter-shift")
    with pytest.raises(ArgumentError, match="`model_noise` must be given with gradient physics-aware"):
        make_gradient("physics-aware", device)
    model = build_circuit("2b-5q")
    parameters = rng.uniform(-3, 3, (2, model.circuit.num_parameters))
    found = [
        make_gradient("physics-aware", device, GradientOptions(model_noise=name)).jacobian(
            model.circuit, model.observables, parameters
        )
        for name in ("none", "fake-brisbane-median")
    ]
    _, exact = ExactEngine(model.circuit, model.observables).jacobian(parameters)
    assert np.abs(found[0] - exact).max() < 1e-12
    assert 1e-4 < np.abs(found[1] - exact).max() < 0.2


def test_a_devices_own_noise_is_the_models_where_the_circuit_stands(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """A learnt file as `model_noise`: the twin's derivatives under that noise, over-rotation included."""
    device = calibration_of(fake_backend("fake_manila"))
    pairs = sorted({(min(g.qubits), max(g.qubits)) for g in device.gates if len(g.qubits) == 2})
    learnt = replace(device, rotations=tuple(DeviceRotation("over_rotation", pair, 0.2) for pair in pairs))
    path = tmp_path / "learnt.toml"
    path.write_text(noise_text(NoiseSpec("learnt", "t", "s", device=learnt)), encoding="utf-8")
    model = build_circuit("2b-5q")
    values = rng.uniform(-3, 3, (2, model.circuit.num_parameters))
    rehearsed = make_backend("fake_manila", shots=0)
    own = make_gradient("exact", rehearsed).jacobian(model.circuit, model.observables, values)
    named = make_gradient("physics-aware", rehearsed, GradientOptions(model_noise=str(path)))
    found = named.jacobian(model.circuit, model.observables, values)
    under = make_gradient("exact", make_backend("fake_manila", shots=0, noise=str(path)))
    expected = under.jacobian(model.circuit, model.observables, values)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(found - own).max() > 1e-2


def test_shots_are_split_by_the_root_of_the_variance() -> None:
    counts = repetitions(np.array([1.0, 4.0, 16.0, 0.0]))
    assert counts.tolist() == [2, 5, 9, 1]
    assert repetitions(np.zeros(3)).tolist() == [1, 1, 1]
    with pytest.raises(ArgumentError, match="`variances` must be 0 or above"):
        repetitions(np.array([-1.0]))
