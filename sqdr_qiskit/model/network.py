"""The whole classifier: spiking encoder -> data re-uploading circuit -> linear head.

`MODELS` lists it and its controls, in which the circuit, or the encoder, is something else.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import nn

from sqdr_qiskit.backends import Backend
from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError, CheckpointError, SqdrError, in_one_line
from sqdr_qiskit.gradients import GradientOptions
from sqdr_qiskit.model.controls import ConvNet, GroupedTanh, LocalCosines, PlainEncoder, mismatched
from sqdr_qiskit.model.quantum_layer import quantum_layer
from sqdr_qiskit.records import write_bytes
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.reader import Table

__all__ = [
    "build_model",
    "Checkpoint",
    "count_parameters",
    "load_weights",
    "ModelKind",
    "MODELS",
    "ModelSettings",
    "named_weights",
    "read_checkpoint",
    "require_fit",
    "restore",
    "save_checkpoint",
    "SQDRCNN",
]


Encoder: TypeAlias = SpikingEncoder | PlainEncoder | ConvNet


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """The network, or a control in which one part of it is something else.

    Attributes:
        title: What is different, for lists.
        circuit: Fields of the circuit's description that are different; None if no circuit computes.
        layer: Makes what stands in the circuit's place from its numbers of qubits and blocks; None with a
            circuit, or if the features go straight into the head.
        encoder: Makes the encoder from settings and the number of the circuit's angles; gives it with its
            number of features.
        frozen: Whether the circuit keeps the weights that it starts with.
        mismatch: Whether each sample gets another one's expectations.
    """

    title: str
    circuit: Mapping[str, Any] | None = field(default_factory=dict)
    layer: Callable[[int, int], nn.Module] | None = None
    encoder: Callable[[ModelSettings, int], tuple[Encoder, int]] = lambda settings, n: (
        _spiking(settings, n),
        n,
    )
    frozen: bool = False
    mismatch: bool = False

    @property
    def of_reupload(self) -> bool:
        """Whether it is made for data re-uploading circuits alone."""
        return bool(self.circuit) or self.circuit is None


def _spiking(settings: ModelSettings, n_features: int) -> SpikingEncoder:
    return SpikingEncoder(
        settings.in_channels, n_features, n_steps=settings.n_steps, n_phases=settings.n_phases
    )


def _matched(settings: ModelSettings, n_angles: int) -> tuple[Encoder, int]:
    """As many features, read by the head, as take no more weights than linear map, circuit and head do."""
    per_feature = 8 * settings.in_channels + 1 + settings.n_classes
    n_features = (_n_readout_weights(settings) - settings.n_classes) // per_feature
    return _spiking(settings, n_features), n_features


def _convnet(settings: ModelSettings, n_angles: int) -> tuple[Encoder, int]:
    channels = [settings.in_channels << layer for layer in range(4)]
    convolutions = sum(9 * narrow * wide + 2 * wide for narrow, wide in pairwise(channels))
    net = ConvNet(settings.in_channels, convolutions + _n_readout_weights(settings), settings.n_classes)
    return net, net.n_features


def _n_readout_weights(settings: ModelSettings) -> int:
    """Weights after the average pool that the network itself has: linear map, circuit and head."""
    n_qubits, n_blocks = settings.circuit.n_qubits, settings.circuit.n_blocks
    linear = 3 * n_qubits * (8 * settings.in_channels + 1)
    return linear + 3 * n_qubits * n_blocks + (n_qubits + 1) * settings.n_classes


MODELS: Mapping[str, ModelKind] = MappingProxyType(
    {
        "circuit": ModelKind(title="the network itself"),
        "circuit-frozen": ModelKind(title="the circuit keeps its random first weights", frozen=True),
        "circuit-no-entangler": ModelKind(
            title="the circuit has no two-qubit gates", circuit={"entangler": "none"}
        ),
        "circuit-no-weights": ModelKind(
            title="the circuit has no trained rotations", circuit={"trained_rotations": False}
        ),
        "circuit-mismatched": ModelKind(
            title="each image gets another one's expectations: must fail", mismatch=True
        ),
        "local-cosines": ModelKind(
            title="products of local cosines, as many weights as the circuit",
            circuit=None,
            layer=LocalCosines,
        ),
        "grouped-tanh": ModelKind(
            title="a grouped linear map and tanh, as many weights as the circuit",
            circuit=None,
            layer=GroupedTanh,
        ),
        "features": ModelKind(title="the encoder's rates go straight into the head", circuit=None),
        "features-matched": ModelKind(
            title="so many rates into the head that there are as many weights in all",
            circuit=None,
            encoder=_matched,
        ),
        "plain-encoder": ModelKind(
            title="ReLU in place of spikes",
            encoder=lambda settings, n: (PlainEncoder(settings.in_channels, n), n),
        ),
        "convnet": ModelKind(
            title="the best classical net of as many weights", circuit=None, encoder=_convnet
        ),
    }
)
"""What `--model` names: the network, and the controls that show what its parts contribute."""


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
        for name in ("in_channels", "n_classes", "n_steps", "n_phases"):
            table.integer(name, at_most=_MOST)  # a file may say anything; checked before anything is built
        table.flag("head")
        table.text("model")
        scale: Any = self.angle_scale
        if not isinstance(scale, int | float):
            table.number("angle_scale")
        if self.n_classes < 2:
            raise ArgumentError(f"Argument `n_classes` must be at least 2, but is {self.n_classes}.")
        if not (math.isfinite(self.angle_scale) and self.angle_scale > 0.0):
            raise ArgumentError(f"Argument `angle_scale` must be above 0, but is {self.angle_scale}.")
        if self.model not in MODELS:
            close = difflib.get_close_matches(str(self.model), MODELS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ArgumentError(
                f"Argument `model` must be one of {', '.join(MODELS)}, but is {self.model!r}{hint}"
            )
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
    circuit: CircuitModel | None = None,
    input_gradients: bool = True,
) -> SQDRCNN:
    """A network with the circuit running on a backend, with unspecified first weights.

    Args:
        settings: What the network is.
        backend: Where expectation values come from; exact for a control without circuit.
        gradient: Where the circuit's gradients come from; None is the backend's own.
        gradient_options: That gradient's choices.
        circuit: The circuit, if it is built already.
        input_gradients: Whether the encoder is to learn.

    Raises:
        ArgumentError: If the backend or gradient does not fit.
        UnsupportedError: If the backend cannot take the circuit.
        SpecError: If the backend's layout file is for another circuit.
    """
    kind = MODELS[settings.model]
    circuit = circuit or build_circuit(settings.circuit)
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
