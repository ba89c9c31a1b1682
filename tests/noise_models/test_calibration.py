"""Device snapshots: the same errors as Aer's own model of the device, through a file and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import fake_backend
from sqdr_qiskit.errors import ArgumentError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models import average_gate_fidelity, kraus_operators, kraus_to_ptm
from sqdr_qiskit.noise_models.aer_model import error_after, error_ptm, readout_after
from sqdr_qiskit.noise_models.build import build_noise_model
from sqdr_qiskit.noise_models.calibration import median_noise, snapshot
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.device import DeviceGate, DeviceRotation, DeviceSnapshot
from sqdr_qiskit.specs.noise import NoiseSpec, noise_spec, noise_text, read_noise


@pytest.fixture(scope="module")
def manila() -> BackendV2:
    return fake_backend("fake_manila")


@pytest.fixture(scope="module")
def manila_spec(manila: BackendV2) -> NoiseSpec:
    return NoiseSpec("fake-manila", "t", "s", device=snapshot(manila))


def every_gate(device: DeviceSnapshot) -> QuantumCircuit:
    """Each gate of the device once on each of its places."""
    circuit = QuantumCircuit(device.n_qubits)
    for gate in device.gates:
        angles = [0.1] if gate.name == "rz" else []
        getattr(circuit, gate.name)(*angles, *gate.qubits)
    return circuit


def test_gate_errors_are_those_of_aers_model_of_the_device(manila: BackendV2, manila_spec: NoiseSpec) -> None:
    assert manila_spec.device is not None
    circuit = every_gate(manila_spec.device)
    ours, aers = build_noise_model(manila_spec, circuit), NoiseModel.from_backend(manila)
    compared = 0
    for gate in manila_spec.device.gates:
        expected = error_after(aers, gate.name, gate.qubits)
        found = error_after(ours, gate.name, gate.qubits)
        if expected is None:
            assert found is None
            continue
        assert found is not None
        # Aer's own relaxation drops Choi eigenvalues below 1e-8 where T2 > T1.
        np.testing.assert_allclose(error_ptm(found), error_ptm(expected), atol=3e-8)
        compared += 1
    assert compared > 15


def test_readout_errors_are_the_calibrated_ones_and_aers_on_average(
    manila: BackendV2, manila_spec: NoiseSpec
) -> None:
    assert manila_spec.device is not None
    ours = build_noise_model(manila_spec, every_gate(manila_spec.device))
    aers = NoiseModel.from_backend(manila)
    for qubit in range(5):
        p01, p10 = readout_after(ours, qubit)
        known = manila.properties().qubit_property(qubit)
        assert (p01, p10) == (known["prob_meas1_prep0"][0], known["prob_meas0_prep1"][0])
        assert np.mean([p01, p10]) == pytest.approx(np.mean(readout_after(aers, qubit)), abs=1e-6)


def test_a_snapshot_survives_its_file(manila_spec: NoiseSpec, tmp_path: Path) -> None:
    path = tmp_path / "fake-manila.toml"
    path.write_text(noise_text(manila_spec), encoding="utf-8")
    assert read_noise(path) == manila_spec


def test_unknown_values_survive_the_file_and_mean_no_noise(tmp_path: Path) -> None:
    gates = (
        DeviceGate("sx", (0,), None, 50.0),
        DeviceGate("sx", (1,), 0.01, None),
        DeviceGate("cx", (0, 1), 1.0, 0.0),
    )
    device = DeviceSnapshot("d", "2026-01-01", (None, 50.0), (80.0, None), (None, 0.1), (None, 0.2), gates)
    spec = NoiseSpec("d", "t", "s", device=device)
    path = tmp_path / "d.toml"
    path.write_text(noise_text(spec), encoding="utf-8")
    assert read_noise(path).device == device
    model = build_noise_model(spec, every_gate(device))
    assert readout_after(model, 0) == (0.0, 0.0)
    dephasing = error_after(model, "sx", (0,))
    assert dephasing is not None
    np.testing.assert_allclose(np.diag(error_ptm(dephasing)), [1, *[np.exp(-0.05 / 80)] * 2, 1], atol=1e-12)
    lost = error_after(model, "cx", (0, 1))
    assert lost is not None
    # an error of 1 is a gate marked faulty: as bad as depolarizing noise can be
    assert 1 - average_gate_fidelity(error_ptm(lost)) == pytest.approx(0.8)


def test_the_medians_make_a_noise_for_logical_circuits(manila_spec: NoiseSpec, tmp_path: Path) -> None:
    assert manila_spec.device is not None
    spec = median_noise(manila_spec.device, name="manila-median", source="s")
    path = tmp_path / "manila-median.toml"
    path.write_text(noise_text(spec), encoding="utf-8")
    assert read_noise(path) == spec
    circuit = build_circuit("2b-4q").circuit
    model = build_noise_model(spec, circuit)
    pair, single = error_after(model, "cz", (0, 1)), error_after(model, "u", (0,))
    assert pair is not None
    assert single is not None
    # the calibrated infidelity is what all that follows a gate has together
    assert 1 - average_gate_fidelity(error_ptm(pair)) == pytest.approx(
        manila_spec.device.median_error("cx"), rel=1e-6
    )
    sx = manila_spec.device.median_error("sx")
    assert sx is not None
    assert 1 - average_gate_fidelity(error_ptm(single)) == pytest.approx(2 * sx, rel=1e-2)


def test_the_shipped_snapshots_are_what_the_package_carries() -> None:
    shipped = noise_spec("fake-brisbane")
    assert shipped.device is not None
    assert shipped.device.n_qubits == 127
    assert shipped.device.name == "fake_brisbane"
    assert shipped.device.calibrated.startswith("20")
    median = noise_spec("fake-brisbane-median")
    again = median_noise(shipped.device, name=median.name, source=median.source)
    assert again.errors == median.errors
    assert again.readout == median.readout


def test_logical_circuits_need_the_medians(manila_spec: NoiseSpec) -> None:
    with pytest.raises(
        UnsupportedError, match=r"has no gate `u` on qubits \[0\] .* noise from-device fake_manila"
    ):
        build_noise_model(manila_spec, build_circuit("2b-4q").circuit)


def test_pairs_that_turn_too_far_go_through_a_file_and_into_aers_model(
    manila: BackendV2, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An ECR and a CX about ZX in their own direction; crosstalk no gate can carry, and that is said."""
    device = dataclasses.replace(
        snapshot(manila),
        rotations=(DeviceRotation("over_rotation", (0, 1), 0.1), DeviceRotation("zz", (1, 2), 0.02)),
        learnt=(0, 1, 2),
    )
    path = tmp_path / "turned.toml"
    path.write_text(noise_text(NoiseSpec("turned", "t", "s", device=device)), encoding="utf-8")
    spec = read_noise(path)
    assert spec.device == device
    circuit = QuantumCircuit(5)
    circuit.cx(1, 0)
    circuit.cx(1, 2)
    model = build_noise_model(spec, circuit)
    assert "ZZ coupling between qubits of noise model turned is left out" in caplog.text
    plain = build_noise_model(NoiseSpec("p", "t", "s", device=snapshot(manila)), circuit)
    turned, before = (error_after(one, "cx", (1, 0)) for one in (model, plain))
    assert turned is not None
    assert before is not None
    turn = kraus_to_ptm(kraus_operators(ChannelSpec("zx_rotation", (("angle_rad", 0.1),))))
    np.testing.assert_allclose(error_ptm(turned), error_ptm(before) @ turn, atol=1e-12)
    others = [error_after(one, "cx", (1, 2)) for one in (model, plain)]
    assert others[0] == others[1]


