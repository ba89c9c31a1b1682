"""A trained network put to use: evaluated on labelled images, or asked what pictures show."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.data import DATASETS, DataSplits, ImageSet, load_dataset
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.data.images import read_image
from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.jobs.checkpoints import Chosen
from sqdr_qiskit.jobs.expectations import Seen, watched
from sqdr_qiskit.jobs.settings import backend_of, limited
from sqdr_qiskit.model.checkpoint import require_fit, restore
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.metrics import Metrics, class_probabilities, evaluate

__all__ = [
    "A_FEW",
    "Answer",
    "Evaluation",
    "evaluate_checkpoint",
    "fitting_data",
    "infer_dataset",
    "infer_files",
    "read_pictures",
    "settled",
]

A_FEW = 10  # held-out images that are shown where none are named

Progress = Callable[[int], None]


def _nothing() -> None:
    """Nothing."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a checkpoint does on held-out images.

    Attributes:
        metrics: Loss and confusion.
        exact: The same on backend exact; None if that is the backend.
        dataset: The data set's name.
        class_names: One per class.
        labels: The images' classes, in order.
    """

    metrics: Metrics
    exact: Metrics | None
    dataset: str
    class_names: tuple[str, ...]
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a network says of one image.

    Attributes:
        image: The file's path as given, or `<data set>[<index>]`.
        label: Name of the likeliest class.
        probability: Its probability.
        probabilities: Of every class, by name.
        truth: Name of the true class where it is known.
    """

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    truth: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "image": self.image,
            "class": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
            **({"truth": self.truth} if self.truth is not None else {}),
        }


def settled(job: JobSpec, chosen: Chosen) -> JobSpec:
    """The job with what it leaves to its checkpoint: its path, its data set, and `A_FEW` of its images."""
    job = replace(job, checkpoint=os.fspath(chosen.path))
    if job.input:
        return job
    few = job.task == "infer" and not job.dataset and job.limit is None
    return replace(
        job,
        dataset=job.dataset or str(chosen.checkpoint.dataset.get("name", "digits")),
        limit=A_FEW if few else job.limit,
    )


