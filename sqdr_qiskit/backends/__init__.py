"""Where expectation values come from; each backend is a standard `BaseEstimatorV2`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.simulators.exact import EngineMaker, ExactEstimator
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.specs.noise import NoiseSpec, noise_spec

if TYPE_CHECKING:  # whoever only simulates waits for none of them; the runtime's client takes a second
    from sqdr_qiskit.devices.chip import Chip
    from sqdr_qiskit.devices.estimator import Sender
    from sqdr_qiskit.devices.programs import LayoutOptions
    from sqdr_qiskit.devices.twin import Twin
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.estimators import RuntimeSettings
    from sqdr_qiskit.runtime.ledger import Ledger
    from sqdr_qiskit.specs.device import DeviceSnapshot

__all__ = [
    "Backend",
    "BACKENDS",
    "DEFAULT_NOISE",
    "ExactEstimator",
    "make_backend",
    "runtime_backend",
    "twin_backend",
]

DEFAULT_NOISE = "paper"
"""Noise model of a noisy simulator that is given none."""


@dataclass(frozen=True)
class Backend:
    """Where expectation values come from.

    Attributes:
        name: As given to `--backend`.
        estimator: A standard estimator; one broadcast PUB holds a whole batch.
        default_gradient: Key of `gradients.GRADIENTS` used unless another one is asked for.
        maker: Makes exact engines under all of its noise, readout included; None where there is none.
        noise: The noise model it simulates, if it simulates one.
        shots: Samples per expectation value, None if exact.
        twin: Of a rehearsed device: gives exact derivatives through its noise.
        require: Raises for a circuit with its observables that a device has no place for; None of simulators.
    """

    name: str
    estimator: BaseEstimatorV2
    default_gradient: str
    maker: EngineMaker | None = None
    noise: NoiseSpec | None = None
    shots: int | None = None
    twin: Twin | None = None
    require: Callable[[QuantumCircuit, Sequence[SparsePauliOp]], object] | None = None


def _exact(name: str) -> Backend:
    return Backend(name, ExactEstimator(), default_gradient="exact")


def _exact_noisy(name: str, *, noise: str | NoiseSpec = DEFAULT_NOISE) -> Backend:
    from sqdr_qiskit.simulators.aer import noisy_engine

    spec = noise_spec(noise)
    maker = noisy_engine(spec)
    return Backend(name, ExactEstimator(maker=maker), default_gradient="exact", maker=maker, noise=spec)


def _aer(name: str, *, shots: int | None = None, seed: int | None = None, device: str = "CPU") -> Backend:
    from sqdr_qiskit.simulators.aer import AerConeEstimator

    estimator = AerConeEstimator(None, shots=shots, seed=seed, device=device)
    return Backend(name, estimator, "exact" if shots is None else "parameter-shift", shots=shots)


def _aer_noisy(
    name: str,
    *,
    noise: str | NoiseSpec = DEFAULT_NOISE,
    shots: int | None = None,
    seed: int | None = None,
    device: str = "CPU",
) -> Backend:
    from sqdr_qiskit.simulators.aer import AerConeEstimator, noisy_engine

    spec = noise_spec(noise)
    estimator = AerConeEstimator(spec, shots=shots, seed=seed, device=device)
    gradient = "exact" if shots is None else "parameter-shift"
    return Backend(name, estimator, gradient, maker=noisy_engine(spec), noise=spec, shots=shots)


def _fake(
    name: str,
    *,
    noise: str | NoiseSpec | None = None,
    shots: int | None = None,
    simulator: str = "exact",
    seed: int | None = None,
    layout: str | LayoutSpec | None = None,
    fractional: bool = False,
) -> Backend:
    from sqdr_qiskit.devices.chip import chip_of, fake_backend
    from sqdr_qiskit.devices.programs import layout_options

    options = layout_options(layout)
    spec = None if noise is None else noise_spec(noise)
    if spec is not None and spec.device is None:
        raise ArgumentError(
            f"Argument `noise` must be the calibration of a device (a file of kind `device`, by `noise "
            f"from-device` or `noise learn`) with backend {name}, but is {spec.name!r}."
        )
    chip = chip_of(fake_backend(name))
    return twin_backend(
        chip.with_fractional_gates() if fractional else chip,
        name=name,
        noise=None if spec is None else spec.device,
        shots=shots,
        seed=seed,
        layout=options,
        simulator=simulator,
    )


def _hardware(
    name: str,
    *,
    shots: int | None = None,
    layout: str | LayoutSpec | None = None,
    fractional: bool = False,
    ledger: Ledger | None = None,
    runtime: RuntimeSettings | None = None,
) -> Backend:
    from sqdr_qiskit.devices.programs import layout_options
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.estimators import RuntimeSettings
    from sqdr_qiskit.runtime.sender import RuntimeSender

    if ledger is None:
        raise ArgumentError(
            f"Argument `ledger` must be a ledger with backend {name}, whose jobs cost: "
            "sqdr_qiskit.runtime.ledger.Ledger(FOLDER); but is None."
        )
    settings = runtime or RuntimeSettings()
    if fractional:
        settings = replace(settings, fractional=True)
    connection = Connection(
        # The run's own device and calibration, if it has met one: what was laid out stays where it is.
        ledger.kept("device") or name,
        calibrated=ledger.kept("calibrated"),
        fractional=settings.fractional,
    )
    sender = RuntimeSender(connection, ledger, settings)
    return runtime_backend(connection, sender, shots=shots, layout=layout_options(layout))


# The one list of backends: name on the command line -> maker, whose keyword arguments are its options.
BACKENDS: Mapping[str, Callable[..., Backend]] = MappingProxyType(
    {
        "exact": _exact,
        "exact_noisy": _exact_noisy,
        "aer": _aer,
        "aer_noisy": _aer_noisy,
        "fake_<device>": _fake,
        "ibm_<device>": _hardware,
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
        noise: Catalogue name or path of a noise model, or its description.
        shots: Samples per expectation value; None is exact where that can be, else the backend's own number;
            0 on a snapshot gives expectations without shot noise.
        simulator: What computes a snapshot: `exact`, or `aer`.
        seed: Of the samples; has no effect where nothing is sampled. None draws fresh ones.
        layout: On a device: `tiled`, `whole`, a layout file's path, or what it says.
        fractional: On a device that has it: RX of any angle as one pulse.
        device: Where Aer computes: `CPU` or `GPU`.
        ledger: On hardware, and there needed: where jobs are written down before they are sent, a
            `runtime.ledger.Ledger`.
        runtime: On hardware: how the jobs run, and the ceiling.

    Raises:
        ArgumentError: No backend of that name, or an option that has no effect there.
        SpecError: The noise model's or the layout's file says something that cannot be.
    """
    key = "fake_<device>" if name.startswith("fake_") else "ibm_<device>" if is_hardware(name) else name
    if key not in BACKENDS:
        likely = get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean `{likely[0]}`?" if likely else "."
        raise ArgumentError(f"Argument `backend` must be one of {', '.join(BACKENDS)}, but is `{name}`{hint}")
    least = 0 if key == "fake_<device>" else 1
    if shots is not None and shots < least:
        raise ArgumentError(
            f"Argument `shots` must be at least {least} with backend {name}, but is {shots}"
            f"{'; leave it out for exact values.' if key.startswith(('aer', 'exact')) else '.'}"
        )
    options = {
        "noise": noise,
        "shots": shots,
        "simulator": simulator,
        "seed": seed,
        "layout": layout,
        "fractional": fractional or None,
        "device": device,
        "ledger": ledger,
        "runtime": runtime,
    }
    maker = BACKENDS[key]
    known = signature(maker).parameters
    given = {option: value for option, value in options.items() if value is not None}
    for option, value in given.items():
        if option not in known and option != "seed":
            raise ArgumentError(
                f"Argument `{option}` must be left out with backend {name}, where it has no effect, "
                f"but is {value!r}."
            )
    return maker(name, **{option: value for option, value in given.items() if option in known})


