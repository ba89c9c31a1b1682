"""The files of a training run: its state, and what is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from sqdr_qiskit.model.checkpoint import Checkpoint, named_weights, save_checkpoint
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings
from sqdr_qiskit.records import write_json
from sqdr_qiskit.training.averaging import MovingAverage
from sqdr_qiskit.training.outcome import BEST, LAST, METRICS, STATE
from sqdr_qiskit.training.recipes import Recipe
from sqdr_qiskit.training.scalars import write_scalars
from sqdr_qiskit.training.state import RunState, write_state

__all__ = ["RunFiles"]


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
