"""What circuits become on devices: every layout, level and seed, checked, counted and estimated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.chip import Chip, chip_of
from sqdr_qiskit.devices.equivalence import check_equivalent
from sqdr_qiskit.devices.fake import fake_backend
from sqdr_qiskit.devices.findings import Finding, Task, count, two_qubit_gates
from sqdr_qiskit.devices.programs import LAYOUTS, DeviceProgram, LayoutOptions
from sqdr_qiskit.devices.routing import route, whole_logical
from sqdr_qiskit.devices.tiling import compile_tiled
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.tiles.layouts import whole_register

__all__ = [
    "Finding",
    "Source",
    "Task",
    "carry_out",
    "compile_task",
    "same_work",
    "snapshot_chip",
    "study",
    "tasks_for",
    "winner",
]

_SEED = 7  # of the angles at which circuits are compared
_WORTH_PROCESSES = 32  # tasks: fewer are done before another process has loaded Qiskit


@dataclass(frozen=True, eq=False)
class Source:
    """A circuit to be studied.

    Attributes:
        name: What tables call it.
        circuit: The circuit.
        observables: What is read.
        variations: The circuit with one thing changed, by what was changed, such as `entangler line`; each is
            compared with itself, not with the circuit as given.
        spec: Its description, if it has one.
    """

    name: str
    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    variations: Mapping[str, Source] = field(default_factory=dict)
    spec: CircuitSpec | None = None

    def of(self, task: Task) -> Source:
        """The circuit that a task lays out: this one or its variation."""
        return self.variations[task.variation] if task.variation else self


def tasks_for(
    sources: Sequence[Source], devices: Sequence[str], *, levels: Sequence[int], seeds: Sequence[int]
) -> list[Task]:
    """Tiles once, `whole` at every level and seed; `unfused`, `as written` and variations at the highest.

    All that is compared at the highest level has the same seeds. A variation that comes to the same gates as
    the circuit as given is not laid out again, only as written.
    """
    found = []
    highest = max(levels)
    for source in sources:
        for device in devices:
            found.append(Task(source.name, device, "tiled"))
            found += [Task(source.name, device, "whole", level, seed) for level in levels for seed in seeds]
            for layout in ("unfused", "as written"):
                found += [Task(source.name, device, layout, highest, seed) for seed in seeds]
            for name, other in source.variations.items():
                layouts = ["as written"]
                if not same_work(source, other):
                    found.append(Task(source.name, device, "tiled", variation=name))
                    layouts.append("whole")
                found += [
                    Task(source.name, device, layout, highest, seed, name)
                    for layout in layouts
                    for seed in seeds
                ]
    return found


def same_work(first: Source, second: Source) -> bool:
    """Whether two circuits come to the same gates once what reaches no output is gone."""
    one, other = (whole_logical(source.circuit, source.observables) for source in (first, second))
    return (
        _written(one.circuit) == _written(other.circuit)
        and np.array_equal(one.coefficients, other.coefficients)
        and np.array_equal(one.offsets, other.offsets)
    )


def _written(circuit: QuantumCircuit) -> list[tuple[str, list[int], list[str]]]:
    return [
        (
            item.operation.name,
            [circuit.find_bit(qubit).index for qubit in item.qubits],
            [str(value) for value in item.operation.params],
        )
        for item in circuit.data
    ]


def study(
    sources: Sequence[Source],
    tasks: Sequence[Task],
    *,
    chips: Mapping[str, Chip] | None = None,
    n_processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Finding | str]:
    """Carry out tasks, in processes of their own if there are several.

    Args:
        sources: The circuits.
        tasks: What to do with them.
        chips: The devices by name; what is not there is a snapshot.
        n_processes: Processes; results do not depend on it.
        progress: Called with the number of tasks done.

    Returns:
        For each task what was found, or why it cannot be done, as a sentence.

    Raises:
        BackendError: A transpiled circuit does not compute what its source does.
    """
    by_name = {source.name: source for source in sources}
    devices = {task.device: snapshot_chip(task.device) for task in tasks if task.device not in (chips or {})}
    devices.update(chips or {})
    found: list[Finding | str] = []

    def gather(results: Iterable[Finding | str]) -> None:
        for result in results:
            found.append(result)
            if progress is not None:
                progress(len(found))

    if n_processes == 1 or len(tasks) < _WORTH_PROCESSES:
        gather(carry_out(by_name[task.circuit], task, devices[task.device]) for task in tasks)
    else:
        chunk = max(1, min(8, len(tasks) // (4 * n_processes)))
        with ProcessPoolExecutor(
            n_processes, mp_context=get_context("spawn"), initializer=_receive, initargs=(by_name, devices)
        ) as pool:
            gather(pool.map(_carry_out_there, tasks, chunksize=chunk))
    return found


_SOURCES: dict[str, Source] = {}  # of a worker process, which gets them once
_CHIPS: dict[str, Chip] = {}


def _receive(sources: Mapping[str, Source], chips: Mapping[str, Chip]) -> None:
    _SOURCES.update(sources)
    _CHIPS.update(chips)


def _carry_out_there(task: Task) -> Finding | str:
    return carry_out(_SOURCES[task.circuit], task, _CHIPS[task.device])


def carry_out(source: Source, task: Task, chip: Chip | None = None) -> Finding | str:
    """Transpile, check, count; on the snapshot that the task names if no chip is given."""
    chip = chip or snapshot_chip(task.device)
    started = time.perf_counter()
    try:
        program = compile_task(source, chip, task)
        seconds = time.perf_counter() - started
        if isinstance(program, str):
            return f"{program}."
        _check(source.of(task), program, task)
    except UnsupportedError as error:
        return str(error)
    n_source, _ = two_qubit_gates(source.of(task).circuit)
    return count(program, chip, task, seconds=seconds, n_source=n_source)


def winner(findings: Iterable[Finding]) -> Finding:
    """The one to run, of one circuit on one device: the most likely to give an output without an error.

    Where two are as good to a ten-thousandth, the one with fewer rounds, more copies and fewer two-qubit
    gates, then the first. Variations are other circuits and cannot win.

    Args:
        findings: At least one; those that no backend lays out (`as written`) are passed over if others are
            there.

    Raises:
        ArgumentError: There are none.
    """
    found = [finding for finding in findings if not finding.task.variation]
    if not found:
        raise ArgumentError("Argument `findings` must hold at least one, but is empty.")
    runnable = [finding for finding in found if finding.task.layout in LAYOUTS] or found
    return max(runnable, key=lambda f: (round(f.success, 4), -f.rounds, f.copies, -f.two_qubit_gates))


@lru_cache(maxsize=8)
def snapshot_chip(device: str) -> Chip:
    """The chip of a snapshot, made once in a process."""
    return chip_of(fake_backend(device))


def compile_task(source: Source, chip: Chip, task: Task) -> DeviceProgram | str:
    """The circuit as the task says, not yet checked; or why there is none, as a sentence."""
    source = source.of(task)
    circuit, observables = source.circuit, list(source.observables)
    if task.layout == "tiled":
        return compile_tiled(circuit, observables, chip, LayoutOptions())
    assert task.level is not None
    assert task.seed is not None
    logical = (
        whole_register(circuit, observables)
        if task.layout == "as written"
        else whole_logical(circuit, observables, fuse=task.layout == "whole")
    )
    return route(logical, chip, level=task.level, seed=task.seed, fused=task.layout == "whole")


def _check(source: Source, program: DeviceProgram, task: Task) -> None:
    values, exact = _expected(source)
    inner = program.inner(values)
    words = " ".join(word for word in (task.circuit, task.variation) if word)
    for part in program.rounds:
        bound = part.circuit.assign_parameters(
            dict(zip(part.parameters, part.bind(inner)[0], strict=True)), inplace=False
        )
        expected = np.linalg.lstsq(program.logical.weights, exact - program.logical.constants)[0]
        for copy in part.words:
            check_equivalent(
                bound,
                copy,
                np.asarray(expected[list(part.terms)], np.float64),
                what=f"{words} on {task.device}, {task.layout}",
            )


@lru_cache(maxsize=32)
def _expected(source: Source) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles drawn at random, and the source's own expectation values there."""
    values = np.random.default_rng(_SEED).uniform(-np.pi, np.pi, (1, source.circuit.num_parameters))
    pub = (source.circuit, [[o] for o in source.observables], values)
    return values, np.asarray(ExactEstimator().run([pub]).result()[0].data.evs)[:, 0]
