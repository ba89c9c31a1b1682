"""A trained network at work: loaded from Python, and asked what pictures show, with a folder or without."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sqdr_qiskit import records
from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.data import ImageSet
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.data.images import read_image
from sqdr_qiskit.errors import ArgumentError, CheckpointError, DataError
from sqdr_qiskit.jobs.evaluation import keep_expectations, recorded
from sqdr_qiskit.jobs.folders import RunFolder, job_of_run
from sqdr_qiskit.jobs.hardware import Hardware, hardware_for, rehearsal_facts
from sqdr_qiskit.jobs.settings import Chosen, backend_of, choose_checkpoint, contents, fitting_data, settled
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.records import RunRecord
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.metrics import class_probabilities

__all__ = [
    "ANSWERS",
    "Answer",
    "InferredRun",
    "carry_out_inference",
    "classify",
    "infer",
    "load_network",
    "read_pictures",
    "Samples",
    "samples_of",
]

ANSWERS = "answers.json"

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Answer:
    """What a network says of one image.

    Attributes:
        image: The file's path as given, or the image's name in its data set (`ImageSet.names`).
        label: Name of the likeliest class.
        probability: Its probability.
        probabilities: Of every class, by name.
        truth: Name of the true class where it is known.
        uncertain: Whether the probability is smaller than the job's `uncertain_below`.
    """

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    truth: str | None = None
    uncertain: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "image": self.image,
            "class": self.label,
            "probability": self.probability,
            "uncertain": self.uncertain,
            "probabilities": self.probabilities,
            **({"truth": self.truth} if self.truth is not None else {}),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class InferredRun:
    """A finished inference.

    Attributes:
        folder: Where its files are.
        record: What is in `run.json`.
        answers: One for each image.
    """

    folder: Path
    record: RunRecord
    answers: tuple[Answer, ...]


@dataclass(frozen=True, eq=False)
class Samples:
    """Images that a network looks at.

    Attributes:
        images: uint8 array of shape (N, C, H, W).
        titles: What each is called.
        class_names: One per class.
        truths: Name of each one's class; None where it is not known.
        what: What they are, in words: `test images`.
    """

    images: np.ndarray
    titles: tuple[str, ...]
    class_names: tuple[str, ...]
    truths: tuple[str, ...] | None
    what: str

    @classmethod
    def of(cls, images: ImageSet, class_names: Sequence[str], what: str) -> Samples:
        """Labelled images of a data set."""
        truths = tuple(class_names[label] for label in images.labels)
        return cls(images.images, tuple(images.names), tuple(class_names), truths, what)


def infer(
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> InferredRun:
    """Say what pictures show as `sqdr-qiskit infer` does, on a simulator or a quantum computer, and keep it.

    For arrays on a simulator `load_network` and `class_probabilities` are shorter, and make no folder.

    Args:
        checkpoint: A checkpoint file, a run's folder, or a shipped one's name; None takes your newest run.
        folder: The run's folder, new or empty; None makes `runs/<time>-infer-<backend>-<circuit>`.
        resume: Go on with the run in `folder`, as it was started: no job of its ledger is sent again.
        progress: Called with the number of images done.
        options: Any key of a job file's table `job` but `task`: `input` (paths of pictures), or `dataset` and
            `limit`; `backend`, `shots`, `layout`, `max_qpu_seconds`, ... (docs/files.md).

    Returns:
        The finished run: `folder` with its files, and `answers`, one for each image with `image`, `label`,
        `probability`, `probabilities` and, where it is known, `truth`.

    Raises:
        InputError: If an option is unknown or cannot be; nothing was sent.
        BackendError: If the device or its service failed; `resume` goes on.
    """
    if resume:
        if folder is None or checkpoint is not None or options:
            raise ArgumentError(
                "Argument `resume` must come with `folder` alone (a run goes on as it was started)."
            )
        job = job_of_run(folder)
        chosen = choose_checkpoint(job.checkpoint)
    else:
        job = JobSpec.from_dict({"task": "infer", **options}, where="infer")
        named = None if checkpoint is None else os.fspath(checkpoint)
        chosen = choose_checkpoint(named, dataset=job.dataset or None, pictures=bool(job.input))
    with hardware_for(job) as hardware:
        return carry_out_inference(
            job, chosen, folder=folder, resume=resume, hardware=hardware, progress=progress
        )


def load_network(
    checkpoint: str | os.PathLike[str], *, backend: str = "exact", gradient: str | None = None, **options: Any
) -> SQDRCNN:
    """A trained network, in evaluation mode: a torch module, images to logits.

    Args:
        checkpoint: A checkpoint file, a run's folder (its best checkpoint), or the name of a shipped one such
            as `mnist-2b-9q`.
        backend: Where its circuit runs, a name that `make_backend` takes.
        gradient: Where the circuit's gradients come from; None is the backend's own.
        options: The backend's: `noise`, `shots`, `seed`, `layout`, ... as `make_backend` takes them.

    Returns:
        The network. It takes images of shape (batch, C, H, W), uint8 or floating point in [0, 1], and gives
        float32 logits of shape (batch, classes).

    Raises:
        CheckpointError: If there is no such checkpoint, or it is damaged.
        ArgumentError: If there is no such backend, or an option has no effect there.
    """
    found = choose_checkpoint(os.fspath(checkpoint))
    source = make_backend(backend, **options)
    return found.network(source, gradient=gradient)


def classify(
    chosen: Chosen,
    job: JobSpec,
    *,
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> list[Answer]:
    """Classify pictures, or held-out images of a data set.

    Args:
        chosen: The checkpoint.
        job: Its `input`, pictures of any size and mode, laid out like the checkpoint's training images; or
            else its `dataset`, of whose test images `limit` are taken, class-balanced; `seed`, `device`, and
            the backend with its options (see `settings.settled`).
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        DataError: If a picture cannot be read.
        CheckpointError: If the checkpoint does not fit the data or does not say how its images lay.
        InputError: If something else in the job cannot be.
    """
    job = settled(job, chosen)
    backend = backend_of(job)
    samples = samples_of(chosen, job, download_progress)
    model = chosen.network(backend).to(job.device)
    return _answers(model, samples, job, None, progress)


def carry_out_inference(
    job: JobSpec,
    chosen: Chosen,
    *,
    hardware: Hardware | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    command: Sequence[str] = (),
    notice: Callable[[str], None] | None = None,
    started: Callable[[Path], None] | None = None,
    progress: Progress | None = None,
    download_progress: DownloadProgress | None = None,
) -> InferredRun:
    """Classify as `infer` does, and keep the answers.

    Nothing is made before the inputs are known to be good, and nothing is sent before the folder with its
    record and its ledger is there.

    Args:
        job: The job, of task `infer`.
        chosen: The checkpoint.
        hardware: Ledger and watcher, if the job has a ledger (`jobs.hardware.has_ledger`).
        folder: The run's folder; None makes `runs/<time>-infer-<backend>-<circuit>`.
        resume: Go on in `folder`: what its ledger knows is not sent again.
        command: The words typed, for the record.
        notice: Told what is not as it was when the run is taken up again.
        started: Called with the folder before anything is sent.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        InputError: If something in the job cannot be, or is not what the run was started with.
        BackendError: If the device failed.
        Detached: If the user left.
    """
    job = settled(job, chosen)
    ledger = None if hardware is None else hardware.open
    run = RunFolder(job, folder, resume=resume, command=command, notice=notice, ledger=ledger)
    backend = backend_of(job, hardware)
    samples = samples_of(chosen, job, download_progress)
    model = chosen.network(backend).to(job.device)
    inputs = {
        "files": list(job.input or ()),
        "checkpoint_sha256": records.digest_file(chosen.path),
        "device": backend.name,
    }
    defining = {**contents(job, chosen), "images": samples.images.tobytes()}
    parts = ("infer", backend.name, chosen.checkpoint.settings.circuit.name)
    with run.opened(inputs, defining, *parts, keep=hardware is not None) as path:
        if started is not None:
            started(path)
        with recorded(model) as values:
            answers = _answers(model, samples, job, hardware, progress)
        listed = [answer.to_dict() for answer in answers]
        records.write_json(path / ANSWERS, {"schema": 1, "answers": listed})
        keep_expectations(path, values, backend, images=samples.titles, truths=samples.truths)
        known = samples.truths is not None
        right = sum(answer.truth == answer.label for answer in answers) if known else None
        facts = rehearsal_facts(backend) if hardware is None else hardware.facts()
        record = run.finish({"images": len(answers), "right": right, **facts}, files=(ANSWERS,))
    return InferredRun(folder=path, record=record, answers=tuple(answers))


def samples_of(chosen: Chosen, job: JobSpec, progress: DownloadProgress | None) -> Samples:
    """The images that an inference or an evaluation is about.

    Raises:
        DataError: The data cannot be had.
        CheckpointError: The checkpoint does not fit them.
    """
    if job.input:
        images, files, names = read_pictures(chosen, job.input, skip_damaged=job.skip_damaged)
        return Samples(images, files, names, None, "pictures")
    data = fitting_data(chosen, job, progress)
    return Samples.of(data.test, data.class_names, "test images")


def read_pictures(
    chosen: Chosen, files: Sequence[str], *, skip_damaged: bool = False
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Pictures laid out like a checkpoint's training images.

    Returns:
        uint8 array of shape (N, C, H, W), the N files, the checkpoint's class names.

    Raises:
        DataError: If a picture cannot be read; with `skip_damaged`, if none can.
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
    images, kept = [], []
    for file in files:
        try:
            images.append(read_image(Path(file), channels=channels, size=(height, width), style=style))
        except DataError:
            if not skip_damaged or (file == files[-1] and not images):
                raise
        else:
            kept.append(file)
    return np.stack(images), tuple(kept), names


def _answers(
    model: SQDRCNN, samples: Samples, job: JobSpec, hardware: Hardware | None, progress: Progress | None
) -> list[Answer]:
    before = None if hardware is None else hardware.about(samples.titles)
    chances = class_probabilities(model, samples.images, device=job.device, progress=progress, before=before)
    truths = samples.truths or (None,) * len(samples.titles)
    answers = []
    for title, truth, row in zip(samples.titles, truths, chances.tolist(), strict=True):
        best = int(np.argmax(row))
        answers.append(
            Answer(
                image=title,
                label=samples.class_names[best],
                probability=row[best],
                probabilities=dict(zip(samples.class_names, row, strict=True)),
                truth=truth,
                uncertain=row[best] < job.uncertain_below,
            )
        )
    return answers
