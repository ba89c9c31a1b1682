"""From a job to what it needs: recipe, backend, data, network, checkpoint, and what it leaves to that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from sqdr_qiskit.backends import Backend, make_backend
from sqdr_qiskit.data import (
    DATASETS,
    DataSplits,
    ImageSet,
    as_splits,
    dataset_name,
    pictures_in,
    read_source,
    split,
)
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.data.imagesets import balanced_subset
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import ArgumentError, CheckpointError, DataError
from sqdr_qiskit.gradients import GradientOptions
from sqdr_qiskit.jobs.folders import newest_finished_run, read_record
from sqdr_qiskit.jobs.hardware import CEILINGS, Hardware, has_ledger
from sqdr_qiskit.model.network import (
    SQDRCNN,
    Checkpoint,
    ModelSettings,
    read_checkpoint,
    require_fit,
    restore,
)
from sqdr_qiskit.records import BEST, RECORD, digest_file
from sqdr_qiskit.specs.circuit import circuit_spec
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.noise import noise_spec
from sqdr_qiskit.training.loop import check_device
from sqdr_qiskit.training.recipes import Recipe, find_recipe

__all__ = [
    "Chosen",
    "HARDWARE_TEST",
    "VALIDATION",
    "backend_of",
    "checkpoint_of_run",
    "choose_checkpoint",
    "contents",
    "data_in_memory",
    "AER_BATCH",
    "A_FEW",
    "data_of",
    "dataset_facts",
    "fitted_recipe",
    "fitting_data",
    "gradient_options_of",
    "limited",
    "model_settings_of",
    "pretrained_folder",
    "pretrained_names",
    "recipe_of",
    "settled",
]

_DEFAULT, _PICTURES_DEFAULT = "digits-2b-9q", "mnist-2b-9q"
_DEFAULT_CIRCUIT = "2b-9q"
AER_BATCH = 24
"""Images per step of a training on Aer where images are few: its time goes with the images, not with the
steps. On digits under noise `paper`, means of 3 seeds: 5,000 steps of 24 images 93.4 %, of 64 images 94.5 %
for more than twice the work; 1,900 steps of 64 images 91.1 %."""
A_FEW = 10  # held-out images that are shown where none are named
VALIDATION = 0.1  # share of the training images set aside where the job does not say
HARDWARE_TEST = 100  # test images on a quantum computer where the job does not say


def recipe_of(job: JobSpec) -> Recipe:
    """The job's recipe with the settings that the job overrules.

    Raises:
        ArgumentError: If there is no such recipe or a setting is out of range.
    """
    recipe = find_recipe(job.recipe)
    return recipe.changed(**job.feeding("recipe"))


def fitted_recipe(job: JobSpec, n_images: int) -> Recipe:
    """The job's recipe with the epochs that so many training images need, and on Aer the batches.

    Raises:
        ArgumentError: See `recipe_of`.
    """
    recipe = recipe_of(job)
    few = recipe.fitted(n_images).epochs > recipe.epochs
    if few and job.backend.startswith("aer") and job.batch_size is None:
        recipe = recipe.changed(batch_size=AER_BATCH)
    return recipe.fitted(n_images)


def backend_of(job: JobSpec, hardware: Hardware | None = None) -> Backend:
    """The job's backend.

    Args:
        job: The job.
        hardware: What a quantum computer needs; None where none can be used.

    Raises:
        ArgumentError: If there is none of that name, or it has no use for one of the job's settings.
        BackendError: If a quantum computer cannot be reached.
    """
    check_device(job.device)
    if is_hardware(job.backend):
        for name, why in (("noise", "has its own"), ("simulator", "is none")):
            if getattr(job, name) is not None:
                raise ArgumentError(
                    f"Argument `{name}` must be left out with backend {job.backend}, which {why}, but is "
                    f"{getattr(job, name)!r}."
                )
        if job.shots == 0:
            raise ArgumentError(f"Argument `shots` must be at least 1 with backend {job.backend}, but is 0.")
        if hardware is None:
            raise ArgumentError(
                f"Argument `backend` must be a simulator for task {job.task}, but is {job.backend!r}; "
                "`infer` and `train` run on quantum computers."
            )
        return hardware.backend(job)
    rehearsing = hardware if has_ledger(job) else None
    for option in job.feeding("runtime"):
        if option == "mitigation":
            raise ArgumentError(
                f"Argument `mitigation` must be left out with backend {job.backend}, which has none: the "
                "client mitigates on quantum computers only; `sqdr-qiskit cost --mitigation all` rehearses "
                "it."
            )
        if rehearsing is None or option not in CEILINGS:
            raise ArgumentError(
                f"Argument `{option}` must be left out with backend {job.backend}, where it has no effect, "
                f"but is {getattr(job, option)!r}."
            )
    backend = make_backend(
        job.backend,
        noise=job.noise,
        shots=job.shots,
        simulator=job.simulator,
        seed=job.seed,
        layout=job.layout,
        fractional=job.fractional,
        device="GPU" if job.device != "cpu" and job.backend.startswith("aer") else None,
    )
    return backend if rehearsing is None else rehearsing.rehearsal(job, backend)


def gradient_options_of(job: JobSpec) -> GradientOptions:
    """The job's choices for its gradient."""
    return GradientOptions(seed=job.seed if job.gradient == "spsa" else None, **job.feeding("gradient"))


