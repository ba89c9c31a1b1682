"""The training loop.

A run is a pure function of network, data, recipe and seed: every draw and every factor comes from
`optimisation`, and what else there is to remember stands in `state`. Killed at any moment and called again
with the same arguments it ends with the same weights, to the bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch.nn import functional
from torch.optim import Optimizer

from sqdr_qiskit.data import DataSplits
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError, TrainingError
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, load_weights, named_weights
from sqdr_qiskit.records import STATE
from sqdr_qiskit.training.metrics import Stopwatch, evaluate
from sqdr_qiskit.training.optimisation import (
    SCHEDULES,
    MovingAverage,
    draw,
    estimate_norms,
    initialise,
    make_optimiser,
    permutation,
    warm_restarts,
    with_weights,
)
from sqdr_qiskit.training.recipes import Recipe
from sqdr_qiskit.training.state import EventLog, Outcome, RunFiles, RunState, TrainingProgress, read_state

__all__ = ["check_device", "check_run", "train"]


_STEPS_NOTED = 200  # a run of more is told well enough by its epochs


def train(
    model: SQDRCNN,
    settings: ModelSettings,
    data: DataSplits,
    recipe: Recipe,
    *,
    folder: str | os.PathLike[str],
    seed: int = 0,
    resume: bool = False,
    device: str = "cpu",
    checkpoint_every_s: float = 60.0,
    context: Mapping[str, Any] | None = None,
    initial: Mapping[str, torch.Tensor] | None = None,
    freeze_encoder: bool = False,
    measure: Callable[[SQDRCNN], Mapping[str, Any]] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    about: Callable[[Sequence[str]], Callable[[slice], None]] | None = None,
    tensorboard: bool = False,
) -> Outcome:
    """Train a network, keeping in `folder` at all times what is needed to go on after a kill.

    Written after each epoch, each file whole or not at all: `state.pt`, `best.safetensors`,
    `last.safetensors`, `metrics.json`, `scalars.csv`; `state.pt` also every `checkpoint_every_s` seconds.

    Args:
        model: The network; its weights are set anew from `seed`, or read from `state.pt`.
        settings: What the network is, for the checkpoints.
        data: Images and labels; `test` is not looked at.
        recipe: How to train.
        folder: Where the files go.
        seed: Every draw is a function of it.
        resume: Go on from `state.pt` if there is one.
        device: Where encoder and head compute.
        checkpoint_every_s: Seconds between two states within an epoch.
        context: What else defines the run (backend, noise, ...), for the fingerprint and the checkpoints'
            `dataset` and `versions` entries.
        initial: Weights to start from (a checkpoint's), by name; None draws them from `seed`.
        freeze_encoder: Whether the encoder stays as it is, batch norms included.
        measure: Called with the network after each epoch; what it gives goes into the epoch's row. Must not
            change the network, nor draw from anything but the network.
        progress: Called after every step.
        about: Given the names of images, gives what is called with the slice of them that is looked at next.
        tensorboard: Whether an event file grows beside the others (extra `tensorboard`).

    Returns:
        The outcome, its weights also in the files.

    Raises:
        ArgumentError: If the data do not fit the network.
        CheckpointError: If `state.pt` is damaged or belongs to another run.
        TrainingError: If loss or weights stop being finite numbers; the files stay as they were.
        StorageError: If a file cannot be written.
    """
    check_run(settings, data, recipe, device=device)
    files = RunFiles(Path(folder), settings, recipe, seed, context or {})
    run = _Run(
        model, data, recipe, files, seed, torch.device(device), freeze_encoder, measure=measure, about=about
    )
    run.prepare(resume, initial)
    run.events = EventLog(Path(folder), run.state.history) if tensorboard else None
    with _deterministic(device):
        for epoch in range(run.state.epoch, recipe.epochs):
            if run.out_of_patience:
                break
            run.train_epoch(epoch, checkpoint_every_s, progress)
            run.finish_epoch(epoch)
    return run.outcome()


@dataclass(eq=False)
class _Run:
    """What the loop's three parts share: the objects, the state and the clock."""

    model: SQDRCNN
    data: DataSplits
    recipe: Recipe
    files: RunFiles
    seed: int
    device: torch.device
    frozen: bool
    measure: Callable[[SQDRCNN], Mapping[str, Any]] | None
    about: Callable[[Sequence[str]], Callable[[slice], None]] | None

    def __post_init__(self) -> None:
        train = self.data.train
        self.images, self.labels = torch.from_numpy(train.images), torch.from_numpy(train.labels)
        self.steps_per_epoch = math.ceil(len(self.labels) / self.recipe.batch_size)
        self.n_steps = self.steps_per_epoch * self.recipe.epochs
        self.events: EventLog | None = None
        self.stopwatch = Stopwatch()
        self.first_step_s: float | None = None  # of this sitting; kernels are compiled or read in it
        self.validation_s = 0.0

    # ---- beginning -----------------------------------------------------------------------------------------

    def prepare(self, resume: bool, initial: Mapping[str, torch.Tensor] | None) -> None:
        """Set the weights, the optimiser and the state, for a new run or from the state file."""
        recipe = self.recipe
        encoder = self.model.encoder
        for norm in encoder.norms:
            norm.momentum = recipe.norm_momentum  # type: ignore[assignment]
        if isinstance(encoder, SpikingEncoder):
            encoder.surrogate_slope, encoder.pool_gradient = recipe.surrogate_slope, recipe.pool_gradient
        initialise(self.model, circuit=recipe.initialisation, seed=self.seed, positive=recipe.positive)
        if initial is not None:
            load_weights(self.model, initial, where="checkpoint to start from")
        self.model.encoder.requires_grad_(not self.frozen)
        self.model.to(self.device)
        self.optimiser: Optimizer = make_optimiser(
            recipe.optimiser,
            [list(self.model.encoder.parameters()), self._read_out()],
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )
        self.average = MovingAverage(self.model, recipe.averaging)
        self.state = RunState(fingerprint=self.files.fingerprint(self.data))
        if resume and self.files.state.exists():
            self.state = read_state(self.files.state, fingerprint=self.state.fingerprint)
            self.state.sittings += 1
            load_weights(self.model, self.state.weights, where=STATE)
            self.average.load(self.state.average)
            self.optimiser.load_state_dict(self.state.optimiser)
            if self.state.history:  # a kill may have come between the state and what is derived from it
                self.files.write_results(self.state, self.average)
        self.done_before = self.state.epoch * self.steps_per_epoch + self.state.step
        self.begun = perf_counter()

    def _read_out(self) -> list[torch.nn.Parameter]:
        """The weights after the encoder, the circuit's and the head's, without those that are frozen."""
        head = [] if self.model.head is None else list(self.model.head.parameters())
        return [weight for weight in (*self.model.quantum.parameters(), *head) if weight.requires_grad]

    # ---- one epoch -----------------------------------------------------------------------------------------

    def train_epoch(
        self, epoch: int, checkpoint_every_s: float, progress: Callable[[TrainingProgress], None] | None
    ) -> None:
        state, size = self.state, self.recipe.batch_size
        self.model.train()
        if self.frozen:
            self.model.encoder.eval()  # its batch norms do not drift either
        order = permutation(
            self.seed, len(self.labels), epoch=epoch
        )  # the same for a step that is resumed at
        saved = perf_counter()
        for step in range(state.step, self.steps_per_epoch):
            self.stopwatch.start_step()
            self._step(epoch, step, order[step * size : (step + 1) * size])
            self.stopwatch.end_step()
            if self.first_step_s is None and self.n_steps > 1:
                self.first_step_s = sum(self.stopwatch.seconds.values())
                self.stopwatch.reset()
            state.step = step + 1
            if progress is not None:
                progress(self._progress(epoch, step))
            if state.step < self.steps_per_epoch and perf_counter() - saved >= checkpoint_every_s:
                self.write_state()
                saved = perf_counter()

    def _step(self, epoch: int, step: int, chosen: torch.Tensor) -> None:
        recipe, state = self.recipe, self.state
        images, labels = self.images[chosen], self.labels[chosen]
        if self.about is not None:
            self.about(self.data.train.take(chosen.numpy()).names)(slice(None))
        if recipe.flip:
            mirrored = draw(self.seed, "flip", epoch=epoch, step=step).random(len(chosen)) < 0.5
            images = torch.where(torch.from_numpy(mirrored)[:, None, None, None], images.flip(3), images)
        images, labels = images.to(self.device), labels.to(self.device)
        done = epoch * self.steps_per_epoch + step
        rate = self.learning_rate(done)
        for group, factor in zip(self.optimiser.param_groups, (1.0, recipe.readout_rate), strict=True):
            group["lr"] = factor * rate
        logits = self.stopwatch.forward(self.model, images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._not_finite("loss", epoch, step)
        self.optimiser.zero_grad()
        self.stopwatch.backward(loss)
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimiser.step()
        self.average.update(self.model, done)
        state.loss_sum += value * len(chosen)
        correct = int((logits.detach().argmax(1) == labels).sum())
        state.correct += correct
        if self.n_steps <= _STEPS_NOTED:
            state.steps.append({"step": done + 1, "loss": value, "accuracy": correct / len(chosen)})

    def learning_rate(self, done: int) -> float:
        """Learning rate of the step after `done` steps."""
        recipe = self.recipe
        if recipe.optimiser == "sgdr":
            return recipe.learning_rate * warm_restarts(done / self.steps_per_epoch)
        return recipe.learning_rate * SCHEDULES[recipe.schedule](
            done / self.n_steps, recipe.warm_up, recipe.final
        )

    def finish_epoch(self, epoch: int) -> None:
        """Validate, note, and write: first the state, then what is derived from it."""
        state = self.state
        self._require_finite(epoch)
        self._estimate_norms(epoch)
        row: dict[str, Any] = {
            "epoch": epoch + 1,
            "loss": state.loss_sum / len(self.labels),
            "accuracy": state.correct / len(self.labels),
            "validation_accuracy": None,
            "validation_loss": None,
            "learning_rate": self.learning_rate((epoch + 1) * self.steps_per_epoch - 1),
        }
        if self.data.validation is not None:
            begun = perf_counter()
            held_out = self.data.validation
            before = None if self.about is None else self.about(held_out.names)
            with with_weights(self.model, self.average.values):
                found = evaluate(
                    self.model, held_out.images, held_out.labels, device=self.device, before=before
                )
            row["validation_accuracy"], row["validation_loss"] = found.accuracy, found.loss
            self.validation_s += perf_counter() - begun
        if self.measure is not None:
            row.update(self.measure(self.model))
        steps = {"steps": state.steps} if state.steps else {}
        state.history.append({**row, **steps})
        if self._is_best(row):
            state.best = dict(row)
            state.best_weights = {name: value.cpu().clone() for name, value in self.average.values.items()}
        state.epoch, state.step, state.loss_sum, state.correct, state.steps = epoch + 1, 0, 0.0, 0, []
        self.write_state()  # first: what follows can be made of it again
        self.files.write_results(self.state, self.average)
        if self.events is not None:
            self.events.add(state.history[-1])

    def _estimate_norms(self, epoch: int) -> None:
        """Give the averaged weights batch-norm statistics of their own."""
        if self.recipe.norm_images == 0 or self.frozen:
            return
        some = permutation(self.seed, len(self.images), epoch=epoch)[: self.recipe.norm_images]
        with with_weights(self.model, self.average.values):
            estimate_norms(self.model.encoder, self.images[some].to(self.device))
            self.average.load(named_weights(self.model))

    def _is_best(self, row: Mapping[str, Any]) -> bool:
        best, accuracy = self.state.best, row["validation_accuracy"]
        return best is None or accuracy is None or accuracy > best["validation_accuracy"]

    @property
    def out_of_patience(self) -> bool:
        """Whether the best epoch is `patience` epochs ago."""
        best, patience = self.state.best, self.recipe.patience
        return best is not None and patience is not None and self.state.epoch - best["epoch"] >= patience

    # ---- files ---------------------------------------------------------------------------------------------

    def write_state(self) -> None:
        """Note the time spent, and write the state."""
        self._require_finite(self.state.epoch)
        spent = {"first_step": self.first_step_s or 0.0, "validation": self.validation_s}
        for stage, seconds in {**self.stopwatch.seconds, **spent}.items():
            self.state.seconds[stage] = self.state.seconds.get(stage, 0.0) + seconds
        self.stopwatch.reset()
        self.first_step_s, self.validation_s = 0.0, 0.0
        self.files.write_state(self.state, self.model, self.average, self.optimiser)

    def outcome(self) -> Outcome:
        state = self.state
        staged = {stage: state.seconds.get(stage, 0.0) for stage in ("encoder", "circuit", "rest")}
        spent, first = sum(staged.values()), state.seconds.get("first_step", 0.0)
        n_images = len(state.history) * len(self.labels)
        # A sitting that found the run at its end had no step.
        n_first = state.sittings - (self.first_step_s is None) if first else 0
        n_timed = n_images - n_first * self.recipe.batch_size
        if n_timed <= 0:  # each sitting had one step
            n_timed, spent = n_images, spent + first
        return Outcome(
            best=self.files.checkpoint(state.best_weights, state.best),
            last=self.files.checkpoint(self.average.values, state.history[-1]),
            history=tuple(state.history),
            stopped_early=state.epoch < self.recipe.epochs,
            seconds=dict(state.seconds),
            shares={stage: value / spent if spent else 0.0 for stage, value in staged.items()},
            samples_per_s=n_timed / spent if spent else 0.0,
            sittings=state.sittings,
        )

    # ---- checks and progress -------------------------------------------------------------------------------

    def _require_finite(self, epoch: int) -> None:
        for weights in (named_weights(self.model), self.average.values):
            for name, value in weights.items():
                if not bool(torch.isfinite(value).all()):
                    raise self._not_finite(f"weight `{name}`", epoch, self.state.step)

    def _not_finite(self, what: str, epoch: int, step: int) -> TrainingError:
        return TrainingError(
            f"Training stopped in epoch {epoch + 1}, step {step}: {what} is no finite number any more; a "
            f"smaller learning rate than {self.recipe.learning_rate:g} may help (the run's files are as they "
            "were before)."
        )

    def _progress(self, epoch: int, step: int) -> TrainingProgress:
        state = self.state
        seen = min((step + 1) * self.recipe.batch_size, len(self.labels))
        done = epoch * self.steps_per_epoch + step + 1
        now = perf_counter()
        n_timed = done - self.done_before
        per_step = max(now - self.begun, 1e-9) / max(n_timed, 1)
        if n_timed == 1:  # kernels were compiled in it: the others tell how fast it goes
            self.begun, self.done_before = now, done
        return TrainingProgress(
            epoch=epoch + 1,
            n_epochs=self.recipe.epochs,
            step=done,
            n_steps=self.n_steps,
            loss=state.loss_sum / seen,
            accuracy=state.correct / seen,
            validation=state.history[-1]["validation_accuracy"] if state.history else None,
            samples_per_s=self.recipe.batch_size / per_step,
            seconds_left=(self.n_steps - done) * per_step,
        )


# ---- what is refused, and what holds meanwhile -------------------------------------------------------------


def check_run(settings: ModelSettings, data: DataSplits, recipe: Recipe, *, device: str = "cpu") -> None:
    """Refuse what `train` cannot train, before anything is made.

    Raises:
        ArgumentError: If network, data, recipe and device do not go together.
    """
    if data.n_channels != settings.in_channels:
        raise ArgumentError(
            f"Argument `data` must have {settings.in_channels} channels, but {data.name} has "
            f"{data.n_channels}."
        )
    if len(data.class_names) != settings.n_classes:
        raise ArgumentError(
            f"Argument `data` must have {settings.n_classes} classes, but {data.name} has "
            f"{len(data.class_names)}."
        )
    if recipe.angle_scale != settings.angle_scale:
        raise ArgumentError(
            f"Argument `settings` must have the recipe's angle scale {recipe.angle_scale}, "
            f"but has {settings.angle_scale}."
        )
    if recipe.patience is not None and data.validation is None:
        raise ArgumentError(
            "Argument `patience` must be None without validation images, by which it would judge."
        )
    check_device(device)


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here.

    Raises:
        ArgumentError: It is neither cpu nor cuda, or there is no such cuda.
    """
    name, _, number = device.partition(":")
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = name == "cuda" and (number or "0").isdecimal() and int(number or 0) < n_cuda
    if device != "cpu" and not there:
        raise ArgumentError(f"Argument `device` must be cpu, or cuda where there is one, but is {device!r}.")


@contextmanager
def _deterministic(device: str) -> Iterator[None]:
    """Let torch refuse nondeterministic operations for a while, and on a CPU compute with one thread.

    The compiled kernels of encoder and circuit have threads of their own; what is left to torch is so small
    that its threads only wait for each other (measured: 2 threads make a step ten times longer on 2 cores).
    """
    before, threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is repeatable only with it
    # `use_deterministic_algorithms` says the same to `torch.compile` too, and imports it for that.
    torch.set_deterministic_debug_mode("error" if device == "cpu" else "warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.set_num_threads(threads)
