"""Which error mitigation pays: the error of an output against quantum seconds, by the device's twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.mitigation import DRAWING, METHODS, Mitigation, gamma_of, rehearse
from sqdr_qiskit.devices.names import fake_name
from sqdr_qiskit.devices.programs import DeviceProgram, LayoutOptions
from sqdr_qiskit.devices.sender import planned_seconds
from sqdr_qiskit.devices.study import snapshot_chip
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.jobs.cost import CostPlan
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["MitigationRow", "compare_methods", "methods_named", "mitigation_of"]

_SAMPLES = 8
_FEWEST = 64  # shots: the runtime draws readout patterns for so many together


@dataclass(frozen=True, kw_only=True)
class MitigationRow:
    """One method for one circuit on one device.

    Attributes:
        method: One of `METHODS`.
        fractional: Whether turns are written with RX of any angle, one pulse.
        bias: Root mean square of the systematic error left in an output, over outputs and random angles.
        spread: Root mean variance of an output's estimate by shots.
        rms_error: Root of the sum of both squares.
        overhead: Executions for one without mitigation.
        qpu_seconds: Estimated, for the plan's circuits at the plan's shots.
        shots_at_budget: Shots that the budget allows; None if too few.
        rms_error_at_budget: The error then; None if the budget does not allow it.
        wins: Whether no other method has a smaller error at the budget.
    """

    method: str
    fractional: bool
    bias: float
    spread: float
    rms_error: float
    overhead: float
    qpu_seconds: float
    shots_at_budget: int | None
    rms_error_at_budget: float | None
    wins: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def methods_named(name: str) -> tuple[str, ...]:
    """The methods that `all` or a method's name means.

    Raises:
        ArgumentError: There is none of that name.
    """
    if name != "all" and name not in METHODS:
        raise ArgumentError(
            f"Argument `mitigation` must be all or one of {', '.join(METHODS)}, but is {name!r}."
        )
    return METHODS if name == "all" else tuple(dict.fromkeys(("none", name)))


def mitigation_of(
    plan: CostPlan, circuit: str | CircuitSpec, name: str, *, budget_s: float
) -> list[MitigationRow]:
    """Compare methods for a plan on a device that has a snapshot here, see `compare_methods`.

    Args:
        plan: By `plan_cost`, with a device.
        circuit: The plan's.
        name: See `methods_named`.
        budget_s: Quantum seconds.
    """
    device = str(plan.place.device)
    snapshot = device if device.startswith("fake_") else fake_name(device)
    assert snapshot is not None  # the plan was made of it
    model, chip = build_circuit(circuit), snapshot_chip(snapshot)
    return compare_methods(
        model.circuit,
        model.observables,
        compile_for_device(model.circuit, model.observables, chip),
        chip,
        methods=methods_named(name),
        circuits=plan.packed.circuits,
        jobs=plan.packed.jobs,
        shots=plan.shots,
        budget_s=budget_s,
    )


def compare_methods(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    program: DeviceProgram,
    chip: Chip,
    *,
    methods: Sequence[str] = METHODS,
    circuits: int,
    jobs: int,
    shots: int,
    budget_s: float,
    level: int = 3,
    settings: Mitigation | None = None,
    seed: int = 0,
) -> list[MitigationRow]:
    """Rehearse methods for a circuit at random angles, on the first place that it has on the device.

    Args:
        circuit: The circuit.
        observables: Its outputs.
        program: What it became on the device, samples side by side: `pec` pays for all of it.
        chip: The device and its noise.
        methods: Which. Those that twirl no two-qubit gates are rehearsed once more with RX of any angle where
            the device has that.
        circuits: Bound circuits of the plan without mitigation.
        jobs: Its jobs.
        shots: Of one circuit.
        budget_s: Quantum seconds that may be spent.
        level: Qiskit's optimisation level for that, where the circuit is laid out whole.
        settings: Noise factors, extrapolator and largest overhead.
        seed: Of the angles, uniform in [0, 2 pi).

    Raises:
        UnsupportedError: See `devices.rehearsal.chip_engine`.
    """
    tiled = program.layout == "tiled"
    single = LayoutOptions(copies=1)
    plain = compile_for_device(circuit, list(observables), chip, single) if tiled else program
    tried = [(method, plain, chip) for method in methods]
    if chip.has_fractional_gates:
        other = chip.with_fractional_gates()
        same = single if tiled else LayoutOptions(layout="whole", level=level, seeds=(program.seed or 0,))
        short = compile_for_device(circuit, list(observables), other, same)
        tried += [(method, short, other) for method in methods if method not in DRAWING]
    gamma = max(gamma_of(part.circuit, chip) for part in program.rounds)
    values = np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi, (_SAMPLES, circuit.num_parameters))
    rows = []
    for method, one, device in tried:
        chosen = replace(settings or Mitigation(), method=method)
        found = rehearse(circuit, one, device, values, chosen, gamma=gamma)
        calibrating = 0 if method == "none" else jobs
        a_shot = circuits * found.overhead + calibrating  # executions
        idle = jobs * planned_seconds(0)
        each = planned_seconds(1) - planned_seconds(0)
        most = int((budget_s - idle) / (a_shot * each)) if budget_s > idle else 0
        bias, variance = found.moments(shots)
        rows.append(
            MitigationRow(
                method=method,
                fractional=device.fractional,
                bias=float(np.sqrt((bias**2).mean())),
                spread=float(np.sqrt(variance.mean())),
                rms_error=found.rms_error(shots),
                overhead=found.overhead,
                qpu_seconds=idle + each * a_shot * shots,
                shots_at_budget=most if most >= _FEWEST else None,
                rms_error_at_budget=found.rms_error(most) if most >= _FEWEST else None,
                wins=False,
            )
        )
    allowed = [row.rms_error_at_budget for row in rows if row.rms_error_at_budget is not None]
    best = min(allowed, default=None)
    return [replace(row, wins=best is not None and row.rms_error_at_budget == best) for row in rows]
