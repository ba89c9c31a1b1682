"""A training, from Python or of a job: carried out in a folder, with its record, checkpoints and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sqdr_qiskit import records
from sqdr_qiskit.backends import Backend
from sqdr_qiskit.data import DataSplits, ImageSet
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import PackedParameterShift, PhysicsAwareGradient
from sqdr_qiskit.jobs.evaluation import keep_expectations, recorded
from sqdr_qiskit.jobs.folders import RunFolder, job_of_run
from sqdr_qiskit.jobs.hardware import Hardware, hardware_for, rehearsal_facts
from sqdr_qiskit.jobs.settings import (
    Chosen,
    backend_of,
    choose_checkpoint,
    contents,
    data_in_memory,
    data_of,
    dataset_facts,
    fitted_recipe,
    gradient_options_of,
    limited,
    model_settings_of,
    recipe_of,
)
from sqdr_qiskit.model.controls import MODELS
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, build_model, count_parameters, load_weights
from sqdr_qiskit.records import BEST, LAST, METRICS, RunRecord
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training import loop
from sqdr_qiskit.training.gradient_studies import training_variance
from sqdr_qiskit.training.metrics import Metrics, evaluate
from sqdr_qiskit.training.optimisation import initialise
from sqdr_qiskit.training.recipes import Recipe
from sqdr_qiskit.training.state import Outcome, TrainingProgress, require_tensorboard

__all__ = ["EpochFacts", "TrainedRun", "carry_out_training", "train"]

_SAMPLES = 64  # images that the gradient's variance is measured on


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
    with hardware_for(job) as hardware:
        return carry_out_training(
            job, data=data, folder=folder, resume=resume, hardware=hardware, progress=progress
        )


def carry_out_training(
    job: JobSpec,
    *,
    data: DataSplits | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    command: Sequence[str] = (),
    checkpoint_every_s: float = 60.0,
    hardware: Hardware | None = None,
    notice: Callable[[str], None] | None = None,
    started: Callable[[Path, Mapping[str, Any]], None] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> TrainedRun:
    """Train as a job says, then look at the test images once, with the best checkpoint by validation.

    Nothing is made before the job's inputs are known to be good.

    Args:
        job: The job, of task `train`.
        data: Its data, where they are not those that its `dataset` names.
        folder: The run's folder; None makes `runs/<time>-<circuit>-<dataset>`.
        resume: Go on in `folder` with the run that is there.
        command: The words typed, for the record.
        checkpoint_every_s: Seconds between two states within an epoch; on a quantum computer each step.
        hardware: What a quantum computer needs, if the job's backend is one.
        notice: Told what is not as it was when the run is taken up again.
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
    ledger = None if hardware is None else hardware.open
    run = RunFolder(job, folder, resume=resume, command=command, notice=notice, ledger=ledger)
    plan = _planned(job, data, hardware, download_progress)
    before = plan.facts.before(plan.model, plan.recipe, seed=job.seed, initial=plan.initial)
    inputs = plan.inputs(job)
    defining = {**contents(job, plan.start), **{key: inputs[key] for key in ("recipe", "model", "data")}}
    control = () if plan.settings.model == "circuit" else (plan.settings.model,)
    parts = (plan.settings.circuit.name, *control, plan.data.name)
    with run.opened(inputs, defining, *parts, so_far=before) as path:
        if hardware is not None:
            checkpoint_every_s = 0.0  # each step was paid for
        if started is not None:
            started(path, inputs)
        outcome = _trained(job, plan, path, hardware, resume, checkpoint_every_s, progress)
        test, metrics = _tested(job, plan, path, hardware, outcome)
        record = run.finish(
            {
                **_results(outcome, test, inputs),
                **before,
                **({} if hardware is None else hardware.facts()),
                **(rehearsal_facts(plan.backend) if hardware is None and outcome.sittings == 1 else {}),
            },
            files=(BEST, LAST, METRICS),
            timings_s=outcome.seconds,
        )
    return TrainedRun(folder=path, record=record, metrics=metrics, class_names=plan.data.class_names)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Plan:
    """All that a training is made of, judged and built before its folder is made."""

    recipe: Recipe
    data: DataSplits
    settings: ModelSettings
    backend: Backend
    model: SQDRCNN
    start: Chosen | None
    facts: EpochFacts

    @property
    def initial(self) -> Mapping[str, torch.Tensor] | None:
        """Weights to start from; None draws them."""
        return None if self.start is None else self.start.checkpoint.weights

    def inputs(self, job: JobSpec) -> dict[str, Any]:
        """The inputs as they were understood, for the record."""
        start = {} if self.start is None else {"checkpoint_sha256": records.digest_file(self.start.path)}
        return {
            "job": job.to_dict(),
            "recipe": self.recipe.to_dict(),
            "model": self.settings.to_dict(),
            "data": self.data.record(),
            "n_parameters": count_parameters(self.model),
            "threads": torch.get_num_threads(),
            **start,
        }


