"""What a file in `jobs/` says: one run, or a grid of runs.

[job]
task = "train"
circuit = "2b-9q"

[grid]                  # every combination becomes one run; the last key varies fastest
dataset = ["mnist", "fashion-mnist"]
seed = [0, 1, 2]
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from sqdr_qiskit.specs.layout import LayoutSpec, layout_at
from sqdr_qiskit.specs.reader import Table, read_document

__all__ = ["JobFile", "JobSpec", "TASKS", "Task", "read_job"]

Task: TypeAlias = Literal["train", "evaluate", "infer"]
TASKS: tuple[str, ...] = get_args(Task)


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One run. A value of None leaves the choice to the recipe, the backend or the checkpoint.

    Attributes:
        task: `train`, `evaluate` or `infer`.
        circuit: Catalogue name or path of a circuit.
        backend: Where expectation values come from.
        noise: Catalogue name or path of a noise model.
        gradient: Where gradients come from; None is the backend's own.
        shots: Samples per expectation value; None is exact.
        dataset: Name of a data set.
        data_dir: Folder of the data sets; None is the environment's, else the user's cache.
        limit: At most so many training images, and as many test images.
        recipe: `ours` or `paper`; the fields from `epochs` to `validation` overrule it one by one.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay.
        optimiser: Name of the optimiser.
        schedule: Name of the learning-rate schedule.
        initialisation: Name of the distribution that the circuit's weights start from.
        flip: Whether images are flipped left to right at random.
        averaging: Decay per step of the exponential average of the weights; 0 is none.
        angle_scale: Radians per unit of firing rate.
        patience: Stop after so many epochs without a better validation accuracy; None never stops early.
        validation: Share of the training images that is held out to choose by.
        seed: The run's one seed.
        head: Whether a linear layer follows the circuit.
        checkpoint: Path of a checkpoint, for `evaluate` and `infer`; for `train` where its weights start.
        device: Where the encoder and the head run, `cpu` or `cuda`.
        layout: On a device: `tiled`, `whole`, or what a layout file says; a path is read when the job is
            made, and the job keeps what it says.
        steps: Train so many steps and no more, whatever `epochs` says.
        freeze: `encoder` keeps the encoder as it is and trains circuit and head.
        shots_per_step: Shots for one batch's values and gradient (parameter-shift, gate-shift).
        shot_allocation: How they are split over its executions: `even` or `proportional`.
        averages: Random perturbations averaged (spsa).
        model_noise: Noise model of the model that gives derivatives, or `none` (physics-aware).
        control_every: Compare the model with a measurement at every so many steps (physics-aware).
        log_gradient_variance: Whether each epoch's row has the variance of the circuit's gradient.
        mode: On hardware: `job` or `batch`.
        resilience: On hardware: error mitigation 0, 1 or 2.
        dynamical_decoupling: On hardware: `XX`, `XpXm` or `XY4`.
        twirling: On hardware: whether two-qubit gates are twirled.
        max_execution_s: On hardware: quantum seconds after which a job is ended.
        job_tags: On hardware: tags of every job, separated by commas.
        max_qpu_seconds: On hardware: quantum seconds that the run may use.
        max_executions: On hardware: circuit executions that the run may use.

    Raises:
        ArgumentError: A value is out of range.
    """

    task: Task = "train"
    circuit: str = "2b-9q"
    backend: str = "exact"
    noise: str | None = None
    gradient: str | None = None
    shots: int | None = None
    dataset: str = "digits"
    data_dir: str | None = None
    limit: int | None = None
    recipe: str = "ours"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    optimiser: str | None = None
    schedule: str | None = None
    initialisation: str | None = None
    flip: bool | None = None
    averaging: float | None = None
    angle_scale: float | None = None
    patience: int | None = None
    validation: float | None = None
    seed: int = 0
    head: bool = True
    checkpoint: str | None = None
    device: str = "cpu"
    layout: str | LayoutSpec | None = None
    steps: int | None = None
    freeze: str | None = None
    shots_per_step: int | None = None
    shot_allocation: str | None = None
    averages: int | None = None
    model_noise: str | None = None
    control_every: int | None = None
    log_gradient_variance: bool = False
    mode: str | None = None
    resilience: int | None = None
    dynamical_decoupling: str | None = None
    twirling: bool | None = None
    max_execution_s: int | None = None
    job_tags: str | None = None
    max_qpu_seconds: float | None = None
    max_executions: int | None = None

    def __post_init__(self) -> None:
        given = {key: value for key, value in asdict(self).items() if value is not None}
        read = _read(Table(given))
        object.__setattr__(self, "layout", read.get("layout"))

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "job") -> JobSpec:
        """The run that `to_dict` wrote; missing fields and fields of None have their defaults.

        Args:
            values: Its fields.
            where: What to call their home in errors.

        Raises:
            SpecError: A field is unknown or out of range.
        """
        table = Table({key: value for key, value in values.items() if value is not None}, file=where)
        spec = cls(**_read(table, task_needed=False))
        table.finish()
        return spec


