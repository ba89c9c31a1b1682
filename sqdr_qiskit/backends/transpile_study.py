"""What circuits become on devices: every layout, level and seed, checked, counted and estimated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.backends.chip import Chip, chip_of
from sqdr_qiskit.backends.equivalence import check_equivalent
from sqdr_qiskit.backends.exact import ExactEstimator
from sqdr_qiskit.backends.fake import fake_backend
from sqdr_qiskit.backends.programs import LAYOUTS, DeviceProgram, LayoutOptions, Round
from sqdr_qiskit.backends.routing import route, whole_logical
from sqdr_qiskit.backends.success import estimate_success
from sqdr_qiskit.backends.tiling.compiling import compile_tiled
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.layouts import whole_register

__all__ = [
    "Finding",
    "Source",
    "Task",
    "carry_out",
    "compile_task",
    "snapshot_chip",
    "study",
    "tasks_for",
    "winner",
]

_SEED = 7  # of the angles at which circuits are compared


@dataclass(frozen=True, eq=False)
class Source:
    """A circuit to be studied.

    Attributes:
        name: What tables call it.
        circuit: The circuit.
        observables: What is read.
    """

    name: str
    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]


@dataclass(frozen=True)
class Task:
    """One transpilation.

    Attributes:
        circuit: The source's name.
        device: The device's name.
        layout: `tiled`, `whole` (Rots fused, dead last layer gone) or `as written` (Qiskit alone).
        level: Optimisation level; None for tiles, which need none.
        seed: Of the transpiler; None for tiles.
    """

    circuit: str
    device: str
    layout: str
    level: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Finding:
    """What came out of one transpilation; equal to its source at random angles, or it would not be here.

    Attributes:
        task: What was done.
        lines: The device's qubits of each tile, for each copy and round; of all, where it is whole.
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


def tasks_for(
    circuits: Sequence[str], devices: Sequence[str], *, levels: Sequence[int], seeds: Sequence[int]
) -> list[Task]:
    """Tiles once, `whole` at every level and seed, and `as written` at the highest level for each seed."""
    found = []
    for circuit in circuits:
        for device in devices:
            found.append(Task(circuit, device, "tiled"))
            found += [Task(circuit, device, "whole", level, seed) for level in levels for seed in seeds]
            found += [Task(circuit, device, "as written", max(levels), seed) for seed in seeds[:1]]
    return found


def study(
    sources: Sequence[Source],
    tasks: Sequence[Task],
    *,
    n_processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Finding | str]:
    """Carry out tasks on device snapshots, in processes of their own if there are several.

    Args:
        sources: The circuits.
        tasks: What to do with them.
        n_processes: Processes; results do not depend on it.
        progress: Called with the number of tasks done.

    Returns:
        For each task its finding, or as a sentence why there is none.
    """
    by_name = {source.name: source for source in sources}
    found: list[Finding | str] = []

    def gather(results: Iterable[Finding | str]) -> None:
        for result in results:
            found.append(result)
            if progress is not None:
                progress(len(found))

    if n_processes == 1 or len(tasks) < 8:
        gather(carry_out(by_name[task.circuit], task) for task in tasks)
    else:
        # Tasks of one circuit and device share what a worker has found out about both.
        chunk = max(1, min(8, len(tasks) // (4 * n_processes)))
        with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
            gather(pool.map(carry_out, [by_name[t.circuit] for t in tasks], tasks, chunksize=chunk))
    return found


def carry_out(source: Source, task: Task) -> Finding | str:
    """Transpile, check, count."""
    chip = snapshot_chip(task.device)
    started = time.perf_counter()
    try:
        program = compile_task(source, chip, task)
    except UnsupportedError as error:
        return str(error)
    if isinstance(program, str):
        return f"{program}."
    seconds = time.perf_counter() - started
    _check(source, program, task)
    return _finding(program, chip, task, seconds, _two_qubit(source.circuit)[0])


def winner(findings: Iterable[Finding]) -> Finding:
    """The one to run, of one circuit on one device: the most likely to give an output without an error.

    Where two are as good, the one with fewer rounds, more copies and fewer two-qubit gates, then the first.

    Args:
        findings: At least one; those that no backend lays out (`as written`) are passed over if others are
            there.

    Raises:
        ArgumentError: There are none.
    """
    found = list(findings)
    if not found:
        raise ArgumentError("Argument `findings` must hold at least one, but is empty.")
    runnable = [finding for finding in found if finding.task.layout in LAYOUTS] or found
    return max(runnable, key=lambda f: (f.success, -f.rounds, f.copies, -f.two_qubit_gates))


@lru_cache(maxsize=8)
def snapshot_chip(device: str) -> Chip:
    """The chip of a snapshot, made once in a process."""
    return chip_of(fake_backend(device))


def compile_task(source: Source, chip: Chip, task: Task) -> DeviceProgram | str:
    """The circuit as the task says, not yet checked; or why there is none, as a sentence."""
    observables = list(source.observables)
    if task.layout == "tiled":
        return compile_tiled(source.circuit, observables, chip, LayoutOptions())
    assert task.level is not None
    assert task.seed is not None
    if task.layout == "whole":
        return route(whole_logical(source.circuit, observables), chip, level=task.level, seed=task.seed)
    return route(
        whole_register(source.circuit, observables), chip, level=task.level, seed=task.seed, fused=False
    )


def _check(source: Source, program: DeviceProgram, task: Task) -> None:
    values = np.random.default_rng(_SEED).uniform(-np.pi, np.pi, (1, source.circuit.num_parameters))
    pub = (source.circuit, [[o] for o in source.observables], values)
    exact = np.asarray(ExactEstimator().run([pub]).result()[0].data.evs)[:, 0]
    inner = program.inner(values)
    for part in program.rounds:
        bound = part.circuit.assign_parameters(
            dict(zip(part.parameters, part.bind(inner)[0], strict=True)), inplace=False
        )
        where = f"{task.circuit} on {task.device}, {task.layout}"
        expected = np.linalg.lstsq(program.logical.weights, exact - program.logical.constants)[0]
        for words in part.words:
            check_equivalent(bound, words, np.asarray(expected[list(part.terms)], np.float64), what=where)


def _finding(program: DeviceProgram, chip: Chip, task: Task, seconds: float, n_source: int) -> Finding:
    gates: dict[str, int] = {}
    losses: dict[str, float] = {}
    two_qubit = depth = two_qubit_depth = n_qubits = n_lines = 0
    duration = cost = 0.0
    for part in program.rounds:
        first = _first_copy(part)
        measured = [qubit for qubit in part.measured if any(qubit in line for line in part.lines[0])]
        success = estimate_success(first, chip, measured)
        for name, count in first.count_ops().items():
            gates[name] = gates.get(name, 0) + int(count)
        for name, loss in success.parts.items():
            losses[name] = losses.get(name, 0.0) + loss
        count, deep = _two_qubit(first)
        two_qubit += count
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


def _first_copy(part: Round) -> QuantumCircuit:
    return part.copies[0].circuit


def _two_qubit(circuit: QuantumCircuit) -> tuple[int, int]:
    """Number and depth of two-qubit gates."""
    count = sum(len(item.qubits) == 2 for item in circuit.data)
    return count, circuit.depth(lambda item: len(item.qubits) == 2)