def data_of(job: JobSpec, *, progress: DownloadProgress | None = None) -> DataSplits:
    """The job's data: `limit` training images at most, and as many test images at most.

    Raises:
        DataError: If there is no such data set, or its files are missing or damaged.
        ArgumentError: If `limit` or `validation` is out of range.
    """
    costs = has_ledger(job)  # each look at an image, so nothing is held out and few are tested
    source = read_source(
        job.dataset,
        data_dir=job.data_dir,
        image_size=None if job.image_size is None else (job.image_size, job.image_size),
        skip_damaged=job.skip_damaged,
        progress=progress,
    )
    usual = 0.0 if costs or "validation" in source.parts else VALIDATION
    validation = usual if job.validation is None else job.validation
    data = split(source, limit=job.limit, seed=job.seed, validation=validation)
    most = HARDWARE_TEST if costs and job.limit is None else job.limit
    return replace(data, test=limited(data.test, most, seed=job.seed))


def data_in_memory(data: Any, job: JobSpec) -> DataSplits:
    """Splits of data that are in memory: `DataSplits` as they are, else as the job says.

    Raises:
        ArgumentError: The job has options that such data have no use for.
        DataError: They cannot be a data set.
    """
    ready = isinstance(data, DataSplits)
    useless = ["data_dir", "skip_damaged", *(("limit", "validation", "image_size") if ready else ())]
    for name in useless:
        if getattr(job, name) not in (None, False):
            raise ArgumentError(f"Argument `{name}` must be left out with data in memory.")
    if ready:
        return cast("DataSplits", data)
    found = as_splits(
        data,
        image_size=None if job.image_size is None else (job.image_size, job.image_size),
        limit=job.limit,
        seed=job.seed,
        validation=VALIDATION if job.validation is None else job.validation,
    )
    return replace(found, test=limited(found.test, job.limit, seed=job.seed))


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
        "style": data.style,
        **({} if data.path is None else {"path": data.path}),
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


def contents(job: JobSpec, chosen: Chosen | None = None) -> dict[str, Any]:
    """What is in the files that a job names, for what defines its run: a path may come to mean another."""
    return {
        "checkpoint": None if chosen is None else digest_file(chosen.path),
        "noise": None if job.noise is None else noise_spec(job.noise).to_dict(),
    }


def settled(job: JobSpec, chosen: Chosen) -> JobSpec:
    """The job with what it leaves to its checkpoint: its path, its data set, and `A_FEW` of its images."""
    job = replace(job, checkpoint=os.fspath(chosen.path))
    if job.input:
        return replace(job, input=_expanded(job.input))
    few = job.task == "infer" and not job.dataset and job.limit is None
    facts = chosen.checkpoint.dataset
    own = str(facts.get("path") or facts.get("name", "digits"))
    return replace(job, dataset=job.dataset or own, limit=A_FEW if few else job.limit)


