from __future__ import annotations

import json
from pathlib import Path

import pytest
from qiskit import qasm3, qpy
from qiskit_ibm_runtime.accounts import management

from sqdr_qiskit.cli import main
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.devices.study import Task, compile_task, snapshot_chip
from sqdr_qiskit.jobs.transpile_report import catalogue_source
from tests.reports.browser import WIDTHS, needs_browser, show
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]


def test_circuits_and_devices_may_follow_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "transpile",
        "--circuit",
        "2b-4q",
        "--backend",
        "fake_manila",
        "fake_lima",
        "2b-5q",
        "--seeds",
        "1",
    ]
    assert main([*words, "--out", str(tmp_path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {(row["circuit"], row["device"]) for row in record["rows"]} == {
        (circuit, device) for circuit in ("2b-4q", "2b-5q") for device in ("fake_manila", "fake_lima")
    }
    stems = [
        f"{circuit}-{device}" for circuit in ("2b-4q", "2b-5q") for device in ("fake_manila", "fake_lima")
    ]
    assert {chosen["files"][0] for chosen in record["chosen"]} == {f"{stem}.qpy" for stem in stems}
    named = [name for chosen in record["chosen"] for name in chosen["files"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*named, "report.html", "report.json", "report.md"]
    )
    assert record["made_by"]["fake_lima calibrated"].startswith("20")
    (train, infer) = record["chosen"][0]["cost"]
    assert train["qpu_seconds"] > infer["qpu_seconds"] > 0
    assert record["same"]["2b-5q"] == ["last layer off"]


def test_the_winner_comes_back_from_its_files(tmp_path: Path) -> None:
    """Two rounds of tiles: QPY holds both, OpenQASM 3 has a file for each."""
    words = ["transpile", "--circuit", "2b-9q", "--backend", "fake_guadalupe", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (chosen,) = record["chosen"]
    source = catalogue_source("2b-9q")
    task = Task("2b-9q", "fake_guadalupe", chosen["layout"], chosen["level"], chosen["seed"])
    program = compile_task(source, snapshot_chip("fake_guadalupe"), task)
    assert isinstance(program, DeviceProgram)
    with (tmp_path / chosen["files"][0]).open("rb") as file:
        circuits = qpy.load(file)
    assert [qasm3.dumps(circuit) for circuit in circuits] == [
        qasm3.dumps(part.circuit) for part in program.rounds
    ]
    assert [circuit.metadata["terms"] for circuit in circuits] == [
        list(part.terms) for part in program.rounds
    ]
    pytest.importorskip("qiskit_qasm3_import")
    assert len(chosen["files"]) == 1 + len(circuits)
    for name, circuit in zip(chosen["files"][1:], circuits, strict=True):
        read = qasm3.load(str(tmp_path / name))
        assert read.count_ops() == circuit.count_ops()
        assert read.num_parameters == circuit.num_parameters


def test_a_device_of_the_account_is_asked_for_its_calibration(
    stub: StubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["transpile", "--circuit", "2b-4q", "--backend", "ibm_fez", "fake_manila", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "out"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["devices"]) == {"ibm_fez", "fake_manila"}
    assert stub.service.n_jobs == 0
    counted = {
        device: [
            {key: value for key, value in row.items() if key not in ("device", "seconds")}
            for row in record["rows"]
            if row["device"] == device
        ]
        for device in record["devices"]
    }
    assert counted["ibm_fez"] == counted["fake_manila"]  # the stub plays it with that snapshot


def test_without_an_account_the_snapshot_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "none.json"))
    assert main(["transpile", "--backend", "ibm_fez", "--out", str(tmp_path / "out")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "There is no IBM Quantum account" in line
    assert "`--backend fake_fez`" in line
    assert not (tmp_path / "out").exists()


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_browser_finds_nothing_wrong_with_the_page(width: int, tmp_path: Path) -> None:
    words = ["transpile", "--circuit", "2b-7q", "--backend", "fake_nairobi", "fake_guadalupe", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shown = show(page, tmp_path, width=width, count=("svg.map", "svg.circuit", "tr.wins", "figure img[alt]"))
    assert shown.wrong == {}
    assert shown.counts == {"svg.map": 4, "svg.circuit": 3, "tr.wins": 2, "figure img[alt]": 2}


def test_inputs_of_openqasm_3_stay_symbolic(tmp_path: Path) -> None:
    pytest.importorskip("qiskit_qasm3_import")
    file = tmp_path / "mine.qasm"
    file.write_text(
        'OPENQASM 3.0; include "stdgates.inc"; input float[64] a; input float b; qubit[2] q;'
        "rx(a) q[0]; cx q[0], q[1]; rz(2 * b + a) q[1]; h q[1];",
        encoding="utf-8",
    )
    words = ["transpile", "--qasm", str(file), "--backend", "fake_manila", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert {row["layout"] for row in record["rows"]} >= {"whole", "unfused", "as written"}
    assert record["chosen"][0]["cost"] == []  # whose weights and images there are nobody said
    assert record["drawings"]["mine"]["gates"][2] == ["rz", [1], ["a + 2*b"]]


@pytest.mark.parametrize("version", ["2", "3"])
def test_any_openqasm_file_can_be_asked_about(
    version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = 'include "qelib1.inc"; qreg q[3]; creg c[1];' if version == "2" else ""
    if version == "3":
        pytest.importorskip("qiskit_qasm3_import")
        head = 'include "stdgates.inc"; qubit[3] q; bit[1] c;'
    end = "measure q[1] -> c[0];" if version == "2" else "c[0] = measure q[1];"
    body = "h q[0]; cx q[0], q[1]; rx(0.3) q[1]; cx q[1], q[2]; ry(0.2) q[1];"
    file = tmp_path / "mine.qasm"
    file.write_text(f"OPENQASM {version}.0; {head} {body} {end}", encoding="utf-8")
    words = ["transpile", "--qasm", str(file), "--backend", "fake_manila", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "fake_brisban"], "There is no device snapshot 'fake_brisban'"),
        (["--circuit", "circuits/2b-9q.toml", "2b-9q"], "Two circuits are called '2b-9q'"),
        (["--circuit", "9q"], "9q"),
        (
            ["--circuit", "4b-9q", "--backend", "fake_manila", "--seeds", "1"],
            "needs 9 qubits, but fake_manila has 5",
        ),
        (["--qasm", "nowhere.qasm"], "There is no readable OpenQASM file 'nowhere.qasm'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transpile", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    words = ["transpile", "--circuit", "2b-3q", "--backend", "fake_manila", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "taken")]) != 0
    assert "is no folder" in capsys.readouterr().err.strip().splitlines()[-1]


def test_broken_openqasm_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broken.qasm"
    file.write_text("OPENQASM 2.0; qreg q[2]; nonsense q[0];", encoding="utf-8")
    assert main(["transpile", "--qasm", str(file)]) == 2
    assert "broken.qasm: is not valid OpenQASM" in capsys.readouterr().err
