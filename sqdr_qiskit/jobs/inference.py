"""Inference with a folder: its record, the answers and, on a quantum computer, the ledger of its jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.jobs.checkpoints import Chosen, choose_checkpoint
from sqdr_qiskit.jobs.expectations import Seen, keep_expectations
from sqdr_qiskit.jobs.folders import RECORD, make_folder, read_record
from sqdr_qiskit.jobs.hardware import Hardware, rehearsal_facts
from sqdr_qiskit.jobs.settings import backend_of
from sqdr_qiskit.jobs.use import Answer, infer_dataset, infer_files
from sqdr_qiskit.records import RunRecord
from sqdr_qiskit.specs.job import JobSpec

__all__ = ["ANSWERS", "InferredRun", "carry_out_inference", "inference_of_run"]

ANSWERS = "answers.json"


@dataclass(frozen=True, eq=False, kw_only=True)
class InferredRun:
    """A finished inference.

    Attributes:
        folder: Where its files are.
        record: What is in `run.json`.
        answers: One for each image.
    """

    folder: Path
    record: RunRecord
    answers: tuple[Answer, ...]


def inference_of_run(folder: str | os.PathLike[str]) -> tuple[JobSpec, Chosen, tuple[str, ...]]:
    """Job, checkpoint and pictures of an inference that was started before.

    Raises:
        CheckpointError: The folder holds no run, or the checkpoint is gone.
        SpecError: The record is damaged.
    """
    inputs = read_record(folder).get("inputs", {})
    job = JobSpec.from_dict(inputs.get("job", {}), where=RECORD)
    return job, choose_checkpoint(job.checkpoint), tuple(inputs.get("files", ()))


def carry_out_inference(
    job: JobSpec,
    chosen: Chosen,
    files: Sequence[str] = (),
    *,
    hardware: Hardware | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    command: Sequence[str] = (),
    started: Callable[[Path], None] | None = None,
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> InferredRun:
    """Classify pictures, or held-out images, and keep the answers.

    Nothing is made before the inputs are known to be good, and nothing is sent before the folder with its
    record and its ledger is there.

    Args:
        job: The job, of task `infer`.
        chosen: The checkpoint.
        files: Pictures; none for images of the job's data set.
        hardware: Ledger and watcher, if the job has a ledger (`jobs.hardware.has_ledger`).
        folder: The run's folder; None makes `runs/<time>-infer-<backend>-<circuit>`.
        resume: Go on in `folder`: what its ledger knows is not sent again.
        command: The words typed, for the record.
        started: Called with the folder before anything is sent.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        InputError: If something in the job cannot be.
        BackendError: If the device failed.
        Detached: If the user left.
    """
    begun = perf_counter()
    path = Path(folder or ".")
    if resume:
        read_record(path)
        if hardware is not None:
            hardware.open(path)
    backend = backend_of(job, hardware)
    inputs = {
        "job": {**job.to_dict(), "checkpoint": os.fspath(chosen.path)},
        "files": list(files),
        "checkpoint_sha256": records.digest_file(chosen.path),
        "device": backend.name,
    }

    def ready() -> None:
        nonlocal path
        if not resume:
            path = make_folder(folder, "infer", backend.name, chosen.checkpoint.settings.circuit.name)
            _record(command, inputs, job, {"status": "running"}).write(path / RECORD)
            if hardware is not None:
                hardware.open(path)
        if started is not None:
            started(path)

    seen = Seen()
    if files:
        answers = infer_files(chosen, files, job, backend=backend, ready=ready, seen=seen, progress=progress)
    else:
        answers = infer_dataset(
            chosen,
            job,
            backend=backend,
            ready=ready,
            seen=seen,
            progress=progress,
            download_progress=download_progress,
        )
    records.write_json(path / ANSWERS, {"schema": 1, "answers": [answer.to_dict() for answer in answers]})
    known = [answer for answer in answers if answer.truth is not None]
    keep_expectations(
        path,
        seen,
        backend,
        images=[answer.image for answer in answers],
        truths=[answer.truth or "" for answer in known] or None,
    )
    results = {
        "status": "finished",
        "images": len(answers),
        "right": sum(answer.truth == answer.label for answer in known) if known else None,
        **(rehearsal_facts(backend) if hardware is None else hardware.facts()),
    }
    record = _record(command, inputs, job, results, {"this_sitting": perf_counter() - begun})
    record.write(path / RECORD)
    return InferredRun(folder=path, record=record, answers=tuple(answers))


def _record(
    command: Sequence[str],
    inputs: Mapping[str, Any],
    job: JobSpec,
    results: Mapping[str, Any],
    timings_s: Mapping[str, float] | None = None,
) -> RunRecord:
    return RunRecord(
        command=records.public_command(command),
        inputs=inputs,
        seeds={"run": job.seed},
        results=results,
        timings_s=timings_s or {},
    )
