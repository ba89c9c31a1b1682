"""A small job and what it trains, made once."""

from __future__ import annotations

import pytest

from sqdr_qiskit.jobs.training import TrainedRun, carry_out_training
from sqdr_qiskit.specs.job import JobSpec


@pytest.fixture(scope="session")
def job() -> JobSpec:
    """A training of seconds: three qubits, two hundred digits."""
    return JobSpec(circuit="2b-3q", limit=200, epochs=2, batch_size=20, seed=3)


@pytest.fixture(scope="session")
def run(job: JobSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """That training, carried out; its files are not to be changed."""
    return carry_out_training(
        job, folder=tmp_path_factory.mktemp("runs") / "one", command=("sqdr-qiskit", "train")
    )