def test_a_device_without_calibration_has_no_snapshot() -> None:
    with pytest.raises(UnsupportedError, match="must have a calibration, but has none"):
        snapshot(GenericBackendV2(3, noise_info=False))


def test_medians_need_calibrated_gates() -> None:
    device = DeviceSnapshot(
        "d", "2026-01-01", (50.0,), (50.0,), (0.1,), (0.1,), (DeviceGate("sx", (0,), 0.1, 50.0),)
    )
    with pytest.raises(
        UnsupportedError, match="must have errors of `sx` and of a two-qubit gate, but has sx"
    ):
        median_noise(device, name="n", source="s")
    unread = dataclasses.replace(
        device, p01=(None,), gates=(*device.gates, DeviceGate("cx", (0, 0), 0.1, 1.0))
    )
    with pytest.raises(UnsupportedError, match="must have `p01` of some qubit"):
        median_noise(unread, name="n", source="s")


def test_unknown_devices_are_met_with_likely_names() -> None:
    with pytest.raises(
        ArgumentError, match="no device snapshot 'fake_brisban'; did you mean 'fake_brisbane'"
    ):
        fake_backend("fake_brisban")
    with pytest.raises(ArgumentError, match="no device snapshot 'xyz'"):
        fake_backend("xyz")


DEVICE = """schema = 1
kind = "device"
title = "t"
source = "s"
[device]
name = "d"
calibrated = "2026-01-01"
n_qubits = 2
[device.qubits]
t1_us = [50, 60]
t2_us = [50, 60]
p01 = [0.1, 0.1]
p10 = [0.1, 0.1]
[[device.gate]]
name = "sx"
qubits = [[0], [1]]
error = [0.01, 0.02]
duration_ns = [50, 50]
[[device.rotation]]
kind = "zz"
qubits = [[0, 1]]
angle_rad = [0.02]
"""
BAD = {
    "t1_us = [50, 60]": (
        "t1_us = [50]",
        r"table `device.qubits`: key `t1_us` must have 2 entries, but has 1",
    ),
    "p01 = [0.1, 0.1]": (
        "p01 = [0.1, -0.5]",
        r"key `p01` must have entries of at least 0, or -1 for an unknown one",
    ),
    "p10 = [0.1, 0.1]": ("p10 = [0.1, 1.5]", r"key `p10` must be at most 1"),
    "qubits = [[0], [1]]": (
        "qubits = [[0], [2]]",
        r"key `qubits` must be a list of lists of qubits from 0 to 1",
    ),
    "qubits = [[0, 1]]": (
        "qubits = [[1, 0]]",
        r"key `qubits` must be a list of pairs",
    ),
    "angle_rad = [0.02]": ("angle_rad = [0.02, 0.1]", r"key `angle_rad` must have 1 entries, but has 2"),
    'kind = "zz"': ('kind = "yy"', r"key `kind` must be one of over_rotation, zz"),
    "error = [0.01, 0.02]": ("error = [0.01]", r"table `device.gate\[1\]`: key `error` must have 2 entries"),
}


@pytest.mark.parametrize("right", list(BAD))
def test_bad_snapshots_are_told_what_is_wrong(right: str, tmp_path: Path) -> None:
    wrong, message = BAD[right]
    path = tmp_path / "d.toml"
    path.write_text(DEVICE, encoding="utf-8")
    assert read_noise(path).device is not None
    path.write_text(DEVICE.replace(right, wrong), encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        read_noise(path)
