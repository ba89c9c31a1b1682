"""IBM's quantum computers by name: retired and when, there today, their snapshots here, and a list of all.

The service answers a retired name exactly like a misspelt one; this table tells them apart.

Sources: IBM's page "Retired QPUs" (quantum.cloud.ibm.com/docs/guides/retired-qpus) and the machines listed by
the service in 2026.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from sqdr_qiskit.errors import ArgumentError

__all__ = [
    "DEVICES_2026",
    "RETIRED",
    "Device",
    "absent_device",
    "is_hardware",
    "no_fractional_gates",
    "fake_name",
    "Listed",
    "retirement",
    "snapshot_folder",
    "snapshot_names",
    "snapshots",
]


@dataclass(frozen=True)
class Device:
    """A machine of 2026.

    Attributes:
        n_qubits: Its qubits.
        processor: Family and revision.
    """

    n_qubits: int
    processor: str


# What the service listed in 2026; an account sees a part of it, and `sqdr-qiskit backends` says which.
DEVICES_2026: Mapping[str, Device] = MappingProxyType(
    {
        "ibm_kingston": Device(156, "Heron r2"),
        "ibm_fez": Device(156, "Heron r2"),
        "ibm_marrakesh": Device(156, "Heron r2"),
        "ibm_pittsburgh": Device(156, "Heron r3"),
        "ibm_boston": Device(156, "Heron r3"),
        "ibm_aachen": Device(156, "Heron r3"),
        "ibm_miami": Device(120, "Nighthawk"),
        "ibm_berlin": Device(120, "Nighthawk"),
    }
)

# Name without `ibm_` or `ibmq_` -> day (or month) of retirement. Berlin is left out: an old ibmq_berlin
# (retired 2020-12-31) and a new ibm_berlin share the name.
RETIRED: Mapping[str, str] = MappingProxyType(
    {
        "strasbourg": "2026-04-27", "brussels": "2026-04", "torino": "2026-04",
        "brisbane": "2025-11-03", "sherbrooke": "2025-07-31", "kyiv": "2025-04-18",
        "nazca": "2024-12-04", "kyoto": "2024-09-05", "osaka": "2024-08-13", "cusco": "2024-08-13",
        "algiers": "2024-04-30", "cairo": "2024-04-30", "hanoi": "2024-04-30", "kolkata": "2024-04-01",
        "mumbai": "2024-04-01", "ithaca": "2024-01-24",
        "nairobi": "2023-11-28", "lagos": "2023-11-28", "perth": "2023-11-28", "auckland": "2023-11-09",
        "guadalupe": "2023-10-27", "lima": "2023-09-26", "belem": "2023-09-26", "quito": "2023-09-26",
        "manila": "2023-09-26", "jakarta": "2023-09-26", "seattle": "2023-09-07",
        "washington": "2023-06-03", "oslo": "2023-05-04", "geneva": "2023-05-04", "montreal": "2023-04-11",
        "toronto": "2023-04-11",
        "armonk": "2022-07-07", "brooklyn": "2022-06-28", "bogota": "2022-06-17", "santiago": "2022-06-17",
        "casablanca": "2022-03-02", "sydney": "2022-01-11",
        "dublin": "2021-11-16", "manhattan": "2021-09-22", "5_yorktown": "2021-08-09",
        "yorktown": "2021-08-09", "16_melbourne": "2021-08-09", "melbourne": "2021-08-09",
        "paris": "2021-06-30", "rome": "2021-06-30", "athens": "2021-06-30", "boeblingen": "2021-01-31",
        "ourense": "2021-01-15", "vigo": "2021-01-15", "valencia": "2021-01-15",
        "rochester": "2020-10-31", "cambridge": "2020-10-31", "almaden": "2020-08-31",
        "singapore": "2020-08-31", "johannesburg": "2020-08-31", "essex": "2020-08-31",
        "burlington": "2020-08-31", "london": "2020-08-31",
    }
)  # fmt: skip

_NOT_DEVICES = ("fractional",)  # what lies beside the snapshots without being one


@cache
def snapshot_folder() -> Path:
    """Folder of the device snapshots that qiskit-ibm-runtime carries (found without importing it)."""
    spec = find_spec("qiskit_ibm_runtime")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "fake_provider" / "backends"


@cache
def snapshot_names() -> tuple[str, ...]:
    """Names of the snapshots, without `fake_`."""
    return tuple(
        sorted(
            path.name
            for path in snapshot_folder().iterdir()
            if path.name not in _NOT_DEVICES and (path / f"conf_{path.name}.json").is_file()
        )
    )


def fake_name(device: str) -> str | None:
    """`--backend` name of the snapshot of a device, None if there is none."""
    city = _city(device)
    return f"fake_{city}" if city in snapshot_names() else None


def is_hardware(backend: str) -> bool:
    """Whether a `--backend` name means a quantum computer at IBM."""
    return backend == "least_busy" or backend.startswith("ibm_")


def retirement(device: str) -> str | None:
    """Day or month on which a device was retired, None if it was not."""
    if device in DEVICES_2026:
        return None
    return RETIRED.get(_city(device))


def absent_device(device: str, available: Iterable[str] | None = None, *, because: str = "") -> str:
    """One line about a device that cannot be had.

    Args:
        device: Its name, `ibm_...`.
        available: Names that the account has; None if that could not be asked.
        because: Why it could not be asked, as the sentence's end: `there is no account ...`.
    """
    parts = []
    day = retirement(device)
    names = sorted(available) if available is not None else None
    if day is not None:
        parts.append(
            f"{device} was retired on {day}" if day.count("-") == 2 else f"{device} was retired in {day}"
        )
    elif names is not None:
        parts.append(f"There is no {device} on your account")
        close = get_close_matches(device, names, n=1)
        if close and close[0] != device:
            parts[0] += f" (did you mean {close[0]}?)"
    if because:
        parts.append(because)
    if names is not None:
        parts.append(f"on your account these are available: {', '.join(names) or 'none'}")
    fake = fake_name(device)
    if fake is not None:
        parts.append(f"its last calibration snapshot runs on this machine as `--backend {fake}`")
    line = "; ".join(parts)
    return line[0].upper() + line[1:] + "." if day is None else line + "."


def no_fractional_gates(device: str) -> ArgumentError:
    """The error where fractional gates are asked of a device that has none."""
    return ArgumentError(
        f"Argument `fractional` must be left out with device {device}, which has no RX of any angle as one "
        "pulse (Heron and Nighthawk chips have)."
    )


def _city(device: str) -> str:
    for prefix in ("ibm_", "ibmq_", "fake_"):
        if device.startswith(prefix):
            return device.removeprefix(prefix)
    return device


_ENTANGLERS = ("cz", "ecr", "cx")
_FAULTY = 1.0  # what the service writes for a gate that is out of order


@dataclass(frozen=True)
class Listed:
    """One thing to run on.

    Attributes:
        name: As given to `--backend`.
        n_qubits: Its qubits.
        gate: Its native two-qubit gate.
        gate_error: Median error of that gate, None if unknown.
        readout_error: Median readout error, None if unknown.
        calibrated: Day of the calibration, ISO 8601; empty if unknown.
        queue: Jobs that wait, None for a snapshot.
        status: Of a device: what the service says; of a snapshot: when the device was retired, if it was.
    """

    name: str
    n_qubits: int
    gate: str
    gate_error: float | None
    readout_error: float | None
    calibrated: str
    queue: int | None
    status: str

    @classmethod
    def of(
        cls,
        name: str,
        conf: Mapping[str, Any],
        props: Mapping[str, Any] | None,
        *,
        queue: int | None,
        status: str,
    ) -> Listed:
        """What a device's configuration and calibration, as IBM's client writes them, say of it."""
        gate = next((gate for gate in _ENTANGLERS if gate in conf["basis_gates"]), "")
        errors: Iterable[float] = ()
        readouts: Iterable[float] = ()
        date = ""
        if props is not None:
            errors = [
                value["value"]
                for entry in props["gates"]
                if entry["gate"] == gate
                for value in entry["parameters"]
                if value["name"] == "gate_error" and value["value"] < _FAULTY
            ]
            readouts = [
                value["value"]
                for qubit in props["qubits"]
                for value in qubit
                if value["name"] == "readout_error"
            ]
            date = str(props.get("last_update_date", ""))[:10]
        return cls(
            name=name,
            n_qubits=int(conf["n_qubits"]),
            gate=gate,
            gate_error=median(errors) if errors else None,
            readout_error=median(readouts) if readouts else None,
            calibrated=date,
            queue=queue,
            status=status,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def snapshots() -> list[Listed]:
    """The snapshots that qiskit-ibm-runtime carries, largest first, read without importing it."""
    found = []
    for name in snapshot_names():
        folder = snapshot_folder() / name
        conf = json.loads((folder / f"conf_{name}.json").read_text(encoding="utf-8"))
        path = folder / f"props_{name}.json"
        props = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        retired = retirement(f"ibm_{name}")
        status = "snapshot" if retired is None else f"retired {retired}"
        found.append(Listed.of(f"fake_{name}", conf, props, queue=None, status=status))
    return sorted(found, key=lambda row: (-row.n_qubits, row.name))
