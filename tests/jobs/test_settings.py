"""Which checkpoint an argument means, how much data a job takes, where its circuit stands."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sqdr_qiskit import records
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.study import (
    Finding,
    Source,
    Task,
    carry_out,
    choose_layout,
    snapshot_chip,
)
from sqdr_qiskit.errors import CheckpointError, SpecError
from sqdr_qiskit.jobs import settings
from sqdr_qiskit.jobs.folders import job_of_run
from sqdr_qiskit.jobs.hardware import has_ledger
from sqdr_qiskit.jobs.settings import HARDWARE_TEST, choose_checkpoint, data_of
from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.records import BEST, LAST
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.specs.job import JobSpec


@pytest.fixture
def shipped(run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pretrained checkpoints, in place of the package's own."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    shutil.copy(run.folder / BEST, folder / "digits-2b-9q.safetensors")
    monkeypatch.setattr(settings, "pretrained_folder", lambda: folder)
    return folder


def test_a_file_a_folder_and_a_pretrained_name_are_understood(run: TrainedRun, shipped: Path) -> None:
    assert choose_checkpoint(str(run.folder / LAST)).path == run.folder / LAST
    chosen = choose_checkpoint(str(run.folder))
    assert (chosen.path, chosen.why) == (run.folder / BEST, "named")
    assert chosen.title.endswith("(named): 2b-3q, trained on digits")
    named = choose_checkpoint("digits-2b-9q")
    assert (named.path, named.why) == (shipped / "digits-2b-9q.safetensors", "pretrained")


def test_without_a_name_the_newest_finished_run_comes_before_the_pretrained(
    run: TrainedRun, shipped: Path, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    chosen = choose_checkpoint(None, root=root)
    assert chosen.why == "pretrained"
    assert chosen.title == "checkpoint digits-2b-9q (pretrained): 2b-3q, trained on digits"
    shutil.copytree(run.folder, root / "mine")
    assert choose_checkpoint(None, root=root).path == root / "mine" / BEST
    assert choose_checkpoint(None, root=root).why == "newest finished run in runs/"
    assert choose_checkpoint(None, dataset="digits", root=root).path == root / "mine" / BEST
    with pytest.raises(CheckpointError, match=r"no finished run trained on mnist .* 'mnist-2b-9q'"):
        choose_checkpoint(None, dataset="mnist", root=root)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, shipped: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"There is no checkpoint 'nix'; .* a pretrained one: digits-2b-9q"
    ):
        choose_checkpoint("nix")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        choose_checkpoint(str(tmp_path))


def test_weights_are_what_the_run_wrote(run: TrainedRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    assert choose_checkpoint(str(folder)).path == folder / BEST
    content = bytearray((folder / BEST).read_bytes())
    content[-40] ^= 1
    (folder / BEST).write_bytes(bytes(content))
    for named in (folder, folder / BEST):
        with pytest.raises(CheckpointError, match=r"has another SHA-256 than run\.json says"):
            choose_checkpoint(str(named))


def test_a_rehearsal_takes_all_images_unless_it_is_held_to_a_ceiling() -> None:
    free = JobSpec(dataset="digits", backend="fake_kingston")
    held = JobSpec(dataset="digits", backend="fake_kingston", max_executions=10**9)
    assert (has_ledger(free), has_ledger(held)) == (False, True)
    every, few = data_of(free), data_of(held)
    assert every.validation is not None
    assert len(every.test) == 359
    assert few.validation is None
    assert len(few.test) == HARDWARE_TEST


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
    job = _job(records.write_text(tmp_path / "best.toml", choice.text()))
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
    path = records.write_text(tmp_path / "best.toml", choice.text())
    with pytest.raises(SpecError, match=r"key `digest` must be that of the circuit that runs \(3b-5q:"):
        carry_out_training(_job(path, circuit="3b-5q"), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
