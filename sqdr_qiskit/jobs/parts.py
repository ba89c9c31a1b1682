"""A list of parts carried out one after the other in one folder, under one ceiling of quantum seconds.

Each part is a run of its own with its record and its ledger, so each is taken up where it was: a finished
part is never done again, one that was cut short goes on, and what is planned or used by all of them counts
against the one ceiling. Parts come in order of worth; when the ceiling is reached, the rest is left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.learning import require_learnable
from sqdr_qiskit.devices.names import is_hardware
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.errors import ArgumentError, BackendError, CheckpointError, SqdrError
from sqdr_qiskit.jobs.evaluation import agreement, read_expectations
from sqdr_qiskit.jobs.folders import is_finished, locked, make_folder, read_record
from sqdr_qiskit.jobs.hardware import CEILINGS, Hardware, device_of, runtime_settings
from sqdr_qiskit.jobs.inference import carry_out_inference
from sqdr_qiskit.jobs.noise_learning import COMPARED, compare_with_twin, learn_from_runs, program_of
from sqdr_qiskit.jobs.settings import A_FEW, HARDWARE_TEST, checkpoint_of_run, choose_checkpoint
from sqdr_qiskit.jobs.training import carry_out_training
from sqdr_qiskit.runtime.ledger import LEDGER, Ledger
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec
from sqdr_qiskit.specs.job_file import JobFile, Part
from sqdr_qiskit.specs.noise import noise_text

__all__ = ["LEARNT", "PARTS_RECORD", "carry_out_parts", "on_backend", "parts_record"]

PARTS_RECORD = "report.json"
LEARNT = "learnt.toml"
_CEILING_S = 60.0  # where nothing says more

Opened = Callable[[str], AbstractContextManager[Hardware]]


def on_backend(file: JobFile, backend: str) -> JobFile:
    """The same parts on another device; on a snapshot without what acts on quantum computers alone."""
    drop: dict[str, Any] = {}
    if not is_hardware(backend):
        drop = {n: None for n, one in JOB_OPTIONS.items() if one.feeds == "runtime" and n not in CEILINGS}
    parts = [
        part if part.job is None else replace(part, job=replace(part.job, backend=backend, **drop))
        for part in file.parts
    ]
    return replace(file, parts=tuple(parts), jobs=tuple(p.job for p in parts if p.job is not None))


def carry_out_parts(
    file: JobFile,
    folder: str | os.PathLike[str] | None,
    opened: Opened,
    *,
    resume: bool = False,
    ceiling_s: float | None = None,
    command: Sequence[str] = (),
    notice: Callable[[str], None] = lambda text: None,
) -> Path:
    """Carry out what is not done yet, in order, and write what came of it.

    Args:
        file: The parts.
        folder: Where to; None makes one in `runs`.
        opened: Opens the hardware side of a run on a backend.
        resume: Go on in `folder`.
        ceiling_s: Quantum seconds of all parts together; None takes the file's (`[job] max_qpu_seconds`).
        command: The words typed, for the records.
        notice: Told what begins, and what is done already.

    Returns:
        The folder, with `report.json` of all parts in it.

    Raises:
        CheckpointError: The folder holds other parts.
        BackendError: The ceiling is reached, or the device failed; what is done is kept.
        InputError: Something in a part cannot be.
    """
    defining = json.dumps([[part.name, part.defining()] for part in file.parts], sort_keys=True)
    digest = records.digest(defining)
    root = Path(folder) if folder is not None else None
    if resume:
        assert root is not None
        if not (root / records.PARTS).is_file():
            raise CheckpointError(f"{root} holds no list of parts.")
        known = records.read_json(root / records.PARTS, "list of parts")
        if known.get("digest") != digest:
            raise CheckpointError(f"{root} holds other parts than the file's.")
        ceiling_s = ceiling_s or float(known["max_qpu_seconds"])
    else:
        ceiling_s = ceiling_s or max((j.max_qpu_seconds or 0.0 for j in file.jobs), default=0.0) or _CEILING_S
        _judge(file.parts)
        root = make_folder(root, "parts", file.name)
    with locked(root, inside=True):  # one runner for all parts: they share the ceiling
        facts = {"schema": 1, "job": file.name, "digest": digest, "max_qpu_seconds": ceiling_s}
        records.write_json(root / records.PARTS, facts)
        places = _places(file, root)
        for part in file.parts:
            if _is_done(part, places[part.name]):
                notice(f"{part.name}: done before")
                continue
            # From the ledgers, anew for each part: one that was cut short counts with what it planned.
            others = sum(_committed_s(place) for name, place in places.items() if name != part.name)
            if part.job is None:
                notice(f"{part.name}: {part.title or 'learning the noise'}")
                _learn(part, places)
            else:
                left = ceiling_s - others
                before = f"{others:.1f} of {ceiling_s:g} s committed by other parts"
                notice(f"{part.name}: {part.title or part.job.task}; {before}")
                if left <= 0:
                    raise BackendError(
                        f"Stopped before part {part.name}: the parts before took {others:.1f} s of quantum "
                        f"time, and --max-qpu-seconds is {ceiling_s:g}. --resume {root} with more goes on."
                    )
                _run(part.job, left, places[part.name], opened, command, notice)
            records.write_json(root / PARTS_RECORD, parts_record(file, root))
    return root


def _judge(parts: Sequence[Part]) -> None:
    """Refuse parts of which one cannot be, before anything is paid for another."""
    chip = None
    programs: dict[str, DeviceProgram] = {}
    for part in parts:
        job = part.job
        if job is None:
            _judge_learning(part, {p.name: p.job for p in parts if p.job is not None}, programs)
            continue
        if is_hardware(job.backend):
            assert runtime_settings(job)  # checks them
        elif not job.backend.startswith("fake_"):
            raise ArgumentError(
                f"Argument `backend` must be a device or its snapshot for a list of parts, but part "
                f"{part.name} has {job.backend}."
            )
        circuit: str | CircuitSpec = job.circuit
        if job.checkpoint is not None or job.task != "train":
            chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None)
            circuit = chosen.checkpoint.settings.circuit
        if chip is None:
            chip, _ = device_of(job)
        programs[part.name] = program_of(chip, build_circuit(circuit), job)


def _judge_learning(part: Part, runs: Mapping[str, JobSpec], programs: Mapping[str, DeviceProgram]) -> None:
    """Refuse to learn noise from runs that can be seen beforehand not to tell it."""
    jobs = [runs[name] for name in part.learn_from]
    for name, job in zip(part.learn_from, jobs, strict=True):
        told = f"Part {part.name} cannot learn noise from part {name}"
        if job.task != "infer":
            raise ArgumentError(f"{told}: it must be an inference, but its task is {job.task}.")
        if is_hardware(job.backend) and job.mitigated:
            raise ArgumentError(f"{told}: it must be without error mitigation (resilience = 0).")
        if any(getattr(job, what) != getattr(jobs[0], what) for what in COMPARED):
            raise ArgumentError(f"{told}: it must have {', '.join(COMPARED)} as {part.learn_from[0]} has.")
    usual = [HARDWARE_TEST if job.dataset else A_FEW for job in jobs]
    samples = [len(job.input or ()) or job.limit or most for job, most in zip(jobs, usual, strict=True)]
    try:
        require_learnable(programs[part.learn_from[0]], sum(samples))
    except SqdrError as error:
        names = ", ".join(part.learn_from)
        raise ArgumentError(f"Part {part.name} cannot learn noise from part {names}: {error}") from error


def _places(file: JobFile, root: Path) -> dict[str, Path]:
    """Each part's folder, by its name."""
    return {part.name: root / f"{n}-{part.name}" for n, part in enumerate(file.parts, 1)}


