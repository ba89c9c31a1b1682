"""IBM's devices as they were calibrated one day: the snapshots that qiskit-ibm-runtime carries."""

from __future__ import annotations

import difflib
from functools import cache

from qiskit.providers import BackendV2

from sqdr_qiskit.errors import ArgumentError

__all__ = ["fake_backend", "fake_names"]


def fake_backend(name: str) -> BackendV2:
    """The snapshot of a device.

    Args:
        name: Such as `fake_brisbane`.

    Raises:
        ArgumentError: There is no such snapshot; the message offers the likely name.
    """
    from qiskit_ibm_runtime import fake_provider

    classes = _classes()
    if name not in classes:
        likely = difflib.get_close_matches(name, classes, n=3, cutoff=0.5)
        hint = (
            f"did you mean {', '.join(repr(other) for other in likely)}?"
            if likely
            else "see the list in its docs."
        )
        raise ArgumentError(f"There is no device snapshot {name!r}; {hint}")
    backend: BackendV2 = getattr(fake_provider, classes[name])()
    return backend


def fake_names() -> tuple[str, ...]:
    """Names of all snapshots, in alphabetical order."""
    return tuple(sorted(_classes()))


@cache
def _classes() -> dict[str, str]:
    """Name of a snapshot -> its class in `qiskit_ibm_runtime.fake_provider`, by that package's own rule."""
    from qiskit_ibm_runtime import fake_provider

    names = [n for n in vars(fake_provider) if n.startswith("Fake") and not n.startswith("FakeProvider")]
    return {"fake_" + name[4:].removesuffix("V2").removesuffix("Backend").lower(): name for name in names}
