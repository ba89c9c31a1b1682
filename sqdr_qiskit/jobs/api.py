"""A training, and a trained network, from Python: what the command line does, without its printing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.folders import job_of_run
from sqdr_qiskit.jobs.hardware import Hardware, has_ledger
from sqdr_qiskit.jobs.inference import InferredRun, carry_out_inference
from sqdr_qiskit.jobs.settings import choose_checkpoint, data_in_memory
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.model.network import SQDRCNN, restore
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.state import TrainingProgress

__all__ = ["infer", "load_network", "train"]


def train(
    dataset: Any = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[TrainingProgress], None] | None = None,
    **options: Any,
) -> TrainedRun:
    """Train a network as `sqdr-qiskit train` does, and look at the test images once, with the best weights.

    Args:
        dataset: Name or path of a data set (docs/data.md); or `DataSplits`, a torch data set of (image,
            label) items, or a pair (images, labels) of arrays, split as `data.as_splits` does; None is
            `digits`, scikit-learn's 1,797 real handwritten digits.
        folder: The run's folder, new or empty; None makes `runs/<time>-<circuit>-<dataset>`.
        resume: Go on with the run in `folder`, as it was started; it ends with the weights that it would have
            had undisturbed, to the bit. Data in memory are given again.
        progress: Called after every step.
        options: Any key of a job file's table `job` but `task`: `circuit`, `backend`, `noise`, `recipe`,
            `epochs`, `learning_rate`, `seed`, ... (docs/files.md).

    Returns:
        The finished run: `folder` with its files, `metrics` (history, best row, test results), `class_names`.

    Raises:
        InputError: If an option is unknown or cannot be; nothing was started.
        TrainingError: If loss or weights stop being finite numbers.
        StorageError: If a file cannot be written.
    """
    named = dataset is None or isinstance(dataset, str | os.PathLike)
    if resume:
        if folder is None or options or (named and dataset is not None):
            raise ArgumentError(
                "Argument `resume` must come with `folder` alone (a run goes on as it was started)."
            )
        job = job_of_run(folder)
    else:
        given = {"task": "train", **options}
        if dataset is not None:
            given["dataset"] = os.fspath(dataset) if named else getattr(dataset, "name", "own")
        job = JobSpec.from_dict(given, where="train")
    data = None if named else data_in_memory(dataset, job)
    with _hardware(job) as hardware:
        return carry_out_training(
            job, data=data, folder=folder, resume=resume, hardware=hardware, progress=progress
        )


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
    with _hardware(job) as hardware:
        return carry_out_inference(
            job, chosen, folder=folder, resume=resume, hardware=hardware, progress=progress
        )


def load_network(
    checkpoint: str | os.PathLike[str],
    *,
    backend: str = "exact",
    gradient: str | None = None,
    **options: Any,
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
    return restore(found.checkpoint, source, gradient=gradient, where=found.path.name)


@contextmanager
def _hardware(job: JobSpec) -> Iterator[Hardware | None]:
    """What a quantum computer needs of a run, closed at its end; None where the job needs nothing."""
    if not has_ledger(job):
        yield None
        return
    with Hardware() as hardware:
        yield hardware
