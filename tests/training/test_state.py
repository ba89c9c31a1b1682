from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.training.state import RunState, read_state, write_state


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
