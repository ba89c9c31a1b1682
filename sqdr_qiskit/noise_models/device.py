"""Channels from a device's calibration, by the rule of Aer's `NoiseModel.from_backend`.

A gate of calibrated average infidelity e and duration t is followed by depolarizing noise and then by the
relaxation of each of its qubits during t, the depolarizing strength chosen such that both together have the
infidelity e: lambda = d (F_relax - 1 + e) / (d F_relax - 1), with d = 2^k. Where relaxation alone exceeds e,
there is no depolarizing. T2 is cut to 2 T1.
"""

from __future__ import annotations

import math

import numpy as np

from sqdr_qiskit.noise_models.channels import (
    FloatArray,
    average_gate_fidelity,
    kraus_operators,
    kraus_to_ptm,
)
from sqdr_qiskit.specs.channels import ChannelSpec

__all__ = ["device_channels"]

_FOREVER_US = 1e30  # stands for an unknown, that is, infinite time


def device_channels(
    error: float | None,
    duration_ns: float | None,
    t1_us: tuple[float | None, ...],
    t2_us: tuple[float | None, ...],
) -> tuple[tuple[ChannelSpec, tuple[int, ...]], ...]:
    """Channels after one gate of a device.

    Args:
        error: Calibrated average gate infidelity, in [0, 1], or None.
        duration_ns: Duration, ns, or None.
        t1_us: T1 of each of the gate's qubits, microseconds, None for infinite.
        t2_us: T2 of each, microseconds, None for 2 T1.

    Returns:
        (channel, operands) pairs in the order in which they act.
    """
    relaxation = [
        (_relaxation(t1, t2, duration_ns), (position,))
        for position, (t1, t2) in enumerate(zip(t1_us, t2_us, strict=True))
        if duration_ns
    ]
    dim = 2 ** len(t1_us)
    ptm: FloatArray = np.eye(1)
    for channel, _ in relaxation:
        ptm = np.asarray(np.kron(ptm, kraus_to_ptm(kraus_operators(channel))), dtype=np.float64)
    fidelity = average_gate_fidelity(ptm) if relaxation else 1.0
    if not error or error <= 1.0 - fidelity:
        return tuple(relaxation)
    worst = min(error, dim / (dim + 1))
    largest = dim**2 / (dim**2 - 1)
    lam = min(dim * (worst - (1.0 - fidelity)) / (dim * fidelity - 1.0), largest)
    kind = "depolarizing" if dim == 2 else "depolarizing_2q"
    depolarizing = ChannelSpec(kind, (("p", min(1.0, lam / largest)),))
    return (depolarizing, tuple(range(len(t1_us)))), *relaxation


def _relaxation(t1_us: float | None, t2_us: float | None, duration_ns: float | None) -> ChannelSpec:
    t1 = _FOREVER_US if t1_us is None else t1_us
    t2 = 2.0 * t1 if t2_us is None else min(t2_us, 2.0 * t1)
    duration = 0.0 if duration_ns is None or math.isnan(duration_ns) else duration_ns
    return ChannelSpec("thermal_relaxation", (("t1_us", t1), ("t2_us", t2), ("duration_ns", duration)))