def _expanded(inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Pictures, with each folder replaced by those in it.

    Raises:
        DataError: There is none in a folder.
    """
    found: list[str] = []
    for given in inputs:
        if Path(given).is_dir():
            inside = pictures_in(Path(given))
            if not inside:
                raise DataError(f"There is no picture in folder {given!r}.")
            found += map(os.fspath, inside)
        else:
            found.append(given)
    return tuple(found)


def fitting_data(chosen: Chosen, job: JobSpec, progress: DownloadProgress | None) -> DataSplits:
    """The job's data, if the checkpoint can take them; of the test images as many as the job wants.

    The checkpoint's own data set, and the user's data, are brought to the size that it was trained with.

    Raises:
        CheckpointError: Image size, channels or classes are not the checkpoint's.
    """
    row = dataset_name(job.dataset)
    facts, settings = chosen.checkpoint.dataset, chosen.checkpoint.settings
    where = f"{chosen.path.name} for data set {job.dataset}"
    size = tuple(facts["size"]) if facts.get("size") is not None else None
    if row is not None:
        entry = DATASETS[row]
        require_fit(chosen.checkpoint, where=where, in_channels=entry.n_channels, n_classes=entry.n_classes)
        if row != facts.get("name") and size not in (None, entry.size):
            raise CheckpointError(
                f"{where}: field `size` must be {list(entry.size)}, but is {list(size or ())}."
            )
    source = read_source(
        job.dataset,
        data_dir=job.data_dir,
        image_size=size,
        channels=settings.in_channels,
        skip_damaged=job.skip_damaged,
        progress=progress,
    )
    data = split(source, seed=job.seed)
    known = tuple(map(str, facts.get("class_names", data.class_names)))
    if known != data.class_names:
        odd = sorted(set(known) ^ set(data.class_names)) or ["in another order"]
        raise CheckpointError(
            f"{where}: it tells {len(known)} classes apart, and the data have {len(data.class_names)}, which "
            f"differ: {', '.join(odd[:5])}{f' and {len(odd) - 5} more' if len(odd) > 5 else ''}."
        )
    require_fit(chosen.checkpoint, where=where, in_channels=data.n_channels)
    return replace(data, test=limited(data.test, job.limit, seed=job.seed))


# ---- checkpoints -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """A checkpoint and how it came to be chosen.

    Attributes:
        path: Its file.
        why: In words, for the user: `named`, `newest finished run in runs/`, `pretrained`.
        checkpoint: What is in it.
    """

    path: Path
    why: str
    checkpoint: Checkpoint

    @property
    def title(self) -> str:
        """One line that says which checkpoint it is."""
        name = self.path.stem if self.why == "pretrained" else os.fspath(self.path)
        settings, trained = self.checkpoint.settings, self.checkpoint.dataset.get("name", "unknown data")
        return f"checkpoint {name} ({self.why}): {settings.circuit.name}, trained on {trained}"

    def network(self, backend: Backend | None = None, *, gradient: str | None = None) -> SQDRCNN:
        """The network, in evaluation mode, its circuit on a backend; None is `exact`.

        Raises:
            CheckpointError: The weights do not fit the network that the checkpoint describes.
        """
        return restore(self.checkpoint, backend or make_backend(), gradient=gradient, where=self.path.name)


def pretrained_folder() -> Path:
    """Folder of the checkpoints that the package ships."""
    return Path(__file__).resolve().parent.parent / "pretrained"


def pretrained_names() -> tuple[str, ...]:
    """Names of the shipped checkpoints, `<data set>-<circuit>`."""
    return tuple(sorted(path.stem for path in pretrained_folder().glob("*.safetensors")))


def choose_checkpoint(
    named: str | None, *, dataset: str | None = None, pictures: bool = False, root: Path | None = None
) -> Chosen:
    """The checkpoint that an argument means; of a run, only as the run wrote it.

    Args:
        named: A checkpoint file, a run's folder (its best checkpoint), or the name of a shipped one; None
            takes the newest finished run, or else a shipped one.
        dataset: Without `named`: the data set the checkpoint must have been trained on; None takes any.
        pictures: Without `named`: it is for the user's pictures, of which one trained on digits, 8 x 8 pixels
            once, knows little: it is passed over, and `mnist-2b-9q` is the last resort.
        root: Folder of all runs.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    if named is not None:
        path = Path(named)
        if path.is_dir():
            path = path / BEST
        elif not path.is_file() and named in pretrained_names():
            return _read_chosen(pretrained_folder() / f"{named}.safetensors", "pretrained")
        elif not path.is_file():
            known = ", ".join(pretrained_names()) or "none"
            raise CheckpointError(
                f"There is no checkpoint {named!r}; give a file, a run's folder, or a pretrained one: "
                f"{known}."
            )
        return _read_chosen(path, "named")
    dataset = (dataset_name(dataset) or dataset) if dataset is not None else None
    newest = newest_finished_run(root, holding=BEST, dataset=dataset, but_not="digits" if pictures else None)
    if newest is not None:
        return _read_chosen(newest / BEST, "newest finished run in runs/")
    default = _PICTURES_DEFAULT if pictures else _DEFAULT
    name = default if dataset is None else f"{dataset}-{_DEFAULT_CIRCUIT}"
    if name not in pretrained_names():
        trained = f" trained on {dataset}" if dataset else ""
        raise CheckpointError(
            f"There is no finished run{trained} in runs/ and no pretrained checkpoint {name!r}; name one, "
            f"or train first."
        )
    return _read_chosen(pretrained_folder() / f"{name}.safetensors", "pretrained")


def _read_chosen(path: Path, why: str) -> Chosen:
    checkpoint = read_checkpoint(path)
    # What the record says of accuracy and data is said of the file that the run wrote.
    if (path.parent / RECORD).is_file():
        known = read_record(path.parent)["digests"].get(path.name)
        if known not in (None, digest_file(path)):
            raise CheckpointError(
                f"{os.fspath(path)}: must be what its run wrote, but has another SHA-256 than {RECORD} says."
            )
    return Chosen(path, why, checkpoint)


def checkpoint_of_run(path: Path, job: JobSpec, inputs: Mapping[str, Any]) -> Chosen | None:
    """The network to look at; None where a training has none yet.

    Raises:
        CheckpointError: It is not there any more, is damaged, or is another than the run's.
    """
    if job.task == "train":
        return choose_checkpoint(str(path / BEST)) if (path / BEST).is_file() else None
    named = Path(job.checkpoint or "")
    beside = path.resolve().parent / named.parent.name / named.name  # the runs may have moved together
    file = named if named.is_file() or not beside.is_file() else beside
    chosen = choose_checkpoint(str(file))
    if inputs.get("checkpoint_sha256") not in (None, digest_file(chosen.path)):
        raise CheckpointError(f"{chosen.path.name}: is another checkpoint than the run's, by its SHA-256.")
    return chosen
