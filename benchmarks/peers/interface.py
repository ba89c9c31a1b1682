"""The one interface of all peers.

A peer is a module with `prepare(task, precision) -> Runner`. A `Runner` does a batch in up to three modes,
from numpy to numpy:

- `backward(x, w, cotangent)`: forward, then the vector-Jacobian product a training step needs. Returns values
  (batch, n), gradient in x (batch, 3n), gradient in w (3nb,), the last summed over the batch.
- `jacobian(x, w)`: forward, then every output's derivative for every sample, which Qiskit's TorchConnector
  asks for. Returns values (batch, n), d_x (batch, n, 3n), d_w (batch, n, 3nb). `None` where a peer has none.
- `forward(x, w)`: the values alone, (batch, n). `None` where it is not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Backward", "Forward", "Jacobian", "Meter", "NotSupportedError", "Runner"]

Array = NDArray[np.float64]
Backward = Callable[[Array, Array, Array], tuple[Array, Array, Array]]
Jacobian = Callable[[Array, Array], tuple[Array, Array, Array]]
Forward = Callable[[Array, Array], Array]


class NotSupportedError(Exception):
    """A peer cannot do this task; the message says why."""


@dataclass
class Meter:
    """What of a call was really computed: `done` of `total` equal pieces; the rest would take `missing_s`."""

    done: int = 0
    total: int = 0
    missing_s: float = 0.0


@dataclass(frozen=True)
class Runner:
    """One prepared circuit: see the module's docstring. With a `meter`, a call may be cut short."""

    backward: Backward | None = None
    jacobian: Jacobian | None = None
    forward: Forward | None = None
    meter: Meter | None = None