def _planned(
    job: JobSpec, data: DataSplits | None, hardware: Hardware | None, progress: DownloadProgress | None
) -> _Plan:
    """Judge a job and build what it needs.

    Raises:
        InputError: If something in it cannot be.
    """
    if job.tensorboard:
        require_tensorboard()
    # In the order of what it costs to find out that it cannot be.
    recipe = recipe_of(job)
    start = None if job.checkpoint is None else choose_checkpoint(job.checkpoint)
    backend = backend_of(job, hardware)
    data = data_of(job, progress=progress) if data is None else data
    if job.steps is None:
        recipe = fitted_recipe(job, len(data.train))
    else:
        data, epochs = _fitted_to_steps(data, job.steps, batch_size=recipe.batch_size, seed=job.seed)
        recipe = recipe.changed(epochs=epochs)
    if start is None:
        settings = model_settings_of(job, recipe, data)
    else:
        settings = start.checkpoint.settings
        recipe = recipe.changed(angle_scale=settings.angle_scale)
    loop.check_run(settings, data, recipe, device=job.device)
    model = build_model(
        settings,
        backend,
        gradient=job.gradient,
        gradient_options=gradient_options_of(job),
        input_gradients=job.freeze is None,
    )
    circuit = MODELS[settings.model].circuit
    if job.log_gradient_variance and (circuit is None or not settings.circuit.trained_rotations):
        raise ArgumentError(
            f"Argument `log_gradient_variance` must be left out with model {settings.model}, which has no "
            "circuit with weights."
        )
    facts = EpochFacts(data.train if job.log_gradient_variance else None)
    return _Plan(
        recipe=recipe, data=data, settings=settings, backend=backend, model=model, start=start, facts=facts
    )


