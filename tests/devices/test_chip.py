from __future__ import annotations

import numpy as np
import pytest

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import median_noise
from sqdr_qiskit.gradients import make_gradient
from sqdr_qiskit.noise_models.channels import average_gate_fidelity
from sqdr_qiskit.noise_models.convert import error_after, error_ptm, readout_after
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.devices.devices_for_tests import grid_chip


def test_gates_have_the_median_errors() -> None:
    chip = grid_chip({(0, 1): 0.01, (1, 2): 0.03, (2, 3): 0.02}, [0.1, 0.02, 0.03, 0.04], turn=0.002)
    model = median_noise(chip)
    for gate, qubits, infidelity in (("u", (5,), 0.002), ("cz", (5, 6), 0.02)):
        error = error_after(model, gate, qubits)
        assert error is not None
        assert 1 - average_gate_fidelity(error_ptm(error)) == pytest.approx(infidelity, rel=1e-9)
    assert error_after(model, "rz", (0,)) is None
    assert readout_after(model, 7) == pytest.approx((0.035, 0.035))


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
