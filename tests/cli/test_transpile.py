from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqdr_qiskit.cli import main


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]


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
        (["--backend", "ibm_fez"], "must be a snapshot, fake_<device>, but is `ibm_fez`; its snapshot is"),
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


def test_broken_openqasm_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broken.qasm"
    file.write_text("OPENQASM 2.0; qreg q[2]; nonsense q[0];", encoding="utf-8")
    assert main(["transpile", "--qasm", str(file)]) == 2
    assert "broken.qasm: is not valid OpenQASM" in capsys.readouterr().err
