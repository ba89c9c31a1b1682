"""What a run is: its options, each with help, bounds and use in one place, from which all else is derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.device import LayoutSpec, layout_at
from sqdr_qiskit.specs.reader import Option, Table, option, options_of

__all__ = ["JOB_OPTIONS", "TASKS", "JobSpec", "Task", "parse_sweep", "read_options"]

Task: TypeAlias = Literal["train", "evaluate", "infer"]
TASKS: tuple[str, ...] = get_args(Task)

MOST_POINTS = 1000
"""Strengths of a noise sweep at most."""

_TRAIN = ("train",)
_ON_HARDWARE = ("train", "infer")

# Options that overrule the recipe, the gradient's choices, or the runtime's settings of the same name.
_recipe = partial(option, group="training", tasks=_TRAIN, feeds="recipe")
_gradient = partial(option, group="gradient", tasks=_TRAIN, feeds="gradient")
_runtime = partial(option, group="hardware", tasks=_ON_HARDWARE, feeds="runtime")


def parse_sweep(text: str) -> tuple[float, ...]:
    """Strengths from `first:last:number`, evenly spaced, both ends included.

    Raises:
        ArgumentError: If the text does not say that, or a strength lies outside [0, 1].
    """
    found = _sweep_at(Table({"noise_sweep": text}), "noise_sweep")
    assert found is not None
    first, last, number = found.split(":")
    step = (float(last) - float(first)) / max(int(number) - 1, 1)
    return tuple(round(float(first) + step * place, 12) for place in range(int(number)))


def _sweep_at(table: Table, key: str) -> str | None:
    """The text of a noise sweep that a key has, checked."""
    if key not in table:
        return table.value(key, default=None)
    text = table.value(key)
    try:
        first, last, number = text.split(":")
        good = 1 <= int(number) <= MOST_POINTS and all(0.0 <= float(end) <= 1.0 for end in (first, last))
    except (AttributeError, ValueError):
        good = False
    if not good:
        table.refuse(
            key, f"must be first:last:number with strengths in [0, 1], such as 0:0.1:11, but is {text!r}"
        )
    return str(text)


def _factors_at(table: Table, key: str) -> str | None:
    """The text of noise factors that a key has, checked to be numbers."""
    if key not in table:
        return table.value(key, default=None)
    text = table.value(key)
    try:
        numbers = [float(part) for part in text.split(",")]
    except (AttributeError, ValueError):
        numbers = []
    if not numbers or not all(1 <= number < 100 for number in numbers):
        table.refuse(key, f"must be numbers from 1 to below 100, such as 1,3,5, but is {text!r}")
    return str(text)


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One run: its task, and its options, each explained at its field.

    A value of None leaves the choice to the recipe, the backend or the checkpoint. To add an option, add a
    field here, and use it where it acts: an option that `feeds` settings (`training.recipes.Recipe`,
    `gradients.GradientOptions`, `runtime.estimators.RuntimeSettings`) overrules their field of the same name.

    Raises:
        ArgumentError: A value is out of range.
    """

    task: Task = "train"

    dataset: str = option(
        "",
        help="Data set: digits, mnist, cifar-10, ... (docs/data.md), a folder of class folders, or an .npz "
        "file.",
        group="data",
        metavar="NAME|PATH",
        usual="digits; of a checkpoint its own",
    )
    data_dir: str | None = option(
        help="Folder of the data sets.",
        group="data",
        metavar="FOLDER",
        usual="SQDR_DATA_DIR, else a cache folder",
        defines=False,
    )
    image_size: int | None = option(
        help="Height and width, in pixels, that images are brought to.",
        group="data",
        usual="their own; of a folder 16 to 64",
        at_least=8,
        at_most=512,
        tasks=_TRAIN,
    )
    skip_damaged: bool = option(
        False, help="Leave out pictures that cannot be read, instead of stopping at the first.", group="data"
    )
    limit: int | None = option(
        help="At most so many training images, and as many test images, class-balanced.",
        group="data",
        usual="all; of inference without --dataset 10",
        at_least=1,
    )
    validation: float | None = option(
        help="Share of the training images that is held out to choose the best epoch by.",
        group="data",
        usual="0.1; on hardware 0",
        at_least=0,
        below=1,
        tasks=_TRAIN,
    )
    input: tuple[str, ...] | None = option(
        help="A picture of any size and mode, or a folder of them; several may follow.",
        group="data",
        metavar="PATH",
        usual="held-out images",
        tasks=("infer",),
    )
    uncertain_below: float = option(
        0.5,
        help="Mark answers with a smaller probability as uncertain.",
        group="data",
        at_least=0,
        at_most=1,
        tasks=("infer",),
        defines=False,
        may_change=True,
    )
    seed: int = option(
        0, help="The one seed of everything random.", group="data", at_least=0, at_most=2**63 - 1
    )

    circuit: str = option(
        "", help="A catalogue name, <b>b-<n>q, or a TOML file.", group="circuit", usual="2b-9q", tasks=_TRAIN
    )
    model: str = option(
        "circuit",
        help="The network, or a control in which its circuit or encoder is something else.",
        group="circuit",
        choices=(
            "circuit",
            "circuit-frozen",
            "circuit-no-entangler",
            "circuit-no-weights",
            "circuit-mismatched",
            "local-cosines",
            "grouped-tanh",
            "features",
            "features-matched",
            "plain-encoder",
            "convnet",
        ),
        tasks=_TRAIN,
    )
    head: bool = option(True, help="A linear layer after the circuit.", group="circuit", tasks=_TRAIN)
    checkpoint: str | None = option(
        help="Start from a checkpoint: a file, a run's folder, a pretrained name.",
        group="circuit",
        usual="fresh weights",
        defines=False,  # what is in it does, by its digest
    )
    freeze: str | None = option(
        help="`encoder`: train circuit and head alone.",
        group="circuit",
        usual="nothing",
        choices=("encoder",),
        tasks=_TRAIN,
    )
    backend: str = option(
        "",
        help="Where expectation values come from: exact, exact_noisy, aer, aer_noisy, fake_<device>, "
        "ibm_<device>, least_busy.",
        group="circuit",
        usual="exact; in a noise sweep exact_noisy",
    )
    layout: str | LayoutSpec | None = option(
        help="On a device: tiled (each output's light cone on qubits of its own), whole, or a layout file "
        "(FILE.toml) by transpile --choose.",
        group="circuit",
        usual="tiled",
        reader=layout_at,
    )
    fractional: bool = option(
        False,
        help="Turn qubits with RX of any angle, one pulse instead of two: on Heron and Nighthawk devices and "
        "their snapshots.",
        group="circuit",
    )
    device: str = option(
        "cpu", help="Where encoder and head compute: cpu, or cuda where there is one.", group="circuit"
    )

    recipe: str = option(
        "ours", help="All settings of a training: ours or paper.", group="training", tasks=_TRAIN
    )
    epochs: int | None = _recipe(help="Passes over the training images.", at_least=1, at_most=10**6)
    steps: int | None = option(
        help="So many steps and no more, in place of --epochs.",
        group="training",
        usual="as epochs say",
        at_least=1,
        tasks=_TRAIN,
    )
    batch_size: int | None = _recipe(help="Images per step.", at_least=1, at_most=10**6)
    optimiser: str | None = _recipe(help="Optimiser.", choices=("adam", "adamw", "sgd", "sgdr", "adagrad"))
    learning_rate: float | None = _recipe(help="Largest learning rate of the schedule.", above=0)
    weight_decay: float | None = _recipe(help="Weight decay.", at_least=0)
    readout_rate: float | None = _recipe(
        help="Learning rate of circuit and head, as a multiple of the encoder's.", above=0
    )
    schedule: str | None = _recipe(
        help="Course of the learning rate; sgdr brings its own and takes only constant.",
        choices=("constant", "cosine", "one-cycle"),
    )
    warm_up: float | None = _recipe(
        help="Fraction of the steps that one-cycle rises for.", at_least=0, below=1
    )
    final: float | None = _recipe(
        help="Learning rate at the very end, as a fraction of the largest (cosine, one-cycle).",
        at_least=0,
        at_most=1,
    )
    averaging: float | None = _recipe(
        help="Decay per step of the weights' moving average, which is validated and kept; 0 is none.",
        at_least=0,
        below=1,
    )
    norm_momentum: float | None = _recipe(
        help="Share of a new batch in batch norm's running statistics.", above=0, at_most=1
    )
    norm_images: int | None = _recipe(
        help="Training images that the averaged weights' batch-norm statistics are estimated from; 0 "
        "averages the running ones.",
        at_least=0,
    )
    initialisation: str | None = _recipe(
        help="Distribution of the circuit's first weights.",
        choices=("uniform-2pi", "normal-2pi", "uniform-1", "normal-1"),
    )
    positive: bool | None = _recipe(help="Start the encoder's linear map without negative weights.")
    angle_scale: float | None = _recipe(help="Radians of a rotation for a firing rate of 1.", above=0)
    surrogate_slope: float | None = _recipe(
        help="Steepness of the surrogate for a spike's derivative.", above=0
    )
    pool_gradient: str | None = _recipe(
        help="Neuron of a pooling window that the gradient goes to: the first that fired, or the one with "
        "the largest membrane.",
        choices=("first", "largest"),
    )
    flip: bool | None = _recipe(help="Mirror half of each batch's images left to right, at random.")
    label_smoothing: float | None = _recipe(
        help="Probability taken from the right class and shared among all.", at_least=0, below=1
    )
    clip: float | None = _recipe(
        help="Longest that the gradient over all weights may be; a longer one is scaled down.", above=0
    )
    least_steps: int | None = _recipe(
        help="Where the training images are few, as many more epochs as this many steps take.", at_least=0
    )
    patience: int | None = _recipe(
        help="Stop after so many epochs without a better validation accuracy.", at_least=1
    )

    noise: str | None = option(
        help="Noise model of a noisy simulator: a catalogue name or a TOML file; on fake_<device> a "
        "calibration of that device in place of its snapshot's.",
        group="noise and shots",
        usual="on a noisy simulator paper",
    )
    shots: int | None = option(
        help="Samples per expectation value; on fake_<device> 0 gives expectations without shot noise.",
        group="noise and shots",
        usual="exact; on devices 4096",
        at_least=0,
    )
    simulator: str | None = option(
        help="What computes fake_<device>: exact (shots drawn from exact expectations) or aer (slow).",
        group="noise and shots",
        usual="exact",
        choices=("exact", "aer"),
    )
    noise_sweep: str | None = option(
        help="Accuracy against noise strength: first:last:number, such as 0:0.1:11.",
        group="noise and shots",
        metavar="A:B:N",
        usual="no sweep",
        reader=_sweep_at,
        tasks=("evaluate",),
    )
    channel: tuple[str, ...] | None = option(
        help="Channel to sweep; may be repeated.",
        group="noise and shots",
        usual="bit_flip, depolarizing, amplitude_damping",
        tasks=("evaluate",),
    )

    gradient: str | None = option(
        help="Where the circuit's gradients come from.",
        group="gradient",
        usual="the backend's own",
        choices=("exact", "parameter-shift", "gate-shift", "spsa", "physics-aware"),
        tasks=_TRAIN,
    )
    shots_per_step: int | None = _gradient(
        help="Shots for one batch's values and gradient (parameter-shift, gate-shift).",
        usual="--shots each",
        at_least=1,
    )
    shot_allocation: str | None = _gradient(
        help="How --shots-per-step is split over its executions.",
        usual="even",
        choices=("even", "proportional"),
    )
    averages: int | None = _gradient(help="Random perturbations averaged (spsa).", usual="1", at_least=1)
    model_noise: str | None = _gradient(
        help="Noise of the model that gives the gradient, or none (physics-aware).", usual="the backend's own"
    )
    control_every: int | None = _gradient(
        help="Measure the gradient too at every so many steps (physics-aware).", usual="never", at_least=1
    )
    log_gradient_variance: bool = option(
        False, help="Note the gradient's variance after each epoch.", group="gradient", tasks=_TRAIN
    )

    tensorboard: bool = option(
        False,
        help="Write an event file for TensorBoard beside the run (extra `tensorboard`).",
        group="output",
        tasks=_TRAIN,
        defines=False,
    )

    mode: str | None = _runtime(
        help="Send each job by itself, or those of a step as a batch.",
        usual="job",
        choices=("job", "batch"),
        defines=False,
    )
    resilience: int | None = _runtime(
        help="Error mitigation: 0 none, 1 of readout, 2 with zero-noise extrapolation.",
        usual="1",
        at_least=0,
        at_most=2,
    )
    mitigation: str | None = _runtime(
        help="Error mitigation by name, in place of --resilience: of readout, zero-noise extrapolation by "
        "repeated gates, probabilistic error cancellation or amplification by the calibration's noise.",
        usual="as --resilience says",
        choices=("none", "readout", "zne", "pec", "pea"),
    )
    noise_factors: str | None = _runtime(
        help="Strengths of the noise that are extrapolated from: odd numbers (zne), any from 1 (pea).",
        metavar="A,B,...",
        usual="1,3,5",
        reader=_factors_at,
    )
    extrapolator: str | None = _runtime(
        help="What is fitted to them (zne, pea).", usual="linear", choices=("linear", "polynomial_degree_2")
    )
    max_overhead: float | None = _runtime(
        help="Executions for one that pec may take; beyond that noise is undone in part.",
        usual="100",
        above=1,
    )
    dynamical_decoupling: str | None = _runtime(
        help="Pulse sequence on idle qubits.", usual="none", choices=("XX", "XpXm", "XY4")
    )
    twirling: bool | None = _runtime(help="Twirl two-qubit gates.", usual="as --resilience says")
    max_execution_s: int | None = _runtime(
        help="Quantum seconds after which a job is ended.", usual="IBM's own limit", at_least=1, defines=False
    )
    job_tags: str | None = _runtime(
        help="Tags of every job, separated by commas.", metavar="TAGS", usual="none", defines=False
    )
    max_qpu_seconds: float | None = _runtime(
        help="Quantum seconds that the run may use; in a rehearsal on fake_<device> too.",
        usual="60; in a rehearsal none",
        above=0,
        defines=False,
        may_change=True,
    )
    max_executions: int | None = _runtime(
        help="Circuit executions that the run may use; in a rehearsal too.",
        usual="no limit",
        at_least=1,
        defines=False,
        may_change=True,
    )

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if name in JOB_OPTIONS}
        # None says nothing; nor does "" where it is the default, which depends on other options then.
        said = {n: v for n, v in given.items() if v is not None and (v != "" or JOB_OPTIONS[n].default != "")}
        table = Table(said)
        Table({"task": self.task}).text("task", choices=TASKS)
        for name, one in JOB_OPTIONS.items():
            value = one.read(table)
            if value is not None:
                object.__setattr__(self, name, value)
        self._require_sense()
        if not self.backend:
            object.__setattr__(self, "backend", "exact" if self.noise_sweep is None else "exact_noisy")
        if self.task == "train":
            object.__setattr__(self, "dataset", self.dataset or "digits")
            if self.checkpoint is None:
                object.__setattr__(self, "circuit", self.circuit or "2b-9q")

    def _require_sense(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            ArgumentError: They do.
        """
        contradictions = [
            ("epochs", "steps", "which counts otherwise"),
            *((name, "checkpoint", "which says it") for name in ("circuit", "angle_scale", "initialisation")),
            ("noise", "noise_sweep", "which makes its own noise"),
            ("resilience", "mitigation", "which says it by name"),
            *((name, "input", "where it has no effect") for name in ("dataset", "limit")),
        ]
        if self.task != "train":
            contradictions = [row for row in contradictions if row[1] not in ("steps", "checkpoint")]
        for name, other, why in contradictions:
            if getattr(self, name) not in (None, "") and getattr(self, other) is not None:
                raise ArgumentError(f"Argument `{name}` must be left out with `{other}`, {why}.")
        users = {"noise_factors": ("zne", "pea"), "extrapolator": ("zne", "pea"), "max_overhead": ("pec",)}
        for name, methods in users.items():
            if getattr(self, name) is not None and self.mitigation not in methods:
                raise ArgumentError(
                    f"Argument `{name}` must come with `mitigation` {' or '.join(methods)}, but that is "
                    f"{self.mitigation}."
                )
        for name, usual in (("head", True), ("model", "circuit")):
            if getattr(self, name) != usual and self.checkpoint is not None and self.task == "train":
                raise ArgumentError(f"Argument `{name}` must be left out with `checkpoint`, which says it.")
        if self.channel and self.noise_sweep is None:
            raise ArgumentError("Argument `channel` must come with `noise_sweep`, but there is none.")

    @property
    def mitigated(self) -> bool:
        """Whether values that a quantum computer brings back are mitigated."""
        return self.resilience != 0 if self.mitigation is None else self.mitigation != "none"

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` reads them back."""
        return {name: None if value == "" else value for name, value in asdict(self).items()}

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
        read = read_options(table, task_needed=False)
        table.finish()
        return cls(**read)

    def defining(self) -> dict[str, Any]:
        """What makes this run another than a run with other options, as JSON values.

        What has its default is left out, so that a run goes on under a version that knows more options.
        """
        usual, values = JobSpec().to_dict(), self.to_dict()
        odd = {
            name: values[name] for name, o in JOB_OPTIONS.items() if o.defines and values[name] != usual[name]
        }
        return {"task": self.task, **odd}

    def feeding(self, settings: str) -> dict[str, Any]:
        """What this job says of the fields of `recipe`, `gradient` or `runtime` settings, by name."""
        named = {name: getattr(self, name) for name, one in JOB_OPTIONS.items() if one.feeds == settings}
        return {name: value for name, value in named.items() if value is not None}


JOB_OPTIONS: Mapping[str, Option] = options_of(JobSpec)
"""Every option of a run, by name."""


def read_options(table: Table, *, task_needed: bool = True) -> dict[str, Any]:
    """The fields of a `JobSpec` that a table has, checked.

    Raises:
        SpecError: One is out of range, or the task is missing though it is needed.
    """
    task = table.text("task", default=None, choices=TASKS)
    if task is None and task_needed:
        table.refuse("task", "is missing")
    read = {"task": task, **{name: one.read(table) for name, one in JOB_OPTIONS.items()}}
    return {key: value for key, value in read.items() if value is not None}
