"""From `transpile --choose` to `infer` and `train --layout`, on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sqdr_qiskit import records
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.cli import main
from sqdr_qiskit.devices.chip import chip_of
from sqdr_qiskit.devices.study import Finding, Source, Task, carry_out, choose_layout
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.specs.device import read_layout
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]


def _as_chosen(path: Path) -> Path:
    """A layout file for 2b-9q on the device of the stub service."""
    model = build_circuit("2b-9q")
    source = Source(model.name, model.circuit, model.observables)
    chip = chip_of(Connection("ibm_kingston").device)
    found = carry_out(source, Task("2b-9q", chip.name, "tiled"), chip)
    assert isinstance(found, Finding)
    return records.write_text(path, choose_layout(found, source, chip).text())


def test_a_quantum_computer_is_used_on_the_files_qubits(
    stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = _as_chosen(tmp_path / "best.toml")
    words = ["infer", "digits-2b-9q", "--backend", "ibm_kingston", "--limit", "2", "--shots", "20"]
    words += ["--resilience", "0", "--json"]
    assert main([*words, "--layout", "best.toml", "--out", "a"]) == 0
    first = json.loads(capsys.readouterr().out)
    path.unlink()
    assert main(["infer", "--resume", "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == first["answers"]
    assert stub.service.n_jobs == 1
    job = json.loads((tmp_path / "a" / "run.json").read_text(encoding="utf-8"))["inputs"]["job"]
    assert job["layout"]["device"] == "ibm_kingston"


def test_the_winner_is_written_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["transpile", "--circuit", "2b-9q", "--backend", "fake_manila", "--seeds", "1"]
    words += ["--choose", "best.toml"]
    monkeypatch.setattr(sys, "argv", ["sqdr-qiskit", *words])
    assert main(words) == 0
    assert "best.toml" in capsys.readouterr().out
    choice = read_layout(tmp_path / "best.toml")
    assert (choice.circuit, choice.device, choice.layout) == ("2b-9q", "fake_manila", "tiled")
    assert choice.source == f"sqdr-qiskit {' '.join(words)}"
    words = ["infer", "digits-2b-9q", "--backend", "fake_manila", "--limit", "1", "--shots", "50", "--json"]
    assert main([*words, "--layout", "best.toml"]) == 0
    chosen = json.loads(capsys.readouterr().out)["answers"]
    assert main([*words, "--layout", "tiled"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == chosen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2b-9q", "3b-6q", "--choose", "a.toml"], "one circuit and one device, but there are 2 and 1"),
        (["2b-9q", "fake_lima", "--choose", "a.toml"], "one circuit and one device, but there are 1 and 2"),
        (["2b-9q", "--choose", "a.json"], "Option `--choose` must name a file FILE.toml, but is `a.json`"),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_the_work(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["transpile", "--backend", "fake_manila", "--circuit", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["digits-2b-9q", "--backend", "fake_kyiv", "--layout", "best.toml"],
            "key `device` must be `fake_kyiv`",
        ),
        (["digits-4b-9q", "--backend", "ibm_kingston", "--layout", "best.toml"], "key `digest` must be"),
        (["digits-2b-9q", "--backend", "exact", "--layout", "best.toml"], "where it has no effect"),
        (["digits-2b-9q", "--backend", "fake_manila", "--layout", "no.toml"], "no.toml: cannot be read"),
        (["digits-2b-9q", "--backend", "fake_manila", "--layout", "torn.toml"], "torn.toml: "),
        (["digits-2b-9q", "--backend", "fake_manila", "--layout", "best"], "or a layout file (FILE.toml)"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(
    stub: StubServer,
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = _as_chosen(tmp_path / "best.toml").read_text(encoding="utf-8")
    (tmp_path / "torn.toml").write_text(text[: len(text) // 2], encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    assert main(["infer", *words, "--limit", "1"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert sorted(tmp_path.iterdir()) == before
    assert stub.service.n_jobs == 0
