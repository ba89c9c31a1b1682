"""From a job to what it needs: recipe, backend, data, network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.data import DATASETS, DataSplits, ImageSet, load_dataset
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.data.splits import balanced_subset
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import GradientOptions
from sqdr_qiskit.jobs.hardware import CEILINGS, Hardware, has_ledger
from sqdr_qiskit.model.network import ModelSettings
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.recipes import Recipe, find_recipe

__all__ = [
    "HARDWARE_TEST",
    "VALIDATION",
    "backend_of",
    "data_of",
    "dataset_facts",
    "gradient_options_of",
    "limited",
    "model_settings_of",
    "recipe_of",
]

VALIDATION = 0.1  # share of the training images set aside where the job does not say
HARDWARE_TEST = 100  # test images on a quantum computer where the job does not say


def recipe_of(job: JobSpec) -> Recipe:
    """The job's recipe with the settings that the job overrules.

    Raises:
        ArgumentError: If there is no such recipe or a setting is out of range.
    """
    return find_recipe(job.recipe).changed(**job.feeding("recipe"))


def backend_of(job: JobSpec, hardware: Hardware | None = None) -> Backend:
    """The job's backend.

    Args:
        job: The job.
        hardware: What a quantum computer needs; None where none can be used.

    Raises:
        ArgumentError: If there is none of that name, or it has no use for one of the job's settings.
        BackendError: If a quantum computer cannot be reached.
    """
    if is_hardware(job.backend):
        if job.noise is not None:
            raise ArgumentError(
                f"Argument `noise` must be left out with backend {job.backend}, which has its own, but is "
                f"{job.noise!r}."
            )
        if hardware is None:
            raise ArgumentError(
                f"Argument `backend` must be a simulator for task {job.task}, but is {job.backend!r}; "
                "`infer` and `train` run on quantum computers."
            )
        return hardware.backend(job)
    rehearsed = hardware is not None and has_ledger(job)
    for option in job.feeding("runtime"):
        if not (rehearsed and option in CEILINGS):
            raise ArgumentError(
                f"Argument `{option}` must be left out with backend {job.backend}, where it has no effect, "
                f"but is {getattr(job, option)!r}."
            )
    if hardware is not None and rehearsed:
        return hardware.backend(job)
    return make_backend(
        job.backend,
        noise=job.noise,
        shots=job.shots,
        seed=job.seed,
        layout=job.layout,
        device="GPU" if job.device != "cpu" and job.backend.startswith("aer") else None,
    )


def gradient_options_of(job: JobSpec) -> GradientOptions:
    """The job's choices for its gradient."""
    return GradientOptions(seed=job.seed if job.gradient == "spsa" else None, **job.feeding("gradient"))


def data_of(job: JobSpec, *, progress: DownloadProgress | None = None) -> DataSplits:
    """The job's data: `limit` training images at most, and as many test images at most.

    Raises:
        DataError: If there is no such data set, or its files are missing or damaged.
        ArgumentError: If `limit` or `validation` is out of range.
    """
    costs = has_ledger(job)  # each look at an image
    usual = 0.0 if costs else VALIDATION
    validation = usual if job.validation is None else job.validation
    data = load_dataset(
        job.dataset,
        data_dir=job.data_dir,
        limit=job.limit,
        seed=job.seed,
        validation=validation,
        progress=progress,
    )
    most = HARDWARE_TEST if costs and job.limit is None else job.limit
    return replace(data, test=limited(data.test, most, seed=job.seed))


def limited(images: ImageSet, limit: int | None, *, seed: int) -> ImageSet:
    """At most `limit` of the images, class-balanced; None takes all."""
    if limit is None or limit >= len(images):
        return images
    chosen: np.ndarray = balanced_subset(images.labels, limit, seed=seed)
    return images.take(chosen)


def dataset_facts(data: DataSplits) -> dict[str, object]:
    """What a checkpoint must know of its data to take pictures later."""
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "size": list(data.size),
        "style": DATASETS[data.name].style,
    }


def model_settings_of(job: JobSpec, recipe: Recipe, data: DataSplits) -> ModelSettings:
    """The network that the job trains.

    Raises:
        ArgumentError: If circuit, head and classes do not go together.
        CatalogError: If there is no such circuit.
    """
    return ModelSettings(
        circuit=circuit_spec(job.circuit),
        model=job.model,
        in_channels=data.n_channels,
        n_classes=len(data.class_names),
        head=job.head,
        angle_scale=recipe.angle_scale,
    )
