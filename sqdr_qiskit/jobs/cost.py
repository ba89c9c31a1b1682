"""What training or inference on a quantum computer would cost, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, MOST_EXECUTIONS, MOST_INSTRUCTIONS, planned_seconds
from sqdr_qiskit.devices.mitigation import Mitigation, gamma_of, overhead_of
from sqdr_qiskit.devices.names import fake_name
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.errors import ArgumentError, CatalogError
from sqdr_qiskit.gradients.packing import Unit, pack
from sqdr_qiskit.jobs.hardware import ceiling_of, runtime_settings
from sqdr_qiskit.runtime.budget import Ceiling
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.job import JobSpec, Task
from sqdr_qiskit.tiles import TiledCircuit, tile_circuit
from sqdr_qiskit.training.metrics import BATCH_SIZE

__all__ = [
    "COST_GRADIENTS",
    "OPEN_PLAN_S",
    "Bill",
    "CostPlan",
    "Forecast",
    "Place",
    "forecast_training",
    "place_of",
    "place_on",
    "plan_cost",
]

OPEN_PLAN_S = 600.0
"""Quantum seconds in 28 days on IBM's Open plan."""

_UNITS: dict[str, Unit] = {"parameter-shift": "rotation", "gate-shift": "gate"}
COST_GRADIENTS = (*_UNITS, "spsa", "physics-aware")
"""Gradients that a quantum computer can measure, or do without."""

_TURN_INSTRUCTIONS = 5  # RZ SX RZ SX RZ


