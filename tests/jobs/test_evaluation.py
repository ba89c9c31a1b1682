from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.evaluation import carry_out_evaluation, carry_out_sweep, read_expectations
from sqdr_qiskit.jobs.folders import is_finished, newest_run, read_record
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.records import EVALUATION, SWEEP, digest_file
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
