"""Where expectation values come from; each backend is a standard `BaseEstimatorV2`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.specs.noise import NoiseSpec, noise_spec

if TYPE_CHECKING:  # the runtime's client takes a second to import
    from sqdr_qiskit.runtime.estimators import RuntimeSettings
    from sqdr_qiskit.runtime.ledger import Ledger

__all__ = ["BACKENDS", "DEFAULT_NOISE", "Backend", "BackendOptions", "ExactEstimator", "make_backend"]

DEFAULT_NOISE = "paper"
"""Noise model of a noisy simulator that is given none."""


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """Choices that some backends have; None leaves a choice to the backend.

    Attributes:
        noise: Catalogue name or path of a noise model, or its description.
        shots: Samples per expectation value; 0 on a snapshot gives expectations without shot noise.
        simulator: What computes a snapshot: `exact`, or `aer`.
        seed: Of the samples; has no effect where nothing is sampled. None draws fresh ones.
        layout: On a device: `tiled`, `whole`, a layout file's path, or what it says.
        fractional: On a device that has it: RX of any angle as one pulse.
        device: Where Aer computes: `CPU` or `GPU`.
        ledger: On hardware, and there needed: where jobs are written down before they are sent, a
            `runtime.ledger.Ledger`.
        runtime: On hardware: how the jobs run, and the ceiling.
    """

    noise: str | NoiseSpec | None = None
    shots: int | None = None
    simulator: str | None = None
    seed: int | None = None
    layout: str | LayoutSpec | None = None
    fractional: bool | None = None
    device: str | None = None
    ledger: Ledger | None = None
    runtime: RuntimeSettings | None = None


def _exact(name: str, options: BackendOptions) -> Backend:
    return Backend(name, ExactEstimator(), default_gradient="exact")


def _exact_noisy(name: str, options: BackendOptions) -> Backend:
    from sqdr_qiskit.simulators.aer import noisy_engine

    noise = noise_spec(options.noise or DEFAULT_NOISE)
    maker = noisy_engine(noise)
    return Backend(name, ExactEstimator(maker=maker), default_gradient="exact", maker=maker, noise=noise)


def _aer(name: str, options: BackendOptions) -> Backend:
    from sqdr_qiskit.simulators.aer import AerConeEstimator, noisy_engine

    noise = noise_spec(options.noise or DEFAULT_NOISE) if name == "aer_noisy" else None
    return Backend(
        name,
        AerConeEstimator(noise, shots=options.shots, seed=options.seed, device=options.device or "CPU"),
        default_gradient="exact" if options.shots is None else "parameter-shift",
        maker=None if noise is None else noisy_engine(noise),
        noise=noise,
        shots=options.shots,
    )


def _fake(name: str, options: BackendOptions) -> Backend:
    from sqdr_qiskit.backends.devices import twin_backend
    from sqdr_qiskit.devices.chip import chip_of, fake_backend
    from sqdr_qiskit.devices.layout_file import layout_options

    layout = layout_options(options.layout)
    noise = None if options.noise is None else noise_spec(options.noise)
    if noise is not None and noise.device is None:
        raise ArgumentError(
            f"Argument `noise` must be the calibration of a device (a file of kind `device`, by `noise "
            f"from-device` or `noise learn`) with backend {name}, but is {noise.name!r}."
        )
    chip = chip_of(fake_backend(name))
    return twin_backend(
        chip.with_fractional_gates() if options.fractional else chip,
        name=name,
        noise=None if noise is None else noise.device,
        shots=options.shots,
        seed=options.seed,
        layout=layout,
        simulator=options.simulator or "exact",
    )


def _hardware(name: str, options: BackendOptions) -> Backend:
    from sqdr_qiskit.backends.devices import runtime_backend
    from sqdr_qiskit.devices.layout_file import layout_options
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.estimators import RuntimeSettings
    from sqdr_qiskit.runtime.sender import RuntimeSender

    if options.ledger is None:
        raise ArgumentError(
            f"Argument `ledger` must be a ledger with backend {name}, whose jobs cost: "
            "sqdr_qiskit.runtime.ledger.Ledger(FOLDER); but is None."
        )
    settings = options.runtime or RuntimeSettings()
    if options.fractional:
        settings = replace(settings, fractional=True)
    connection = Connection(
        options.ledger.kept("device") or name,
        calibrated=options.ledger.kept("calibrated"),
        fractional=settings.fractional,
    )
    sender = RuntimeSender(connection, options.ledger, settings)
    layout = layout_options(options.layout)
    return runtime_backend(connection, sender, shots=options.shots, layout=layout)


Maker = Callable[[str, BackendOptions], Backend]

# The one list of backends: name on the command line -> maker, and the options that it has besides `seed`.
BACKENDS: Mapping[str, tuple[Maker, frozenset[str]]] = MappingProxyType(
    {
        "exact": (_exact, frozenset()),
        "exact_noisy": (_exact_noisy, frozenset({"noise"})),
        "aer": (_aer, frozenset({"shots", "device"})),
        "aer_noisy": (_aer, frozenset({"noise", "shots", "device"})),
        "fake_<device>": (_fake, frozenset({"noise", "shots", "layout", "fractional", "simulator"})),
        "ibm_<device>": (_hardware, frozenset({"shots", "layout", "fractional", "ledger", "runtime"})),
    }
)


def make_backend(
    name: str = "exact",
    *,
    noise: str | NoiseSpec | None = None,
    shots: int | None = None,
    simulator: str | None = None,
    seed: int | None = None,
    layout: str | LayoutSpec | None = None,
    fractional: bool = False,
    device: str | None = None,
    ledger: Ledger | None = None,
    runtime: RuntimeSettings | None = None,
) -> Backend:
    """The backend called `name`.

    Args:
        name: A key of `BACKENDS`, the device's name in place of `<device>`; `least_busy` is the device of the
            account with the shortest queue.
        noise: See `BackendOptions`, as for the others.
        shots: Samples per expectation value; None is exact where that can be, else the backend's own number.
        simulator: What computes a snapshot.
        seed: Of the samples.
        layout: On a device.
        fractional: On a device.
        device: Where Aer computes.
        ledger: Where jobs on hardware are written down.
        runtime: How they run.

    Raises:
        ArgumentError: No backend of that name, or an option that has no effect there.
        SpecError: The noise model's or the layout's file says something that cannot be.
    """
    key = "fake_<device>" if name.startswith("fake_") else "ibm_<device>" if is_hardware(name) else name
    if key not in BACKENDS:
        likely = get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean `{likely[0]}`?" if likely else "."
        raise ArgumentError(f"Argument `backend` must be one of {', '.join(BACKENDS)}, but is `{name}`{hint}")
    maker, known = BACKENDS[key]
    if shots is not None and shots < (0 if key == "fake_<device>" else 1):
        least = 0 if key == "fake_<device>" else 1
        raise ArgumentError(
            f"Argument `shots` must be at least {least} with backend {name}, but is {shots}"
            f"{'; leave it out for exact values.' if key.startswith(('aer', 'exact')) else '.'}"
        )
    options = BackendOptions(
        noise=noise,
        shots=shots,
        simulator=simulator,
        seed=seed,
        layout=layout,
        fractional=fractional or None,
        device=device,
        ledger=ledger,
        runtime=runtime,
    )
    for field in fields(options):
        value = getattr(options, field.name)
        if value is not None and field.name not in known | {"seed"}:
            raise ArgumentError(
                f"Argument `{field.name}` must be left out with backend {name}, where it has no effect, "
                f"but is {value!r}."
            )
    return maker(name, options)
