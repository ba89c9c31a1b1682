"""What runs on a device tell about its noise: held against its twin; learnt, as a corrected calibration.

Nothing is sent to learn from runs. Probes, if they are asked for, are one more request, to the device of the
runs and on the same qubits, with a ledger and a ceiling of its own: their angles are on disk before they are
sent, and taken up again they are the same request.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sqdr_qiskit import records
from sqdr_qiskit.backends import twin_backend
from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.estimator import DeviceEstimator, planned_seconds
from sqdr_qiskit.devices.learning import LearntNoise, Measured, choose_probes, learn_noise
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.devices.programs import DeviceProgram, layout_options
from sqdr_qiskit.devices.twin import Comparison, LocalSender, compare
from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.evaluation import read_expectations
from sqdr_qiskit.jobs.folders import read_record
from sqdr_qiskit.jobs.hardware import Hardware, device_of
from sqdr_qiskit.jobs.settings import backend_of, checkpoint_of_run
from sqdr_qiskit.noise_models.calibration import snapshot
from sqdr_qiskit.records import EXPECTATIONS
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.specs.device import DeviceSnapshot
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.noise import NoiseSpec, noise_spec
from sqdr_qiskit.training.metrics import BATCH_SIZE

__all__ = [
    "compare_with_twin",
    "COMPARED",
    "Learnt",
    "PROBES",
    "learn_from_runs",
    "plan_probes",
    "planned_probes",
    "program_of",
    "send_probes",
]

PROBES = "probes.json"
COMPARED = ("checkpoint", "layout", "fractional", "shots")
"""Options that runs to learn from together must have alike."""


@dataclass(frozen=True)
class Learnt:
    """What runs told about a device.

    Attributes:
        noise: What was learnt, and how well it predicts.
        device: The calibration with what was learnt in its place.
        backend: Where the runs ran.
        circuit: Name of the circuit that ran.
        n_samples: Samples of all runs.
        n_probes: Probes among them.
        shots: Readings of each expectation value.
        runs: Their folders, as they were named.
    """

    noise: LearntNoise
    device: DeviceSnapshot
    backend: str
    circuit: str
    n_samples: int
    n_probes: int
    shots: int
    runs: tuple[str, ...]

    def spec(self, name: str) -> NoiseSpec:
        """What was learnt as a noise model of this name."""
        title = f"{self.backend}, calibrated {self.device.calibrated}, corrected by {self.n_samples} samples"
        return NoiseSpec(name, title, f"sqdr-qiskit noise learn {' '.join(self.runs)}", device=self.device)

    def facts(self) -> dict[str, Any]:
        """All but what was held out, as plain values."""
        noise = asdict(self.noise)
        del noise["held_out"]
        return {
            "backend": self.backend,
            "circuit": self.circuit,
            "calibrated": self.device.calibrated,
            "n_samples": self.n_samples,
            "n_probes": self.n_probes,
            "shots": self.shots,
            "fits": self.noise.fits,
            **noise,
        }


@dataclass(frozen=True, eq=False)
class _Runs:
    """Runs of one circuit on one device in one layout."""

    job: JobSpec
    chip: Chip
    calibration: DeviceSnapshot
    circuit: CircuitModel
    program: DeviceProgram
    measured: list[Measured]


def learn_from_runs(
    folders: Sequence[str | os.PathLike[str]], *, probes: str | os.PathLike[str] | None = None
) -> Learnt:
    """Fit a device's noise to what runs measured on it; nothing is sent.

    Args:
        folders: Runs by `infer --out` of one network on one device in one layout, without mitigation.
        probes: Folder of probes that were sent (`send_probes`).

    Raises:
        CheckpointError: A folder is no run, or its network is gone.
        ArgumentError: A run kept no expectation values, or they are mitigated, or the runs differ.
        UnsupportedError: See `learning.learn_noise`.
    """
    runs = _read(folders)
    measured = list(runs.measured)
    n_probes = 0
    if probes is not None:
        plan = planned_probes(probes)
        with records.intact(Path(probes) / PROBES, "plan of probes"):
            values, found = (np.asarray(plan[key], dtype=np.float64) for key in ("values", "expectations"))
            n_probes = len(values)
            measured.append(Measured(values, found, np.arange(n_probes), int(plan["shots"])))
    noise = learn_noise(runs.program, runs.chip, measured)
    qubits = {qubit for part in runs.program.rounds for qubit in part.qubits}
    device = noise.applied_to(runs.calibration, runs.chip)
    return Learnt(
        noise,
        replace(device, learnt=tuple(sorted(qubits))),
        runs.job.backend,
        runs.circuit.name,
        sum(len(run.values) for run in measured),
        n_probes,
        runs.measured[0].shots,
        tuple(os.fspath(folder) for folder in folders),
    )


def compare_with_twin(folder: str | os.PathLike[str], *, noise: str | None = None) -> Comparison:
    """Hold what an inference measured against the twin of its device.

    Args:
        folder: An inference's folder, on a device without mitigation, or on its snapshot.
        noise: A noise model of the device in place of its calibration: its snapshot's on this machine, or for
            a run on hardware the account's of that time.

    Raises:
        ArgumentError: The run kept no values in shots, or mitigated ones.
        SqdrError: The device cannot be asked for its calibration.
    """
    kept, job, inputs = _kept(Path(folder), "to be compared with a twin")
    chosen = checkpoint_of_run(Path(folder), job, inputs)
    assert chosen is not None  # of a run that is no training
    backend = twin_backend(
        device_of(job, Path(folder))[0],
        shots=0,
        layout=layout_options(job.layout),
        noise=None if noise is None else noise_spec(noise).device,
    )
    model = chosen.network(backend)
    angles = torch.as_tensor(np.asarray(kept["angles"], dtype=np.float32))
    with torch.no_grad():  # in the batches that were sent: a sample's number says on which place it stood
        expected = torch.cat([model.expectations(some) for some in angles.split(BATCH_SIZE)])
    measured = np.asarray(kept["expectations"], dtype=np.float64)
    return compare(measured, expected.double().numpy(), int(kept["shots"]))


def plan_probes(
    folders: Sequence[str | os.PathLike[str]], seconds: float, folder: str | os.PathLike[str]
) -> Path:
    """Choose probes that tell most on top of what runs told, and write them down; nothing is sent.

    Args:
        folders: See `learn_from_runs`.
        seconds: Quantum seconds that the probes may take, by plan.
        folder: Where to; made, or empty.

    Returns:
        The plan, `probes.json`.

    Raises:
        ArgumentError: Too few seconds for a probe, or the folder holds something.
        InputError: See `learn_from_runs`.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ArgumentError(
            f"Folder {str(path)!r} holds something already; name a new one for the probes, or go on with "
            f"`--resume {path}`."
        )
    runs = _read(folders)
    shots = runs.measured[0].shots
    row = (planned_seconds(shots) - planned_seconds(0)) * len(runs.program.rounds)
    n_rows = int((seconds - planned_seconds(0)) / row + 1e-9)
    if n_rows < 1:
        raise ArgumentError(
            f"Argument `seconds` must be at least {planned_seconds(0) + row:.2f} for one probe in {shots} "
            f"shots, but is {seconds:g}."
        )
    values = choose_probes(runs.program, runs.chip, runs.measured, n_rows=n_rows, shots=shots)
    plan = {
        "schema": 1,
        "runs": [str(Path(run).resolve()) for run in folders],
        "backend": runs.job.backend,
        "circuit": runs.circuit.name,
        "shots": shots,
        "max_qpu_seconds": seconds,
        "values": values,
    }
    path.mkdir(parents=True, exist_ok=True)
    return records.write_json(path / PROBES, plan)


