"""`fake_<device>`: a device's calibration snapshot on this machine, by the same path as the device itself."""

from __future__ import annotations

from sqdr_qiskit.backends.interface import Backend
from sqdr_qiskit.devices.chip import chip_of
from sqdr_qiskit.devices.device_model import median_noise
from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, DeviceEstimator
from sqdr_qiskit.devices.fake import fake_backend
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.devices.transpilation import LayoutOptions
from sqdr_qiskit.simulators.noise import noisy_engine

__all__ = ["make_fake"]


def make_fake(
    name: str, *, shots: int | None = None, seed: int | None = None, layout: LayoutOptions | None = None
) -> Backend:
    """The backend `fake_<device>`: laid out as on the device, run by Aer with its snapshot's noise.

    Args:
        name: Such as `fake_brisbane`.
        shots: Samples per expectation value; 4096 if None.
        seed: Makes samples repeatable; None draws fresh ones.
        layout: How circuits are laid out.

    Raises:
        ArgumentError: No such snapshot, or fewer than 1 shot.
        SpecError: The layout is that of a file for another device.
    """
    chip = chip_of(fake_backend(name))
    samples = DEFAULT_SHOTS if shots is None else shots
    estimator = DeviceEstimator(chip, LocalSender(chip, seed=seed), shots=samples, options=layout)
    return Backend(
        name,
        estimator,
        default_gradient="parameter-shift",
        maker=noisy_engine(median_noise(chip)),
        shots=samples,
        require=None if layout is None or layout.choice is None else estimator.require,
    )
