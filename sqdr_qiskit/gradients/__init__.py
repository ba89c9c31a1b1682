"""How derivatives of expectation values are found; each is a standard `BaseEstimatorGradient`."""

from __future__ import annotations

from collections.abc import Callable

from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.gradients.exact import ExactGradient
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient

__all__ = ["GRADIENTS", "BatchedEstimatorGradient", "ExactGradient", "make_gradient"]

# The one list of gradients: name on the command line -> maker.
GRADIENTS: dict[str, Callable[[Backend], BatchedEstimatorGradient]] = {
    "exact": lambda backend: ExactGradient(backend.channels),
}


def make_gradient(name: str | None, backend: Backend) -> BatchedEstimatorGradient:
    """The gradient called `name` for `backend`; the backend's default if None.

    Raises:
        ArgumentError: No gradient of that name.
    """
    chosen = backend.default_gradient if name is None else name
    if chosen not in GRADIENTS:
        raise ArgumentError(f"Argument `gradient` must be one of {', '.join(GRADIENTS)}, but is `{chosen}`.")
    return GRADIENTS[chosen](backend)
