"""What circuits become on devices: every layout, level and seed, checked, counted and estimated."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit import records
from sqdr_qiskit.devices.chip import Chip, chip_of, fake_backend
from sqdr_qiskit.devices.chip_noise import estimate_success
from sqdr_qiskit.devices.equivalence import check_equivalent
from sqdr_qiskit.devices.programs import LAYOUTS, DeviceProgram, LayoutOptions, digest_of
from sqdr_qiskit.devices.transpilation import compile_for_device, compile_tiled, route, whole_logical
from sqdr_qiskit.errors import ArgumentError, BackendError, UnsupportedError
from sqdr_qiskit.parallel import deaf_to_interrupts
from sqdr_qiskit.simulators.exact import ExactEstimator
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.device import LayoutSpec
from sqdr_qiskit.tiles import whole_register

__all__ = [
    "carry_out",
    "choose_layout",
    "compile_task",
    "count",
    "Finding",
    "require_layout_path",
    "same_work",
    "snapshot_chip",
    "Source",
    "study",
    "Task",
    "tasks_for",
    "two_qubit_gates",
    "winner",
]


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
        tiles: The device's qubits of each tile, for each round and copy; of all, where it is whole.
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
    tiles: tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
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
    circuits = [part.copies[0].circuit for part in program.rounds]
    counted = [two_qubit_gates(circuit) for circuit in circuits]
    two_qubit = sum(number for number, _ in counted)
    successes = [
        # Of one copy: the others read the same on qubits of their own.
        estimate_success(
            circuit, chip, [q for q in part.measured if any(q in tile for tile in part.tiles[0])]
        )
        for circuit, part in zip(circuits, program.rounds, strict=True)
    ]
    cost = sum(success.cost for success in successes)
    return Finding(
        task=task,
        tiles=program.tiles,
        gates=dict(sorted(sum((Counter(circuit.count_ops()) for circuit in circuits), Counter()).items())),
        two_qubit_gates=two_qubit,
        two_qubit_depth=max(deep for _, deep in counted),
        depth=max(circuit.depth(lambda item: item.operation.name != "rz") for circuit in circuits),
        swaps=0.0 if task.layout == "tiled" else max(0, two_qubit - n_source) / 3,
        n_qubits=max(len({qubit for tile in part.tiles[0] for qubit in tile}) for part in program.rounds),
        copies=max(len(part.copies) for part in program.rounds),
        rounds=len(program.rounds),
        duration_us=1e6 * max(success.duration for success in successes),
        success=float(np.exp(-cost / sum(len(part.tiles[0]) for part in program.rounds))),
        success_all=float(np.exp(-cost)),
        losses={name: sum(one.parts[name] for one in successes) for name in successes[0].parts},
        seconds=seconds,
    )


def two_qubit_gates(circuit: QuantumCircuit) -> tuple[int, int]:
    """Number and depth of two-qubit gates."""
    number = sum(len(item.qubits) == 2 for item in circuit.data)
    return number, circuit.depth(lambda item: len(item.qubits) == 2)


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
        # Small enough that no process is left with the last chunk alone for long.
        chunk = max(1, min(8, len(tasks) // (4 * n_processes)))
        with ProcessPoolExecutor(
            n_processes, mp_context=get_context("spawn"), initializer=_receive, initargs=(by_name, devices)
        ) as pool:
            try:
                with deaf_to_interrupts():  # it starts the processes
                    results = pool.map(_carry_out_there, tasks, chunksize=chunk)
                gather(results)
            except BaseException:  # Ctrl-C: nobody waits for what is under way
                for process in list(pool._processes.values()):
                    process.terminate()
                raise
    return found


_SOURCES: dict[str, Source] = {}  # of a worker process, which gets them once
_CHIPS: dict[str, Chip] = {}


def _receive(sources: Mapping[str, Source], chips: Mapping[str, Chip]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
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
        # Term by term, as they are read: solved for, since the source gives the observables they make up.
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


def choose_layout(finding: Finding, source: Source, chip: Chip, *, command: Sequence[str] = ()) -> LayoutSpec:
    """The layout that a finding is of, compiled again and found to be the same.

    Args:
        finding: One of layout `tiled` or `whole`.
        source: Its circuit.
        chip: Its device.
        command: The words typed.

    Raises:
        ArgumentError: The finding is of another layout, or of a variation of the circuit.
        BackendError: Compiled again, the circuit stands elsewhere (a fault of this package).
    """
    task = finding.task
    if task.layout not in LAYOUTS:
        raise ArgumentError(f"Argument `finding` must be {' or '.join(LAYOUTS)}, but is `{task.layout}`.")
    if task.variation:
        raise ArgumentError(
            "Argument `finding` must be of the circuit as given, but is of variation "
            f"`{task.variation}`, which is another."
        )
    layout: Literal["tiled", "whole"] = "tiled" if task.layout == "tiled" else "whole"
    # A finding holds numbers, for hundreds of tasks; where the circuit stands in full is made again for one.
    program = compile_task(source, chip, task)
    if not isinstance(program, DeviceProgram) or program.tiles != finding.tiles:
        raise BackendError(f"{source.name} on {chip.name}, compiled again, stands on other qubits.")
    choice = LayoutSpec(
        circuit=source.name,
        digest=digest_of(source.circuit, source.observables),
        device=chip.name,
        layout=layout,
        tiles=program.tiles,
        two_qubit_gates=program.two_qubit_gates,
        calibrated=chip.calibrated,
        level=task.level,
        seed=task.seed,
        initial=program.initial or None,
        success=finding.success,
        title=f"{source.name} on {chip.name}, {layout}: {100 * finding.success:.1f} % success of an output",
        source=" ".join(records.public_command(command)) or "sqdr_qiskit.devices.study.choose_layout",
        versions=records.versions(("sqdr-qiskit", "qiskit", "qiskit-ibm-runtime")),
    )
    # Read as `infer` and `train` will read it.
    compile_for_device(source.circuit, list(source.observables), chip, LayoutOptions(choice=choice))
    return choice


def require_layout_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that `--layout` would not take for a layout file, or where none can be written.

    Raises:
        ArgumentError: It does not end in `.toml`.
        StorageError: It cannot be written.
    """
    if Path(path).suffix != ".toml":
        raise ArgumentError(f"Option `--choose` must name a file FILE.toml, but is `{os.fspath(path)}`.")
    records.require_place(path)
