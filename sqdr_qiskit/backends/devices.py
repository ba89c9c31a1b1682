"""A quantum computer, or its snapshot (`fake_<device>`), as a backend: both by the same path."""

from __future__ import annotations

from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.devices.chip import Chip, chip_of, median_noise
from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, DeviceEstimator
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.devices.sender import Sender
from sqdr_qiskit.devices.transpilation import LayoutOptions
from sqdr_qiskit.devices.twin import Twin
from sqdr_qiskit.errors import SqdrError
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.errors import translated
from sqdr_qiskit.simulators.aer import noisy_engine
from sqdr_qiskit.specs.device import DeviceSnapshot

__all__ = ["runtime_backend", "twin_backend"]


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
        chip = chip.with_fractional_gates() if connection.fractional else chip
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