def planned_probes(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What `plan_probes` wrote, and `send_probes` added.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    path = Path(folder) / PROBES
    if not path.is_file():
        raise CheckpointError(f"There are no probes in {os.fspath(folder)!r}.")
    plan = records.read_json(path, "plan of probes")
    with records.intact(path, "plan of probes"):
        if not all(isinstance(run, str) for run in plan["runs"]) or not plan["max_qpu_seconds"] > 0:
            raise ValueError
    return plan


def send_probes(folder: str | os.PathLike[str], hardware: Hardware) -> None:
    """Send the probes of a folder, or collect what was sent, and write down what they gave.

    Args:
        folder: From `plan_probes`.
        hardware: Keeps the ledger and watches.

    Raises:
        BackendError: The ceiling would be exceeded, or the device failed.
        ArgumentError: The device stands differently than when the runs ran.
        Detached: The user left.
    """
    path, plan = Path(folder), planned_probes(folder)
    if "expectations" in plan:
        return
    runs = _read(plan["runs"])
    # Beside the plan there is a ledger as soon as anything may have been sent.
    has_ledger = any(child.name != PROBES for child in path.iterdir())
    hardware.open(path, resume=has_ledger)
    _as_then(hardware, Path(plan["runs"][0]), runs.job.backend)
    with records.intact(path / PROBES, "plan of probes"):
        values, shots = np.asarray(plan["values"], dtype=np.float64), int(plan["shots"])
        ceiling = float(plan["max_qpu_seconds"])
    job = replace(runs.job, shots=shots, max_qpu_seconds=ceiling, max_executions=None)
    estimator = backend_of(job, hardware).estimator
    assert isinstance(estimator, DeviceEstimator)
    program = estimator.program(runs.circuit.circuit, runs.circuit.observables)
    if program.tiles != runs.program.tiles:
        raise ArgumentError(
            f"The circuit must stand on the qubits of the runs to learn from, but {job.backend} was "
            "calibrated since, and it would stand on others; learn from a new run."
        )
    pub = (runs.circuit.circuit, [[o] for o in runs.circuit.observables], values)
    found = np.asarray(estimator.run([pub]).result()[0].data.evs.T)
    records.write_json(path / PROBES, {**plan, "expectations": found, **hardware.facts()})


def _as_then(hardware: Hardware, run: Path, backend: str) -> None:
    """Let a new ledger begin with the device as a run met it, so that circuits stand where they stood."""
    if not is_hardware(backend):
        return
    with Ledger(run, read_only=True) as before:
        for fact in ("device", "calibrated"):
            hardware.ledger.kept(fact, before.kept(fact))


def _read(folders: Sequence[str | os.PathLike[str]]) -> _Runs:
    runs = [_kept(Path(folder), "to learn noise from") for folder in folders]
    first, job, inputs = runs[0]
    for folder, (kept, other, _) in zip(folders[1:], runs[1:], strict=True):
        for what, here, there in (
            ("backend", kept["backend"], first["backend"]),
            ("shots", kept["shots"], first["shots"]),
            *((what, getattr(other, what), getattr(job, what)) for what in COMPARED if what != "shots"),
        ):
            if here != there:
                raise ArgumentError(
                    f"Runs to learn from must have the same {what}, but {os.fspath(folder)!r} has {here!r} "
                    f"and {os.fspath(folders[0])!r} has {there!r}."
                )
    chosen = checkpoint_of_run(Path(folders[0]), job, inputs)
    assert chosen is not None  # of a run that is no training
    circuit = build_circuit(chosen.checkpoint.settings.circuit)
    chip, device = device_of(job, Path(folders[0]))
    program = program_of(chip, circuit, job)
    for folder in folders[1:] if is_hardware(job.backend) else ():
        if program_of(device_of(job, Path(folder))[0], circuit, job).tiles != program.tiles:
            raise ArgumentError(
                f"Runs to learn from must stand on the same qubits, but the device was calibrated between "
                f"{os.fspath(folders[0])!r} and {os.fspath(folder)!r}, and stands differently there."
            )
    model = chosen.network()
    weights = dict(model.named_parameters())["quantum.weight"].detach().double().numpy()
    measured = []
    for kept, _, _ in runs:
        angles = np.asarray(kept["angles"], dtype=np.float64)
        columns = {parameter: angles[:, i] for i, parameter in enumerate(circuit.x)}
        columns |= {parameter: np.full(len(angles), weights[i]) for i, parameter in enumerate(circuit.w)}
        values = np.stack([columns[parameter] for parameter in circuit.circuit.parameters], axis=1)
        expectations = np.asarray(kept["expectations"], dtype=np.float64)
        places = np.arange(len(angles)) % BATCH_SIZE  # numbers within the request that each was sent in
        measured.append(Measured(values, expectations, places, int(kept["shots"])))
    return _Runs(job, chip, snapshot(device), circuit, program, measured)


def program_of(chip: Chip, circuit: CircuitModel, job: JobSpec) -> DeviceProgram:
    """What a circuit becomes on a device in the job's layout."""
    estimator = DeviceEstimator(chip, LocalSender(chip), options=layout_options(job.layout))
    return estimator.program(circuit.circuit, circuit.observables)


def _kept(folder: Path, why: str) -> tuple[dict[str, Any], JobSpec, dict[str, Any]]:
    """A run's values in shots, unmitigated; its job, with the backend that it ran on by name; its inputs."""
    inputs, kept = read_record(folder)["inputs"], read_expectations(folder)
    if kept is None or not kept.get("shots") or not str(kept["backend"]).startswith(("fake_", "ibm_")):
        raise ArgumentError(
            f"Run {str(folder)!r} must have {EXPECTATIONS} with values of a device in shots {why} "
            "(`infer --backend ibm_<device> --resilience 0 --out FOLDER` writes them), but has not."
        )
    job = replace(JobSpec.from_dict(inputs["job"], where=str(folder)), backend=str(kept["backend"]))
    if is_hardware(job.backend) and job.mitigated:
        how = f"mitigation {job.mitigation}" if job.mitigation else f"resilience {job.resilience or 1}"
        raise ArgumentError(
            f"Run {str(folder)!r} must be without error mitigation (`--resilience 0`) {why}, but ran with "
            f"{how}."
        )
    return kept, job, inputs
