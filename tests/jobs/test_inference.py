from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sqdr_qiskit.data import load_dataset
from sqdr_qiskit.errors import CheckpointError, DataError
from sqdr_qiskit.jobs.evaluation import evaluate_checkpoint
from sqdr_qiskit.jobs.inference import infer
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.specs.job import JobSpec


def test_an_evaluation_repeats_the_runs_own_result(run: TrainedRun, job: JobSpec) -> None:
    chosen = choose_checkpoint(str(run.folder))
    found = evaluate_checkpoint(chosen, replace(job, task="evaluate"))
    assert found.metrics.to_dict() == run.metrics["test"]
    assert found.class_names == tuple("0123456789")


def test_held_out_images_are_classified_with_their_truth(run: TrainedRun, job: JobSpec) -> None:
    chosen = choose_checkpoint(str(run.folder))
    answers = infer(chosen, replace(job, task="infer"))
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
    answers = infer(chosen, replace(job, task="infer", dataset="", limit=None, input=tuple(files)))
    expected = infer(chosen, replace(job, task="infer", limit=None))[:3]
    assert [answer.image for answer in answers] == files
    assert [answer.truth for answer in answers] == [None] * 3
    for answer, same in zip(answers, expected, strict=True):
        assert answer.probabilities == pytest.approx(same.probabilities, abs=1e-6)


def test_a_picture_of_another_size_and_mode_is_taken(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    pixels = np.full((50, 70, 3), 255, np.uint8)
    pixels[10:40, 30:36] = (10, 20, 120)
    Image.fromarray(pixels).save(tmp_path / "one.jpg")
    (answer,) = infer(
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
        infer(chosen, JobSpec(task="infer", input=(str(tmp_path / "no.png"),)))
    nameless = replace(chosen, checkpoint=replace(chosen.checkpoint, dataset={}))
    with pytest.raises(CheckpointError, match="field `dataset` must name classes, size and style"):
        infer(nameless, JobSpec(task="infer", input=(str(tmp_path / "no.png"),)))
