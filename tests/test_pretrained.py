"""The checkpoints that the package ships are what their records say."""

from __future__ import annotations

import hashlib
import json
from itertools import product

import pytest

from sqdr_qiskit.jobs.evaluation import evaluate_checkpoint
from sqdr_qiskit.jobs.settings import choose_checkpoint, pretrained_folder, pretrained_names
from sqdr_qiskit.specs.job import JobSpec

CIRCUITS = ("2b-9q", "4b-9q", "2b-18q", "4b-18q")
NAMES = [f"{data}-{circuit}" for data, circuit in product(("digits", "mnist", "fashion-mnist"), CIRCUITS)]


def test_all_are_there() -> None:
    assert set(pretrained_names()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_belongs_to_its_checkpoint(name: str) -> None:
    file = pretrained_folder() / f"{name}.safetensors"
    record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["digests"]["best.safetensors"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.stat().st_size < 20_000
    found = choose_checkpoint(name)
    assert f"{found.checkpoint.dataset['name']}-{found.checkpoint.settings.circuit.name}" == name
    assert found.why == "pretrained"


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_digits_are_recognised_as_recorded(circuit: str) -> None:
    chosen = choose_checkpoint(f"digits-{circuit}")
    record = json.loads(chosen.path.with_suffix(".json").read_text(encoding="utf-8"))
    found = evaluate_checkpoint(chosen, JobSpec(task="evaluate", dataset="digits"))
    # another processor may round a spike the other way
    assert found.metrics.accuracy == pytest.approx(record["results"]["test_accuracy"], abs=0.01)
    assert found.metrics.accuracy > 0.9
