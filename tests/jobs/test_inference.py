"""A trained network asked what pictures show, from Python too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sqdr_qiskit
from sqdr_qiskit.data import load_dataset
from sqdr_qiskit.errors import ArgumentError, CheckpointError, DataError, SpecError
from sqdr_qiskit.jobs.evaluation import evaluate_checkpoint
from sqdr_qiskit.jobs.inference import classify, infer, load_network
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.specs.job import JobSpec
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]


def test_an_evaluation_repeats_the_runs_own_result(run: TrainedRun, job: JobSpec) -> None:
    chosen = choose_checkpoint(str(run.folder))
    found = evaluate_checkpoint(chosen, replace(job, task="evaluate"))
    assert found.metrics.to_dict() == run.metrics["test"]
    assert found.class_names == tuple("0123456789")


def test_held_out_images_are_classified_with_their_truth(run: TrainedRun, job: JobSpec) -> None:
    chosen = choose_checkpoint(str(run.folder))
    answers = classify(chosen, replace(job, task="infer"))
    assert len(answers) == 200
    right = sum(answer.label == answer.truth for answer in answers)
    assert right / 200 == run.metrics["test"]["accuracy"]
    for answer in answers:
        assert sum(answer.probabilities.values()) == pytest.approx(1.0)
        assert answer.probability == max(answer.probabilities.values()) == answer.probabilities[answer.label]


def test_pictures_are_classified_like_the_images_they_hold(
    run: TrainedRun, job: JobSpec, tmp_path: Path
) -> None:
    chosen = choose_checkpoint(str(run.folder))
    images = load_dataset("digits").test.images[:3]
    files = []
    for number, image in enumerate(images):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image[0]).save(files[-1])
    answers = classify(chosen, replace(job, task="infer", dataset="", limit=None, input=tuple(files)))
    expected = classify(chosen, replace(job, task="infer", limit=None))[:3]
    assert [answer.image for answer in answers] == files
    assert [answer.truth for answer in answers] == [None] * 3
    for answer, same in zip(answers, expected, strict=True):
        assert answer.probabilities == pytest.approx(same.probabilities, abs=1e-6)


def test_a_picture_of_another_size_and_mode_is_taken(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    pixels = np.full((50, 70, 3), 255, np.uint8)
    pixels[10:40, 30:36] = (10, 20, 120)
    Image.fromarray(pixels).save(tmp_path / "one.jpg")
    (answer,) = classify(
        choose_checkpoint(str(run.folder)), JobSpec(task="infer", input=(str(tmp_path / "one.jpg"),))
    )
    assert answer.label in "0123456789"


def test_what_does_not_fit_is_refused(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    chosen = choose_checkpoint(str(run.folder))
    with pytest.raises(DataError, match="There is no data set 'mnits'"):
        evaluate_checkpoint(chosen, replace(job, task="evaluate", dataset="mnits"))
    message = r"for data set mnist: field `size` must be \[28, 28\], but is \[16, 16\]"
    with pytest.raises(CheckpointError, match=message):
        evaluate_checkpoint(chosen, replace(job, task="evaluate", dataset="mnist"))
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(DataError, match=r"no.png"):
        classify(chosen, JobSpec(task="infer", input=(str(tmp_path / "no.png"),)))
    nameless = replace(chosen, checkpoint=replace(chosen.checkpoint, dataset={}))
    with pytest.raises(CheckpointError, match="field `dataset` must name classes, size and style"):
        classify(nameless, JobSpec(task="infer", input=(str(tmp_path / "no.png"),)))


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