@dataclass(frozen=True)
class JobFile:
    """A job file: a name, a line about it, and its runs in order."""

    name: str
    title: str
    source: str
    jobs: tuple[JobSpec, ...]


def read_job(path: str | os.PathLike[str]) -> JobFile:
    """Read a job file; lists in table `grid` multiply into single runs, the last key varying fastest.

    Raises:
        SpecError: The file says something that cannot be, or names a key in both tables.
    """
    document = read_document(path, kinds=("job",))
    job = document.table("job")
    grid = document.table("grid", optional=True)
    axes: list[list[tuple[str, Any]]] = []
    for key in grid.keys():  # noqa: SIM118 (a Table is not a mapping)
        if key in job:
            grid.refuse(key, "stands in table `job` too; leave one of them out")
        values = grid.value(key)
        if not isinstance(values, list) or not values:
            grid.refuse(key, f"must be a list with at least one entry, but is {values!r}")
        axes.append([(key, value) for value in values])
    fixed = _read(job)
    jobs = []
    for combination in itertools.product(*axes):
        varied = Table(dict(combination), file=document.top.file, name="grid")
        read = _read(varied, task_needed=False)
        varied.finish()
        jobs.append(JobSpec(**{**fixed, **read}))
    document.finish()
    return JobFile(name=document.path.stem, title=document.title, source=document.source, jobs=tuple(jobs))


def _read(table: Table, *, task_needed: bool = True) -> dict[str, Any]:
    """The fields that the table has, checked."""
    task = table.text("task", default=None, choices=TASKS)
    if task is None and task_needed:
        table.refuse("task", "is missing")
    read: dict[str, Any] = {
        "task": task,
        "shots": table.integer("shots", default=None, at_least=1),
        "limit": table.integer("limit", default=None, at_least=1),
        "epochs": table.integer("epochs", default=None, at_least=1),
        "batch_size": table.integer("batch_size", default=None, at_least=1),
        "patience": table.integer("patience", default=None, at_least=1),
        "seed": table.integer("seed", default=None, at_least=0, at_most=2**63 - 1),
        "learning_rate": table.number("learning_rate", default=None, above=0),
        "weight_decay": table.number("weight_decay", default=None, at_least=0),
        "averaging": table.number("averaging", default=None, at_least=0, below=1),
        "angle_scale": table.number("angle_scale", default=None, above=0),
        "validation": table.number("validation", default=None, at_least=0, below=1),
        "steps": table.integer("steps", default=None, at_least=1),
        "resilience": table.integer("resilience", default=None, at_least=0, at_most=2),
        "max_execution_s": table.integer("max_execution_s", default=None, at_least=1),
        "max_executions": table.integer("max_executions", default=None, at_least=1),
        "max_qpu_seconds": table.number("max_qpu_seconds", default=None, above=0),
        "layout": layout_at(table, "layout"),
        "freeze": table.text("freeze", default=None, choices=("encoder",)),
        "shots_per_step": table.integer("shots_per_step", default=None, at_least=1),
        "averages": table.integer("averages", default=None, at_least=1),
        "control_every": table.integer("control_every", default=None, at_least=1),
        "log_gradient_variance": table.flag("log_gradient_variance", default=None),
        "shot_allocation": table.text("shot_allocation", default=None, choices=("even", "proportional")),
        "mode": table.text("mode", default=None, choices=("job", "batch")),
        "dynamical_decoupling": table.text(
            "dynamical_decoupling", default=None, choices=("XX", "XpXm", "XY4")
        ),
        "twirling": table.flag("twirling", default=None),
        "flip": table.flag("flip", default=None),
        "head": table.flag("head", default=None),
    }
    for field in fields(JobSpec):
        if field.name not in read:
            read[field.name] = table.text(field.name, default=None)
    return {key: value for key, value in read.items() if value is not None}
