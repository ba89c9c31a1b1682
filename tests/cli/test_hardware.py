"""infer and train on a quantum computer, from the command line to the stub service and back."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.cli import main
from sqdr_qiskit.runtime.ledger import Ledger
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]

INFER = ["infer", "--backend", "ibm_kingston", "--limit", "6", "--shots", "30", "--resilience", "0"]
TRAIN = [
    *("train", "--backend", "ibm_kingston", "--steps", "2", "--batch-size", "4", "--limit", "10"),
    *("--shots", "25", "--resilience", "0", "--freeze", "encoder", "--gradient", "spsa"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    folder = root / "start"
    words = ["train", "--circuit", "2b-3q", "--limit", "60", "--epochs", "1", "--out", str(folder)]
    assert main(words) == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_infer_leaves_a_folder_and_resumes_without_sending(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*INFER, str(trained), "--out", "a", "--json"]) == 0
    first = _json(capsys)
    assert len(first["answers"]) == 6
    assert {path.name for path in (here / "a").iterdir()} >= {"answers.json", "ledger.sqlite", "run.json"}
    facts = json.loads((here / "a" / "run.json").read_text())["results"]["hardware"]
    assert facts["device"] == "ibm_kingston"
    assert len(facts["jobs"]) == stub.service.n_jobs == 1
    assert main(["infer", "--resume", "a", "--json"]) == 0
    assert _json(capsys)["answers"] == first["answers"]
    assert stub.service.n_jobs == 1


def test_infer_survives_a_lost_answer_and_a_failed_job(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*INFER, str(trained), "--out", "whole", "--json"]) == 0
    whole = _json(capsys)["answers"]
    stub.service.faults.order("post-502-created")
    assert main([*INFER, str(trained), "--out", "lost", "--json"]) == 0
    assert _json(capsys)["answers"] == whole
    assert stub.service.n_jobs == 2
    stub.service.faults.order("job-fails")
    assert main([*INFER, str(trained), "--out", "failed", "--json"]) == 1
    assert "gave no result" in _json(capsys)["error"]
    assert main(["infer", "--resume", "failed", "--json"]) == 0
    assert _json(capsys)["answers"] == whole
    assert stub.service.n_jobs == 4


def test_train_from_a_checkpoint_and_resume_after_a_ceiling(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TRAIN, "--checkpoint", str(trained)]
    assert main([*words, "--out", "whole", "--json"]) == 0
    whole = _json(capsys)["record"]["results"]
    n_jobs = stub.service.n_jobs
    assert n_jobs == 3  # two steps, each of values and gradient together, and the test images
    # The ceiling stops the second run before its second step.
    assert main([*words, "--out", "cut", "--max-qpu-seconds", "3"]) == 1
    assert "Stopped before sending" in capsys.readouterr().err
    assert stub.service.n_jobs == n_jobs + 1
    assert main(["train", "--resume", "cut", "--max-qpu-seconds", "60", "--json"]) == 0
    cut = _json(capsys)["record"]["results"]
    assert stub.service.n_jobs == 2 * n_jobs
    assert cut["test_loss"] == whole["test_loss"]
    for name in ("best.safetensors", "last.safetensors"):
        assert (here / "cut" / name).read_bytes() == (here / "whole" / name).read_bytes()


def test_the_four_answers_about_a_retired_device(
    stub: StubServer,
    trained: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer() -> tuple[int, str]:
        code = main(["infer", str(trained), "--backend", "ibm_brisbane", "--limit", "2"])
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return code, line.removeprefix("error: ")

    found = {"lacking": answer()}
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong")
    found["token"] = answer()
    monkeypatch.setenv("IAM_URL", "http://127.0.0.1:9")
    found["offline"] = answer()
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    found["account"] = answer()

    head = "ibm_brisbane was retired on 2025-11-03; "
    tail = "its last calibration snapshot runs on this machine as `--backend fake_brisbane`."
    middle = {
        "lacking": "on your account these are available: ibm_fez, ibm_kingston; ",
        "token": "IBM Cloud refused the account's API token (HTTP 400); make a new one at "
        "https://quantum.cloud.ibm.com and save it with QiskitRuntimeService.save_account; ",
        "offline": "IBM Cloud cannot be reached (ConnectionError); check this machine's network; ",
        "account": "there is no IBM Quantum account on this machine (save one with "
        "QiskitRuntimeService.save_account, or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE); ",
    }
    assert found == {name: (1 if name == "offline" else 2, head + middle[name] + tail) for name in middle}
    assert list(here.iterdir()) == []  # nothing was made
    assert stub.service.n_jobs == 0


def test_a_device_that_was_never_there(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", str(trained), "--backend", "ibm_kingstn"]) == 2
    assert "There is no ibm_kingstn on your account (did you mean ibm_kingston?)" in capsys.readouterr().err


def test_least_busy_takes_a_device_and_keeps_it(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*INFER, str(trained), "--out", "a", "--json"]
    words[2] = "least_busy"
    assert main(words) == 0
    first = _json(capsys)
    (job,) = stub.service.jobs.values()
    stub.service.devices = dict(reversed(list(stub.service.devices.items())))  # another one is first by now
    assert main(["infer", "--resume", "a", "--json"]) == 0
    assert _json(capsys)["answers"] == first["answers"]
    assert stub.service.n_jobs == 1
    assert json.loads((here / "a" / "run.json").read_text())["inputs"]["device"] == job.device


def test_a_device_that_was_calibrated_anew_meanwhile_is_seen_as_before(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*INFER, str(trained), "--json", "--out"]
    assert main([*words, "a"]) == 0
    first = _json(capsys)["answers"]
    stub.service.recalibrated["ibm_kingston"] = datetime.now(UTC)
    assert main(["infer", "--resume", "a", "--json"]) == 0
    assert _json(capsys)["answers"] == first
    assert stub.service.n_jobs == 1
    assert main([*words, "b"]) == 0  # a new run takes the new calibration, and other qubits
    old, new = (job.params["quantum_program"]["circuits"] for job in stub.service.jobs.values())
    assert old != new


@pytest.mark.parametrize("option", [["--resilience", "1"], ["--mode", "batch"], ["--max-qpu-seconds", "9"]])
def test_hardware_options_are_refused_without_hardware(
    trained: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", str(trained), "--limit", "2", *option]) == 2
    assert "must be left out with backend exact, where it has no effect" in capsys.readouterr().err


def test_jobs_are_listed_shown_collected_and_cancelled(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*INFER, str(trained), "--out", "runs/a"]
    stub.service.faults.order("jobs-401", 0)
    assert main(words) == 0
    capsys.readouterr()
    assert main(["jobs", "list"]) == 0
    assert "ibm_kingston" in capsys.readouterr().out
    (job,) = stub.service.jobs
    assert main(["jobs", "show", job[:8], "--json"]) == 0
    assert _json(capsys)["state"] == "done"
    assert main(["jobs", "collect", "runs/a"]) == 0
    assert "1 requests: 1 done" in capsys.readouterr().out
    assert main(["jobs", "cancel", "runs/a"]) == 0
    assert main(["jobs", "show", "nothing"]) == 2
    assert "There is no hardware job 'nothing'" in capsys.readouterr().err
    assert stub.service.n_jobs == 1


def test_one_corrupt_ledger_does_not_stop_the_list(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*INFER, str(trained), "--out", "runs/a"]) == 0
    (here / "runs" / "b").mkdir()
    (here / "runs" / "b" / "ledger.sqlite").write_bytes(b"this is no database at all" * 100)
    capsys.readouterr()
    assert main(["jobs", "list"]) == 0
    said = capsys.readouterr()
    assert "runs/a" in said.out
    assert "left out runs/b: runs/b/ledger.sqlite: is no intact ledger" in said.err
    assert main(["jobs", "collect", "runs/b"]) == 2
    assert "no intact ledger" in capsys.readouterr().err


def test_a_run_on_hardware_is_private_and_must_keep_its_ledger(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*INFER, str(trained), "--out", "a"]) == 0
    assert (here / "a").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (here / "a").rglob("*") if path.is_file()} == {0o600}
    (here / "a" / "ledger.sqlite").unlink()
    assert main(["infer", "--resume", "a"]) == 2
    assert "ledger.sqlite is gone; going on would send again what was paid for" in capsys.readouterr().err
    assert stub.service.n_jobs == 1


def test_another_checkpoint_under_the_same_path_is_another_run(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(trained / "best.safetensors", here / "mine.safetensors")
    assert main([*INFER, "mine.safetensors", "--out", "a"]) == 0
    answers = (here / "a" / "answers.json").read_bytes()
    other = ["train", "--circuit", "2b-3q", "--limit", "60", "--epochs", "1", "--seed", "7", "--out", "other"]
    assert main(other) == 0
    shutil.copy(here / "other" / "best.safetensors", here / "mine.safetensors")
    capsys.readouterr()
    assert main(["infer", "--resume", "a"]) == 2
    assert "checkpoint" in capsys.readouterr().err
    assert (here / "a" / "answers.json").read_bytes() == answers
    assert stub.service.n_jobs == 1


def test_a_token_in_the_place_of_the_instance_is_not_printed(
    stub: StubServer,
    trained: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", "another-token-of-mine-0815")
    assert main([*INFER, str(trained)]) != 0
    said = capfd.readouterr()
    assert "error: " in said.err
    assert "another-token" not in said.out + said.err


def test_no_secret_is_written_by_whole_runs(
    stub: StubServer, trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.service.faults.order("status-503", 2)
    assert main([*INFER, str(trained), "--out", "a"]) == 0
    assert main([*TRAIN, "--checkpoint", str(trained), "--out", "b"]) == 0
    assert main(["backends"]) == 0
    assert main(["jobs", "list", "."]) == 0
    token = os.environ["QISKIT_IBM_TOKEN"]
    said = capsys.readouterr()
    assert token not in said.out + said.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path for path in files if token.encode() in path.read_bytes()] == []


def test_backends_lists_the_account_s_devices_and_without_one_the_snapshots(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backends", "--json"]) == 0
    found = _json(capsys)
    assert {row["name"]: row["n_qubits"] for row in found["devices"]} == {"ibm_kingston": 7, "ibm_fez": 5}
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    assert main(["backends", "--json"]) == 0
    found = _json(capsys)
    assert found["devices"] == []
    assert "no IBM Quantum account" in found["no_devices_because"]
    brisbane = next(row for row in found["snapshots"] if row["name"] == "fake_brisbane")
    assert (brisbane["n_qubits"], brisbane["gate"]) == (127, "ecr")
    assert brisbane["status"] == "retired 2025-11-03"


def test_a_rehearsal_stops_at_its_ceiling_and_goes_on(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TRAIN, "--checkpoint", str(trained)]
    words[2] = "fake_manila"
    place = words.index("--resilience")
    del words[place : place + 2]
    assert main([*words, "--out", "whole", "--max-executions", "1000000", "--json"]) == 0
    said = capsys.readouterr()
    whole = json.loads(said.out)["record"]["results"]
    plan = whole["rehearsal"]
    assert plan["jobs"] == 3  # two steps, each of values and gradient together, and the test images
    assert "1 job for fake_manila, " in said.err
    assert f"the whole run takes {plan['executions']:,} executions in {plan['jobs']} jobs, about" in said.err
    with Ledger("whole", read_only=True) as ledger:  # which images each request was about
        *steps, tested = [entry.facts["images"] for entry in ledger.entries()]
    assert [len(step) for step in steps] == [4, 4]
    assert tested == json.loads((here / "whole" / "expectations.json").read_text())["images"]
    assert not {*steps[0], *steps[1]} & {*tested}
    ceiling = str(whole["rehearsal"]["executions"] // 2)
    assert main([*words, "--out", "cut", "--max-executions", ceiling]) == 1
    said = capsys.readouterr()
    assert said.err.replace(",", "").count(f"above --max-executions {ceiling}") == 2  # foretold, and held
    assert "it will stop on the way; --resume goes on" in said.err
    assert (here / "cut" / "state.pt").exists()
    assert main(["train", "--resume", "cut", "--max-executions", "1000000", "--json"]) == 0
    cut = _json(capsys)["record"]["results"]
    assert cut["rehearsal"] == whole["rehearsal"]
    for name in ("best.safetensors", "last.safetensors"):
        assert (here / "cut" / name).read_bytes() == (here / "whole" / name).read_bytes()


def test_an_inference_rehearsed_under_a_ceiling_keeps_a_folder(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["infer", str(trained), "--backend", "fake_manila", "--limit", "6", "--shots", "30", "--out", "a"]
    assert main([*words, "--max-qpu-seconds", "2"]) == 1
    assert "above --max-qpu-seconds 2; nothing more was sent" in capsys.readouterr().err
    assert main(["infer", "--resume", "a", "--max-qpu-seconds", "60", "--json"]) == 0
    said = capsys.readouterr()
    answers = json.loads(said.out)["answers"]
    assert len(answers) == 6
    assert "fake_manila would have taken 1 jobs" in said.err
    with Ledger("a", read_only=True) as ledger:  # which images a request was about
        assert [entry.facts["images"] for entry in ledger.entries()] == [[one["image"] for one in answers]]
    assert main([*words[:-1], "b", "--mode", "job", "--max-executions", "9"]) == 2
    assert "Option `--mode` must be left out with backend fake_manila" in capsys.readouterr().err


def test_noise_is_learnt_with_probes_that_are_paid_once(
    stub: StubServer, trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a run's ledger alone, then with probes whose first job fails; taken up again, one job more."""
    run = ["infer", "--backend", "ibm_kingston", "--limit", "12", "--shots", "100", "--resilience", "0"]
    assert main([*run, str(trained), "--out", "run", "--json"]) == 0
    capsys.readouterr()
    assert main(["noise", "learn", "run", "--json"]) == 0
    alone = _json(capsys)
    assert (alone["backend"], alone["n_samples"], alone["n_probes"]) == ("ibm_kingston", 12, 0)
    assert stub.service.n_jobs == 1
    stub.service.faults.order("job-fails")
    words = ["noise", "learn", "run", "--probe-seconds", "3", "--out", "probes", "--force"]
    assert main(words) == 1
    assert "gave no result" in capsys.readouterr().err
    assert main(["noise", "learn", "--resume", "probes", "--force", "--json"]) == 0
    found = _json(capsys)
    assert found["n_probes"] > 5
    assert stub.service.n_jobs == 3
    kept = json.loads((here / "probes" / "probes.json").read_text())
    assert kept["hardware"]["device"] == "ibm_kingston"
    assert kept["hardware"]["planned_s"] <= 3
    assert sum(e["told"] for e in found["estimates"]) > sum(e["told"] for e in alone["estimates"])
    assert main(["noise", "learn", "--resume", "probes", "--force", "--json"]) == 0
    assert _json(capsys) == found
    assert stub.service.n_jobs == 3
    # rehearsed on the device of that name, which has other qubits
    assert main(["infer", str(trained), "--backend", "fake_kingston", "--noise", found["file"]]) == 2
    assert (
        "must be of device fake_kingston (156 qubits), but is of ibm_kingston (7" in capsys.readouterr().err
    )
