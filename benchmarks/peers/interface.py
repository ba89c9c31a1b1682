"""The one interface of all peers.

A peer is a module with `prepare(task, precision) -> Runner`. A `Runner` does one fixed batch in two modes,
from numpy to numpy:

- `backward(x, w, cotangent)`: forward, then the vector-Jacobian product a training step needs. Returns values
  (batch, n), gradient in x (batch, 3n), gradient in w (3nb,), the last summed over the batch.
- `jacobian(x, w)`: forward, then every output's derivative for every sample, which Qiskit's TorchConnector
  asks for. Returns values (batch, n), d_x (batch, n, 3n), d_w (batch, n, 3nb). `None` where a peer has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Backward", "Jacobian", "NotSupportedError", "Runner"]

Array = NDArray[np.float64]
Backward = Callable[[Array, Array, Array], tuple[Array, Array, Array]]
Jacobian = Callable[[Array, Array], tuple[Array, Array, Array]]


class NotSupportedError(Exception):
    """A peer cannot do this task; the message says why."""


@dataclass(frozen=True)
class Runner:
    """One prepared batch of work: see the module's docstring."""

    backward: Backward
    jacobian: Jacobian | None = None
