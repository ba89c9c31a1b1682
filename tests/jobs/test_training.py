"""Trainings carried out, from Python too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqdr_qiskit import records
from sqdr_qiskit.errors import ArgumentError, CatalogError, CheckpointError, DataError, SpecError
from sqdr_qiskit.jobs.evaluation import evaluate_checkpoint
from sqdr_qiskit.jobs.folders import job_of_run
from sqdr_qiskit.jobs.inference import load_network
from sqdr_qiskit.jobs.run_report import collect_run
from sqdr_qiskit.jobs.settings import AER_BATCH, choose_checkpoint, fitted_recipe
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training, train
from sqdr_qiskit.model.controls import MODELS
from sqdr_qiskit.model.network import read_checkpoint
from sqdr_qiskit.records import BEST, LAST, METRICS, RECORD, STATE
from sqdr_qiskit.reports.run_page import run_page
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.training.state import SCALARS


def test_a_run_leaves_its_record_checkpoints_and_metrics(run: TrainedRun, job: JobSpec) -> None:
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(
        [RECORD, BEST, LAST, METRICS, SCALARS, STATE]
    )
    record = run.record
    assert json.loads((run.folder / RECORD).read_text()) == record.to_dict()
    assert record.results["status"] == "finished"
    assert record.command == ("sqdr-qiskit", "train")
    assert record.seeds == {"run": 3}
    assert record.inputs["data"]["train"]["images"] == 180
    assert record.inputs["data"]["validation"]["images"] == 20
    assert record.inputs["data"]["test"]["images"] == 200
    assert record.inputs["recipe"]["name"] == "ours*"
    assert {name: records.digest_file(run.folder / name) for name in record.digests} == record.digests
    metrics = json.loads((run.folder / METRICS).read_text())
    assert metrics["test"]["n_images"] == 200
    assert metrics["test"]["accuracy"] == record.results["test_accuracy"]
    assert len(metrics["history"]) == record.results["epochs"] == 2
    assert job_of_run(run.folder) == job


def test_a_checkpoint_names_what_made_it(run: TrainedRun) -> None:
    found = read_checkpoint(run.folder / BEST)
    assert found.settings.circuit.name == "2b-3q"
    assert found.recipe["epochs"] == 2
    assert found.dataset["name"] == "digits"
    assert found.dataset["size"] == [16, 16]
    assert len(found.dataset["class_names"]) == 10
    assert found.seed == 3
    assert "torch" in found.versions


def test_the_same_job_gives_the_same_checkpoint(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    again = carry_out_training(job, folder=tmp_path)
    assert again.record.digests == run.record.digests


def test_a_run_goes_on_where_it_was(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(now: object) -> None:
        if getattr(now, "step", 0) == 12:
            raise StopError

    folder = tmp_path / "run"
    with pytest.raises(StopError):
        carry_out_training(job, folder=folder, progress=stop)
    assert json.loads((folder / RECORD).read_text())["results"] == {"status": "running"}
    resumed = carry_out_training(job_of_run(folder), folder=folder, resume=True)
    assert resumed.record.digests == run.record.digests
    assert resumed.record.results["sittings"] == 2


def test_nothing_is_made_before_the_inputs_are_known_to_be_good(job: JobSpec, tmp_path: Path) -> None:
    wrong = [
        ({"circuit": "2b-9z"}, CatalogError, "There is no circuit '2b-9z'"),
        ({"dataset": "mnst"}, DataError, "There is no data set 'mnst'"),
        ({"backend": "exakt"}, ArgumentError, "did you mean `exact`"),
        ({"recipe": "theirs"}, ArgumentError, "`recipe` must be one of ours, paper"),
        ({"head": False}, ArgumentError, "`head` must be true"),
        ({"shots": 5}, ArgumentError, "`shots` must be left out with backend exact"),
        ({"noise": "paper"}, ArgumentError, "`noise` must be left out with backend exact"),
        ({"gradient": "magic"}, ArgumentError, "gradient"),
        ({"limit": 10**6}, ArgumentError, "`limit` must be from 1 to 1438"),
        ({"validation": 0.0, "patience": 2}, ArgumentError, "`patience` must be None without validation"),
        ({"task": "infer"}, ArgumentError, "`job` must have task train"),
    ]
    for number, (change, error, message) in enumerate(wrong):
        folder = tmp_path / str(number)
        with pytest.raises(error, match=message):
            carry_out_training(replace(job, **change), folder=folder)  # type: ignore[arg-type]
        assert not folder.exists(), change


def test_a_folder_in_use_and_a_folder_without_a_run_are_refused(
    run: TrainedRun, job: JobSpec, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="`out` must be a new or an empty folder"):
        carry_out_training(job, folder=run.folder)
    with pytest.raises(CheckpointError, match="There is no run in"):
        carry_out_training(job, folder=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="There is no run in"):
        job_of_run(tmp_path)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "circuit"])
def test_controls_are_trained_evaluated_and_reported_like_the_network(
    model: str, job: JobSpec, tmp_path: Path
) -> None:
    control = carry_out_training(
        replace(job, model=model, epochs=1, limit=60), folder=tmp_path / "control", command=("train",)
    )
    settings = control.record.inputs["model"]
    assert settings["model"] == model
    kept = read_checkpoint(control.folder / "best.safetensors")
    assert kept.settings.model == model
    wanted = JobSpec(task="evaluate", dataset="digits", limit=60, seed=job.seed)
    found = evaluate_checkpoint(choose_checkpoint(str(control.folder)), wanted)
    assert found.metrics.accuracy == control.record.results["test_accuracy"]
    report = collect_run(control.folder)
    assert report["n_parameters"] == control.record.results["n_parameters"]
    assert ("examples" in report) == model.startswith("circuit")
    assert f"control {model} of 2b-3q on digits" in run_page(report)


@pytest.mark.parametrize("model", ["features", "circuit-no-weights"])
def test_a_control_without_circuit_weights_has_no_gradient_variance(
    model: str, job: JobSpec, tmp_path: Path
) -> None:
    wanted = replace(job, model=model, log_gradient_variance=True)
    with pytest.raises(
        ArgumentError, match=f"must be left out with model {model}, which has no circuit with"
    ):
        carry_out_training(wanted, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_few_images_go_to_aer_in_small_batches() -> None:
    few, many = 1_294, 54_000
    assert fitted_recipe(JobSpec(backend="aer_noisy"), few).batch_size == AER_BATCH
    assert fitted_recipe(JobSpec(backend="aer_noisy"), few).epochs == 93  # 5,000 steps
    assert fitted_recipe(JobSpec(backend="aer_noisy"), many).batch_size == 64
    assert fitted_recipe(JobSpec(backend="aer_noisy", batch_size=64), few).batch_size == 64
    assert fitted_recipe(JobSpec(backend="aer_noisy", epochs=3), few).batch_size == 64
    assert fitted_recipe(JobSpec(backend="exact_noisy"), few).batch_size == 64


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
