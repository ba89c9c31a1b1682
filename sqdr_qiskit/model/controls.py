"""What stands in the circuit's or the encoder's place when one asks what it contributes; all in `MODELS`.

Each is trained by the same loop and recipe as the circuit. The two layers have exactly as many weights as the
re-uploading circuit they replace, and see what it sees: three angles of each qubit, and those of neighbours
within its light cone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sqdr_qiskit.encoder import SpikingEncoder, quantise
from sqdr_qiskit.specs.circuit import parameter_counts

if TYPE_CHECKING:
    from sqdr_qiskit.model.network import ModelSettings

__all__ = [
    "MODELS",
    "ConvNet",
    "Encoder",
    "GroupedTanh",
    "LocalCosines",
    "ModelKind",
    "PlainEncoder",
    "mismatched",
]


class LocalCosines(nn.Module):
    """Sums of products of cosines with trained phases, on the light cones of a re-uploading circuit.

    With c(k, i) the mean over a = 1, 2, 3 of cos(x[i, a] + w[k, i, a]), output j is the mean over k = 0 ... b
    - 1 of the product of all c(k, i) with i at most k places from j on the ring. That is 2 b - 1 qubits, as
    in the circuit's light cone, and no qubit is entangled with another: each factor is a function of one
    qubit's angles alone.

    Args:
        n_qubits: n, number of outputs.
        n_blocks: b.

    The one parameter `weight`, of shape (3 n b,), holds w in the order [k][i][a], radians.
    """

    def __init__(self, n_qubits: int, n_blocks: int) -> None:
        super().__init__()
        self.shape = (n_blocks, n_qubits, 3)
        self.weight = nn.Parameter(torch.empty(3 * n_qubits * n_blocks).uniform_(0.0, 2 * math.pi))

    def forward(self, angles: torch.Tensor) -> torch.Tensor:
        """Outputs in [-1, 1], shape (batch, n), of angles of shape (batch, 3 n), radians."""
        n_blocks, n_qubits, _ = self.shape
        phases = angles.reshape(-1, 1, n_qubits, 3) + self.weight.reshape(self.shape)
        local = torch.cos(phases).mean(dim=3)  # (batch, b, n)
        whole = torch.zeros_like(local[:, 0])
        for block in range(n_blocks):
            near = min(block, (n_qubits - 1) // 2)  # a cone as wide as the ring takes each qubit once
            product = torch.ones_like(whole)
            for away in range(-near, near + 1):
                product = product * local[:, block].roll(away, dims=1)
            whole = whole + product
        return whole / n_blocks


class GroupedTanh(nn.Module):
    """A linear map in groups, and tanh: output j is tanh(sum of w[k, j, a] x[j + k, a]) over k < b and a.

    Args:
        n_qubits: n, number of outputs; j + k is taken modulo n.
        n_blocks: b, number of groups of three angles that an output sees.

    The one parameter `weight`, of shape (3 n b,), holds w in the order [k][j][a].
    """

    def __init__(self, n_qubits: int, n_blocks: int) -> None:
        super().__init__()
        self.shape = (n_blocks, n_qubits, 3)
        self.weight = nn.Parameter(torch.empty(3 * n_qubits * n_blocks))
        nn.init.uniform_(self.weight, -self.bound, self.bound)

    @property
    def bound(self) -> float:
        """Largest weight to start from: 1 / sqrt(fan in)."""
        return 1.0 / math.sqrt(3 * self.shape[0])

    def forward(self, angles: torch.Tensor) -> torch.Tensor:
        """Outputs in [-1, 1], shape (batch, n), of angles of shape (batch, 3 n)."""
        n_blocks, n_qubits, _ = self.shape
        groups = angles.reshape(-1, n_qubits, 3)
        seen = torch.stack([groups.roll(-block, dims=1) for block in range(n_blocks)], dim=1)
        return torch.tanh((seen * self.weight.reshape(self.shape)).sum(dim=(1, 3)))


def mismatched(outputs: torch.Tensor) -> torch.Tensor:
    """Outputs of a batch handed to other samples, none to its own (but in a batch of one).

    The order is a function of the batch's size alone, so that a run can be repeated to the bit.
    """
    order = np.random.Generator(np.random.Philox(len(outputs))).permutation(len(outputs))
    return outputs[torch.from_numpy(order[np.argsort(np.roll(order, 1))])]


class PlainEncoder(nn.Module):
    """The encoder without spikes: ReLU for the neurons, the pixels themselves for the code.

    3 x [Conv 3x3, BatchNorm, ReLU, MaxPool 2x2], average pool, Linear, sigmoid: the same weights under the
    same names as `SpikingEncoder`, and features in (0, 1) in place of rates.

    Args:
        in_channels: C, channels of an image.
        n_features: Number of features.
    """

    def __init__(self, in_channels: int = 1, n_features: int = 27) -> None:
        super().__init__()
        self.in_channels = in_channels
        widths = [in_channels << layer for layer in range(4)]
        self.convs = nn.ModuleList(
            nn.Conv2d(narrow, wide, 3, padding=1, bias=False) for narrow, wide in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(wide) for wide in widths[1:])
        self.linear = nn.Linear(widths[-1], n_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of images of shape (batch, C, H, W): float32 tensor of shape (batch, n_features)."""
        maps = quantise(images).to(self.linear.weight.dtype) / 255.0
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps = functional.max_pool2d(functional.relu(norm(conv(maps))), 2)
        return torch.sigmoid(self.linear(maps.mean(dim=(2, 3))))


