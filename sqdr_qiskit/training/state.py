"""A run's files: its state in the middle, from which it goes on as if nothing had happened, and its results.

The state is the only truth about a run under way: checkpoints and metrics are derived from it and written
after it, so a kill between two writes leaves at worst old derived files, which resuming writes again. It is
a `torch.save` of plain tensors, numbers and texts, and is loaded with `weights_only=True`. At the end every
number as it goes: a CSV file, and events for TensorBoard (extra `tensorboard`).
"""

from __future__ import annotations

import csv
import io
import os
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from sqdr_qiskit.data import DataSplits
from sqdr_qiskit.errors import ArgumentError, CheckpointError, StorageError
from sqdr_qiskit.model.network import SQDRCNN, Checkpoint, ModelSettings, named_weights, save_checkpoint
from sqdr_qiskit.records import BEST, LAST, METRICS, STATE, digest, write_bytes, write_json, write_text
from sqdr_qiskit.training.optimisation import MovingAverage
from sqdr_qiskit.training.recipes import Recipe

__all__ = [
    "EventLog",
    "EVENTS",
    "Outcome",
    "read_state",
    "require_tensorboard",
    "RunFiles",
    "RunState",
    "Scalar",
    "SCALARS",
    "scalars_of",
    "TrainingProgress",
    "write_scalars",
    "write_state",
]


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Where a run stands, for whoever watches.

    Attributes:
        epoch: Epoch under way, from 1.
        n_epochs: Epochs in all.
        step: Steps done in all.
        n_steps: Steps in all.
        loss: Mean loss over the epoch so far.
        accuracy: Fraction of the epoch's images so far classified correctly while training on them.
        validation: Validation accuracy after the last finished epoch, None before and without validation
            images.
        samples_per_s: Training images a second in this sitting, validation included.
        seconds_left: Time to go at that rate.
    """

    epoch: int
    n_epochs: int
    step: int
    n_steps: int
    loss: float
    accuracy: float
    validation: float | None
    samples_per_s: float
    seconds_left: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """A finished run.

    Attributes:
        best: The checkpoint to use: the epoch of the best validation accuracy (the first of equals), or the
            last epoch where there are no validation images.
        last: The checkpoint after the last epoch.
        history: One row for each epoch: epoch, loss, accuracy, validation accuracy and loss, learning rate,
            seconds.
        stopped_early: Whether patience ran out.
        seconds: Wall time by stage: encoder, circuit, rest, validation; and of each sitting's first step, in
            which kernels are compiled.
        shares: Share of encoder, circuit and rest in the other training steps.
        samples_per_s: Training images per second of these, validation not counted.
        sittings: How often the run was started.
    """

    best: Checkpoint
    last: Checkpoint
    history: tuple[Mapping[str, Any], ...]
    stopped_early: bool
    seconds: Mapping[str, float]
    shares: Mapping[str, float]
    samples_per_s: float
    sittings: int


_SCHEMA = 1


@dataclass(kw_only=True)
class RunState:
    """Where a run stands, at a border between two steps.

    Attributes:
        fingerprint: SHA-256 of everything that defines the run; resuming refuses another one.
        epoch: Epochs finished.
        step: Steps finished in the epoch under way.
        weights: The network's weights and buffers.
        average: Their moving average.
        optimiser: The optimiser's `state_dict`.
        loss_sum: Sum over the epoch's images so far of the loss.
        correct: Images of the epoch so far that were classified correctly.
        history: One row for each finished epoch.
        best: Row of the best epoch so far, None before the first.
        best_weights: The weights kept at the best epoch.
        steps: Of a short run, loss and accuracy of each step of the epoch so far.
        seconds: Wall time by stage, over all sittings.
        sittings: How often the run was started.
    """

    fingerprint: str
    epoch: int = 0
    step: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    average: dict[str, torch.Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    loss_sum: float = 0.0
    correct: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sittings: int = 1
    steps: list[dict[str, Any]] = field(default_factory=list)


def write_state(path: str | os.PathLike[str], state: RunState) -> None:
    """Write a state atomically.

    Raises:
        StorageError: If it cannot be written; the state that stood there before still stands.
    """
    buffer = io.BytesIO()
    values = {item.name: getattr(state, item.name) for item in fields(state)}
    torch.save({"schema": _SCHEMA, **values}, buffer)
    write_bytes(path, buffer.getvalue())


def read_state(path: str | os.PathLike[str], *, fingerprint: str) -> RunState:
    """Read a state.

    Args:
        path: The file.
        fingerprint: What the run's fingerprint must be.

    Raises:
        CheckpointError: If the file is missing or damaged, or belongs to another run.
    """
    path = Path(path)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no training state {path.name!r} in {os.fspath(path.parent)!r}."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path.name}: is no intact training state; start the run anew.") from error
    known = {item.name for item in fields(RunState)}
    if isinstance(values, Mapping):
        values = {"steps": [], **values}  # states written before it was noted lack it
    if not isinstance(values, Mapping) or set(values) != known | {"schema"} or values["schema"] != _SCHEMA:
        raise CheckpointError(
            f"{path.name}: is no training state that this version reads; start the run anew."
        )
    if values["fingerprint"] != fingerprint:
        raise CheckpointError(
            f"{path.name}: field `fingerprint` differs: the data, settings or network are not those that the "
            "run was started with; restore them or start a new run."
        )
    return RunState(**{name: values[name] for name in known})


class RunFiles:
    """Writes a run's files, each whole or not at all.

    Args:
        folder: Where they go.
        settings: What the network is.
        recipe: How it is trained.
        seed: The run's seed.
        context: The checkpoints' `dataset` and `versions` entries; what else defines the run, `fingerprint`.
    """

    def __init__(
        self, folder: Path, settings: ModelSettings, recipe: Recipe, seed: int, context: Mapping[str, Any]
    ) -> None:
        self._folder, self._settings, self._recipe = folder, settings, recipe
        self._seed, self._context = seed, context

    @property
    def state(self) -> Path:
        """Where the state is."""
        return self._folder / STATE

    def fingerprint(self, data: DataSplits) -> str:
        """SHA-256 of everything that defines the run: another one is not gone on with."""
        return digest(
            {
                "model": self._settings.to_dict(),
                "recipe": self._recipe.to_dict(),
                "data": data.record(),
                "seed": self._seed,
                "context": self._context.get("fingerprint", {}),
            }
        )

    def write_state(
        self, state: RunState, model: SQDRCNN, average: MovingAverage, optimiser: Optimizer
    ) -> None:
        """Write the state, after putting network, average and optimiser into it."""
        state.weights = {name: value.cpu() for name, value in named_weights(model).items()}
        state.average = {name: value.cpu() for name, value in average.values.items()}
        state.optimiser = optimiser.state_dict()
        write_state(self.state, state)

    def write_results(self, state: RunState, average: MovingAverage) -> None:
        """Write what follows from a state at the end of an epoch: two checkpoints and the metrics."""
        save_checkpoint(self._folder / BEST, self.checkpoint(state.best_weights, state.best))
        save_checkpoint(self._folder / LAST, self.checkpoint(average.values, state.history[-1]))
        write_json(self._folder / METRICS, {"schema": 1, "history": state.history, "best": state.best})
        write_scalars(self._folder, state.history)

    def checkpoint(self, weights: Mapping[str, torch.Tensor], row: Mapping[str, Any] | None) -> Checkpoint:
        """Weights as a checkpoint, with an epoch's row as its metrics."""
        return Checkpoint(
            settings=self._settings,
            weights={name: value.cpu().clone() for name, value in weights.items()},
            recipe=self._recipe.to_dict(),
            dataset=self._context.get("dataset", {}),
            metrics={name: value for name, value in (row or {}).items() if name != "steps"},
            versions=self._context.get("versions", {}),
            seed=self._seed,
        )


