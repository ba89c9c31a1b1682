from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.errors import CheckpointError
from sqdr_qiskit.jobs.evaluation import MOST, CircuitValues, keep_expectations, read_expectations, recorded
from sqdr_qiskit.jobs.settings import choose_checkpoint
from sqdr_qiskit.jobs.training import TrainedRun
from sqdr_qiskit.model.network import restore
from sqdr_qiskit.records import EXPECTATIONS


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
    n_samples = MOST + 5
    angles, values = (torch.from_numpy(rng.uniform(-1, 1, (n_samples, width))) for width in (9, 3))
    seen = CircuitValues([angles[:600], angles[600:]], [values[:600], values[600:]])
    names = [f"digits[{number}]" for number in range(n_samples)]
    backend = make_backend("aer", shots=32)
    path = keep_expectations(tmp_path, seen, backend, images=names, truths=["1"] * n_samples)
    assert path == tmp_path / EXPECTATIONS
    kept = read_expectations(tmp_path)
    assert kept is not None
    assert (kept["backend"], kept["shots"], kept["images"][-1]) == ("aer", 32, f"digits[{MOST - 1}]")
    assert kept["expectations"] == values[:MOST].tolist()
    assert kept["angles"] == angles[:MOST].tolist()


def test_exact_values_are_not_kept_since_they_can_be_had_again(tmp_path: Path) -> None:
    seen = CircuitValues([torch.zeros(1, 9)], [torch.zeros(1, 3)])
    assert keep_expectations(tmp_path, seen, make_backend("exact"), images=["a"], truths=None) is None
    assert read_expectations(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1, "angles": [], "images": [], "expectations": []}'])
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / EXPECTATIONS).write_text(text)
    with pytest.raises(CheckpointError, match=r"expectations\.json: is no"):
        read_expectations(tmp_path)
