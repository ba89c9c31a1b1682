"""What a training would take of a quantum computer, said before its first request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS
from sqdr_qiskit.devices.names import fake_name
from sqdr_qiskit.errors import CatalogError
from sqdr_qiskit.jobs.cost import OPEN_PLAN_S, Bill, plan_cost
from sqdr_qiskit.jobs.hardware import ceiling_of
from sqdr_qiskit.specs.job import JobSpec

__all__ = ["Forecast", "forecast_training"]

_LOOK = 512  # images that `training.metrics.evaluate` asks for at a time


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A whole run's cost.

    Attributes:
        executions: Circuit executions, shots counted, of training steps, validation and test.
        jobs: Jobs.
        qpu_seconds: Estimated quantum seconds.
        stock: Executions that stock EstimatorQNN would take for the training steps alone; None if it has no
            such gradient.
        above: Why the run will stop on the way; None if it is under its ceiling.
    """

    executions: int
    jobs: int
    qpu_seconds: float
    stock: int | None
    above: str | None

    def text(self) -> str:
        """One line."""
        share = 100 * self.qpu_seconds / OPEN_PLAN_S
        stock = "" if self.stock is None else f"; stock EstimatorQNN would take {self.stock:,} to train"
        stop = (
            "" if self.above is None else f". That is {self.above}: it will stop on the way; --resume goes on"
        )
        return (
            f"the whole run takes {self.executions:,} executions in {self.jobs:,} jobs, about "
            f"{self.qpu_seconds:,.1f} s of quantum time ({share:,.1f} % of the Open plan's 600 s)"
            f"{stock}{stop}"
        )


def forecast_training(job: JobSpec, inputs: Mapping[str, Any]) -> Forecast | None:
    """What a training will cost, as `sqdr-qiskit cost` counts, its looks at validation and test included.

    Args:
        job: The job, on a device or its snapshot.
        inputs: The run's inputs, as its record has them.

    Returns:
        None where it cannot be said beforehand: the device has no snapshot here, the circuit is in no
        catalogue, or is not laid out in tiles, shots are spread over executions as the run goes, or gradients
        are controlled on the way.

    Raises:
        InputError: The circuit does not fit the device.
    """
    device = job.backend if job.backend.startswith("fake_") else fake_name(job.backend)
    unsteady = (job.shots_per_step, job.control_every)
    if device is None or job.layout not in (None, "tiled") or any(unsteady):
        return None
    data, recipe = inputs["data"], inputs["recipe"]
    images = {part: int((data.get(part) or {}).get("images", 0)) for part in ("train", "validation", "test")}
    shared: dict[str, Any] = {"device": device, "shots": job.shots or DEFAULT_SHOTS}
    circuit = job.circuit if job.checkpoint is None else str(inputs["model"]["circuit"]["name"])
    training: dict[str, Any] = {
        "gradient": job.gradient or "parameter-shift",
        "averages": job.averages or 1,
        "freeze": job.freeze is not None,
    }
    epochs, full = int(recipe["epochs"]), int(recipe["batch_size"])
    bills: list[Bill] = []
    stock: int | None = 0
    try:
        for size, times in _batches(images["train"], full):
            plan = plan_cost(circuit, samples=size, steps=times * epochs, **training, **shared)
            bills.append(plan.packed)
            stock = None if stock is None or plan.stock is None else stock + plan.stock.shots
        for part, looks in (("validation", epochs), ("test", 1)):
            for size, times in _batches(images[part], _LOOK):
                bills += [plan_cost(circuit, task="infer", samples=size, **shared).packed] * (times * looks)
    except CatalogError:
        return None
    executions, n_jobs = sum(bill.shots for bill in bills), sum(bill.jobs for bill in bills)
    each = [math.ceil(executions / n_jobs)] * (n_jobs - 1)
    return Forecast(
        executions=executions,
        jobs=n_jobs,
        qpu_seconds=sum(bill.qpu_seconds for bill in bills),
        stock=stock,
        above=ceiling_of(job).exceeded([*each, executions - sum(each)]),
    )


def _batches(images: int, size: int) -> list[tuple[int, int]]:
    """Sizes of batches that images make, and how often each comes."""
    return [(n, times) for n, times in ((size, images // size), (images % size, 1)) if n and times]
