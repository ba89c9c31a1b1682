"""Every random draw of a run as a function of (seed, purpose, epoch, step), and the weights it starts from.

A counter-based generator (Philox) is made afresh for each draw from those four numbers, so a run that was
killed and started again draws the same numbers without any generator's state on disk, and no draw depends on
another: changing the distribution of one tensor leaves the others alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.controls import GroupedTanh

__all__ = [
    "draw",
    "initial_circuit_weights",
    "INITIALISATIONS",
    "initialise",
    "permutation",
    "Purpose",
    "PURPOSES",
]


Purpose = Literal["weights", "order", "flip", "shots"]

# The place of a purpose in this table is part of every run's definition: append, never reorder.
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def draw(seed: int, purpose: Purpose, *, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """The random generator for one purpose at one place of a run.

    Args:
        seed: The run's seed, not negative.
        purpose: What is drawn, one of `PURPOSES`.
        epoch: Epoch, counted from 0.
        step: Step in the epoch, counted from 0; for `weights`, the number of the tensor.

    Raises:
        ArgumentError: If `seed`, `epoch` or `step` is negative or `purpose` is unknown.
    """
    if purpose not in PURPOSES:
        raise ArgumentError(f"Argument `purpose` must be one of {', '.join(PURPOSES)}, but is {purpose!r}.")
    for name, value in (("seed", seed), ("epoch", epoch), ("step", step)):
        if value < 0:
            raise ArgumentError(f"Argument `{name}` must not be negative, but is {value}.")
    return np.random.Generator(np.random.Philox([seed, PURPOSES.index(purpose), epoch, step]))


def permutation(seed: int, n_items: int, *, epoch: int) -> torch.Tensor:
    """The order in which an epoch goes through its items: int64 tensor of shape (n_items,)."""
    return torch.from_numpy(draw(seed, "order", epoch=epoch).permutation(n_items))


def _uniform(high: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, n: rng.uniform(0.0, high, n)


def _truncated_normal(high: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        # By rejection: of N(0, 1), 34 to 50 in a hundred lie in the interval.
        kept = np.empty(0)
        while len(kept) < n:
            values = rng.standard_normal(4 * n + 16)
            kept = np.concatenate([kept, values[(values >= 0.0) & (values <= high)]])
        return kept[:n]

    return sample


# Distribution of the circuit's weights, radians (Luu et al., Table 5).
INITIALISATIONS: Mapping[str, Callable[[np.random.Generator, int], np.ndarray]] = MappingProxyType(
    {
        "uniform-2pi": _uniform(2 * math.pi),
        "normal-2pi": _truncated_normal(2 * math.pi),
        "uniform-1": _uniform(1.0),
        "normal-1": _truncated_normal(1.0),
    }
)


def initial_circuit_weights(name: str, n_weights: int, *, rng: np.random.Generator) -> np.ndarray:
    """Weights of a circuit to start from.

    Args:
        name: `uniform-2pi` is U(0, 2 pi), `normal-2pi` is N(0, 1) truncated to [0, 2 pi], `uniform-1` is
            U(0, 1), `normal-1` is N(0, 1) truncated to [0, 1].
        n_weights: How many.
        rng: Draws them.

    Returns:
        float64 array of shape (n_weights,), radians.

    Raises:
        ArgumentError: If there is no such distribution.

    Source: Luu et al., arXiv 2512.03895, Table 5.
    """
    if name not in INITIALISATIONS:
        raise ArgumentError(
            f"Argument `initialisation` must be one of {', '.join(INITIALISATIONS)}, but is {name!r}."
        )
    return INITIALISATIONS[name](rng, n_weights)


def initialise(model: nn.Module, *, circuit: str, seed: int, positive: bool = False) -> None:
    """Set every parameter of a network to its starting value, in place.

    Convolutions and linear maps: weights and biases U(-1, 1) / sqrt(fan in), torch's default. Batch norms:
    1, 0. Whatever else has a `weight` and no `bias` and no children is the circuit, or a layer in its place
    whose weights are angles too: the distribution `circuit`.

    Args:
        model: A network with parameters `encoder.*`, `quantum.*` and maybe `head.*`.
        circuit: Name in `INITIALISATIONS`.
        seed: The run's seed.
        positive: Whether the encoder's linear map starts with 0 in place of its negative weights. Its inputs
            are rates, so a neuron with mostly negative weights never fires and, far below its threshold,
            hardly learns to; of 27 features a handful is lost that way at torch's default.
    """
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.named_parameters()):
            rng = draw(seed, "weights", step=number)
            owner = model.get_submodule(name.rpartition(".")[0])
            start = _start(owner, name, parameter, circuit, rng)
            if positive and name == "encoder.linear.weight":
                start = np.maximum(start, 0.0)
            parameter.copy_(torch.from_numpy(start).to(parameter.dtype))


def _start(
    owner: nn.Module, name: str, parameter: torch.Tensor, circuit: str, rng: np.random.Generator
) -> np.ndarray:
    shape = tuple(parameter.shape)
    if isinstance(owner, nn.Conv2d | nn.Linear):
        bound = 1.0 / math.sqrt(owner.weight[0].numel())
        return rng.uniform(-bound, bound, shape)
    if isinstance(owner, GroupedTanh):
        return rng.uniform(-owner.bound, owner.bound, shape)
    if isinstance(owner, nn.BatchNorm2d):
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0)
    return initial_circuit_weights(circuit, parameter.numel(), rng=rng).reshape(shape)
