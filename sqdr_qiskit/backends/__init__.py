"""Where expectation values come from; each backend is a standard `BaseEstimatorV2`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from sqdr_qiskit.backends.exact import ExactEstimator
from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.errors import ArgumentError

__all__ = ["BACKENDS", "Backend", "ExactEstimator", "make_backend"]

# The one list of backends: name on the command line -> maker.
BACKENDS: dict[str, Callable[[], Backend]] = {
    "exact": lambda: Backend("exact", ExactEstimator(), default_gradient="exact"),
}


def make_backend(
    name: str = "exact", *, shots: int | None = None, seed: int | None = None, layout: str | None = None
) -> Backend:
    """The backend called `name`.

    Args:
        name: A key of `BACKENDS`, or `fake_<device>` for a device's snapshot.
        shots: Samples per expectation value; None is the backend's own number, if it samples.
        seed: Of the samples; has no effect where nothing is sampled. None draws fresh ones.
        layout: On a device: `tiled` or `whole`; None is `tiled`.

    Raises:
        ArgumentError: No backend of that name, or an option that has no effect there.
    """
    if name.startswith("fake_"):
        from sqdr_qiskit.backends.rehearsal import make_fake
        from sqdr_qiskit.backends.transpilation import LayoutOptions

        options = LayoutOptions() if layout is None else LayoutOptions(layout=layout)
        return make_fake(name, shots=shots, seed=seed, layout=options)
    if name not in BACKENDS:
        likely = get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean `{likely[0]}`?" if likely else "."
        known = f"one of {', '.join(BACKENDS)}, or fake_<device>"
        raise ArgumentError(f"Argument `backend` must be {known}, but is `{name}`{hint}")
    for option, value in (("shots", shots), ("layout", layout)):
        if value is not None:
            raise ArgumentError(
                f"Argument `{option}` must be left out with backend {name}, where it has no effect, "
                f"but is {value!r}."
            )
    return BACKENDS[name]()
