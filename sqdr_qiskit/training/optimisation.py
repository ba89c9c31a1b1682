"""What a recipe names: the weights that a training starts from, its optimiser, its schedule, its average.

Every random draw is a function of (seed, purpose, epoch, step): a counter-based generator (Philox) is made
afresh for each from those four numbers. So a run that was killed and started again draws the same numbers
without any generator's state on disk, and no draw depends on another: changing the distribution of one tensor
leaves the others alone. Likewise a schedule is a pure function of the place in the run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.model.controls import GroupedTanh
from sqdr_qiskit.model.network import named_weights

__all__ = [
    "cosine",
    "draw",
    "estimate_norms",
    "initial_circuit_weights",
    "INITIALISATIONS",
    "initialise",
    "make_optimiser",
    "MovingAverage",
    "one_cycle",
    "OPTIMISERS",
    "permutation",
    "Purpose",
    "PURPOSES",
    "SCHEDULES",
    "warm_restarts",
    "with_weights",
]


# ---- draws and first weights -------------------------------------------------------------------------------

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


# ---- optimisers and schedules ------------------------------------------------------------------------------


def _eager(kind: type[Optimizer]) -> type[Optimizer]:
    """The same optimiser without the guards that `torch.compile` needs around its methods.

    Nothing is compiled here, and the guards import the compiler: a second or two before the first step.
    """
    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    return type(kind.__name__, (kind,), {**plain, "step": torch.no_grad()(inspect.unwrap(kind.step))})


OPTIMISERS: Mapping[str, Callable[..., Optimizer]] = MappingProxyType(
    {
        "adam": _eager(Adam),
        "adamw": _eager(AdamW),
        "sgd": _eager(SGD),
        "sgdr": _eager(SGD),
        "adagrad": _eager(Adagrad),
    }
)
"""The paper's Table 5; `sgdr` is SGD with `warm_restarts`."""


def make_optimiser(
    name: str, groups: Iterable[Sequence[torch.Tensor]], *, learning_rate: float, weight_decay: float
) -> Optimizer:
    """An optimiser for groups of weights, each of which has a learning rate of its own to set.

    Args:
        name: Name in `OPTIMISERS`.
        groups: Parameters to change, group by group.
        learning_rate: Every group's learning rate to begin with.
        weight_decay: Factor of the weights that is added to their gradient (AdamW: subtracted from the
            weights).

    Raises:
        ArgumentError: If there is no such optimiser.
    """
    if name not in OPTIMISERS:
        raise ArgumentError(f"Argument `optimiser` must be one of {', '.join(OPTIMISERS)}, but is {name!r}.")
    weights = [{"params": list(group)} for group in groups]
    return OPTIMISERS[name](weights, lr=learning_rate, weight_decay=weight_decay)


ONE_CYCLE_START = 0.1  # one-cycle begins at a tenth of the largest rate
RESTART_EPOCHS = 10  # length of sgdr's first cycle; each next one is as long


def cosine(done: float, warm_up: float, final: float) -> float:
    """From 1 down to `final` along half a cosine."""
    del warm_up
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def one_cycle(done: float, warm_up: float, final: float) -> float:
    """From 0.1 up to 1 along half a cosine during `warm_up`, then down to `final` along another.

    Source: Smith and Topin, arXiv 1708.07120; the shape of `torch.optim.lr_scheduler.OneCycleLR`.
    """
    if done < warm_up:
        rise = done / warm_up
        return ONE_CYCLE_START + (1.0 - ONE_CYCLE_START) * 0.5 * (1.0 - math.cos(math.pi * rise))
    return cosine((done - warm_up) / (1.0 - warm_up), 0.0, final)


def warm_restarts(epochs_done: float) -> float:
    """SGDR: from 1 to 0 along half a cosine every `RESTART_EPOCHS` epochs.

    Equal to `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=RESTART_EPOCHS)` stepped with
    fractions of epochs.

    Args:
        epochs_done: Epochs since the start of the run, with fraction.

    Source: Loshchilov and Hutter, arXiv 1608.03983, equation 5.
    """
    return 0.5 * (1.0 + math.cos(math.pi * (epochs_done % RESTART_EPOCHS) / RESTART_EPOCHS))


SCHEDULES: Mapping[str, Callable[[float, float, float], float]] = MappingProxyType(
    {"constant": lambda done, warm_up, final: 1.0, "cosine": cosine, "one-cycle": one_cycle}
)
"""(fraction of the run done, 0 to below 1; warm_up; final) -> factor of the largest learning rate."""


# ---- averages ----------------------------------------------------------------------------------------------

_FIRST_STEPS = 10  # the average forgets its start: decay after k steps is at most (1 + k) / (10 + k)


class MovingAverage:
    """Weights averaged over the steps of training: a_k = d_k a_(k-1) + (1 - d_k) w_k.

    The decay d_k = min(d, (1 + k) / (10 + k)) lets the average forget its start.

    Integer buffers (batch counters) are copied. With decay 0 the average is the latest weights.

    Args:
        model: The network whose weights are averaged.
        decay: d, 0 to below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: tensor.clone() for name, tensor in named_weights(model).items()}
        self._smooth = [name for name, tensor in self.values.items() if tensor.is_floating_point()]

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step.

        Args:
            model: The network.
            step: Number of steps done before this one, over all epochs.
        """
        current = named_weights(model)
        decay = min(self.decay, (1 + step) / (_FIRST_STEPS + step))
        with torch.no_grad():
            # One call for all tensors: they are small, and each call of its own costs more than the work.
            torch._foreach_lerp_(
                [self.values[name] for name in self._smooth],
                [current[name] for name in self._smooth],
                1.0 - decay,
            )
            for name, tensor in current.items():
                if not tensor.is_floating_point():
                    self.values[name].copy_(tensor)

    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Go on from an average that was saved."""
        _copy(self.values, values)


def estimate_norms(encoder: nn.Module, images: torch.Tensor) -> None:
    """Give an encoder's batch norms the statistics of some images, layer by layer, in place of running ones.

    The images go through as ONE batch, so each layer's statistics are those of what the layers before it give
    with the statistics that they keep. Averages over small batches are not: where a neuron stays just below
    its threshold on a blank background, the statistics of one batch let it fire everywhere and those of
    another nowhere; the next layer's mean jumps between two values, and a running mean settles on one in
    between, which no network has. Accuracy falls by ten points while training, which sees batches, goes on.

    Args:
        encoder: The encoder; its mode and its batch norms' momentum are restored afterwards.
        images: uint8 tensor of shape (N, C, H, W); a few thousand.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta, was_training = [norm.momentum for norm in norms], encoder.training
    try:
        for norm in norms:
            norm.momentum = 1.0  # the batch's statistics, whole
        with torch.no_grad():
            encoder.train()(images)
    finally:
        encoder.train(was_training)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def with_weights(model: nn.Module, values: Mapping[str, torch.Tensor]) -> Iterator[nn.Module]:
    """Let a network compute with other weights for a while; its own come back, whatever happens."""
    own = named_weights(model)
    saved = {name: tensor.clone() for name, tensor in own.items()}
    _copy(own, values)
    try:
        yield model
    finally:
        _copy(own, saved)


def _copy(into: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(values[name])
