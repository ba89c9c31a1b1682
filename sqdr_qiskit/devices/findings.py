"""What came out of a transpilation: gates counted, success estimated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.devices.success import estimate_success

__all__ = ["Finding", "Task", "count", "two_qubit_gates"]


@dataclass(frozen=True)
class Task:
    """One transpilation.

    Attributes:
        circuit: The source's name.
        device: The device's name.
        layout: `tiled`, `whole` (Rots fused, gates that reach no output gone), `unfused` (whole, every gate
            for itself, gates that reach no output gone) or `as written` (Qiskit alone).
        level: Optimisation level; None for tiles, which need none.
        seed: Of the transpiler; None for tiles.
        variation: The source's variation that is laid out; empty for the circuit as given.
    """

    circuit: str
    device: str
    layout: str
    level: int | None = None
    seed: int | None = None
    variation: str = ""


@dataclass(frozen=True)
class Finding:
    """What came out of one transpilation; equal to its source at random angles, or it would not be here.

    Attributes:
        task: What was done.
        lines: The device's qubits of each tile, for each round and copy; of all, where it is whole.
        gates: Counts by name, of one copy of everything.
        two_qubit_gates: Their number.
        two_qubit_depth: Longest chain of two-qubit gates.
        depth: Longest chain of gates, virtual RZ left out.
        swaps: Two-qubit gates beyond the source's, in SWAPs of three.
        n_qubits: The device's qubits in use for one copy.
        copies: Samples side by side.
        rounds: Executions for one row of samples.
        duration_us: From the first gate to the end of the measurement.
        success: Estimated success probability of everything that one output needs: of one cone (the mean over
            the cones) or of the whole circuit.
        success_all: Of all cones together; the same where it is whole.
        losses: -log of the fidelity of everything by source.
        seconds: Time to transpile.
    """

    task: Task
    lines: tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
    gates: dict[str, int]
    two_qubit_gates: int
    two_qubit_depth: int
    depth: int
    swaps: float
    n_qubits: int
    copies: int
    rounds: int
    duration_us: float
    success: float
    success_all: float
    losses: dict[str, float]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the task's beside the others."""
        values = asdict(self)
        return {**values.pop("task"), **values}


def count(program: DeviceProgram, chip: Chip, task: Task, *, seconds: float, n_source: int) -> Finding:
    """Count a program's gates and estimate its success.

    Args:
        program: What was compiled, and found equal to its source.
        chip: Its device.
        task: What was done.
        seconds: Time it took.
        n_source: Two-qubit gates of the source.
    """
    gates: dict[str, int] = {}
    losses: dict[str, float] = {}
    two_qubit = depth = two_qubit_depth = n_qubits = n_lines = 0
    duration = cost = 0.0
    for part in program.rounds:
        first = part.copies[0].circuit
        measured = [qubit for qubit in part.measured if any(qubit in line for line in part.lines[0])]
        success = estimate_success(first, chip, measured)
        for name, times in first.count_ops().items():
            gates[name] = gates.get(name, 0) + int(times)
        for name, loss in success.parts.items():
            losses[name] = losses.get(name, 0.0) + loss
        number, deep = two_qubit_gates(first)
        two_qubit += number
        two_qubit_depth = max(two_qubit_depth, deep)
        depth = max(depth, first.depth(lambda item: item.operation.name != "rz"))
        n_qubits = max(n_qubits, len({qubit for line in part.lines[0] for qubit in line}))
        n_lines += len(part.lines[0])
        duration = max(duration, success.duration)
        cost += success.cost
    return Finding(
        task=task,
        lines=tuple(part.lines for part in program.rounds),
        gates=dict(sorted(gates.items())),
        two_qubit_gates=two_qubit,
        two_qubit_depth=two_qubit_depth,
        depth=depth,
        swaps=0.0 if task.layout == "tiled" else max(0, two_qubit - n_source) / 3,
        n_qubits=n_qubits,
        copies=max(len(part.copies) for part in program.rounds),
        rounds=len(program.rounds),
        duration_us=1e6 * duration,
        success=float(np.exp(-cost / n_lines)),
        success_all=float(np.exp(-cost)),
        losses=losses,
        seconds=seconds,
    )


def two_qubit_gates(circuit: QuantumCircuit) -> tuple[int, int]:
    """Number and depth of two-qubit gates."""
    number = sum(len(item.qubits) == 2 for item in circuit.data)
    return number, circuit.depth(lambda item: len(item.qubits) == 2)
