from __future__ import annotations

import datetime
import re

import pytest

from sqdr_qiskit.devices.names import (
    DEVICES_2026,
    RETIRED,
    absent_device,
    fake_name,
    is_hardware,
    retirement,
    snapshot_names,
    snapshots,
)


def test_every_retirement_is_a_day_or_a_month() -> None:
    for name, day in RETIRED.items():
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", day), name
        datetime.date.fromisoformat(day if day.count("-") == 2 else f"{day}-01")


def test_nobody_is_retired_and_there_at_once() -> None:
    assert [name for name in DEVICES_2026 if retirement(name) is not None] == []
    assert retirement("ibm_brisbane") == "2025-11-03"
    assert retirement("ibmq_manila") == "2023-09-26"
    assert retirement("ibm_nowhere") is None


def test_every_device_of_2026_but_none_without_a_snapshot_has_a_fake() -> None:
    assert fake_name("ibm_kingston") == "fake_kingston"
    assert fake_name("ibm_nowhere") is None
    assert len(snapshot_names()) > 60


@pytest.mark.parametrize(
    ("device", "available", "because", "line"),
    [
        (
            "ibm_torino",
            ["ibm_b", "ibm_a"],
            "",
            "ibm_torino was retired in 2026-04; on your account these are available: ibm_a, ibm_b; its last "
            "calibration snapshot runs on this machine as `--backend fake_torino`.",
        ),
        (
            "ibm_kyoto",
            None,
            "there is no account",
            "ibm_kyoto was retired on 2024-09-05; there is no account; its last calibration snapshot runs on "
            "this machine as `--backend fake_kyoto`.",
        ),
        (
            "ibm_feez",
            ["ibm_fez"],
            "",
            "There is no ibm_feez on your account (did you mean ibm_fez?); on your account these are "
            "available: ibm_fez.",
        ),
        (  # another account's device is no advice
            "ibm_feez",
            ["ibm_aachen"],
            "",
            "There is no ibm_feez on your account; on your account these are available: ibm_aachen.",
        ),
        ("ibm_nowhere", None, "there is no account", "There is no account."),
        (
            "ibm_nowhere",
            [],
            "",
            "There is no ibm_nowhere on your account; on your account these are available: none.",
        ),
    ],
)
def test_one_line_about_a_device_that_cannot_be_had(
    device: str, available: list[str] | None, because: str, line: str
) -> None:
    assert absent_device(device, available, because=because) == line


def test_names_of_hardware() -> None:
    assert is_hardware("ibm_fez")
    assert is_hardware("least_busy")
    assert not is_hardware("fake_fez")
    assert not is_hardware("aer")


def test_snapshots_are_listed_with_their_errors() -> None:
    rows = {row.name: row for row in snapshots()}
    assert set(rows) == {f"fake_{name}" for name in snapshot_names()}
    manila = rows["fake_manila"]
    assert (manila.n_qubits, manila.gate, manila.queue) == (5, "cx", None)
    assert manila.gate_error is not None
    assert 0.001 < manila.gate_error < 0.05
    assert manila.readout_error is not None
    assert 0.001 < manila.readout_error < 0.1
