"""A quantum computer, or its snapshot (`fake_<device>`), as a backend: both by the same path."""

from __future__ import annotations

from dataclasses import replace

from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.devices.chip import Chip, chip_of, fake_backend, median_noise
from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, DeviceEstimator
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.devices.sender import Sender
from sqdr_qiskit.devices.transpilation import LayoutOptions
from sqdr_qiskit.devices.twin import Twin
from sqdr_qiskit.errors import SqdrError
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.errors import translated
from sqdr_qiskit.simulators.noise import noisy_engine
from sqdr_qiskit.specs.device import DeviceSnapshot

__all__ = ["make_fake", "runtime_backend", "twin_backend"]


def make_fake(
    name: str,
    *,
    shots: int | None = None,
    seed: int | None = None,
    layout: LayoutOptions | None = None,
    simulator: str = "exact",
    noise: DeviceSnapshot | None = None,
) -> Backend:
    """The backend `fake_<device>`: laid out as on the device, computed here with its snapshot's noise.

    Args:
        name: Such as `fake_brisbane`.
        shots: Samples per expectation value; 4096 if None; 0 gives expectations without shot noise.
        seed: Makes samples repeatable; None draws fresh ones.
        layout: How circuits are laid out.
        simulator: `exact` or `aer`, see `LocalSender`.
        noise: The device's noise in place of its snapshot's, as it was learnt say. Circuits stand where the
            snapshot's calibration puts them, as they would on the device.

    Raises:
        ArgumentError: No such snapshot, or fewer than 0 shots.
        SpecError: The layout or the noise is that of a file for another device.
    """
    chip = chip_of(fake_backend(name))
    return replace(
        twin_backend(chip, shots=shots, seed=seed, layout=layout, simulator=simulator, noise=noise), name=name
    )


def twin_backend(
    chip: Chip,
    *,
    shots: int | None = None,
    seed: int | None = None,
    layout: LayoutOptions | None = None,
    simulator: str = "exact",
    noise: DeviceSnapshot | None = None,
) -> Backend:
    """A chip computed on this machine, as it is calibrated or under other noise; see `make_fake`."""
    samples = DEFAULT_SHOTS if shots is None else shots
    noisy = chip if noise is None else chip.under(noise)
    sender = LocalSender(noisy, seed=seed, simulator=simulator, sampled=samples != 0)
    estimator = DeviceEstimator(chip, sender, shots=samples or DEFAULT_SHOTS, options=layout)
    twin = Twin(estimator, sender) if simulator == "exact" else None
    return Backend(
        chip.name,
        estimator,
        default_gradient="parameter-shift" if twin is None else "exact",
        maker=noisy_engine(median_noise(noisy)),
        shots=samples or None,
        twin=twin,
        require=estimator.require,
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
    device = connection.device
    try:
        chip = chip_of(device)
    except SqdrError:
        raise
    except Exception as error:
        raise translated(error, doing=f"reading the calibration of {device.name}") from error
    wanted = DEFAULT_SHOTS if shots is None else shots
    estimator = DeviceEstimator(chip, sender, shots=wanted, options=layout)
    return Backend(
        connection.name,
        estimator,
        default_gradient="parameter-shift",
        shots=wanted,
        require=estimator.require,
    )