def _is_done(part: Part, place: Path) -> bool:
    return (place / LEARNT).is_file() if part.job is None else is_finished(place)


def _committed_s(place: Path) -> float:
    if not (place / LEDGER).is_file():
        return 0.0
    with Ledger(place, read_only=True) as ledger:
        return ledger.committed_s()


def _run(
    job: JobSpec,
    left: float,
    place: Path,
    opened: Opened,
    command: Sequence[str],
    notice: Callable[[str], None],
) -> None:
    """A part that runs on the device, begun or gone on with."""
    begun = (place / records.RECORD).is_file()
    if not begun and (place / LEDGER).is_file():
        raise CheckpointError(f"{place} has a ledger and no {records.RECORD}: the run's record is gone.")
    if not begun and place.is_dir():  # killed before its record was there: nothing was sent
        for path in place.iterdir():
            path.unlink()
    # A part's own ceiling holds within what is left of all; it may change, so that --resume can raise it.
    own = left if job.max_qpu_seconds is None else min(left, job.max_qpu_seconds)
    job = replace(job, max_qpu_seconds=own)
    with opened(job.backend) as hardware:
        if job.task == "train":
            carry_out_training(
                job, folder=place, resume=begun, command=command, hardware=hardware, notice=notice
            )
            return
        chosen = choose_checkpoint(job.checkpoint, dataset=job.dataset or None)
        carry_out_inference(
            job, chosen, folder=place, resume=begun, command=command, hardware=hardware, notice=notice
        )