def twin_backend(
    chip: Chip,
    *,
    name: str | None = None,
    shots: int | None = None,
    seed: int | None = None,
    layout: LayoutOptions | None = None,
    simulator: str = "exact",
    noise: DeviceSnapshot | None = None,
) -> Backend:
    """A device computed on this machine: laid out as there, with the noise that it is calibrated to have.

    Args:
        chip: The device, or its snapshot.
        name: What the backend is called, such as `fake_brisbane`; the chip's own name if None.
        shots: Samples per expectation value; 4096 if None; 0 gives expectations without shot noise.
        seed: Makes samples repeatable; None draws fresh ones.
        layout: How circuits are laid out.
        simulator: `exact` or `aer`, see `LocalSender`.
        noise: The device's noise in place of the chip's, as it was learnt say. Circuits stand where the
            chip's calibration puts them, as they would on the device.

    Raises:
        ArgumentError: Fewer than 0 shots.
        SpecError: The layout or the noise is that of a file for another device.
    """
    from sqdr_qiskit.devices.chip import median_noise
    from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, DeviceEstimator
    from sqdr_qiskit.devices.twin import LocalSender, Twin
    from sqdr_qiskit.simulators.aer import noisy_engine

    samples = DEFAULT_SHOTS if shots is None else shots
    noisy = chip if noise is None else chip.under(noise)
    sender = LocalSender(noisy, seed=seed, simulator=simulator, sampled=samples != 0)
    estimator = DeviceEstimator(chip, sender, shots=samples or DEFAULT_SHOTS, options=layout)
    twin = Twin(estimator, sender) if simulator == "exact" else None
    return Backend(
        name or chip.name,
        estimator,
        default_gradient="parameter-shift" if twin is None else "exact",
        maker=noisy_engine(median_noise(noisy)),
        shots=samples or None,
        twin=twin,
        require=estimator.program,
    )


def runtime_backend(
    connection: Connection, sender: Sender, *, shots: int | None = None, layout: LayoutOptions | None = None
) -> Backend:
    """The device of a connection, with requests going through a sender.

    Args:
        connection: Account and device.
        sender: Takes requests there, a `RuntimeSender` as a rule.
        shots: Samples per expectation value; 4096 if None.
        layout: How circuits are laid out on the chip.

    Raises:
        ArgumentError: The account or the device cannot be had.
        SpecError: The layout is that of a file for another device.
        BackendError: IBM cannot be reached.
    """
    from sqdr_qiskit.devices.chip import chip_of
    from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, DeviceEstimator
    from sqdr_qiskit.runtime.client import translating

    device = connection.device
    with translating(f"reading the calibration of {device.name}"):
        chip = chip_of(device)
    if connection.fractional:
        chip = chip.with_fractional_gates()
    wanted = DEFAULT_SHOTS if shots is None else shots
    estimator = DeviceEstimator(chip, sender, shots=wanted, options=layout)
    return Backend(
        connection.name,
        estimator,
        default_gradient="parameter-shift",
        shots=wanted,
        require=estimator.program,
    )
