"""A training, and a trained network, from Python: what the command line does, without its printing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.folders import choose_checkpoint, job_of_run
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.model.checkpoint import restore
from sqdr_qiskit.model.network import SQDRCNN
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.outcome import TrainingProgress

__all__ = ["load_network", "train"]


def train(
    dataset: str | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[TrainingProgress], None] | None = None,
    **options: Any,
) -> TrainedRun:
    """Train a network as `sqdr-qiskit train` does, and look at the test images once, with the best weights.

    Args:
        dataset: Name of a data set; None is `digits`, scikit-learn's 1,797 real handwritten digits.
        folder: The run's folder, new or empty; None makes `runs/<time>-<circuit>-<dataset>`.
        resume: Go on with the run in `folder`, as it was started; it ends with the weights that it would have
            had undisturbed, to the bit.
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
    if resume:
        if folder is None or dataset is not None or options:
            raise ArgumentError(
                "Argument `resume` must come with `folder` alone (a run goes on as it was started)."
            )
        return carry_out_training(job_of_run(folder), folder=folder, resume=True, progress=progress)
    given = {"task": "train", **options, **({} if dataset is None else {"dataset": dataset})}
    return carry_out_training(JobSpec.from_dict(given, where="train"), folder=folder, progress=progress)


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