class ConvNet(nn.Module):
    """The best classical features that we could build with so few weights.

    Conv 3x3 (C -> a), Conv 3x3 (a -> b), depthwise 3x3 and 1x1 (b -> c), each with BatchNorm and ReLU, max
    pooling after the first two, average pooling at the end; b = 1.6 a, c = 2.8 a, rounded.

    Args:
        in_channels: C, channels of an image.
        budget: The most weights that it may have together with a linear map to the classes.
        n_classes: Number of classes.
    """

    def __init__(self, in_channels: int, budget: int, n_classes: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        width = 1
        while _n_weights(in_channels, width + 1, n_classes) <= budget:
            width += 1
        first, second, third = _widths(width)
        self.n_features = third
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(in_channels, first, 3, padding=1, bias=False),
                nn.Conv2d(first, second, 3, padding=1, bias=False),
                nn.Conv2d(second, second, 3, padding=1, bias=False, groups=second),
                nn.Conv2d(second, third, 1, bias=False),
            ]
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(wide) for wide in (first, second, third))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of images of shape (batch, C, H, W): float32 tensor of shape (batch, n_features)."""
        maps = quantise(images).to(next(self.parameters()).dtype) / 255.0
        first, second, deep, wide = self.convs
        maps = functional.max_pool2d(functional.relu(self.norms[0](first(maps))), 2)
        maps = functional.max_pool2d(functional.relu(self.norms[1](second(maps))), 2)
        return functional.relu(self.norms[2](wide(deep(maps)))).mean(dim=(2, 3))


def _widths(width: int) -> tuple[int, int, int]:
    return width, round(1.6 * width), round(2.8 * width)


def _n_weights(in_channels: int, width: int, n_classes: int) -> int:
    a, b, c = _widths(width)
    convolutions = 9 * in_channels * a + 9 * a * b + 9 * b + b * c
    return convolutions + 2 * (a + b + c) + (c + 1) * n_classes


# ---- the table ---------------------------------------------------------------------------------------------

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
    counts = _counts(settings)
    per_feature = 8 * settings.in_channels + 1 + settings.n_classes
    readout = counts["linear"] + counts["circuit"] + counts["head"]
    n_features = (readout - settings.n_classes) // per_feature
    return _spiking(settings, n_features), n_features


def _convnet(settings: ModelSettings, n_angles: int) -> tuple[Encoder, int]:
    net = ConvNet(settings.in_channels, _counts(settings)["total"], settings.n_classes)
    return net, net.n_features


def _counts(settings: ModelSettings) -> dict[str, int]:
    """Weights by part that the network itself has."""
    n_qubits = settings.circuit.n_qubits
    return parameter_counts(
        n_features=3 * n_qubits,
        n_weights=3 * n_qubits * settings.circuit.n_blocks,
        n_outputs=n_qubits,
        n_channels=settings.in_channels,
        n_classes=settings.n_classes,
    )


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
