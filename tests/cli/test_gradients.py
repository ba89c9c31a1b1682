from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqdr_qiskit.cli import main


def test_cost_says_what_a_plan_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--batch-size", "4", "--steps", "2", "--shots", "100"]) == 0
    words = capsys.readouterr().out
    for part in ("27 executions a sample", "stock EstimatorQNN", "Open plan's 600 s", "13 pairs"):
        assert part in words
    assert main(["cost", "--gradient", "gate-shift", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["executions_per_sample"] == 13


def test_cost_above_a_ceiling_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--max-qpu-seconds", "1"]) == 2
    assert "above --max-qpu-seconds 1" in capsys.readouterr().err
    assert main(["cost", "--freeze", "head"]) == 2
    assert "`--freeze` must be encoder" in capsys.readouterr().err


def test_gradient_check_lists_all_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradient-check", "--circuit", "2b-3q", "--averages", "2", "--rows", "3"]) == 0
    words = capsys.readouterr().out
    for part in ("packed parameter-shift", "packed gate-shift", "stock parameter shift", "spsa", "<O_"):
        assert part in words


def test_gradient_variance_writes_table_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["gradient-variance", "--qubits", "2,3", "--samples", "20", "--initialisation", "uniform-2pi"]
    assert main([*arguments, "--out", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 2
    assert (tmp_path / "variance.png").exists()
    assert json.loads((tmp_path / "variance.json").read_text())["schema"] == 1
    assert main(["gradient-variance", "--qubits", "two"]) == 2
    assert "`--qubits` must be numbers" in capsys.readouterr().err


def test_gradient_variance_shows_what_trainings_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--circuit", "2b-10q", "--limit", "40", "--epochs", "1", "--log-gradient-variance"]
    for name, options in (("a", []), ("b", ["--no-head"])):
        assert main([*train, *options, "--out", str(tmp_path / name)]) == 0
    capsys.readouterr()
    words = ["gradient-variance", "--run", str(tmp_path / "a"), "--run", str(tmp_path / "b")]
    assert main([*words, "--out", str(tmp_path / "figure"), "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["name"] for run in runs] == ["2b-10q with head", "2b-10q without head"]
    assert (tmp_path / "figure" / "variance.png").exists()
    assert main(words) == 0
    assert "bound Var f′" in capsys.readouterr().out
    assert main([*words, "--samples", "10"]) == 2
    assert "`--samples` must be left out with --run" in capsys.readouterr().err