# ---- every number as it goes -------------------------------------------------------------------------------

SCALARS, EVENTS = "scalars.csv", "events.out.tfevents.sqdr"


class Scalar(NamedTuple):
    """A number of a step or of an epoch, counted from 1; None for what it is not of."""

    step: int | None
    epoch: int | None
    name: str
    value: float


def scalars_of(history: Sequence[Mapping[str, Any]]) -> Iterator[Scalar]:
    """All numbers of epochs' rows, those inside tables under `table/name`, those of steps as `step/name`."""
    for row in history:
        for step in row.get("steps", ()):
            for name, value in step.items():
                if name != "step":
                    yield Scalar(int(step["step"]), None, f"step/{name}", float(value))
        for name, value in _flat({key: value for key, value in row.items() if key not in ("epoch", "steps")}):
            yield Scalar(None, int(row["epoch"]), name, value)


def write_scalars(folder: Path, history: Sequence[Mapping[str, Any]]) -> Path:
    """Write `scalars.csv`, whole or not at all: step, epoch, scalar, value, one row for each number."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(("step", "epoch", "scalar", "value"))
    writer.writerows((*row[:3], repr(row.value)) for row in scalars_of(history))
    return write_text(folder / SCALARS, page.getvalue())


def require_tensorboard() -> None:
    """Raise ArgumentError unless the extra `tensorboard` is installed."""
    if find_spec("tensorboard") is None:
        raise ArgumentError(
            "Argument `tensorboard` must be left out: TensorBoard is not installed; "
            "pip install 'sqdr-qiskit[tensorboard]' brings it."
        )


class EventLog:
    """An event file that TensorBoard follows while it grows.

    It is appended to, not replaced: TensorBoard keeps it open. Each event has a checksum, so that a last one
    that a kill cut short does no harm; taken up again, the file is written anew from what is known.

    Args:
        folder: The run's folder.
        history: Rows of epochs that are done.

    Raises:
        StorageError: The file cannot be written.
    """

    def __init__(self, folder: Path, history: Sequence[Mapping[str, Any]] = ()) -> None:
        self._path = folder / EVENTS
        write_bytes(self._path, _framed([{"file_version": "brain.Event:2"}, *_events(history)]))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append an epoch's row."""
        try:
            with self._path.open("ab") as file:
                file.write(_framed(_events([row])))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"Cannot write {EVENTS!r} in {self._path.parent}: {error.strerror or error}."
            ) from error


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}/")
        elif isinstance(value, int | float):
            yield f"{above}{name}", float(value)


def _events(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "step": epoch if step is None else step,
            "summary": {"value": [{"tag": name, "simple_value": value}]},
        }
        for step, epoch, name, value in scalars_of(history)
    ]


def _framed(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Events as TensorBoard's records: length, checksum, message, checksum."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    page = io.BytesIO()
    writer = RecordWriter(page)
    for event in events:
        fields = {**event}
        if "summary" in fields:
            fields["summary"] = Summary(value=[Summary.Value(**one) for one in event["summary"]["value"]])
        writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
    return page.getvalue()
