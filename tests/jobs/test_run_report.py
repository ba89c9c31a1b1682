from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sqdr_qiskit import records
from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.data import load_dataset
from sqdr_qiskit.encoder import phase_code
from sqdr_qiskit.errors import CheckpointError, DataError
from sqdr_qiskit.jobs.evaluation import agreement, carry_out_sweep
from sqdr_qiskit.jobs.inference import carry_out_inference
from sqdr_qiskit.jobs.run_report import choose, collect_run
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.model.network import restore
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.specs.job import JobSpec


@pytest.fixture
def copied(run: TrainedRun, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(run.folder, tmp_path / "copied"))


def change(path: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file's object."""
    values = json.loads(path.read_text())
    how(values)
    path.write_text(json.dumps(values))


# ---- a training --------------------------------------------------------------------------------------------


def test_a_training_is_told_whole(run: TrainedRun) -> None:
    found = collect_run(run.folder)
    assert (found["kind"], found["finished"], found["left_out"]) == ("train", True, {})
    assert found["history"] == run.metrics["history"]
    assert found["test"] == run.metrics["test"]
    assert found["circuit"]["name"] == "2b-3q"
    assert found["n_parameters"] == 545
    assert found["examples_of"] == "test images"
    assert "agreement" not in found
    assert "hardware" not in found
    assert found["sweeps"] == []
    assert json.loads(records.dump_json(found)) == json.loads(records.dump_json(collect_run(run.folder)))


def test_an_examples_spikes_rates_and_expectations_are_those_of_the_network(run: TrainedRun) -> None:
    model = restore(choose_checkpoint(str(run.folder)).checkpoint, make_backend("exact"))
    shown = collect_run(run.folder)["examples"]
    assert len(shown) == 6
    for example in shown:
        pixels = torch.tensor(example["pixels"], dtype=torch.uint8)[None]
        bits = phase_code(pixels)[:, 0] > 0
        words = torch.tensor(example["layers"][0]["words"])
        assert all(torch.equal(words >> step & 1 == 1, bits[step]) for step in range(10))
        assert [np.shape(layer["words"]) for layer in example["layers"]] == [
            (1, 16, 16), (2, 8, 8), (4, 4, 4), (8, 2, 2),
        ]  # fmt: skip
        assert all(0.0 <= layer["fired"] <= 1.0 for layer in example["layers"])
        rates = [word.bit_count() / 10 for word in example["features"]]
        assert example["rates"] == pytest.approx(rates, abs=1e-6)
        with torch.no_grad():
            assert model.encoder(pixels)[0].tolist() == pytest.approx(rates, abs=1e-6)
            values = model.expectations(model.encode(pixels))
            assert example["exact"]["expectations"] == pytest.approx(values[0].tolist(), abs=1e-5)
            best = int(model.read_out(values).argmax())
        assert example["exact"]["label"] == str(best)
        assert sum(example["exact"]["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
        assert example["ran"] is None


def test_examples_carry_their_truth(run: TrainedRun, job: JobSpec) -> None:
    found = collect_run(run.folder)
    shown = {json.dumps(example["pixels"]): example["truth"] for example in found["examples"]}
    test = load_dataset("digits").test
    truths = {json.dumps(i.tolist()): str(t) for i, t in zip(test.images, test.labels, strict=True)}
    assert {key: truths[key] for key in shown} == shown


def test_an_unfinished_training_shows_validation_images_not_test_images(copied: Path) -> None:
    change(copied / "run.json", lambda record: record.update(results={"status": "running"}))
    change(copied / "metrics.json", lambda metrics: [metrics.pop(key) for key in ("test", "class_names")])
    found = collect_run(copied)
    assert not found["finished"]
    assert "test" not in found
    assert len(found["history"]) == 2
    assert found["examples_of"] == "validation images"
    os.utime(copied / "run.json", (1000, 1000))
    os.utime(copied / "metrics.json", (10**10, 10**10))
    assert collect_run(copied)["since_record_s"] == 10**10 - 1000
    assert collect_run(copied)["written"] == "2286-11-20T17:46:40+00:00"


def test_a_training_that_has_just_begun_has_next_to_nothing(copied: Path) -> None:
    change(copied / "run.json", lambda record: record.update(results={"status": "running"}))
    for name in ("metrics.json", "best.safetensors", "last.safetensors", "state.pt"):
        (copied / name).unlink()
    found = collect_run(copied)
    assert "history" not in found
    assert "examples" not in found
    assert found["left_out"] == {}


# ---- what cannot be made says so ---------------------------------------------------------------------------


def test_other_data_than_the_runs_leave_the_examples_out(copied: Path) -> None:
    def other(record: dict[str, Any]) -> None:
        record["inputs"]["data"]["test"]["sha256"] = "0" * 64

    change(copied / "run.json", other)
    found = collect_run(copied)
    assert found["left_out"] == {
        "examples": "The test images of digits must be those of the run, but have another SHA-256."
    }
    assert "examples" not in found
    assert "test" in found


def test_missing_data_leave_the_examples_out(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise DataError("The files of digits are missing.")

    monkeypatch.setattr("sqdr_qiskit.jobs.settings.read_source", missing)
    found = collect_run(run.folder)
    assert found["left_out"] == {"examples": "The files of digits are missing."}
    assert found["history"]


def test_a_damaged_part_leaves_itself_out(copied: Path) -> None:
    (copied / "metrics.json").write_text("{")
    (copied / "expectations.json").write_text("{")
    found = collect_run(copied)
    assert found["left_out"]["results"] == "metrics.json: is no intact file of this run."
    assert found["left_out"]["agreement"].startswith("expectations.json: is no intact")
    assert found["examples"]


def test_what_is_no_run_is_refused(run: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no run in"):
        collect_run(tmp_path)
    shutil.copytree(run.folder, tmp_path / "001-one")
    (tmp_path / "grid.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"is a grid of runs, such as .*001-one"):
        collect_run(tmp_path)


# ---- elsewhere than on the exact engine --------------------------------------------------------------------


def test_an_inference_is_held_against_the_exact_engine(
    run: TrainedRun, job: JobSpec, tmp_path: Path, rng: np.random.Generator
) -> None:
    wanted = replace(job, task="infer", backend="aer", shots=400, limit=12, seed=5)
    made = carry_out_inference(wanted, choose_checkpoint(str(run.folder)), folder=tmp_path / "inf")
    found = collect_run(tmp_path / "inf")
    assert (found["kind"], found["left_out"]) == ("infer", {})
    assert [answer["class"] for answer in found["answers"]] == [answer.label for answer in made.answers]
    beside = found["agreement"]
    assert beside["labels"] == [answer.label for answer in made.answers]
    assert beside["right"] == sum(answer.label == answer.truth for answer in made.answers)
    assert (beside["backend"], beside["shots"], beside["n_samples"]) == ("aer", 400, 12)
    assert 0.0 < beside["rms_error"] < 5 * beside["sampling_error"]
    for example in found["examples"]:
        row = beside["images"].index(example["image"])
        assert example["ran"]["expectations"] == beside["ran"][row]
        assert example["exact"]["expectations"] == pytest.approx(beside["exact"][row], abs=1e-5)


def test_a_shrunken_signal_is_measured(run: TrainedRun, rng: np.random.Generator) -> None:
    model = restore(choose_checkpoint(str(run.folder)).checkpoint, make_backend("exact"))
    angles = torch.from_numpy(rng.uniform(0, 3, (7, 9)).astype(np.float32))
    with torch.no_grad():
        exact = model.expectations(angles)
    kept = {
        "backend": "b", "shots": 100, "images": list("abcdefg"), "truths": None,
        "angles": angles.tolist(), "expectations": (0.8 * exact).tolist(),
    }  # fmt: skip
    found = agreement(kept, model, "0123456789")
    assert found["slope"] == pytest.approx(0.8, abs=1e-5)
    assert found["mean_error"] == pytest.approx(0.2 * float(exact.abs().mean()), abs=1e-5)
    assert found["rms_error"] == pytest.approx(0.2 * float((exact**2).mean().sqrt()), abs=1e-5)
    spread = float((1 - (0.8 * exact) ** 2).mean())
    assert found["sampling_error"] == pytest.approx((spread / 100) ** 0.5, abs=1e-5)
    assert found["per_output"] == pytest.approx((0.2 * exact.abs().mean(dim=0)).tolist(), abs=1e-5)
    assert found["right"] is None
    with pytest.raises(CheckpointError, match="field `angles` must have rows of 9 angles"):
        agreement({**kept, "angles": angles[:, :6].tolist()}, model, "0123456789")
    with pytest.raises(CheckpointError, match=r"field `expectations` must have shape \(7, 3\)"):
        agreement({**kept, "expectations": exact[:, :2].tolist()}, model, "0123456789")


def test_another_checkpoint_than_the_runs_is_refused(run: TrainedRun, job: JobSpec, tmp_path: Path) -> None:
    start = Path(shutil.copytree(run.folder, tmp_path / "start"))
    wanted = replace(job, task="infer", backend="exact", limit=5)
    carry_out_inference(wanted, choose_checkpoint(str(start)), folder=tmp_path / "inf")
    moved = tmp_path / "moved"  # runs that move together find each other
    moved.mkdir()
    start.rename(moved / "start")
    (tmp_path / "inf").rename(moved / "inf")
    assert collect_run(moved / "inf")["left_out"] == {}
    shutil.copy(choose_checkpoint("digits-2b-9q").path, moved / "start" / "best.safetensors")
    assert "has another SHA-256" in collect_run(moved / "inf")["left_out"]["examples"]
    (moved / "start" / "best.safetensors").unlink()
    assert "There is no checkpoint" in collect_run(moved / "inf")["left_out"]["examples"]


def test_a_training_shows_the_sweeps_of_its_checkpoint(copied: Path, job: JobSpec) -> None:
    wanted = replace(job, task="evaluate", backend="exact_noisy", limit=20)
    chosen = choose_checkpoint(str(copied))
    carry_out_sweep(chosen, wanted, (0.0, 0.1), ["bit_flip"], folder=copied.parent / "sweep")
    carry_out_sweep(
        choose_checkpoint("digits-2b-9q"), wanted, (0.1,), ["bit_flip"], folder=copied.parent / "other"
    )
    (mine,) = collect_run(copied)["sweeps"]
    (own,) = collect_run(copied.parent / "sweep")["sweeps"]
    assert mine == own
    assert (own["name"], len(own["points"])) == ("sweep", 2)


def test_jobs_are_those_of_the_ledger(copied: Path) -> None:
    with Ledger(copied) as ledger:
        ledger.kept("device", "ibm_kingston")
        ledger.kept("calibrated", "2026-01-02T03:04:05+00:00")
        facts = {"executions": 400}
        for number, label in enumerate(("call 1", "call 2")):
            row = ledger.plan(
                digest="d", number=number, label=label, device="ibm_kingston", planned_s=2.5,
                calibrated=None, facts=facts,
            ).row  # fmt: skip
            ledger.sent(row, f"job{number}")
        ledger.done(1, "result", used_s=1.25)
        ledger.ended(2, "failed", "it broke")
    hardware = collect_run(copied)["hardware"]
    assert (hardware["device"], hardware["calibrated"]) == ("ibm_kingston", "2026-01-02T03:04:05+00:00")
    first, second = hardware["jobs"]
    assert (first["job"], first["state"], first["planned_s"], first["used_s"]) == ("job0", "done", 2.5, 1.25)
    assert (second["state"], second["reason"], second["executions"]) == ("failed", "it broke", 400)


# ---- which examples ----------------------------------------------------------------------------------------


def test_examples_are_of_many_classes_then_doubtful_and_end_with_two_mistakes() -> None:
    truths = list("0011223344")
    labels = list("0011223394")
    labels[3] = "7"
    sure = [0.5, 0.6, 0.7, 0.9, 0.8, 0.45, 0.55, 0.65, 0.75, 0.4]
    right = [(0, ""), (2, ""), (9, "doubtful"), (5, "doubtful")]
    assert choose(labels, truths, sure, exact=labels) == [*right, (3, "mistake"), (8, "mistake")]
    all_right = choose(truths, truths, sure, exact=truths)
    assert all_right == [(0, ""), (2, ""), (4, ""), (6, ""), (9, "doubtful"), (5, "doubtful")]
    # What only the run got wrong comes first, whatever it was sure of.
    alone = choose(labels, truths, sure, exact=[*labels[:8], "4", "4"])
    assert alone[-2:] == [(8, "mistake"), (3, "mistake")]


def test_without_truths_classes_are_what_things_were_taken_for() -> None:
    sure = [0.5, 0.6, 0.7, 0.8, 0.9]
    found = choose(list("aabbc"), None, sure, exact=list("aabbc"), n_shown=3)
    assert found == [(1, ""), (2, ""), (0, "doubtful")]
    assert choose(list("aa"), None, [0.5] * 2, exact=list("ab"), n_shown=6) == [
        (0, "doubtful"),
        (1, "mistake"),
    ]
    assert choose([], None, [], exact=[]) == []
