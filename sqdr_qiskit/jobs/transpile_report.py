"""A transpilation report put together: circuits and devices by name, the study, the winners, their cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.circuits import build_circuit, variations
from sqdr_qiskit.circuits.formats import picture, read_qasm
from sqdr_qiskit.devices.chip import Chip, chip_of
from sqdr_qiskit.devices.estimator import DEFAULT_SHOTS
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.devices.programs import DeviceProgram, write_isa
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
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.jobs.cost import OPEN_PLAN_S, place_of, plan_cost
from sqdr_qiskit.jobs.mitigation import compare_methods

__all__ = ["Studied", "catalogue_source", "chip_named", "qasm_source", "study_circuits"]

_BATCH = 16


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
            folder: Where the files go; it exists.
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = study(
        sources,
        tasks,
        chips=chips,
        n_processes=min(cores, 8),
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
    from sqdr_qiskit.runtime.errors import translated
    from sqdr_qiskit.runtime.waiting import quiet_client

    connection = Connection(device)
    backend = connection.device
    with quiet_client():
        try:
            return chip_of(backend)
        except Exception as error:
            raise translated(error, doing=f"fetching the calibration of {connection.name}") from error


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
