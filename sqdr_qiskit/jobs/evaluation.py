"""Evaluation of a checkpoint: accuracy and confusion, or accuracy under noise of growing strength."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from sqdr_qiskit import records
from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.expectations import CircuitValues, keep_expectations, recorded
from sqdr_qiskit.jobs.folders import RunFolder
from sqdr_qiskit.jobs.hardware import rehearsal_facts
from sqdr_qiskit.jobs.settings import Chosen, backend_of, contents, fitting_data, settled
from sqdr_qiskit.model.checkpoint import restore
from sqdr_qiskit.records import EVALUATION, SWEEP
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.noise import single_channel_noise
from sqdr_qiskit.training.metrics import Metrics, evaluate

__all__ = [
    "NOISY_BACKENDS",
    "SWEPT",
    "Evaluation",
    "NoiseSweep",
    "SweepPoint",
    "carry_out_evaluation",
    "carry_out_sweep",
    "evaluate_checkpoint",
    "sweep_noise",
]

NOISY_BACKENDS = ("exact_noisy", "aer_noisy")
SWEPT = ("bit_flip", "depolarizing", "amplitude_damping")
"""Channels that are swept where none are named: those of the paper."""

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a checkpoint does on held-out images.

    Attributes:
        metrics: Loss and confusion.
        exact: The same on backend exact; None if that is the backend.
        dataset: The data set's name.
        class_names: One per class.
        labels: The images' classes, in order.
        images: What the images are called.
    """

    metrics: Metrics
    exact: Metrics | None
    dataset: str
    class_names: tuple[str, ...]
    labels: tuple[int, ...] = ()
    images: tuple[str, ...] = ()


