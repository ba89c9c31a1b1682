"""Where expectation values come from; each backend is a standard `BaseEstimatorV2`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.backends.exact import ExactEstimator
from sqdr_qiskit.backends.interface import Backend

__all__ = ["BACKENDS", "Backend", "ExactEstimator", "make_backend"]

# The one list of backends: name on the command line -> maker.
BACKENDS: dict[str, Callable[[], Backend]] = {
    "exact": lambda: Backend("exact", ExactEstimator(), default_gradient="exact"),
}


def make_backend(name: str = "exact") -> Backend:
    """The backend called `name`.

    Raises:
        ArgumentError: No backend of that name.
    """
    if name not in BACKENDS:
        likely = get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean `{likely[0]}`?" if likely else "."
        raise ArgumentError(f"Argument `backend` must be one of {', '.join(BACKENDS)}, but is `{name}`{hint}")
    return BACKENDS[name]()
