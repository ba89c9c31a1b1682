from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.errors import ArgumentError, CheckpointError
from sqdr_qiskit.jobs.evaluation import (
    MOST_KEPT,
    CircuitValues,
    carry_out_evaluation,
    carry_out_sweep,
    keep_expectations,
    read_expectations,
    recorded,
)
from sqdr_qiskit.jobs.folders import is_finished, newest_run, read_record
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.model.network import restore
from sqdr_qiskit.records import EVALUATION, EXPECTATIONS, SWEEP, digest_file
from sqdr_qiskit.specs.job import JobSpec, parse_sweep


def test_an_evaluation_is_kept(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    wanted = replace(job, task="evaluate", backend="aer", shots=64, limit=20)
    chosen = choose_checkpoint(str(run.folder))
    found = carry_out_evaluation(
        chosen, wanted, folder=tmp_path / "kept", command=("sqdr-qiskit", "evaluate")
    )
    kept = json.loads((tmp_path / "kept" / EVALUATION).read_text())
    assert kept["test"] == found.metrics.to_dict()
    assert found.exact is not None
    assert kept["exact"] == found.exact.to_dict()
    values = read_expectations(tmp_path / "kept")
    assert values is not None
    assert len(values["expectations"]) == 20
    assert set(values["truths"]) <= set(found.class_names)
    record = read_record(tmp_path / "kept")
    assert record["inputs"]["checkpoint_sha256"] == digest_file(run.folder / "best.safetensors")
    assert record["results"]["accuracy"] == found.metrics.accuracy


def test_a_sweep_is_kept_in_a_folder_of_its_own(
    run: TrainedRun, job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = replace(job, task="evaluate", backend="exact_noisy", limit=20)
    found, folder = carry_out_sweep(choose_checkpoint(str(run.folder)), wanted, (0.0, 0.1), ["bit_flip"])
    assert folder.parent == Path("runs")
    assert "-sweep-2b-3q-digits" in folder.name
    assert is_finished(folder)
    assert newest_run() == folder
    kept = json.loads((folder / SWEEP).read_text())
    assert [point["accuracy"] for point in kept["points"]] == [point.accuracy for point in found.points]
    assert (kept["noiseless"], kept["chance"], kept["n_images"]) == (found.noiseless, 0.1, 20)


def test_nothing_stays_of_what_failed(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    chosen = choose_checkpoint(str(run.folder))
    wanted = replace(job, task="evaluate", backend="exact")
    with pytest.raises(ArgumentError, match="in a noise sweep"):
        carry_out_sweep(chosen, wanted, (0.1,), ["bit_flip"], folder=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").touch()
    with pytest.raises(ArgumentError, match="must be a new or an empty folder"):
        carry_out_evaluation(chosen, wanted, folder=tmp_path / "b")


def test_there_is_no_newest_run_where_there_are_none(tmp_path: Path) -> None:
    assert newest_run(tmp_path) is None


def test_strengths_are_evenly_spaced_with_both_ends() -> None:
    assert parse_sweep("0:0.1:11") == (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)
    assert parse_sweep("0.3:0.3:1") == (0.3,)
    assert parse_sweep("1:0:3") == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(
    "text", ["", "0:1", "0:1:0", "0:2:3", "-1:1:3", "a:b:c", "0:1:2.5", "0:1:9999", "nan:1:3"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="Argument `noise_sweep` must be first:last:number"):
        parse_sweep(text)


def test_what_goes_through_the_circuit_is_noted_while_it_is_watched(
    run: TrainedRun, rng: np.random.Generator
) -> None:
    model = restore(choose_checkpoint(str(run.folder)).checkpoint, make_backend("exact"))
    images = torch.from_numpy(rng.integers(0, 256, (5, 1, 16, 16), dtype=np.uint8))
    with torch.no_grad(), recorded(model) as seen:
        model(images[:3])
        model(images[3:])
    assert [len(part) for part in seen.angles] == [3, 2]
    with torch.no_grad():
        model(images)  # no longer watched
        angles = torch.cat(seen.angles)
        assert torch.equal(angles, model.encode(images))
        assert torch.allclose(torch.cat(seen.expectations), model.expectations(angles), atol=1e-6)
    assert len(seen.angles) == 2


def test_they_are_kept_and_read_back(tmp_path: Path, rng: np.random.Generator) -> None:
    n_samples = MOST_KEPT + 5
    angles, values = (torch.from_numpy(rng.uniform(-1, 1, (n_samples, width))) for width in (9, 3))
    seen = CircuitValues([angles[:600], angles[600:]], [values[:600], values[600:]])
    names = [f"digits[{number}]" for number in range(n_samples)]
    backend = make_backend("aer", shots=32)
    path = keep_expectations(tmp_path, seen, backend, images=names, truths=["1"] * n_samples)
    assert path == tmp_path / EXPECTATIONS
    kept = read_expectations(tmp_path)
    assert kept is not None
    assert (kept["backend"], kept["shots"], kept["images"][-1]) == ("aer", 32, f"digits[{MOST_KEPT - 1}]")
    assert kept["expectations"] == values[:MOST_KEPT].tolist()
    assert kept["angles"] == angles[:MOST_KEPT].tolist()


def test_exact_values_are_not_kept_since_they_can_be_had_again(tmp_path: Path) -> None:
    seen = CircuitValues([torch.zeros(1, 9)], [torch.zeros(1, 3)])
    assert keep_expectations(tmp_path, seen, make_backend("exact"), images=["a"], truths=None) is None
    assert read_expectations(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1, "angles": [], "images": [], "expectations": []}'])
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / EXPECTATIONS).write_text(text)
    with pytest.raises(CheckpointError, match=r"expectations\.json: is no"):
        read_expectations(tmp_path)
