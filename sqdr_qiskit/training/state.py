"""A run's files: its state in the middle, from which it goes on as if nothing had happened, and its results.

The state is the only truth about a run under way: checkpoints and metrics are derived from it and written
after it, so a kill between two writes leaves at worst old derived files, which resuming writes again. It is
a `torch.save` of plain tensors, numbers and texts, and is loaded with `weights_only=True`.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.model.checkpoint import Checkpoint, named_weights, save_checkpoint
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings
from sqdr_qiskit.records import BEST, LAST, METRICS, STATE, write_bytes, write_json
from sqdr_qiskit.training.optimisers import MovingAverage
from sqdr_qiskit.training.recipes import Recipe
from sqdr_qiskit.training.scalars import write_scalars

__all__ = [
    "Outcome",
    "read_state",
    "RunFiles",
    "RunState",
    "TrainingProgress",
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
        seconds: Wall time by stage: encoder, circuit, rest, validation.
        shares: Share of encoder, circuit and rest in a training step.
        samples_per_s: Training images per second of training, validation not counted.
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
            f"{path.name}: field `fingerprint` differs: the data, settings or network are not those that "
            f"the run "
            "was started with; restore them or start a new run."
        )
    return RunState(**{name: values[name] for name in known})


class RunFiles:
    """Writes a run's files, each whole or not at all.

    Args:
        folder: Where they go.
        settings: What the network is.
        recipe: How it is trained.
        seed: The run's seed.
        context: The checkpoints' `dataset` and `versions` entries.
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
