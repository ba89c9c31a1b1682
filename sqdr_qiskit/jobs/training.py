"""A training job carried out: a folder with its record, checkpoints and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from sqdr_qiskit import records
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.checkpoints import choose_checkpoint
from sqdr_qiskit.jobs.epoch_facts import EpochFacts
from sqdr_qiskit.jobs.expectations import keep_expectations, watched
from sqdr_qiskit.jobs.folders import RECORD, make_folder, read_record
from sqdr_qiskit.jobs.hardware import Hardware, rehearsal_facts
from sqdr_qiskit.jobs.settings import (
    backend_of,
    data_of,
    dataset_facts,
    gradient_options_of,
    model_settings_of,
    recipe_of,
)
from sqdr_qiskit.jobs.steps import fitted_to_steps
from sqdr_qiskit.model.checkpoint import load_weights
from sqdr_qiskit.model.network import build_model, count_parameters
from sqdr_qiskit.records import RunRecord
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.checks import check_run
from sqdr_qiskit.training.loop import train
from sqdr_qiskit.training.metrics import evaluate
from sqdr_qiskit.training.outcome import BEST, LAST, METRICS, TrainingProgress

__all__ = ["TrainedRun", "carry_out_training", "job_of_run"]


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedRun:
    """A finished training job.

    Attributes:
        folder: Where its files are.
        record: What is in `run.json`.
        metrics: What is in `metrics.json`: history, best row, test results.
        class_names: One per class.
    """

    folder: Path
    record: RunRecord
    metrics: Mapping[str, Any]
    class_names: tuple[str, ...]


def job_of_run(folder: str | os.PathLike[str]) -> JobSpec:
    """The job of a run that was started before.

    Raises:
        CheckpointError: If the folder holds no run.
        SpecError: If its record is damaged.
    """
    job = read_record(folder).get("inputs", {}).get("job", {})
    return JobSpec.from_dict(job, where=RECORD)


def carry_out_training(
    job: JobSpec,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    command: Sequence[str] = (),
    checkpoint_every_s: float = 60.0,
    hardware: Hardware | None = None,
    started: Callable[[Path, Mapping[str, Any]], None] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> TrainedRun:
    """Train as a job says, then look at the test images once, with the best checkpoint by validation.

    Nothing is made before the job's inputs are known to be good.

    Args:
        job: The job, of task `train`.
        folder: The run's folder; None makes `runs/<time>-<circuit>-<dataset>`.
        resume: Go on in `folder` with the run that is there.
        command: The words typed, for the record.
        checkpoint_every_s: Seconds between two states within an epoch; on a quantum computer each step.
        hardware: What a quantum computer needs, if the job's backend is one.
        started: Called with the folder and the run's inputs before training starts.
        progress: Called after every step.
        download_progress: Called while data are downloaded.

    Raises:
        InputError: If something in the job cannot be.
        TrainingError: If loss or weights stop being finite numbers.
        StorageError: If a file cannot be written.
    """
    if job.task != "train":
        raise ArgumentError(f"Argument `job` must have task train, but has {job.task}.")
    begun = perf_counter()
    path = Path(folder or ".")
    if resume:
        read_record(path)
        if hardware is not None:
            hardware.open(path)
    recipe = recipe_of(job)
    start = None if job.checkpoint is None else choose_checkpoint(job.checkpoint)
    backend = backend_of(job, hardware)
    data = data_of(job, progress=download_progress)
    if job.steps is None:
        recipe = recipe.fitted(len(data.train))
    else:
        data, epochs = fitted_to_steps(data, job.steps, batch_size=recipe.batch_size, seed=job.seed)
        recipe = recipe.changed(epochs=epochs)
    if start is None:
        settings = model_settings_of(job, recipe, data)
    else:
        settings = start.checkpoint.settings
        recipe = recipe.changed(angle_scale=settings.angle_scale)
    check_run(settings, data, recipe, device=job.device)
    model = build_model(
        settings,
        backend,
        gradient=job.gradient,
        gradient_options=gradient_options_of(job),
        input_gradients=job.freeze is None,
    )
    inputs = {
        "job": job.to_dict(),
        "recipe": recipe.to_dict(),
        "model": settings.to_dict(),
        "data": data.record(),
        "n_parameters": count_parameters(model),
        "threads": torch.get_num_threads(),
    }
    if start is not None:
        inputs["checkpoint_sha256"] = records.digest_file(start.path)
    initial = None if start is None else start.checkpoint.weights
    facts = EpochFacts(data.train if job.log_gradient_variance else None)
    before = facts.before(model, recipe, seed=job.seed, initial=initial)
    if not resume:
        path = make_folder(folder, settings.circuit.name, data.name)
        _record(command, inputs, job, {"status": "running", **before}).write(path / RECORD)
        if hardware is not None:
            hardware.open(path)
    if started is not None:
        started(path, inputs)
    outcome = train(
        model,
        settings,
        data,
        recipe,
        folder=path,
        seed=job.seed,
        resume=resume,
        device=job.device,
        checkpoint_every_s=checkpoint_every_s if hardware is None else 0.0,
        initial=initial,
        freeze_encoder=job.freeze == "encoder",
        measure=facts,
        context={
            "dataset": dataset_facts(data),
            "versions": records.versions(),
            "fingerprint": {**job.defining(), "start": inputs.get("checkpoint_sha256")},
        },
        progress=progress,
    )
    load_weights(model, outcome.best.weights, where=BEST)
    with watched(model) as seen:
        test = evaluate(model, data.test.images, data.test.labels, device=job.device)
    names = data.class_names
    titles = [f"{data.name}[{number}]" for number in range(len(data.test))]
    truths = [names[label] for label in data.test.labels]
    keep_expectations(path, seen, backend, images=titles, truths=truths)
    metrics = {
        "schema": 1,
        "history": list(outcome.history),
        "best": dict(outcome.best.metrics),
        "test": test.to_dict(),
        "class_names": list(names),
    }
    records.write_json(path / METRICS, metrics)
    results = {
        "status": "finished",
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "validation_accuracy": outcome.best.metrics["validation_accuracy"],
        "best_epoch": outcome.best.metrics["epoch"],
        "epochs": len(outcome.history),
        "stopped_early": outcome.stopped_early,
        "n_parameters": inputs["n_parameters"],
        "samples_per_s": outcome.samples_per_s,
        "shares": dict(outcome.shares),
        "sittings": outcome.sittings,
        **before,
        **({} if hardware is None else hardware.facts()),
        **(rehearsal_facts(backend) if hardware is None and outcome.sittings == 1 else {}),
    }
    record = replace(
        _record(command, inputs, job, results),
        digests={name: records.digest_file(path / name) for name in (BEST, LAST, METRICS)},
        timings_s={**outcome.seconds, "this_sitting": perf_counter() - begun},
    )
    record.write(path / RECORD)
    return TrainedRun(folder=path, record=record, metrics=metrics, class_names=data.class_names)


def _record(
    command: Sequence[str], inputs: Mapping[str, Any], job: JobSpec, results: Mapping[str, Any]
) -> RunRecord:
    return RunRecord(
        command=records.public_command(command), inputs=inputs, seeds={"run": job.seed}, results=results
    )
