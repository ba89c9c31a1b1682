"""`doctor`: each finding provoked once, on the stub service."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.cli import main
from sqdr_qiskit.devices import names
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs import doctor
from sqdr_qiskit.jobs.doctor import Examination, examine
from tests.stub.fixtures import stub
from tests.stub.server import StubServer
from tests.stub.service import SECOND_CRN, snapshot

__all__ = ["stub"]


def found(examined: Examination, check: str) -> tuple[str, str]:
    """State and text of one check."""
    (one,) = [finding for finding in examined.findings if finding.check == check]
    assert (one.state == "good") or one.advice
    return one.state, f"{one.says} {one.advice}"


def looked_at(device: str = "ibm_kingston") -> Examination:
    return examine(device, now=_fresh(device))


def _fresh(device: str) -> datetime:
    props = snapshot({"ibm_kingston": "nairobi", "ibm_fez": "manila"}.get(device, "nairobi"), "props")
    return datetime.fromisoformat(props["last_update_date"]) + timedelta(hours=20)


def test_all_is_well_and_nothing_was_sent(stub: StubServer) -> None:
    examined = looked_at()
    states = {finding.check: finding.state for finding in examined.findings}
    checks = "versions account instance plan limits device calibration rehearsal circuit cost"
    assert set(states) == set(checks.split())
    assert {check: state for check, state in states.items() if state == "bad"} == {}
    assert examined.passed
    assert examined.device == "ibm_kingston"
    assert found(examined, "limits") == ("good", "600 s of 600 s are left. ")
    assert " h ago" in found(examined, "calibration")[1]
    assert "stub-0" in found(examined, "instance")[1]
    assert "600 s of quantum time in 28 days" in found(examined, "plan")[1]
    assert "about 2.4 s by IBM's rule, ended by IBM after 2 s" in found(examined, "cost")[1]
    assert "fake_kingston" in found(examined, "rehearsal")[1]
    assert stub.service.n_jobs == 0
    assert stub.service.token not in repr(examined)


@pytest.mark.parametrize(
    ("fault", "word"),
    [("token-400", "refused the account's API token"), ("token-500", "is away"), ("api-403", "")],
)
def test_an_account_that_does_not_work_ends_the_examination(stub: StubServer, fault: str, word: str) -> None:
    stub.service.faults.order(fault, 1000)
    examined = looked_at()
    check = "device" if fault == "api-403" else "account"
    state, text = found(examined, check)
    assert state == "bad"
    assert word in text
    assert not examined.passed
    assert "cost" not in {finding.check for finding in examined.findings}


def test_no_account(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    state, text = found(looked_at(), "account")
    assert state == "bad"
    assert "QiskitRuntimeService.save_account" in text


def test_two_instances_and_none_named(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.service.instances = (*stub.service.instances, SECOND_CRN)
    monkeypatch.delenv("QISKIT_IBM_INSTANCE")
    state, text = found(looked_at(), "instance")
    assert state == "warning"
    assert "2 instances and none is named" in text
    assert "QISKIT_IBM_INSTANCE" in text


@pytest.mark.parametrize(
    ("plan", "pricing", "word"), [("Pay As You Go", "paid", "cost money"), ("", "", "not said")]
)
def test_a_plan_that_costs_or_is_not_said(stub: StubServer, plan: str, pricing: str, word: str) -> None:
    stub.service.plan = (plan, pricing)
    state, text = found(looked_at(), "plan")
    assert state == "warning"
    assert word in text
    assert "--max-qpu-seconds" in text


@pytest.mark.parametrize(
    ("usage", "state", "word"),
    [
        ({"usage_limit_seconds": 600, "usage_consumed_seconds": 599}, "bad", "1 s of 600 s"),
        ({"usage_limit_seconds": 600, "usage_consumed_seconds": 560}, "warning", "40 s of 600 s"),
        ({}, "warning", "not said"),
    ],
)
def test_seconds_that_are_left(stub: StubServer, usage: dict[str, int], state: str, word: str) -> None:
    stub.service.usage = usage
    examined = looked_at()
    assert found(examined, "limits")[0] == state
    assert word in found(examined, "limits")[1]
    assert examined.passed == (state != "bad")


def test_a_device_that_is_not_there_retired_or_away(stub: StubServer) -> None:
    assert "did you mean ibm_kingston" in found(looked_at("ibm_kingstone"), "device")[1]
    assert "was retired on 2025-11-03" in found(looked_at("ibm_brisbane"), "device")[1]
    stub.service.paused["ibm_kingston"] = "maintenance"
    state, text = found(looked_at(), "device")
    assert state == "bad"
    assert "takes no jobs just now (maintenance)" in text
    with pytest.raises(ArgumentError, match="which needs no account"):
        examine("fake_kingston")


def test_an_old_calibration_and_faulty_couplings(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = examine("ibm_kingston", now=_fresh("ibm_kingston") + timedelta(days=3))
    state, text = found(examined, "calibration")
    assert state == "warning"
    assert "calibrated 4 days ago" in text
    assert "noise learn" in text
    assert "out of order" not in text
    calibration = stub.service.properties

    def with_faults(name: str, before: datetime | None) -> dict[str, Any]:
        values = calibration(name, before)
        for gate in values["gates"]:
            if sorted(gate["qubits"]) == [0, 1]:
                for parameter in gate["parameters"]:
                    if parameter["name"] == "gate_error":
                        parameter["value"] = 1.0
        return values

    monkeypatch.setattr(stub.service, "properties", with_faults)
    assert "%, 2 of 12 out of order; calibrated " in found(looked_at(), "calibration")[1]


def test_a_device_too_small_and_one_without_a_snapshot(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.service.devices = {**stub.service.devices, "ibm_nowhere": "armonk"}
    monkeypatch.setattr(names, "snapshot_names", lambda: ())
    examined = examine("ibm_kingston", now=_fresh("ibm_kingston"))
    assert found(examined, "rehearsal")[0] == "warning"
    monkeypatch.setattr(doctor, "_SMOKE_CHECKPOINT", "digits-4b-9q")
    state, text = found(examine("ibm_fez", now=_fresh("ibm_fez")), "circuit")
    assert state == "bad"
    assert "--circuit" in text


def test_a_version_that_is_too_old(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(name: str) -> str:
        return "0.30.1" if name == "qiskit-ibm-runtime" else metadata.version(name)

    monkeypatch.setattr(doctor, "version", said)
    state, text = found(looked_at(), "versions")
    assert state == "warning"
    assert "qiskit-ibm-runtime 0.30.1 is not" in text


def test_one_job_is_sent_compared_and_never_sent_twice(
    stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stub.service.faults.order("results-503", 3)
    words = ["doctor", "--backend", "ibm_kingston", "--send", "--out", "smoke"]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert stub.service.n_jobs == 1
    (job,) = stub.service.jobs.values()
    assert facts["comparison"]["n_values"] == 36
    assert facts["comparison"]["agrees"]
    assert 0.5 < facts["comparison"]["chi_square"] < 1.6
    assert main(["doctor", "--resume", "smoke"]) == 0
    assert "reads as it is calibrated" in capsys.readouterr().out
    assert stub.service.n_jobs == 1
    assert job.cost == 2
    stub.service.usage = {"usage_limit_seconds": 600, "usage_consumed_seconds": 599}
    assert main([*words[:-1], "other"]) == 1
    assert "nothing was sent" in capsys.readouterr().err
    assert stub.service.n_jobs == 1
    assert main(["doctor", "--out", "somewhere"]) == 2
