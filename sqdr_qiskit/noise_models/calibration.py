"""Channels from a device's calibration, by the rule of Aer's `NoiseModel.from_backend`.

A gate of calibrated average infidelity e and duration t is followed by depolarizing noise and then by the
relaxation of each of its qubits during t, the depolarizing strength chosen such that both together have the
infidelity e: lambda = d (F_relax - 1 + e) / (d F_relax - 1), with d = 2^k. Where relaxation alone exceeds e,
there is no depolarizing. T2 is cut to 2 T1.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
from qiskit.providers import BackendV2

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.noise_models import (
    RealArray,
    average_gate_fidelity,
    kraus_operators,
    kraus_to_ptm,
)
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.device import DeviceGate, DeviceSnapshot
from sqdr_qiskit.specs.noise import ErrorSpec, NoiseSpec, ReadoutSpec

__all__ = ["device_channels", "median_noise", "over_rotation", "snapshot"]


_FOREVER_US = 1e30  # stands for an unknown, that is, infinite time


def device_channels(
    error: float | None,
    duration_ns: float | None,
    t1_us: tuple[float | None, ...],
    t2_us: tuple[float | None, ...],
    rotation: ChannelSpec | None = None,
) -> tuple[tuple[ChannelSpec, tuple[int, ...]], ...]:
    """Channels after one gate of a device.

    Args:
        error: Calibrated average gate infidelity, in [0, 1], or None.
        duration_ns: Duration, ns, or None.
        t1_us: T1 of each of the gate's qubits, microseconds, None for infinite.
        t2_us: T2 of each, microseconds, None for 2 T1.
        rotation: By which a two-qubit gate turns too far, see `over_rotation`; it acts first, and is no part
            of `error`.

    Returns:
        (channel, operands) pairs in the order in which they act.
    """
    relaxation = [
        (_relaxation(t1, t2, duration_ns), (position,))
        for position, (t1, t2) in enumerate(zip(t1_us, t2_us, strict=True))
        if duration_ns
    ]
    turned = [] if rotation is None else [(rotation, (0, 1))]
    dim = 2 ** len(t1_us)
    ptm: RealArray = np.eye(1)
    for channel, _ in relaxation:
        ptm = np.asarray(np.kron(ptm, kraus_to_ptm(kraus_operators(channel))), dtype=np.float64)
    fidelity = average_gate_fidelity(ptm) if relaxation else 1.0
    if not error or error <= 1.0 - fidelity:
        return (*turned, *relaxation)
    # Aer's bounds: of the infidelity that is looked at, and of a depolarizing map that is a channel.
    worst = min(error, dim / (dim + 1))
    largest = dim**2 / (dim**2 - 1)
    lam = min(dim * (worst - (1.0 - fidelity)) / (dim * fidelity - 1.0), largest)
    kind = "depolarizing" if dim == 2 else "depolarizing_2q"
    depolarizing = ChannelSpec(kind, (("p", min(1.0, lam / largest)),))
    return *turned, (depolarizing, tuple(range(len(t1_us)))), *relaxation


def over_rotation(gate: str, angle_rad: float) -> ChannelSpec | None:
    """What a two-qubit gate does that turns by this angle too far; None if that is nothing.

    About ZZ for a CZ; an ECR and a CX turn about Z on their first and X on their second qubit.
    """
    if not angle_rad:
        return None
    return ChannelSpec("zz_rotation" if gate == "cz" else "zx_rotation", (("angle_rad", angle_rad),))


def _relaxation(t1_us: float | None, t2_us: float | None, duration_ns: float | None) -> ChannelSpec:
    t1 = _FOREVER_US if t1_us is None else t1_us
    t2 = 2.0 * t1 if t2_us is None else min(t2_us, 2.0 * t1)
    duration = 0.0 if duration_ns is None or math.isnan(duration_ns) else duration_ns
    return ChannelSpec("thermal_relaxation", (("t1_us", t1), ("t2_us", t2), ("duration_ns", duration)))


_MICRO, _NANO = 1e6, 1e9


def snapshot(backend: BackendV2) -> DeviceSnapshot:
    """Calibration of a backend: relaxation times, readout errors, gate errors and durations.

    Args:
        backend: Any backend with a target and calibrated properties, such as a fake or a real IBM device.

    Raises:
        UnsupportedError: It has no calibration.
    """
    target, properties = backend.target, getattr(backend, "properties", lambda: None)()
    if target.qubit_properties is None or properties is None:
        raise UnsupportedError(f"Device `{backend.name}` must have a calibration, but has none.")
    gates = [
        DeviceGate(name, tuple(qubits), _finite(item.error), _scaled(item.duration, _NANO))
        for name in target.operation_names
        if name not in ("measure", "reset", "delay") and target[name] is not None
        for qubits, item in target[name].items()
        if qubits is not None and item is not None
    ]
    qubits = range(target.num_qubits)
    readout = [_readout(properties, target, qubit) for qubit in qubits]
    return DeviceSnapshot(
        name=backend.name,
        calibrated=properties.last_update_date.isoformat(),
        t1_us=tuple(_scaled(target.qubit_properties[q].t1, _MICRO) for q in qubits),
        t2_us=tuple(_scaled(target.qubit_properties[q].t2, _MICRO) for q in qubits),
        p01=tuple(p01 for p01, _ in readout),
        p10=tuple(p10 for _, p10 in readout),
        gates=tuple(gates),
    )


def median_noise(device: DeviceSnapshot, *, name: str, source: str) -> NoiseSpec:
    """One noise for all qubits, of the device's medians, for circuits that were not transpiled.

    A one-qubit gate that takes a pulse is followed by what two SX gates bring (a general rotation is RZ SX RZ
    SX RZ), a two-qubit gate by what the device's own two-qubit gate brings; RZ is virtual and perfect.

    Args:
        device: The snapshot.
        name: Name of the noise.
        source: Where it comes from.

    Raises:
        UnsupportedError: The snapshot lacks what is needed; says what.
    """
    t1, t2 = _median(device, device.t1_us, "t1_us"), _median(device, device.t2_us, "t2_us")
    pairs = sorted({gate.name for gate in device.gates if len(gate.qubits) == 2})
    if not pairs or device.median_error("sx") is None or device.median_error(pairs[0]) is None:
        raise UnsupportedError(
            f"Device snapshot `{device.name}` must have errors of `sx` and of a two-qubit gate, but has "
            f"{', '.join(device.gate_names())}."
        )
    single, pair = device.median_error("sx") or 0.0, device.median_error(pairs[0]) or 0.0
    kept = 1.0 - 2.0 * single  # a depolarizing map of infidelity e keeps 1 - 2 e of the Bloch vector
    twice = (1.0 - kept**2) / 2.0
    errors = [
        *_errors(device_channels(twice, 2 * _duration(device, "sx"), (t1,), (t2,)), "pulsed_gates"),
        *_errors(device_channels(pair, _duration(device, pairs[0]), (t1, t1), (t2, t2)), "two_qubit_gates"),
    ]
    readout = ReadoutSpec(_median(device, device.p01, "p01"), _median(device, device.p10, "p10"))
    facts = f"SX {single:.3g}, {pairs[0].upper()} {pair:.3g}"
    title = f"Medians of {device.name}, calibrated {device.calibrated}: {facts}"
    return NoiseSpec(name, title, source, tuple(errors), (readout,))


def _errors(channels: Any, after: str) -> list[ErrorSpec]:
    """Channels of one gate as errors of a file; those on each qubit alike stand once."""
    return [ErrorSpec(channel, (after,)) for channel, operands in channels if operands in ((0,), (0, 1))]


def _median(device: DeviceSnapshot, values: tuple[float | None, ...], key: str) -> float:
    known = [value for value in values if value is not None]
    if not known:
        raise UnsupportedError(
            f"Device snapshot `{device.name}` must have `{key}` of some qubit, but has none."
        )
    return median(known)


def _duration(device: DeviceSnapshot, name: str) -> float:
    known = [g.duration_ns for g in device.gates if g.name == name and g.duration_ns is not None]
    return median(known) if known else 0.0


def _readout(properties: Any, target: Any, qubit: int) -> tuple[float | None, float | None]:
    """(p01, p10): both as calibrated, or the one readout error for both."""
    known = properties.qubit_property(qubit)
    if "prob_meas1_prep0" in known and "prob_meas0_prep1" in known:
        return float(known["prob_meas1_prep0"][0]), float(known["prob_meas0_prep1"][0])
    item = target["measure"].get((qubit,)) if "measure" in target else None
    error = None if item is None else _finite(item.error)
    return error, error


def _finite(value: float | None) -> float | None:
    return None if value is None else float(value)


def _scaled(seconds: float | None, factor: float) -> float | None:
    """Seconds in other units, to 12 digits (the factor brings rounding that no calibration has)."""
    return None if seconds is None else float(f"{seconds * factor:.12g}")
