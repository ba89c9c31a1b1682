"""What runs on a device tell about its noise: measured expectation values -> a corrected calibration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, chip_of, fake_backend
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.layout_file import layout_options
from sqdr_qiskit.devices.learning import LearntNoise, learn_noise
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.expectations import read_expectations
from sqdr_qiskit.jobs.folders import read_record
from sqdr_qiskit.jobs.run_report import checkpoint_of_run
from sqdr_qiskit.model.checkpoint import restore
from sqdr_qiskit.noise_models.calibration import snapshot
from sqdr_qiskit.records import EXPECTATIONS
from sqdr_qiskit.specs.device import DeviceSnapshot
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.metrics import BATCH_SIZE

__all__ = ["Learnt", "learn_from_runs"]


@dataclass(frozen=True)
class Learnt:
    """What runs told about a device.

    Attributes:
        noise: What was learnt, and how well it predicts.
        device: The calibration with what was learnt in its place.
        backend: Where the runs ran.
        n_samples: Samples of all runs.
        shots: Readings of each expectation value.
    """

    noise: LearntNoise
    device: DeviceSnapshot
    backend: str
    n_samples: int
    shots: int


def learn_from_runs(folders: Sequence[str | os.PathLike[str]]) -> Learnt:
    """Fit a device's noise to what runs measured on it; nothing is sent.

    Args:
        folders: Runs by `infer --out` of one network on one device in one layout, without mitigation.

    Raises:
        CheckpointError: A folder is no run, or its network is gone.
        ArgumentError: A run kept no expectation values, or they are mitigated, or the runs differ.
        UnsupportedError: See `learning.learn_noise`.
    """
    runs = [_run(Path(folder)) for folder in folders]
    first, job, _ = runs[0]
    inputs = read_record(folders[0])["inputs"]
    for folder, (kept, other, _) in zip(folders[1:], runs[1:], strict=True):
        for what, here, there in (
            ("backend", kept["backend"], first["backend"]),
            ("shots", kept["shots"], first["shots"]),
            ("layout", other.layout, job.layout),
            ("checkpoint", other.checkpoint, job.checkpoint),
        ):
            if here != there:
                raise ArgumentError(
                    f"Runs to learn from must have the same {what}, but {os.fspath(folder)!r} has {here!r} "
                    f"and {os.fspath(folders[0])!r} has {there!r}."
                )
    chip, calibration = _device(Path(folders[0]), str(first["backend"]))
    estimator = DeviceEstimator(chip, LocalSender(chip), options=layout_options(job.layout))
    chosen = checkpoint_of_run(Path(folders[0]), job, inputs)
    assert chosen is not None  # of a run that is no training
    circuit = build_circuit(chosen.checkpoint.settings.circuit)
    model = restore(chosen.checkpoint, make_backend("exact"), where=chosen.path.name)
    weights = dict(model.named_parameters())["quantum.weight"].detach().double().numpy()
    angles = np.concatenate([np.asarray(kept["angles"], dtype=np.float64) for kept, _, _ in runs])
    columns = {parameter: angles[:, i] for i, parameter in enumerate(circuit.x)}
    columns |= {parameter: np.full(len(angles), weights[i]) for i, parameter in enumerate(circuit.w)}
    noise = learn_noise(
        estimator.program(circuit.circuit, circuit.observables),
        chip,
        np.stack([columns[parameter] for parameter in circuit.circuit.parameters], axis=1),
        np.concatenate([np.asarray(kept["expectations"], dtype=np.float64) for kept, _, _ in runs]),
        shots=int(first["shots"]),
        places=np.concatenate([places for _, _, places in runs]),
    )
    return Learnt(
        noise, noise.applied_to(calibration, chip), str(first["backend"]), len(angles), int(first["shots"])
    )


def _run(folder: Path) -> tuple[dict[str, Any], JobSpec, np.ndarray]:
    """A run's values, its job, and each sample's number within the request that it was sent in."""
    record = read_record(folder)
    kept = read_expectations(folder)
    if kept is None or not kept.get("shots") or not str(kept["backend"]).startswith(("fake_", "ibm_")):
        raise ArgumentError(
            f"Run {str(folder)!r} must have {EXPECTATIONS} with values of a device in shots to learn its "
            "noise from (`infer --backend ibm_<device> --resilience 0 --out FOLDER` writes them), but has "
            "not."
        )
    job = JobSpec.from_dict(record["inputs"]["job"], where=str(folder))
    if is_hardware(str(kept["backend"])) and job.resilience != 0:
        raise ArgumentError(
            f"Run {str(folder)!r} must be without error mitigation (`--resilience 0`) to learn noise from, "
            f"but ran with resilience {1 if job.resilience is None else job.resilience}."
        )
    return kept, job, np.arange(len(kept["angles"])) % BATCH_SIZE


def _device(folder: Path, backend: str) -> tuple[Chip, DeviceSnapshot]:
    """The device as the run found it: its snapshot here, or the account's calibration of that time."""
    if not is_hardware(backend):
        fake = fake_backend(backend)
        return chip_of(fake), snapshot(fake)
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.ledger import Ledger

    ledger = Ledger(folder)
    device = Connection(ledger.kept("device") or backend, calibrated=ledger.kept("calibrated")).device
    return chip_of(device), snapshot(device)