def evaluate_checkpoint(
    chosen: Chosen,
    job: JobSpec,
    *,
    backend: Backend | None = None,
    seen: Seen | None = None,
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on the test images of the job's data set, on the job's backend and on exact.

    Args:
        chosen: The checkpoint.
        job: Its `dataset`, `data_dir`, `limit` (test images at most), `seed`, `backend` with its options,
            `device`.
        backend: The job's backend, if it is made already.
        seen: Notes what the job's backend gives.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        CheckpointError: If the checkpoint does not fit the data.
        InputError: If something else in the job cannot be.
    """
    backend = backend or backend_of(job)
    data = fitting_data(chosen, job, download_progress)
    model = restore(chosen.checkpoint, backend, where=chosen.path.name).to(job.device)
    with _watching(model, seen):
        found = evaluate(model, data.test.images, data.test.labels, device=job.device, progress=progress)
    exact = None
    if backend.name != "exact":
        ideal = restore(chosen.checkpoint, make_backend("exact"), where=chosen.path.name).to(job.device)
        exact = evaluate(ideal, data.test.images, data.test.labels, device=job.device)
    labels = tuple(int(label) for label in data.test.labels)
    return Evaluation(found, exact, data.name, data.class_names, labels)


def infer_dataset(
    chosen: Chosen,
    job: JobSpec,
    *,
    backend: Backend | None = None,
    ready: Callable[[], None] = _nothing,
    seen: Seen | None = None,
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> list[Answer]:
    """Classify test images of the job's data set, `limit` of them (all without one), class-balanced.

    Args:
        chosen: The checkpoint.
        job: Its data set, `limit`, `seed`, `device`, and the backend with its options.
        backend: The job's backend, if it is made already.
        ready: Called when all inputs are known to be good, before anything is computed.
        seen: Notes what the backend gives.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.
    """
    backend = backend or backend_of(job)
    data = fitting_data(chosen, job, download_progress)
    model = restore(chosen.checkpoint, backend, where=chosen.path.name).to(job.device)
    titles = [f"{data.name}[{number}]" for number in range(len(data.test))]
    truths = [data.class_names[label] for label in data.test.labels]
    ready()
    with _watching(model, seen):
        return _answers(model, data.test.images, titles, data.class_names, job.device, truths, progress)


def infer_files(
    chosen: Chosen,
    files: Sequence[str],
    job: JobSpec,
    *,
    backend: Backend | None = None,
    ready: Callable[[], None] = _nothing,
    seen: Seen | None = None,
    progress: Progress | None = None,
) -> list[Answer]:
    """Classify pictures of any size and mode, laid out like the checkpoint's training images.

    Args:
        chosen: The checkpoint.
        files: The pictures.
        job: Its `device`, and the backend with its options.
        backend: The job's backend, if it is made already.
        ready: Called when all inputs are known to be good, before anything is computed.
        seen: Notes what the backend gives.
        progress: Called with the number of images done.

    Raises:
        DataError: If a picture cannot be read.
        CheckpointError: If the checkpoint does not say how its images were laid out.
    """
    backend = backend or backend_of(job)
    images, names = read_pictures(chosen, files)
    model = restore(chosen.checkpoint, backend, where=chosen.path.name).to(job.device)
    ready()
    with _watching(model, seen):
        return _answers(model, images, list(files), names, job.device, None, progress)


def read_pictures(chosen: Chosen, files: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Pictures laid out like a checkpoint's training images: uint8 of shape (N, C, H, W); class names.

    Raises:
        DataError: If a picture cannot be read.
        CheckpointError: If the checkpoint does not say how its images were laid out.
    """
    facts = chosen.checkpoint.dataset
    try:
        names = tuple(str(name) for name in facts["class_names"])
        height, width = facts["size"]
        style = facts["style"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{chosen.path.name}: field `dataset` must name classes, size and style of the images, but "
            f"does not."
        ) from error
    channels = chosen.checkpoint.settings.in_channels
    images = np.stack(
        [read_image(Path(file), channels=channels, size=(height, width), style=style) for file in files]
    )
    return images, names


def fitting_data(chosen: Chosen, job: JobSpec, progress: DownloadProgress | None) -> DataSplits:
    """The job's data, if the checkpoint can take them; of the test images as many as the job wants."""
    if job.dataset in DATASETS:
        entry = DATASETS[job.dataset]
        require_fit(
            chosen.checkpoint,
            where=f"{chosen.path.name} for data set {job.dataset}",
            in_channels=entry.n_channels,
            n_classes=len(entry.class_names),
        )
        known = chosen.checkpoint.dataset.get("size")
        if known is not None and tuple(known) != entry.size:
            raise CheckpointError(
                f"{chosen.path.name} for data set {job.dataset}: field `size` must be {list(entry.size)}, "
                f"but is {list(known)}."
            )
    data = load_dataset(job.dataset, data_dir=job.data_dir, seed=job.seed, progress=progress)
    test: ImageSet = limited(data.test, job.limit, seed=job.seed)
    return replace(data, test=test)


def _watching(model: SQDRCNN, seen: Seen | None) -> AbstractContextManager[object]:
    return nullcontext() if seen is None else watched(model, seen)


def _answers(
    model: SQDRCNN,
    images: np.ndarray,
    titles: Sequence[str],
    class_names: Sequence[str],
    device: str,
    truths: Sequence[str] | None,
    progress: Progress | None,
) -> list[Answer]:
    chances = class_probabilities(model, images, device=device, progress=progress)
    answers = []
    for number, row in enumerate(chances.tolist()):
        best = int(np.argmax(row))
        answers.append(
            Answer(
                image=titles[number],
                label=class_names[best],
                probability=row[best],
                probabilities=dict(zip(class_names, row, strict=True)),
                truth=None if truths is None else truths[number],
            )
        )
    return answers
