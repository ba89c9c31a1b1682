"""A run in the middle, as one file from which it goes on as if nothing had happened.

The file is the only truth about a run under way: checkpoints and metrics are derived from it and written
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

from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.records import write_bytes

__all__ = ["RunState", "read_state", "write_state"]

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