def _learn(part: Part, places: Mapping[str, Path]) -> None:
    """Learn the noise from runs of earlier parts; nothing is sent."""
    runs = [places[name] for name in part.learn_from]
    found = learn_from_runs(runs)
    place = places[part.name]
    place.mkdir(exist_ok=True)
    records.write_json(place / "learnt.json", found.facts())
    records.write_text(place / LEARNT, noise_text(found.spec("learnt")))


# ---- what came of it ---------------------------------------------------------------------------------------


def parts_record(file: JobFile, folder: str | os.PathLike[str]) -> dict[str, Any]:
    """All parts as they stand, as plain values.

    Returns:
        `title`, `source`, `max_qpu_seconds`, `parts`, one row each: `part`, `title`, `folder`, `state`, and
        of a run `task`, `device`, `calibrated`, `jobs` (ids), `executions`, `planned_s`, `used_s`, `images`,
        `right`, `exact_right`, `twin` and `learnt` (`devices.twin.Comparison`); of learning its figures.
    """
    root = Path(folder)
    facts = records.read_json(root / records.PARTS, "list of parts")
    places = _places(file, root)
    rows = []
    learnt: Path | None = None
    for part in file.parts:
        place = places[part.name]
        row: dict[str, Any] = {"part": part.name, "title": part.title, "folder": place.name}
        if not _is_done(part, place):
            rows.append({**row, "state": "begun" if place.is_dir() else "not begun"})
        elif part.job is None:
            learnt = place / LEARNT
            rows.append(
                {**row, "state": "done", "learning": records.read_json(place / "learnt.json", "file")}
            )
        else:
            rows.append({**row, "state": "done", **_run_facts(part.job, place, learnt)})
    return {
        "title": file.title,
        "source": file.source,
        "name": file.name,
        "max_qpu_seconds": facts["max_qpu_seconds"],
        "parts": rows,
        "made_by": records.versions(("sqdr-qiskit", "qiskit", "qiskit-ibm-runtime", "torch")),
    }


def _run_facts(job: JobSpec, place: Path, learnt: Path | None) -> dict[str, Any]:
    record = read_record(place)
    results = record["results"]
    spent = results.get("hardware") or results.get("rehearsal") or {}
    row: dict[str, Any] = {
        "task": job.task,
        "backend": job.backend,
        "layout": str(job.layout or "tiled"),
        "shots": job.shots,
        "device": spent.get("device"),
        "calibrated": spent.get("calibrated"),
        "jobs": spent.get("jobs"),
        "planned_s": spent.get("planned_s"),
        "used_s": spent.get("used_s"),
        "checkpoint_sha256": record["inputs"].get("checkpoint_sha256"),
    }
    with Ledger(place, read_only=True) as ledger:
        row["executions"] = ledger.committed_executions()
    if job.task == "train":
        return {**row, "test_accuracy": results.get("test_accuracy"), "steps": job.steps}
    row |= {"images": results["images"], "right": results["right"]}
    kept = read_expectations(place)
    chosen = checkpoint_of_run(place, job, record["inputs"])
    if kept is None or chosen is None:
        return row
    model = chosen.network()
    found = agreement(kept, model, tuple(chosen.checkpoint.dataset["class_names"]))
    row |= {name: found[name] for name in ("rms_error", "sampling_error", "slope", "exact_right", "agree")}
    if not job.mitigated or not is_hardware(job.backend):
        row["twin"] = asdict(compare_with_twin(place))
        if learnt is not None:
            row["learnt"] = asdict(compare_with_twin(place, noise=str(learnt)))
    return row
