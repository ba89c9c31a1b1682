"""How a checkpoint does on held-out images, and under noise of growing strength; what its circuit gave.

The expectation values that a run got from where it ran are kept in its folder, and held against the exact
engine's (`agreement`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sqdr_qiskit import records
from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.folders import RunFolder
from sqdr_qiskit.jobs.hardware import rehearsal_facts
from sqdr_qiskit.jobs.settings import Chosen, backend_of, contents, fitting_data, settled
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.records import EVALUATION, EXPECTATIONS, SWEEP
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.noise import single_channel_noise
from sqdr_qiskit.training.metrics import Metrics, evaluate

__all__ = [
    "agreement",
    "carry_out_evaluation",
    "carry_out_sweep",
    "CircuitValues",
    "evaluate_checkpoint",
    "Evaluation",
    "keep_expectations",
    "MOST_KEPT",
    "NoiseSweep",
    "NOISY_BACKENDS",
    "read_expectations",
    "recorded",
    "SweepPoint",
    "SWEPT",
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
        images: What the images are called.
        truths: Names of their classes.
        values: What went through the circuit.
    """

    metrics: Metrics
    exact: Metrics | None
    dataset: str
    class_names: tuple[str, ...]
    images: tuple[str, ...]
    truths: tuple[str, ...]
    values: CircuitValues


