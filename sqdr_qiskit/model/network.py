"""The whole classifier: spiking encoder -> data re-uploading circuit -> linear head."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn

from sqdr_qiskit.backends import Backend
from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients import GradientOptions
from sqdr_qiskit.model.quantum_layer import quantum_layer
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["ModelSettings", "SQDRCNN", "build_model"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What makes one network another, apart from its weights and from where its circuit runs.

    Attributes:
        circuit: The circuit.
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
    in_channels: int = 1
    n_classes: int = 10
    head: bool = True
    angle_scale: float = 1.0
    n_steps: int = 10
    n_phases: int = 8

    def __post_init__(self) -> None:
        if self.n_classes < 2:
            raise ArgumentError(f"Argument `n_classes` must be at least 2, but is {self.n_classes}.")
        if not (math.isfinite(self.angle_scale) and self.angle_scale > 0.0):
            raise ArgumentError(f"Argument `angle_scale` must be above 0, but is {self.angle_scale}.")
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
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise ArgumentError(
                f"Argument `values` must have exactly a model's settings, but differs in {odd}."
            )
        return cls(**{**values, "circuit": CircuitSpec.from_dict(values["circuit"])})


class SQDRCNN(nn.Module):
    """Images to logits: rates = encoder(images), x = angle_scale * rates, logits = head(<Z_i>(x, w)).

    Args:
        encoder: Gives one firing rate for each of the circuit's angles.
        quantum: Maps angles (batch, 3n) to expectations (batch, n); a `TorchConnector`.
        head: Maps expectations to logits; None takes the first `n_classes` expectations as they are.
        n_classes: Number of logits.
        angle_scale: Radians of a rotation for a firing rate of 1.

    Source: Luu et al., arXiv 2512.03895, section 3; without a head: figure 4.
    """

    def __init__(
        self,
        encoder: SpikingEncoder,
        quantum: nn.Module,
        head: nn.Linear | None,
        *,
        n_classes: int = 10,
        angle_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantum = quantum
        self.head = head
        self.n_classes = n_classes
        self.angle_scale = angle_scale

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Angles x for the circuit, radians: float32 tensor of shape (batch, 3n)."""
        return self.angle_scale * self.encoder(images)

    def expectations(self, angles: torch.Tensor) -> torch.Tensor:
        """Expectations <Z_i> of the circuit: float32 tensor of shape (batch, n), -1 to 1."""
        return self.quantum(angles)

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
        backend: Where expectation values come from.
        gradient: Where the circuit's gradients come from; None is the backend's own.
        gradient_options: That gradient's choices.
        circuit: The circuit, if it is built already.
        input_gradients: Whether the encoder is to learn.

    Raises:
        ArgumentError: If the backend or gradient does not fit.
        UnsupportedError: If the backend cannot take the circuit.
        SpecError: If the backend's layout file is for another circuit.
    """
    circuit = circuit or build_circuit(settings.circuit)
    if backend.require is not None:
        backend.require(circuit.circuit, circuit.observables)
    encoder = SpikingEncoder(
        settings.in_channels, circuit.n_features, n_steps=settings.n_steps, n_phases=settings.n_phases
    )
    quantum = quantum_layer(
        circuit, backend, gradient, gradient_options=gradient_options, input_gradients=input_gradients
    )
    head = nn.Linear(circuit.n_outputs, settings.n_classes) if settings.head else None
    return SQDRCNN(encoder, quantum, head, n_classes=settings.n_classes, angle_scale=settings.angle_scale)