def evaluate_checkpoint(
    chosen: Chosen,
    job: JobSpec,
    *,
    backend: Backend | None = None,
    values: CircuitValues | None = None,
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on the test images of the job's data set, on the job's backend and on exact.

    Args:
        chosen: The checkpoint.
        job: Its `dataset`, `data_dir`, `limit` (test images at most), `seed`, `backend` with its options,
            `device`.
        backend: The job's backend, if it is made already.
        values: Takes what goes through the circuit on the job's backend.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        CheckpointError: If the checkpoint does not fit the data.
        InputError: If something else in the job cannot be.
    """
    job = settled(job, chosen)
    backend = backend or backend_of(job)
    data = fitting_data(chosen, job, download_progress)
    model = restore(chosen.checkpoint, backend, where=chosen.path.name).to(job.device)
    with nullcontext() if values is None else recorded(model, values):
        found = evaluate(model, data.test.images, data.test.labels, device=job.device, progress=progress)
    exact = None
    if backend.name != "exact":
        ideal = restore(chosen.checkpoint, make_backend("exact"), where=chosen.path.name).to(job.device)
        exact = evaluate(ideal, data.test.images, data.test.labels, device=job.device)
    labels = tuple(int(label) for label in data.test.labels)
    return Evaluation(found, exact, data.name, data.class_names, labels, tuple(data.test.names))


@dataclass(frozen=True)
class SweepPoint:
    """Accuracy and loss on the test images with `channel` of `strength` after every gate."""

    channel: str
    strength: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class NoiseSweep:
    """The points, and what they were measured on."""

    points: tuple[SweepPoint, ...]
    noiseless: float
    dataset: str
    n_images: int
    n_classes: int


def sweep_noise(
    chosen: Chosen,
    job: JobSpec,
    strengths: Sequence[float],
    channels: Sequence[str],
    *,
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> NoiseSweep:
    """Evaluate a checkpoint under each channel at each strength, after every gate.

    Args:
        chosen: The checkpoint.
        job: Its data set, `limit`, `seed`, `device`, `shots` and `backend`, one of `NOISY_BACKENDS`.
        strengths: Probabilities, in [0, 1].
        channels: Names, of `specs.channels.SWEEPABLE`.
        progress: Called with the number of points done.
        download_progress: Called while data are downloaded.

    Raises:
        ArgumentError: If the backend has no noise models, or a channel or strength is none.
        InputError: If something else in the job cannot be.
    """
    if job.backend not in NOISY_BACKENDS:
        raise ArgumentError(
            f"Argument `backend` must be one of {', '.join(NOISY_BACKENDS)} in a noise sweep, but is "
            f"{job.backend!r}."
        )
    job = settled(job, chosen)
    noises = [(channel, p, single_channel_noise(channel, p)) for channel in channels for p in strengths]
    data = fitting_data(chosen, job, download_progress)

    def measured(backend_name: str, **options: object) -> tuple[float, float]:
        backend = make_backend(backend_name, **options)  # type: ignore[arg-type]
        model = restore(chosen.checkpoint, backend, where=chosen.path.name).to(job.device)
        found = evaluate(model, data.test.images, data.test.labels, device=job.device)
        return found.accuracy, found.loss

    noiseless, loss = measured("exact")
    points = []
    for done, (channel, strength, noise) in enumerate(noises):
        # noise of strength 0 is refused as no noise at all, and is the noiseless network
        accuracy, loss_here = (
            measured(job.backend, noise=noise, shots=job.shots, seed=job.seed)
            if strength
            else (noiseless, loss)
        )
        points.append(SweepPoint(channel, strength, accuracy, loss_here))
        if progress is not None:
            progress(done + 1)
    return NoiseSweep(tuple(points), noiseless, data.name, len(data.test), len(data.class_names))


def carry_out_evaluation(
    chosen: Chosen,
    job: JobSpec,
    *,
    folder: str | os.PathLike[str],
    command: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> Evaluation:
    """Evaluate a checkpoint and keep what is found.

    Args:
        chosen: The checkpoint.
        job: As in `evaluate_checkpoint`.
        folder: The run's folder, new or empty.
        command: The words typed, for the record.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        ArgumentError: If the folder has something in it.
        SqdrError: As in `evaluate_checkpoint`; the folder is then gone again.
    """
    job = settled(job, chosen)
    run = RunFolder(job, folder, command=command)
    backend = backend_of(job)
    inputs = {"checkpoint_sha256": records.digest_file(chosen.path)}
    with run.opened(inputs, contents(job, chosen), keep=False) as path:
        kept = CircuitValues()
        found = evaluate_checkpoint(
            chosen,
            job,
            backend=backend,
            values=kept,
            progress=progress,
            download_progress=download_progress,
        )
        names = found.class_names
        keep_expectations(path, kept, backend, images=found.images, truths=[names[i] for i in found.labels])
        values = {
            "schema": 1,
            "dataset": found.dataset,
            "class_names": list(names),
            "test": found.metrics.to_dict(),
            "exact": None if found.exact is None else found.exact.to_dict(),
        }
        records.write_json(path / EVALUATION, values)
        run.finish({"accuracy": found.metrics.accuracy, **rehearsal_facts(backend)}, files=(EVALUATION,))
    return found


def carry_out_sweep(
    chosen: Chosen,
    job: JobSpec,
    strengths: Sequence[float],
    channels: Sequence[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    command: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> tuple[NoiseSweep, Path]:
    """Evaluate a checkpoint under noise of growing strength and keep the points.

    Args:
        chosen: The checkpoint.
        job: As in `sweep_noise`, like the next two.
        strengths: Probabilities, in [0, 1].
        channels: Names.
        folder: The run's folder, new or empty; None makes `runs/<time>-sweep-<circuit>-<dataset>`.
        command: The words typed, for the record.
        progress: Called with the number of points done.
        download_progress: Called while data are downloaded.

    Returns:
        The sweep and its folder.

    Raises:
        ArgumentError: If the folder has something in it.
        SqdrError: As in `sweep_noise`; the folder is then gone again.
    """
    job = settled(job, chosen)
    run = RunFolder(job, folder, command=command)
    inputs = {"checkpoint_sha256": records.digest_file(chosen.path)}
    if job.backend not in NOISY_BACKENDS:  # judged before anything is made
        raise ArgumentError(
            f"Argument `backend` must be one of {', '.join(NOISY_BACKENDS)} in a noise sweep, but is "
            f"{job.backend!r}."
        )
    for channel in channels:
        single_channel_noise(channel, 0.5)
    parts = ("sweep", chosen.checkpoint.settings.circuit.name, job.dataset)
    with run.opened(inputs, contents(job, chosen), *parts, keep=False) as path:
        found = sweep_noise(
            chosen, job, strengths, channels, progress=progress, download_progress=download_progress
        )
        values = {
            "schema": 1,
            "dataset": found.dataset,
            "backend": job.backend,
            "n_images": found.n_images,
            "noiseless": found.noiseless,
            "chance": 1.0 / found.n_classes,
            "points": [asdict(point) for point in found.points],
        }
        records.write_json(path / SWEEP, values)
        run.finish({"noiseless_accuracy": found.noiseless, "points": len(found.points)}, files=(SWEEP,))
    return found, path
