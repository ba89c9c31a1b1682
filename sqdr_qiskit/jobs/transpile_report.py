"""A transpilation report put together: circuits and devices by name, the study, the winners, their cost.

At the end which error mitigation pays: the error of an output against quantum seconds, by the device's twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.circuits import build_circuit, variations
from sqdr_qiskit.circuits.formats import picture, read_qasm
from sqdr_qiskit.devices.chip import Chip, chip_of
from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS, planned_seconds
from sqdr_qiskit.devices.mitigation import DRAWING, METHODS, Mitigation, gamma_of, rehearse
from sqdr_qiskit.devices.names import fake_name, is_hardware
from sqdr_qiskit.devices.programs import DeviceProgram, LayoutOptions, write_isa
from sqdr_qiskit.devices.study import (
    Finding,
    Source,
    Task,
    compile_task,
    same_work,
    snapshot_chip,
    study,
    tasks_for,
    winner,
)
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.jobs.cost import OPEN_PLAN_S, CostPlan, place_of, plan_cost
from sqdr_qiskit.parallel import n_threads
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = [
    "catalogue_source",
    "chip_named",
    "compare_methods",
    "methods_named",
    "mitigation_of",
    "MitigationRow",
    "qasm_source",
    "Studied",
    "study_circuits",
]


_BATCH = 16  # images of the step and the inference that are counted


@dataclass(frozen=True, eq=False)
class Studied:
    """What was found out about circuits on devices.

    Attributes:
        sources: The circuits by name.
        chips: The devices by name.
        tasks: What was tried.
        found: For each task what came of it, or why it cannot be.
    """

    sources: Mapping[str, Source]
    chips: Mapping[str, Chip]
    tasks: Sequence[Task]
    found: Sequence[Finding | str]

    @property
    def winners(self) -> dict[tuple[str, str], Finding]:
        """For each circuit and device that it can be laid out on, the finding to run."""
        by_pair: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.found:
            if isinstance(finding, Finding):
                by_pair.setdefault((finding.task.circuit, finding.task.device), []).append(finding)
        return {pair: winner(findings) for pair, findings in by_pair.items()}

    @property
    def refused(self) -> list[str]:
        """What could not be laid out, and why."""
        return list(
            dict.fromkeys(
                f"{' '.join(w for w in (task.circuit, task.variation) if w)} on {task.device}, "
                f"{task.layout}: {result}"
                for task, result in zip(self.tasks, self.found, strict=True)
                if isinstance(result, str)
            )
        )

    def record(self, folder: Path, *, mitigation: bool = False) -> dict[str, Any]:
        """All of it as plain values, and the winners' circuits as files.

        Args:
            folder: Where the files go; made if it is missing.
            mitigation: Whether error mitigation is rehearsed for the winners.

        Returns:
            What `reports.transpile_page` reads, but for `subtitle` and `made_by`.
        """
        return {
            "rows": [result.to_dict() for result in self.found if isinstance(result, Finding)],
            "refused": self.refused,
            "same": {
                source.name: [name for name, other in source.variations.items() if same_work(source, other)]
                for source in self.sources.values()
            },
            "devices": {name: _device_facts(chip) for name, chip in self.chips.items()},
            "drawings": {name: picture(source.circuit) for name, source in self.sources.items()},
            "chosen": [
                {
                    **self._chosen(finding, folder),
                    "mitigation": self._mitigation(finding) if mitigation else [],
                    "mitigation_budget_s": OPEN_PLAN_S,
                }
                for finding in self.winners.values()
            ],
        }

    def _mitigation(self, finding: Finding) -> list[dict[str, Any]]:
        """Error against quantum seconds of every method; of a circuit that the twin cannot hold nothing."""
        source, chip = self.sources[finding.task.circuit], self.chips[finding.task.device]
        program = compile_task(source, chip, finding.task)
        assert isinstance(program, DeviceProgram)
        place = place_of(program, finding.task.device, chip)
        try:
            rows = compare_methods(
                source.circuit,
                source.observables,
                program,
                chip,
                circuits=place.rounds * -(-_BATCH // place.copies),
                jobs=1,
                shots=DEFAULT_SHOTS,
                budget_s=OPEN_PLAN_S,
                level=3 if finding.task.level is None else finding.task.level,
            )
        except UnsupportedError:
            return []
        return [row.to_dict() for row in rows]

    def _chosen(self, finding: Finding, folder: Path) -> dict[str, Any]:
        task = finding.task
        source, chip = self.sources[task.circuit], self.chips[task.device]
        program = compile_task(source, chip, task)
        assert isinstance(program, DeviceProgram)  # it was before
        paths = write_isa(program, folder, f"{task.circuit}-{task.device}")
        part, tile = max(
            ((part, tile) for part in program.rounds for tile in part.tiles[0]),
            key=lambda pair: _n_gates(pair[0].copies[0].circuit, pair[1]),
        )
        what = "the largest tile" if task.layout == "tiled" else "the circuit"
        where = f"on qubits {', '.join(map(str, tile))}"
        return {
            "circuit": task.circuit,
            "device": task.device,
            "layout": task.layout,
            "level": task.level,
            "seed": task.seed,
            "files": [path.name for path in paths],
            "drawing": picture(part.copies[0].circuit, qubits=tile, measured=part.measured),
            "drawing_title": f"{task.circuit} on {task.device}: {what}, {where}",
            "cost": _costs(source, program, task.device, chip),
        }


def study_circuits(
    circuits: Sequence[str | Source],
    devices: Sequence[str],
    *,
    levels: Sequence[int] = (0, 1, 2, 3),
    seeds: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> Studied:
    """Lay circuits out on devices in every way, each checked; on all cores.

    Args:
        circuits: Names of circuits or paths of their files, compared with their variations too; or sources.
        devices: Names of snapshots and of devices of the user's account.
        levels: Qiskit's optimisation levels.
        seeds: Seeds of the transpiler.
        progress: Called with the number of tasks done and of all.

    Returns:
        What was tried and found; `winners` are the findings to run.

    Raises:
        ArgumentError: Two circuits of one name; no such device; none can be laid out.
        BackendError: A circuit does not compute what its source does, or IBM cannot be reached.
    """
    sources = [item if isinstance(item, Source) else catalogue_source(item) for item in circuits]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(
                f"Two circuits are called {name!r}; rename one, so that tables tell them apart."
            )
    chips = {chip.name: chip for chip in map(chip_named, devices)}
    tasks = tasks_for(sources, list(chips), levels=levels, seeds=seeds)
    found = study(
        sources,
        tasks,
        chips=chips,
        n_processes=min(n_threads(), 8),
        progress=None if progress is None else lambda done: progress(done, len(tasks)),
    )
    studied = Studied({source.name: source for source in sources}, chips, tasks, found)
    if not studied.winners:
        raise ArgumentError(f"None of the circuits can be laid out: {studied.refused[-1]}")
    return studied


def catalogue_source(name: str) -> Source:
    """A circuit of the catalogue, a name of the form `<b>b-<n>q` or a file, with its variations."""
    model = build_circuit(name)
    changed = {
        what: Source(other.name, other.circuit, other.observables)
        for what, other in variations(model.spec).items()
    }
    return Source(model.name, model.circuit, model.observables, changed, model.spec)


def qasm_source(path: Path) -> Source:
    """A circuit of OpenQASM; its outputs are Z on the measured qubits, on all if none is.

    Raises:
        DataError: The file is not there, not valid, or not a circuit of gates.
    """
    circuit, measured = read_qasm(path)
    z = tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], circuit.num_qubits) for q in measured)
    return Source(path.stem, circuit, z)


def chip_named(device: str) -> Chip:
    """The chip of a snapshot, `fake_<device>`, or of a device of the user's account as it is now.

    Raises:
        ArgumentError: There is no such device, or no account: one line says so, and what snapshot there is.
        BackendError: IBM cannot be reached.
    """
    if not is_hardware(device):
        return snapshot_chip(device)
    from sqdr_qiskit.runtime.accounts import Connection
    from sqdr_qiskit.runtime.client import translating

    connection = Connection(device)
    backend = connection.device
    with translating(f"fetching the calibration of {connection.name}"):
        return chip_of(backend)


def _costs(source: Source, program: DeviceProgram, device: str, chip: Chip) -> list[dict[str, Any]]:
    """A training step and an inference of 16 images; nothing for circuits that are not of the catalogue."""
    if source.spec is None:
        return []
    place = place_of(program, device, chip)
    found = []
    tasks: dict[Literal["train", "infer"], str] = {
        "train": "a training step, parameter shift",
        "infer": "an inference",
    }
    for task, what in tasks.items():
        plan = plan_cost(source.spec, task=task, samples=_BATCH, steps=1, place=place)
        words = f"{what}, {_BATCH} images"
        found.append({"what": words, **asdict(plan.packed), "open_plan_share": plan.open_plan_share})
    return found


def _device_facts(chip: Chip) -> dict[str, Any]:
    edges = sorted((sorted(pair), edge.error) for pair, edge in chip.edges.items())
    return {
        "n_qubits": chip.n_qubits,
        "calibrated": chip.calibrated,
        "edges": [[*pair, error] for pair, error in edges],
        "readout": [chip.readout_error(qubit) for qubit in range(chip.n_qubits)],
    }


def _n_gates(circuit: Any, line: Sequence[int]) -> int:
    inside = set(line)
    return sum(all(circuit.find_bit(q).index in inside for q in item.qubits) for item in circuit.data)


# ---- error mitigation --------------------------------------------------------------------------------------

_SAMPLES = 8  # random angles that an error is averaged over
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
) -> list[MitigationRow]:
    """Rehearse methods for a circuit at random angles in [0, 2 pi), on its first place on the device.

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

    Raises:
        UnsupportedError: See `devices.chip_noise.chip_engine`.
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
    values = np.random.default_rng(0).uniform(0.0, 2.0 * np.pi, (_SAMPLES, circuit.num_parameters))
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
