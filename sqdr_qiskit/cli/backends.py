"""`sqdr-qiskit backends`: all that there is to run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.errors import SqdrError

if TYPE_CHECKING:
    from sqdr_qiskit.devices.names import Listed

__all__ = ["backends"]


def backends(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="List simulators and snapshots only; ask nobody.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List simulators, snapshots of devices, and the devices of your IBM Quantum account.

    With qubits, native two-qubit gate, median errors, and the length of the queue. Without an account or a
    network the snapshots are listed all the same.
    """
    print_note("loading Qiskit")
    from sqdr_qiskit.devices.names import snapshots

    devices: list[Listed] = []
    why_none = "not asked for"
    if not offline:
        from sqdr_qiskit.runtime.accounts import account_devices

        try:
            devices = account_devices()
            why_none = ""
        except SqdrError as error:
            why_none = str(error)
    fakes = snapshots()
    if as_json:
        print_json(
            {
                "simulators": _simulators(),
                "devices": [row.to_dict() for row in devices],
                "no_devices_because": why_none or None,
                "snapshots": [row.to_dict() for row in fakes],
            }
        )
        return
    print_text(f"simulators: {', '.join(_simulators())}\n")
    if devices:
        print_text(_table(devices, "devices of your account (least_busy takes the shortest queue)"))
    print_text(_table(fakes, "snapshots of devices, simulated on this machine").rstrip())
    if why_none and not offline:
        print_note(f"no devices listed: {why_none}")


def _simulators() -> list[str]:
    from sqdr_qiskit.backends import BACKENDS

    return [name for name in BACKENDS if "<" not in name]


def _table(rows: Sequence[Listed], title: str) -> str:
    from sqdr_qiskit.reports import Table

    live = any(row.queue is not None for row in rows)
    headers = ("name", "qubits", "gate", "gate error", "readout error", "calibrated", "status")
    body = tuple(
        (
            row.name,
            str(row.n_qubits),
            row.gate,
            _percent(row.gate_error),
            _percent(row.readout_error),
            row.calibrated,
            row.status,
            *((str(row.queue),) if live else ()),
        )
        for row in rows
    )
    right = frozenset({1, 3, 4, 7} if live else {1, 3, 4})
    return f"{title}:\n" + Table((*headers, "queue") if live else headers, body, right).text()


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"
