"""A trained network as one safetensors file: weights, and in the header as JSON what they are the weights of.

No pickle is read or written. The file names the circuit, encoder, recipe and data that made it, and is
written whole or not at all; equal content gives equal bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from sqdr_qiskit.backends import Backend
from sqdr_qiskit.errors import ArgumentError, CheckpointError, SqdrError, in_one_line
from sqdr_qiskit.model.network import SQDRCNN, ModelSettings, build_model
from sqdr_qiskit.records import write_bytes

__all__ = [
    "Checkpoint",
    "load_weights",
    "named_weights",
    "read_checkpoint",
    "require_fit",
    "restore",
    "save_checkpoint",
]

_KEY = "sqdr-qiskit"  # one metadata key, since safetensors writes several in no fixed order
_SCHEMA = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """A network at rest.

    Attributes:
        settings: What network it is.
        weights: Parameters and buffers by name, each once.
        recipe: How it was trained, plain values.
        dataset: What it was trained on: name, class names, image size and style.
        metrics: What it scored where it was chosen.
        versions: Versions of the packages that made it.
        seed: The run's seed.
    """

    settings: ModelSettings
    weights: Mapping[str, torch.Tensor] = field(repr=False)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, as plain values."""
        return {
            "schema": _SCHEMA,
            "model": self.settings.to_dict(),
            "recipe": dict(self.recipe),
            "dataset": dict(self.dataset),
            "metrics": dict(self.metrics),
            "versions": dict(self.versions),
            "seed": self.seed,
        }


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A network's parameters and buffers by name, each once, detached, not copied.

    `TorchConnector` lists its weights under two names; only the first, `quantum.weight`, is kept.
    """
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items()}


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], *, where: str = "checkpoint") -> None:
    """Copy weights into a network.

    Args:
        model: The network, changed in place; unchanged if anything does not fit.
        weights: By name, as `named_weights` gives them.
        where: What to call their home in errors.

    Raises:
        CheckpointError: If a weight is missing, left over, of another shape or type, or not finite.
    """
    own = named_weights(model)
    for name in sorted(own.keys() ^ weights.keys()):
        what = "is missing" if name in own else "belongs to no part of the network"
        raise CheckpointError(f"{where}: weight `{name}` {what}.")
    for name, tensor in own.items():
        found = weights[name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise CheckpointError(
                f"{where}: weight `{name}` must be {tensor.dtype} of shape {tuple(tensor.shape)}, "
                f"but is {found.dtype} of shape {tuple(found.shape)}."
            )
        if not bool(torch.isfinite(found).all()):
            raise CheckpointError(f"{where}: weight `{name}` holds a value that is not a finite number.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> Path:
    """Write a checkpoint atomically.

    Returns:
        The path.

    Raises:
        StorageError: If the file cannot be written; what stood there before still stands.
    """
    text = json.dumps(checkpoint.describe(), sort_keys=True, separators=(",", ":"), allow_nan=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    return write_bytes(path, safetensors.torch.save(tensors, metadata={_KEY: text}))


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: If there is no such file, it is damaged, or it is no checkpoint of this package.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, safetensors.SafetensorError) as error:
        if not path.is_file():
            raise CheckpointError(f"There is no checkpoint {os.fspath(path)!r}.") from error
        raise CheckpointError(
            f"{path.name}: is no intact checkpoint ({in_one_line(error)}); copy it anew or train again."
        ) from error
    if header is None:
        raise CheckpointError(f"{path.name}: is a safetensors file, but no checkpoint of sqdr-qiskit.")
    try:
        values = json.loads(header)
        if values["schema"] != _SCHEMA:
            raise CheckpointError(
                f"{path.name}: field `schema` must be {_SCHEMA}, the only one this version reads, "
                f"but is {values['schema']!r}."
            )
        return Checkpoint(
            settings=ModelSettings.from_dict(values["model"]),
            weights=weights,
            **{key: values[key] for key in ("recipe", "dataset", "metrics", "versions", "seed")},
        )
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, SqdrError) as error:
        raise CheckpointError(f"{path.name}: its description is damaged ({in_one_line(error)}).") from error


def require_fit(checkpoint: Checkpoint, *, where: str = "checkpoint", **wanted: Any) -> None:
    """Refuse a checkpoint whose network is another one than wanted.

    Args:
        checkpoint: The checkpoint.
        where: What to call it in errors.
        wanted: Fields of `ModelSettings`, or `circuit_name`, with the values they must have.

    Raises:
        CheckpointError: If a field differs; the message names it.
    """
    settings = checkpoint.settings
    for name, value in wanted.items():
        found = settings.circuit.name if name == "circuit_name" else getattr(settings, name, None)
        if name != "circuit_name" and not hasattr(settings, name):
            raise ArgumentError(f"Argument `wanted` must name fields of ModelSettings, but names {name!r}.")
        if found != value:
            raise CheckpointError(f"{where}: field `{name}` must be {value!r}, but is {found!r}.")


def restore(
    checkpoint: Checkpoint, backend: Backend, *, gradient: str | None = None, where: str = "checkpoint"
) -> SQDRCNN:
    """The network of a checkpoint, in evaluation mode, with its circuit on a backend.

    Raises:
        CheckpointError: If the weights do not fit the network that the checkpoint describes.
    """
    model = build_model(checkpoint.settings, backend, gradient=gradient)
    load_weights(model, checkpoint.weights, where=where)
    return model.eval()
