"""The whole classifier, spiking encoder -> data re-uploading circuit -> linear head; at work, and at rest.

At rest it is one safetensors file: weights, and in the header as JSON what they are the weights of. No pickle
is read or written. The file names the circuit, encoder, recipe and data that made it, and is written whole or
not at all; equal content gives equal bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from sqdr_qiskit.backends import Backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError, CheckpointError, SqdrError, in_one_line
from sqdr_qiskit.gradients import GradientOptions
from sqdr_qiskit.model.controls import MODELS, Encoder, mismatched
from sqdr_qiskit.model.quantum_layer import quantum_layer
from sqdr_qiskit.records import write_bytes
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.reader import Table

__all__ = [
    "build_model",
    "Checkpoint",
    "count_parameters",
    "load_weights",
    "ModelSettings",
    "named_weights",
    "read_checkpoint",
    "require_fit",
    "restore",
    "save_checkpoint",
    "SQDRCNN",
]


_MOST = 10_000  # of channels, classes, steps and phases: more is a slip of the pen


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What makes one network another, apart from its weights and from where its circuit runs.

    Attributes:
        model: Name in `MODELS`: the network itself, or one of its controls.
        circuit: The circuit, as the model has it (a control without entangler has one without); of a control
            without circuit the one that gives its sizes.
        in_channels: Colour channels of an image.
        n_classes: Number of classes.
        head: Whether a linear map takes the circuit's outputs to the logits; without it the first `n_classes`
            outputs are the logits.
        angle_scale: Radians of a rotation for a firing rate of 1.
        n_steps: T, time steps of the encoder.
        n_phases: K, phases of the code.

    Raises:
        ArgumentError: If a setting is out of range, or the circuit has fewer outputs than classes and no
            head.
    """

    circuit: CircuitSpec
    model: str = "circuit"
    in_channels: int = 1
    n_classes: int = 10
    head: bool = True
    angle_scale: float = 1.0
    n_steps: int = 10
    n_phases: int = 8

    def __post_init__(self) -> None:
        table = Table({one.name: getattr(self, one.name) for one in fields(self)})
        for name in ("in_channels", "n_classes", "n_steps", "n_phases"):  # a file may say anything
            table.integer(name, at_most=_MOST)
        table.integer("n_classes", at_least=2)
        table.flag("head")
        table.number("angle_scale", above=0)
        table.text("model", choices=tuple(MODELS))
        kind = MODELS[self.model]
        if kind.of_reupload and self.circuit.kind != "reupload":
            raise ArgumentError(
                f"Argument `model` must not be {self.model} with circuit {self.circuit.name}, but is: that "
                "control is made for data re-uploading circuits."
            )
        object.__setattr__(self, "circuit", replace(self.circuit, **(kind.circuit or {})))
        if not self.head and kind.circuit is None and kind.layer is None:
            raise ArgumentError(
                f"Argument `head` must be true with model {self.model}, whose features it reads, but is "
                "false."
            )
        if not self.head and self.circuit.n_qubits < self.n_classes:
            raise ArgumentError(
                f"Argument `head` must be true for circuit {self.circuit.name}, but is false: without a head "
                f"{self.n_classes} classes need at least {self.n_classes} qubits, and it has "
                f"{self.circuit.n_qubits}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` reads them back."""
        return {**asdict(self), "circuit": self.circuit.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSettings:
        """The settings that `to_dict` wrote.

        Raises:
            ArgumentError: If a setting is missing, unknown or out of range.
            SpecError: If the circuit's description is damaged.
        """
        known = {one.name for one in fields(cls)}
        values = {"model": "circuit", **values}  # which checkpoints from before the controls do not say
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise ArgumentError(
                f"Argument `values` must have exactly a model's settings, but differs in {odd}."
            )
        return cls(**{**values, "circuit": CircuitSpec.from_dict(values["circuit"])})


class SQDRCNN(nn.Module):
    """Images to logits: rates = encoder(images), x = angle_scale * rates, logits = head(<Z_i>(x, w)).

    Args:
        encoder: Gives one firing rate for each of the circuit's angles; in a control, features of its own.
        quantum: Maps angles (batch, 3n) to expectations (batch, n): a `TorchConnector`, or in a control what
            stands in its place.
        head: Maps expectations to logits; None takes the first `n_classes` expectations as they are.
        n_classes: Number of logits.
        angle_scale: Radians of a rotation for a firing rate of 1.
        mismatch: Whether each sample of a batch gets another one's expectations, so that nothing can be
            learnt of it.

    Source: Luu et al., arXiv 2512.03895, section 3; without a head: figure 4.
    """

    def __init__(
        self,
        encoder: Encoder,
        quantum: nn.Module,
        head: nn.Linear | None,
        *,
        n_classes: int = 10,
        angle_scale: float = 1.0,
        mismatch: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantum = quantum
        self.head = head
        self.n_classes = n_classes
        self.angle_scale = angle_scale
        self.mismatch = mismatch

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Angles x for the circuit, radians: float32 tensor of shape (batch, 3n)."""
        return self.angle_scale * self.encoder(images)

    def expectations(self, angles: torch.Tensor) -> torch.Tensor:
        """Expectations <Z_i> of the circuit: float32 tensor of shape (batch, n), -1 to 1."""
        expectations: torch.Tensor = self.quantum(angles)
        return mismatched(expectations) if self.mismatch else expectations

    def read_out(self, expectations: torch.Tensor) -> torch.Tensor:
        """Logits: float32 tensor of shape (batch, n_classes)."""
        return expectations[:, : self.n_classes] if self.head is None else self.head(expectations)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of images.

        Args:
            images: Tensor of shape (batch, C, H, W): uint8, or floating point in [0, 1].

        Returns:
            float32 tensor of shape (batch, n_classes).

        Raises:
            ArgumentError: If `images` does not fit the encoder.
        """
        return self.read_out(self.expectations(self.encode(images)))


def build_model(
    settings: ModelSettings,
    backend: Backend,
    *,
    gradient: str | None = None,
    gradient_options: GradientOptions | None = None,
    input_gradients: bool = True,
) -> SQDRCNN:
    """A network with the circuit running on a backend, with unspecified first weights.

    Args:
        settings: What the network is.
        backend: Where expectation values come from; exact for a control without circuit.
        gradient: Where the circuit's gradients come from; None is the backend's own.
        gradient_options: That gradient's choices.
        input_gradients: Whether the encoder is to learn.

    Raises:
        ArgumentError: If the backend or gradient does not fit.
        UnsupportedError: If the backend cannot take the circuit.
        SpecError: If the backend's layout file is for another circuit.
    """
    kind = MODELS[settings.model]
    circuit = build_circuit(settings.circuit)
    encoder, n_outputs = kind.encoder(settings, circuit.n_features)
    if kind.circuit is None:
        for name, value in (("backend", backend.name), ("gradient", gradient or "exact")):
            if value != "exact":
                raise ArgumentError(
                    f"Argument `{name}` must be exact with model {settings.model}, which has no circuit, but "
                    f"is {value}."
                )
        quantum: nn.Module = nn.Identity()
        if kind.layer is not None:
            quantum, n_outputs = kind.layer(circuit.n_qubits, settings.circuit.n_blocks), circuit.n_outputs
    else:
        if backend.require is not None:
            backend.require(circuit.circuit, circuit.observables)
        quantum = quantum_layer(
            circuit, backend, gradient, gradient_options=gradient_options, input_gradients=input_gradients
        )
        quantum.requires_grad_(not kind.frozen)
        n_outputs = circuit.n_outputs
    return SQDRCNN(
        encoder,
        quantum,
        nn.Linear(n_outputs, settings.n_classes) if settings.head else None,
        n_classes=settings.n_classes,
        angle_scale=settings.angle_scale,
        mismatch=kind.mismatch,
    )


def count_parameters(model: nn.Module) -> int:
    """Numbers that training may change; frozen ones do not count, nor do batch norm's statistics."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


# ---- at rest -----------------------------------------------------------------------------------------------

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


def require_fit(checkpoint: Checkpoint, *, where: str, **wanted: Any) -> None:
    """Refuse a checkpoint whose network is another one than wanted.

    Args:
        checkpoint: The checkpoint.
        where: What to call it in errors.
        wanted: Fields of `ModelSettings` with the values they must have.

    Raises:
        CheckpointError: If a field differs; the message names it.
    """
    for name, value in wanted.items():
        found = getattr(checkpoint.settings, name)
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
