"""Physics-aware training against parameter-shift training under a device's noise: accuracy and executions.

The device is simulated: exact noisy expectations, readout errors included, from the exact engine (which
equals Aer's density matrices), and binomial counts of `--shots` drawn around them, each output for itself, as
Aer draws them cone by cone. That is the same distribution at a hundredth of the time.

    python -m benchmarks.physics_aware --epochs 10 --shots 1024 --noise fake-brisbane-median
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    EstimatorPubLike,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)

from sqdr_qiskit.backends import Backend, ExactEstimator
from sqdr_qiskit.jobs.settings import data_of, model_settings_of, recipe_of
from sqdr_qiskit.model.network import build_model, load_weights
from sqdr_qiskit.simulators.aer import noisy_engine
from sqdr_qiskit.specs.job import JobSpec
from sqdr_qiskit.specs.noise import noise_spec
from sqdr_qiskit.training.loop import train
from sqdr_qiskit.training.metrics import evaluate

_RUNS = (
    ("physics-aware", "physics-aware", True),
    ("physics-aware, noiseless model", "physics-aware", False),
    ("parameter-shift", "parameter-shift", True),
    ("spsa", "spsa", True),
)


class SampledEstimator(BaseEstimatorV2):
    """Binomial samples of Pauli strings around exact noisy expectations; counts executions."""

    def __init__(self, exact: ExactEstimator, shots: int, seed: int) -> None:
        self._exact, self._shots = exact, shots
        self._rng = np.random.default_rng(seed)
        self.executions = 0

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        job: PrimitiveJob[PrimitiveResult[PubResult]] = PrimitiveJob(self._sample, list(pubs))
        job._submit()
        return job

    def _sample(self, pubs: list[EstimatorPubLike]) -> PrimitiveResult[PubResult]:
        found = []
        for one in self._exact.run(pubs).result():
            exact = np.clip(one.data.evs, -1.0, 1.0)
            self.executions += int(np.prod(exact.shape[1:]))  # observables are the first axis
            evs = 2.0 * self._rng.binomial(self._shots, (1.0 + exact) / 2.0) / self._shots - 1.0
            stds = np.sqrt((1.0 - evs**2) / self._shots)
            found.append(
                PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), metadata={"shots": self._shots})
            )
        return PrimitiveResult(found)


def run(
    name: str, gradient: str, arguments: argparse.Namespace, seed: int, *, aware: bool = True
) -> dict[str, Any]:
    """Train and test once."""
    job = JobSpec(dataset="digits", epochs=arguments.epochs, seed=seed, validation=0.0)
    recipe, data = recipe_of(job), data_of(job)
    recipe = recipe.fitted(len(data.train))
    noise = noise_spec(arguments.noise)
    maker = noisy_engine(noise)
    estimator = SampledEstimator(ExactEstimator(maker=maker), arguments.shots, seed)
    backend = Backend(
        "aer_noisy", estimator, "parameter-shift", maker=maker, noise=noise, shots=arguments.shots
    )
    if not aware:  # a model that knows nothing of the noise
        backend = replace(backend, maker=None, noise=None)
    settings = model_settings_of(job, recipe, data)
    model = build_model(settings, backend, gradient=gradient)
    begun = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(model, settings, data, recipe, folder=folder, seed=seed)
    executions = estimator.executions
    load_weights(model, outcome.last.weights, where="last")
    test = evaluate(model, data.test.images, data.test.labels)
    return {
        "name": name, "seed": seed, "accuracy": test.accuracy, "executions": executions,
        "loss": outcome.history[-1]["loss"], "seconds": perf_counter() - begun,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--shots", type=int, default=1024)
    parser.add_argument("--noise", default="fake-brisbane-median")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for name, gradient, aware in _RUNS:
            if name in arguments.only or not arguments.only:
                print(json.dumps(run(name, gradient, arguments, seed, aware=aware)), flush=True)


if __name__ == "__main__":
    main()