@dataclass(frozen=True, kw_only=True)
class Place:
    """A circuit on a device.

    Attributes:
        device: The device, or None if none is named: then one sample runs at a time.
        qubits: Qubits in use.
        copies: Samples side by side in one execution.
        rounds: Executions that a sample's outputs take.
        instructions: Control instructions on the busiest qubit in one execution.
        gammas: Of each round, what `pec` pays for: gamma^2 executions for one; empty without a device.
    """

    device: str | None
    qubits: int
    copies: int
    rounds: int
    instructions: int
    gammas: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What one way of doing it takes.

    Attributes:
        circuits: Bound circuits (parameter sets) executed.
        shots: Shots, over all of them; what IBM calls executions.
        jobs: Jobs, as few as the limits of one job allow.
        qpu_seconds: Estimated quantum seconds: 2 a job and 0.00035 a shot.
    """

    circuits: int
    shots: int
    jobs: int
    qpu_seconds: float

    def above(self, ceiling: Ceiling) -> str | None:
        """Why it is above a ceiling; None if it is not."""
        # Seconds are linear in executions, so it does not matter how these are shared among the jobs.
        return ceiling.exceeded([self.shots, *[0] * (self.jobs - 1)])


@dataclass(frozen=True, kw_only=True)
class CostPlan:
    """A plan's cost.

    Attributes:
        circuit: The circuit's name.
        task: `train` or `infer`.
        gradient: For training, the gradient.
        freeze: Whether the encoder is frozen, so that shifts of the data are left out.
        samples: Images in all steps.
        steps: Training steps; 1 for inference.
        shots: Shots per circuit.
        executions_per_sample: Different circuits for one sample: 1 for the values, and the gradient's.
        place: Where it runs.
        instructions: Control instructions on the busiest qubit in the largest job.
        instruction_limit: What one job may have.
        packed: What this package sends.
        stock: What Qiskit Machine Learning's `EstimatorQNN` would send for the same, with one circuit for
            each sample, observable and shift; None for gradients that it has not.
        open_plan_share: Seconds as a share of the Open plan's 600 s in 28 days.
        why: The gradient's plan in words.
    """

    circuit: str
    task: Task
    gradient: str | None
    freeze: bool
    samples: int
    steps: int
    shots: int
    executions_per_sample: int
    place: Place
    instructions: int
    instruction_limit: int
    packed: Bill
    stock: Bill | None
    open_plan_share: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def place_on(model: CircuitModel | TiledCircuit, device: str | None) -> Place:
    """Where a circuit would stand on a device, by its calibration snapshot on this machine.

    Raises:
        ArgumentError: There is no snapshot of that device.
        UnsupportedError: The circuit is wider than the device.
    """
    if device is None:
        tiled = tile_circuit(model.circuit, model.observables)
        busy = [1] * tiled.circuit.num_qubits  # the measurement
        for item in tiled.circuit.data:
            for qubit in item.qubits:
                busy[tiled.circuit.find_bit(qubit).index] += (
                    _TURN_INSTRUCTIONS if item.operation.name == "u" else 1
                )
        return Place(device=None, qubits=len(busy), copies=1, rounds=1, instructions=max(busy))
    from sqdr_qiskit.devices.study import snapshot_chip
    from sqdr_qiskit.devices.transpilation import compile_for_device

    snapshot = device if device.startswith("fake_") else fake_name(device)
    if snapshot is None:
        raise ArgumentError(
            f"Argument `device` must be a device with a snapshot on this machine, but is {device!r}; "
            "`sqdr-qiskit cost` without --device counts one sample at a time."
        )
    chip = snapshot_chip(snapshot)
    return place_of(compile_for_device(model.circuit, model.observables, chip), device, chip)


def place_of(program: DeviceProgram, device: str, chip: Chip) -> Place:
    """Where a compiled circuit stands on its device."""
    return Place(
        device=device,
        qubits=max(len(part.qubits) for part in program.rounds),
        copies=min(len(part.copies) for part in program.rounds),
        rounds=len(program.rounds),
        instructions=max(part.instructions for part in program.rounds),
        gammas=tuple(gamma_of(part.circuit, chip) for part in program.rounds),
    )


def plan_cost(
    circuit: str | CircuitSpec,
    *,
    task: Task = "train",
    samples: int = 16,
    steps: int = 10,
    gradient: str = "parameter-shift",
    averages: int = 1,
    shots: int = 4096,
    device: str | None = None,
    freeze: bool = False,
    mitigation: Mitigation | None = None,
    place: Place | None = None,
) -> CostPlan:
    """Plan the cost of training steps or of inference.

    Args:
        circuit: A catalogue name, `<b>b-<n>q`, a path, or a description.
        task: `train` or `infer`.
        samples: Images of a step, or images to infer.
        steps: Training steps.
        gradient: For training, one of `COST_GRADIENTS`.
        averages: Perturbations of `spsa`.
        shots: Shots per circuit.
        device: Device by whose snapshot samples are laid side by side; None runs one at a time.
        freeze: Leave out the shifts of the data, as `--freeze encoder` does.
        mitigation: What is sent besides, see `devices.mitigation`; stock EstimatorQNN is counted without.
        place: Where the circuit stands, if that is known; then `device` is not looked at.

    Raises:
        ArgumentError: A number below 1, an unknown word, or `pec` without a device.
        InputError: The circuit cannot be.
    """
    for name, value in (("samples", samples), ("steps", steps), ("shots", shots), ("averages", averages)):
        if value < 1:
            raise ArgumentError(f"Argument `{name}` must be at least 1, but is {value}.")
    if task not in ("train", "infer"):
        raise ArgumentError(f"Argument `task` must be train or infer, but is {task!r}.")
    if gradient not in COST_GRADIENTS:
        raise ArgumentError(
            f"Argument `gradient` must be one of {', '.join(COST_GRADIENTS)}, but is {gradient!r}."
        )
    model = build_circuit(circuit)
    training = task == "train"
    # A measured gradient asks for its values and turns on light cones side by side.
    turns = training and device is not None and gradient != "physics-aware"
    wanted = tile_circuit(model.circuit, model.observables) if turns else model
    place = place or place_on(wanted, device)
    turned, why = 0, "One execution a sample reads all outputs."
    if not training:
        steps = 1
    elif gradient in _UNITS:
        column = {parameter: i for i, parameter in enumerate(model.circuit.parameters)}
        trained = [column[parameter] for parameter in model.w] if freeze else None
        tiled = tile_circuit(model.circuit, model.observables)
        shifts = pack(tiled, assume="virtual-rz", unit=_UNITS[gradient], wanted=trained)
        turned, why = shifts.n_executions, shifts.describe()
    elif gradient == "spsa":
        turned = 2 * averages
        why = f"{turned} executions a sample, {averages} random perturbations; the values are one more."
    else:
        why = "The values alone, one execution a sample; the derivatives come from the exact engine."
    rows = place.rounds * math.ceil(samples * (1 + turned) / place.copies)  # values and turns together
    jobs = _jobs(rows, shots, place.instructions)
    packed = _bill(steps * _with_mitigation(rows, jobs, place, mitigation), shots, steps * jobs)
    stock = None
    if not training or gradient in _UNITS:
        # one PUB for each sample and observable forward, and for each shift of each rotation backward
        turns_each = 2 * _n_shifted(model, freeze) if training else 0
        one_by_one = samples * len(model.observables) * (1 + turns_each)
        n_jobs = (1 + training) * _jobs(one_by_one, shots, place.instructions)
        stock = _bill(steps * one_by_one, shots, steps * n_jobs)
    return CostPlan(
        circuit=model.name,
        task=task,
        gradient=gradient if training else None,
        freeze=freeze and training,
        samples=samples * steps,
        steps=steps,
        shots=shots,
        executions_per_sample=1 + turned,
        place=place,
        instructions=math.ceil(rows / jobs) * place.instructions,
        instruction_limit=MOST_INSTRUCTIONS,
        packed=packed,
        stock=stock,
        open_plan_share=packed.qpu_seconds / OPEN_PLAN_S,
        why=why,
    )


def _with_mitigation(rows: int, jobs: int, place: Place, mitigation: Mitigation | None) -> int:
    """Circuits for so many without mitigation: at each noise factor, or gamma^2 for one with `pec`, and for
    each job one of no gates, which tells the readout.
    """
    if mitigation is None or mitigation.method == "none":
        return rows
    if mitigation.method == "pec" and not place.gammas:
        raise ArgumentError(
            "Argument `mitigation` must be counted on a device if it is pec, but there is none."
        )
    gammas = place.gammas or (1.0,)
    return jobs + sum(math.ceil(rows / len(gammas) * overhead_of(gamma, mitigation)) for gamma in gammas)


def _n_shifted(model: CircuitModel, freeze: bool) -> int:
    """Rotations that the ordinary rule turns."""
    free = set(model.w) if freeze else set(model.circuit.parameters)
    return sum(
        any(parameter in free for parameter in getattr(value, "parameters", ()))
        for item in model.circuit.data
        for value in item.operation.params
    )


def _jobs(circuits: int, shots: int, instructions: int) -> int:
    return max(
        math.ceil(circuits * shots / MOST_EXECUTIONS), math.ceil(circuits * instructions / MOST_INSTRUCTIONS)
    )


def _bill(circuits: int, shots: int, jobs: int) -> Bill:
    total = circuits * shots
    seconds = (jobs - 1) * planned_seconds(0) + planned_seconds(total)
    return Bill(circuits=circuits, shots=total, jobs=jobs, qpu_seconds=seconds)


# ---- a whole training --------------------------------------------------------------------------------------


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
    mitigation = runtime_settings(job).method if job.mitigation is not None else None
    shared: dict[str, Any] = {"device": device, "shots": job.shots or DEFAULT_SHOTS, "mitigation": mitigation}
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
            for size, times in _batches(images[part], BATCH_SIZE):
                bills += [plan_cost(circuit, task="infer", samples=size, **shared).packed] * (times * looks)
    except CatalogError:
        return None
    whole = Bill(
        circuits=sum(bill.circuits for bill in bills),
        shots=sum(bill.shots for bill in bills),
        jobs=sum(bill.jobs for bill in bills),
        qpu_seconds=sum(bill.qpu_seconds for bill in bills),
    )
    return Forecast(
        executions=whole.shots,
        jobs=whole.jobs,
        qpu_seconds=whole.qpu_seconds,
        stock=stock,
        above=whole.above(ceiling_of(job)),
    )


def _batches(images: int, size: int) -> list[tuple[int, int]]:
    """Sizes of batches that images make, and how often each comes."""
    return [(n, times) for n, times in ((size, images // size), (images % size, 1)) if n and times]
