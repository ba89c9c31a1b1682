"""Every random draw of a run as a function of (seed, purpose, epoch, step).

A counter-based generator (Philox) is made afresh for each draw from those four numbers, so a run that was
killed and started again draws the same numbers without any generator's state on disk, and no draw depends on
another.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch

from sqdr_qiskit.errors import ArgumentError

__all__ = ["PURPOSES", "Purpose", "draw", "permutation"]

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
