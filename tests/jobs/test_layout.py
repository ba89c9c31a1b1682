"""A layout file in a run: its content is the run's, not its path."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.study import (
    Finding,
    Source,
    Task,
    carry_out,
    choose_layout,
    snapshot_chip,
    write_layout,
)
from sqdr_qiskit.errors import CheckpointError, SpecError
from sqdr_qiskit.jobs.folders import job_of_run
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.specs.job import JobSpec


@pytest.fixture(scope="module")
def choice() -> LayoutSpec:
    model = build_circuit("2b-4q")
    source = Source(model.name, model.circuit, model.observables)
    found = carry_out(source, Task("2b-4q", "fake_manila", "tiled"))
    assert isinstance(found, Finding)
    return choose_layout(found, source, snapshot_chip("fake_manila"))


def _job(path: Path, circuit: str = "2b-4q") -> JobSpec:
    return JobSpec(
        circuit=circuit,
        backend="fake_manila",
        layout=str(path),
        shots=64,
        limit=4,
        steps=2,
        batch_size=1,
        validation=0.0,
    )


def test_a_training_stands_where_the_file_says_and_goes_on_without_it(
    choice: LayoutSpec, tmp_path: Path
) -> None:
    job = _job(write_layout(choice, tmp_path / "best.toml"))
    whole = carry_out_training(job, folder=tmp_path / "whole")
    assert JobSpec.from_dict(whole.record.inputs["job"]).layout == choice
    assert str(tmp_path) not in json.dumps(whole.record.to_dict()["inputs"]["job"]["layout"])

    (tmp_path / "best.toml").unlink()
    folder = tmp_path / "cut"
    steps = 0

    def killed(progress: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out_training(job, folder=folder, checkpoint_every_s=0.0, progress=killed)
    kept = job_of_run(folder)
    assert kept == job
    turned = tuple(tuple(tuple(line[::-1] for line in copy) for copy in part) for part in choice.tiles)
    other = replace(choice, tiles=turned)
    with pytest.raises(CheckpointError, match=r"the options of this run \(`layout`\) must be"):
        carry_out_training(replace(job, layout=other), folder=folder, resume=True)
    resumed = carry_out_training(kept, folder=folder, resume=True)
    assert resumed.metrics["history"][-1]["loss"] == whole.metrics["history"][-1]["loss"]
    assert resumed.record.results["status"] == "finished"


def test_nothing_is_made_for_another_circuit(choice: LayoutSpec, tmp_path: Path) -> None:
    path = write_layout(choice, tmp_path / "best.toml")
    with pytest.raises(SpecError, match=r"key `digest` must be that of the circuit that runs \(3b-5q:"):
        carry_out_training(_job(path, circuit="3b-5q"), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
