"""What there is to run on: simulators, snapshots of devices, and the devices of the user's account."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sqdr_qiskit.devices.names import retirement, snapshot_folder, snapshot_names

__all__ = ["Listed", "account_devices", "snapshots"]

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
        found.append(_listed(f"fake_{name}", conf, props, queue=None, status=status))
    return sorted(found, key=lambda row: (-row.n_qubits, row.name))


def account_devices() -> list[Listed]:
    """The devices of the user's account, shortest queue first.

    Raises:
        ArgumentError: There is no account, or it does not work.
        BackendError: IBM cannot be reached.
    """
    from sqdr_qiskit.errors import SqdrError
    from sqdr_qiskit.runtime.accounts import LEAST_BUSY, Connection
    from sqdr_qiskit.runtime.errors import translated
    from sqdr_qiskit.runtime.waiting import quiet_client

    service = Connection(LEAST_BUSY).service
    found = []
    with quiet_client():
        try:
            for device in service.backends():
                properties, status = device.properties(), device.status()
                conf = {"n_qubits": device.num_qubits, "basis_gates": device.configuration().basis_gates}
                props = None if properties is None else properties.to_dict()
                state = "online" if status.operational else status.status_msg or "away"
                row = _listed(str(device.name), conf, props, queue=int(status.pending_jobs), status=state)
                found.append(row)
        except SqdrError:
            raise
        except Exception as error:
            raise translated(error, doing="listing the account's devices") from error
    return sorted(found, key=lambda row: (row.status != "online", row.queue or 0, row.name))


def _listed(
    name: str, conf: Mapping[str, Any], props: Mapping[str, Any] | None, *, queue: int | None, status: str
) -> Listed:
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
            value["value"] for qubit in props["qubits"] for value in qubit if value["name"] == "readout_error"
        ]
        date = str(props.get("last_update_date", ""))[:10]
    return Listed(
        name=name,
        n_qubits=int(conf["n_qubits"]),
        gate=gate,
        gate_error=median(errors) if errors else None,
        readout_error=median(readouts) if readouts else None,
        calibrated=date,
        queue=queue,
        status=status,
    )
