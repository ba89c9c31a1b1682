from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.state import SCALARS, require_tensorboard, scalars_of, write_scalars

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