def evaluate_checkpoint(
    chosen: Chosen,
    job: JobSpec,
    *,
    backend: Backend | None = None,
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on the test images of the job's data set, on the job's backend and on exact.

    Args:
        chosen: The checkpoint.
        job: Its `dataset`, `data_dir`, `limit` (test images at most), `seed`, `backend` with its options,
            `device`.
        backend: The job's backend, if it is made already.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        CheckpointError: If the checkpoint does not fit the data.
        InputError: If something else in the job cannot be.
    """
    job = settled(job, chosen)
    backend = backend or backend_of(job)
    data = fitting_data(chosen, job, download_progress)
    model = chosen.network(backend).to(job.device)
    with recorded(model) as values:
        found = evaluate(model, data.test.images, data.test.labels, device=job.device, progress=progress)
    exact = None
    if backend.name != "exact":
        ideal = chosen.network().to(job.device)
        exact = evaluate(ideal, data.test.images, data.test.labels, device=job.device)
    names = data.class_names
    truths = tuple(names[label] for label in data.test.labels)
    return Evaluation(found, exact, data.name, names, tuple(data.test.names), truths, values)


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


def carry_out_evaluation(
    chosen: Chosen,
    job: JobSpec,
    *,
    folder: str | os.PathLike[str],
    command: Sequence[str] = (),
    progress: Progress | None = None,
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
    backend = backend_of(job)  # judged before the folder is made
    inputs = {"checkpoint_sha256": records.digest_file(chosen.path)}
    with run.opened(inputs, contents(job, chosen), keep=False) as path:
        found = evaluate_checkpoint(
            chosen, job, backend=backend, progress=progress, download_progress=download_progress
        )
        keep_expectations(path, found.values, backend, images=found.images, truths=found.truths)
        values = {
            "schema": 1,
            "dataset": found.dataset,
            "class_names": list(found.class_names),
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
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> tuple[NoiseSweep, Path]:
    """Evaluate a checkpoint under each channel at each strength, after every gate, and keep the points.

    Args:
        chosen: The checkpoint.
        job: Its data set, `limit`, `seed`, `device`, `shots` and `backend`, one of `NOISY_BACKENDS`.
        strengths: Probabilities, in [0, 1].
        channels: Names, of `specs.channels.SWEEPABLE`.
        folder: The run's folder, new or empty; None makes `runs/<time>-sweep-<circuit>-<dataset>`.
        command: The words typed, for the record.
        progress: Called with the number of points done.
        download_progress: Called while data are downloaded.

    Returns:
        The sweep and its folder.

    Raises:
        ArgumentError: The backend has no noise models, a channel or strength is none, or the folder has
            something in it.
        SqdrError: Something else in the job cannot be; the folder is then gone again.
    """
    job = settled(job, chosen)
    run = RunFolder(job, folder, command=command)
    inputs = {"checkpoint_sha256": records.digest_file(chosen.path)}
    if job.backend not in NOISY_BACKENDS:
        raise ArgumentError(
            f"Argument `backend` must be one of {', '.join(NOISY_BACKENDS)} in a noise sweep, but is "
            f"{job.backend!r}."
        )
    noises = [(channel, p, single_channel_noise(channel, p)) for channel in channels for p in strengths]
    parts = ("sweep", chosen.checkpoint.settings.circuit.name, job.dataset)
    with run.opened(inputs, contents(job, chosen), *parts, keep=False) as path:
        data = fitting_data(chosen, job, download_progress)

        def measured(backend_name: str, **options: Any) -> tuple[float, float]:
            model = chosen.network(make_backend(backend_name, **options)).to(job.device)
            found = evaluate(model, data.test.images, data.test.labels, device=job.device)
            return found.accuracy, found.loss

        noiseless = measured("exact")
        points = []
        for done, (channel, strength, noise) in enumerate(noises, 1):
            # noise of strength 0 is refused as no noise at all, and is the noiseless network
            found = noiseless
            if strength:
                found = measured(job.backend, noise=noise, shots=job.shots, seed=job.seed)
            points.append(SweepPoint(channel, strength, *found))
            if progress is not None:
                progress(done)
        sweep = NoiseSweep(tuple(points), noiseless[0], data.name, len(data.test), len(data.class_names))
        values = {
            "schema": 1,
            "dataset": sweep.dataset,
            "backend": job.backend,
            "n_images": sweep.n_images,
            "noiseless": sweep.noiseless,
            "chance": 1.0 / sweep.n_classes,
            "points": [asdict(point) for point in sweep.points],
        }
        records.write_json(path / SWEEP, values)
        run.finish({"noiseless_accuracy": sweep.noiseless, "points": len(sweep.points)}, files=(SWEEP,))
    return sweep, path


# ---- expectation values ------------------------------------------------------------------------------------

MOST_KEPT = 1000  # samples that are kept of a run


@dataclass(eq=False)
class CircuitValues:
    """What went through a circuit.

    Attributes:
        angles: Of the samples so far, radians; tensors of shape (batch, n_features).
        expectations: What came out; tensors of shape (batch, n_outputs).
    """

    angles: list[torch.Tensor] = field(default_factory=list)
    expectations: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def recorded(model: SQDRCNN) -> Iterator[CircuitValues]:
    """While the context lasts, note what goes through the network's circuit and what comes out."""
    values = CircuitValues()

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        values.angles.append(inputs[0].detach().cpu())
        values.expectations.append(output.detach().cpu())

    handle = model.quantum.register_forward_hook(note)
    try:
        yield values
    finally:
        handle.remove()


def keep_expectations(
    folder: str | os.PathLike[str],
    values: CircuitValues,
    backend: Backend,
    *,
    images: Sequence[str],
    truths: Sequence[str] | None,
) -> Path | None:
    """Write the first `MOST_KEPT` samples' angles and expectations into a run's folder.

    Args:
        folder: The folder.
        values: What was noted, of the images in order.
        backend: Where the expectations come from; of backend exact none are kept, they can be had again.
        images: What each image is called.
        truths: Name of each one's class, where it is known.

    Returns:
        The file, None if none was needed.
    """
    if backend.name == "exact":
        return None
    angles, expectations = torch.cat(values.angles)[:MOST_KEPT], torch.cat(values.expectations)[:MOST_KEPT]
    kept = {
        "schema": 1,
        "backend": backend.name,
        "shots": backend.shots,
        "images": list(images[:MOST_KEPT]),
        "truths": None if truths is None else list(truths[:MOST_KEPT]),
        "angles": angles,
        "expectations": expectations,
    }
    return records.write_json(Path(folder) / EXPECTATIONS, kept)


def read_expectations(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `keep_expectations` wrote; None if there is nothing.

    Raises:
        CheckpointError: If the file is damaged.
    """
    path = Path(folder) / EXPECTATIONS
    if not path.is_file():
        return None
    values = records.read_json(path, "record of expectation values")
    with records.intact(path, "record of expectation values"):
        angles, expectations = (np.asarray(values[key], dtype=float) for key in ("angles", "expectations"))
        n_samples = len(values["images"])
        whole = angles.ndim == expectations.ndim == 2 and len(angles) == len(expectations) == n_samples > 0
        whole = whole and bool(np.isfinite(angles).all() and np.isfinite(expectations).all())
        truths = values.get("truths")
        whole = whole and (truths is None or len(truths) == n_samples) and isinstance(values["backend"], str)
        if not whole:
            raise ValueError
    return values


def agreement(kept: Mapping[str, Any], model: SQDRCNN, class_names: Sequence[str]) -> dict[str, Any]:
    """How far a run's expectation values are from exact ones, and what that does to its answers.

    With z_ran and z of all samples and outputs: `mean_error` = mean |z_ran - z|, `rms_error` = the root of
    the mean square, `sampling_error` = sqrt(mean (1 - z_ran^2) / shots), which shots alone would give (None
    without shots), and `slope` = sum z z_ran / sum z^2, how much of the signal is left.

    Args:
        kept: What `read_expectations` gave.
        model: The network, its circuit on backend exact.
        class_names: One per class.

    Returns:
        Those figures; `per_output`, each output's mean error; `ran` and `exact`, the expectation values, rows
        of n_outputs; `labels` and `exact_labels`, the classes they lead to; how many of these `agree`; with
        `truths` known, how many are `right` and `exact_right`; `images`, `truths`, `backend`, `shots`.

    Raises:
        CheckpointError: If the values do not fit the network.
    """
    angles = torch.tensor(kept["angles"], dtype=torch.float32)
    ran = torch.tensor(kept["expectations"], dtype=torch.float32)
    with torch.no_grad():
        if angles.ndim != 2 or angles.shape[1] != model.encoder.n_features:
            raise CheckpointError(
                f"{EXPECTATIONS}: field `angles` must have rows of {model.encoder.n_features} angles, the "
                f"network's, but has shape {tuple(angles.shape)}."
            )
        exact = model.expectations(angles).float()
        if exact.shape != ran.shape:
            raise CheckpointError(
                f"{EXPECTATIONS}: field `expectations` must have shape {tuple(exact.shape)}, the network's, "
                f"but has {tuple(ran.shape)}."
            )
        chances = functional.softmax(model.read_out(ran), dim=1)
        exact_chances = functional.softmax(model.read_out(exact), dim=1)
    labels, exact_labels = ([class_names[i] for i in c.argmax(1)] for c in (chances, exact_chances))
    error = (ran - exact).double()
    shots, truths = kept.get("shots"), kept.get("truths")
    spread = float((1.0 - ran.double() ** 2).clamp(min=0.0).mean())
    return {
        "backend": kept["backend"],
        "shots": shots,
        "n_samples": len(ran),
        "images": list(kept["images"]),
        "truths": truths,
        "ran": ran.tolist(),
        "exact": exact.tolist(),
        "labels": labels,
        "exact_labels": exact_labels,
        "probabilities": chances.tolist(),
        "mean_error": float(error.abs().mean()),
        "rms_error": float((error**2).mean().sqrt()),
        "sampling_error": (spread / shots) ** 0.5 if shots else None,
        "slope": float((ran * exact).sum() / (exact**2).sum().clamp(min=1e-12)),
        "per_output": error.abs().mean(dim=0).tolist(),
        "agree": sum(a == b for a, b in zip(labels, exact_labels, strict=True)),
        "right": None if truths is None else sum(a == b for a, b in zip(labels, truths, strict=True)),
        "exact_right": (
            None if truths is None else sum(a == b for a, b in zip(exact_labels, truths, strict=True))
        ),
    }
