from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.state import (
    SCALARS,
    RunState,
    read_state,
    require_tensorboard,
    scalars_of,
    write_scalars,
    write_state,
)


def state() -> RunState:
    return RunState(
        fingerprint="f",
        epoch=2,
        step=3,
        weights={"a": torch.arange(3.0)},
        optimiser={"state": {0: {"step": torch.tensor(4.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        loss_sum=0.1 + 0.2,
        history=[{"epoch": 1, "loss": 1 / 3, "validation_accuracy": None}],
    )


def test_a_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    write_state(tmp_path / "state.pt", state())
    found = read_state(tmp_path / "state.pt", fingerprint="f")
    assert torch.equal(found.weights["a"], torch.arange(3.0))
    assert found.loss_sum == 0.1 + 0.2
    assert found.history == state().history
    assert found.optimiser["param_groups"] == state().optimiser["param_groups"]
    assert (found.epoch, found.step) == (2, 3)


def test_a_missing_a_damaged_and_a_foreign_state_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(CheckpointError, match=r"There is no training state 'state.pt'"):
        read_state(path, fingerprint="f")
    write_state(path, state())
    with pytest.raises(CheckpointError, match="field `fingerprint` differs"):
        read_state(path, fingerprint="g")
    whole = path.read_bytes()
    for damaged in (whole[:-200], b"", b"not a state", whole[:300] + b"\xff" * 80 + whole[380:]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is no intact training state"):
            read_state(path, fingerprint="f")
    torch.save({"schema": 1}, path)
    with pytest.raises(CheckpointError, match="is no training state that this version reads"):
        read_state(path, fingerprint="f")


def test_a_pickled_object_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"schema": Path("a")}, path)
    with pytest.raises(CheckpointError, match="is no intact training state"):
        read_state(path, fingerprint="f")


HISTORY: list[dict[str, Any]] = [
    {
        "epoch": 1, "loss": 0.1, "accuracy": 0.5, "validation_loss": None,
        "gradient": {"norm": 2.0, "shots": 8}, "cosines": [0.9],
        "steps": [{"step": 1, "loss": 0.2, "accuracy": 0.25}],
    },
    {"epoch": 2, "loss": 1 / 3, "accuracy": 1.0},
]  # fmt: skip


def test_every_number_is_a_row_to_the_last_digit(tmp_path: Path) -> None:
    rows = list(csv.reader(write_scalars(tmp_path, HISTORY).read_text().splitlines()))
    assert rows == [
        ["step", "epoch", "scalar", "value"],
        ["1", "", "step/loss", "0.2"],
        ["1", "", "step/accuracy", "0.25"],
        ["", "1", "loss", "0.1"],
        ["", "1", "accuracy", "0.5"],
        ["", "1", "gradient/norm", "2.0"],
        ["", "1", "gradient/shots", "8.0"],
        ["", "2", "loss", repr(1 / 3)],
        ["", "2", "accuracy", "1.0"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == [SCALARS]
    assert list(scalars_of([])) == []


def test_without_the_extra_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqdr_qiskit.training.state.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"pip install 'sqdr-qiskit\[tensorboard\]'"):
        require_tensorboard()
    with pytest.raises(ArgumentError, match="TensorBoard is not installed"):
        carry_out_training(JobSpec(circuit="2b-3q", limit=60, tensorboard=True), folder=tmp_path / "no")
    assert list(tmp_path.iterdir()) == []
