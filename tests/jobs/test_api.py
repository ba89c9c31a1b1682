"""A training and a trained network from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sqdr_qiskit
from sqdr_qiskit.errors import ArgumentError, CheckpointError, SpecError
from sqdr_qiskit.jobs.api import infer, load_network, train
from sqdr_qiskit.jobs.training import TrainedRun
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]

_SMALL: dict[str, Any] = {"circuit": "2b-3q", "limit": 200, "epochs": 2, "batch_size": 20, "seed": 3}


def test_it_is_the_training_that_the_command_does(run: TrainedRun, tmp_path: Path) -> None:
    """`run` is the same job by way of the job file's fields."""
    seen: list[int] = []
    own = train("digits", folder=tmp_path / "run", progress=lambda step: seen.append(step.step), **_SMALL)
    assert own.metrics == run.metrics
    assert (own.folder / "best.safetensors").read_bytes() == (run.folder / "best.safetensors").read_bytes()
    assert seen == list(range(1, len(seen) + 1))
    again = train(folder=own.folder, resume=True)
    assert again.metrics == own.metrics


def test_its_network_gives_what_the_run_noted(run: TrainedRun) -> None:
    network = load_network(run.folder)
    test = sqdr_qiskit.load_dataset("digits", test_limit=200, seed=3).test
    found = sqdr_qiskit.evaluate(network, test.images, test.labels)
    assert found.accuracy == run.metrics["test"]["accuracy"]
    assert not network.training
    chances = sqdr_qiskit.class_probabilities(network, test.images[:5])
    assert chances.shape == (5, 10)
    np.testing.assert_allclose(chances.sum(1), 1.0, rtol=1e-6)


def test_its_circuit_runs_where_one_says(run: TrainedRun) -> None:
    images = torch.from_numpy(sqdr_qiskit.load_dataset("digits").test.images[:4])
    exact, aer, noisy = (
        load_network(run.folder, backend=backend, **options)(images)
        for backend, options in (("exact", {}), ("aer", {}), ("exact_noisy", {"noise": "depolarizing"}))
    )
    torch.testing.assert_close(aer, exact)
    assert not torch.allclose(noisy, exact)


def test_a_shipped_checkpoint_by_name() -> None:
    assert load_network("digits-2b-9q").quantum.weight.shape == (54,)


def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(SpecError, match="train: key `epoch` is unknown; did you mean `epochs`"):
        train("digits", epoch=3, folder=folder)
    with pytest.raises(ArgumentError, match="`resume` must come with `folder` alone"):
        train("digits", folder=folder, resume=True)
    with pytest.raises(ArgumentError, match="`noise` must be left out with backend exact"):
        load_network("digits-2b-9q", noise="paper")
    with pytest.raises(CheckpointError, match="There is no checkpoint 'digits-2b'"):
        load_network("digits-2b")
    assert not folder.exists()


def test_pictures_are_classified_as_the_network_says(run: TrainedRun, tmp_path: Path) -> None:
    found = infer(run.folder, dataset="digits", limit=6, folder=tmp_path / "answers")
    assert len(found.answers) == 6
    assert {answer.label for answer in found.answers} <= set(run.class_names)
    assert all(answer.truth in run.class_names for answer in found.answers)
    assert (found.folder / "answers.json").is_file()


def test_a_quantum_computer_is_asked_once(run: TrainedRun, tmp_path: Path, stub: StubServer) -> None:
    folder = tmp_path / "run"
    asked: dict[str, Any] = {"backend": "ibm_kingston", "limit": 2, "shots": 100, "max_qpu_seconds": 30.0}
    found = infer(run.folder, folder=folder, **asked)
    assert len(found.answers) == 2
    sent = found.record.results["hardware"]
    again = infer(folder=folder, resume=True)
    assert [answer.label for answer in again.answers] == [answer.label for answer in found.answers]
    assert again.record.results["hardware"] == sent


def test_going_on_takes_the_folder_alone(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="`resume` must come with `folder` alone"):
        infer("digits-2b-9q", folder=tmp_path, resume=True)
    with pytest.raises(SpecError, match="infer: key `limits` is unknown; did you mean `limit`"):
        infer("digits-2b-9q", limits=3)