def _fitted_to_steps(data: DataSplits, steps: int, *, batch_size: int, seed: int) -> tuple[DataSplits, int]:
    """Training images, thinned out class-balanced, and epochs that make exactly `steps` full batches: as few
    epochs as the images allow.

    Raises:
        ArgumentError: There are fewer training images than a batch has.
    """
    n_images = len(data.train)
    if batch_size > n_images:
        raise ArgumentError(
            f"Argument `batch_size` must be at most the number of training images, {n_images}, but is "
            f"{batch_size}."
        )
    epochs = next(n for n in range(1, steps + 1) if steps % n == 0 and steps // n * batch_size <= n_images)
    return replace(data, train=limited(data.train, steps // epochs * batch_size, seed=seed)), epochs


def _trained(
    job: JobSpec,
    plan: _Plan,
    path: Path,
    hardware: Hardware | None,
    resume: bool,
    checkpoint_every_s: float,
    progress: Callable[[TrainingProgress], None] | None,
) -> Outcome:
    start = None if plan.start is None else records.digest_file(plan.start.path)
    return loop.train(
        plan.model,
        plan.settings,
        plan.data,
        plan.recipe,
        folder=path,
        seed=job.seed,
        resume=resume,
        device=job.device,
        checkpoint_every_s=checkpoint_every_s,
        initial=plan.initial,
        freeze_encoder=job.freeze == "encoder",
        measure=plan.facts,
        context={
            "dataset": dataset_facts(plan.data),
            "versions": records.versions(),
            "fingerprint": {**job.defining(), "start": start},
        },
        progress=progress,
        about=None if hardware is None else hardware.about,
        tensorboard=job.tensorboard,
    )


def _tested(
    job: JobSpec, plan: _Plan, path: Path, hardware: Hardware | None, outcome: Outcome
) -> tuple[Metrics, dict[str, Any]]:
    """Look at the test images with the best weights, and keep what is seen."""
    data, model = plan.data, plan.model
    load_weights(model, outcome.best.weights, where=BEST)
    before = None if hardware is None else hardware.about(data.test.names)
    with recorded(model) as values:
        test = evaluate(model, data.test.images, data.test.labels, device=job.device, before=before)
    truths = [data.class_names[label] for label in data.test.labels]
    keep_expectations(path, values, plan.backend, images=data.test.names, truths=truths)
    metrics = {
        "schema": 1,
        "history": list(outcome.history),
        "best": dict(outcome.best.metrics),
        "test": test.to_dict(),
        "class_names": list(data.class_names),
    }
    records.write_json(path / METRICS, metrics)
    return test, metrics


def _results(outcome: Outcome, test: Metrics, inputs: Mapping[str, Any]) -> dict[str, Any]:
    best = outcome.best.metrics
    return {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "validation_accuracy": best["validation_accuracy"],
        "best_epoch": best["epoch"],
        "epochs": len(outcome.history),
        "stopped_early": outcome.stopped_early,
        "n_parameters": inputs["n_parameters"],
        "samples_per_s": outcome.samples_per_s,
        "shares": dict(outcome.shares),
        "sittings": outcome.sittings,
    }


class EpochFacts:
    """Looks at a network after each epoch.

    Args:
        images: The first 64 of them serve to measure the gradient's variance; None leaves it out.
    """

    def __init__(self, images: ImageSet | None) -> None:
        self._images = images
        self._seen = 0

    def __call__(self, model: SQDRCNN) -> Mapping[str, Any]:
        """Facts by name: `gradient` of the last step, where it was measured; `cosines` of the controls since
        the last look; `gradient_variance`.
        """
        network: Any = getattr(model.quantum, "neural_network", None)  # a control may have no circuit
        gradient = getattr(network, "gradient", None)
        facts: dict[str, Any] = {}
        if isinstance(gradient, PackedParameterShift) and gradient.last_report is not None:
            report = gradient.last_report
            facts["gradient"] = {
                "executions": report.executions,
                "shots": report.shots,
                "norm": report.norm,
                "norm_standard_error": report.norm_standard_error,
            }
        if isinstance(gradient, PhysicsAwareGradient) and gradient.cosines:
            facts["cosines"] = [cosine for _, cosine in gradient.cosines[self._seen :]]
            self._seen = len(gradient.cosines)
        return {**facts, **self.variance(model)}

    def before(
        self, model: SQDRCNN, recipe: Recipe, *, seed: int, initial: Mapping[str, torch.Tensor] | None
    ) -> Mapping[str, Any]:
        """`gradient_variance` of a network as its training starts, where it is asked for.

        Args:
            model: The network; it gets the weights that `training.loop.train` gives it too.
            recipe: How it is trained.
            seed: The run's seed.
            initial: Weights to start from, None for `seed`'s.
        """
        if self._images is None:
            return {}
        initialise(model, circuit=recipe.initialisation, seed=seed, positive=recipe.positive)
        if initial is not None:
            load_weights(model, initial, where="checkpoint to start from")
        return self.variance(model)

    def variance(self, model: SQDRCNN) -> Mapping[str, Any]:
        """`gradient_variance` of a network as it is (`training_variance`), where it is asked for."""
        if self._images is None:
            return {}
        some = self._images.images[:_SAMPLES], self._images.labels[:_SAMPLES]
        device = next(model.parameters()).device
        images, labels = (torch.from_numpy(array).to(device) for array in some)
        return {"gradient_variance": training_variance(model, images, labels)}
