"""Evaluation with a folder: its record, what was found, or a noise sweep's points."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.jobs.checkpoints import Chosen
from sqdr_qiskit.jobs.expectations import Seen, keep_expectations
from sqdr_qiskit.jobs.folders import RECORD, make_folder
from sqdr_qiskit.jobs.hardware import rehearsal_facts
from sqdr_qiskit.jobs.noise_sweep import NoiseSweep, sweep_noise
from sqdr_qiskit.jobs.settings import backend_of
from sqdr_qiskit.jobs.use import Evaluation, evaluate_checkpoint
from sqdr_qiskit.records import RunRecord
from sqdr_qiskit.specs.job import JobSpec

__all__ = ["EVALUATION", "SWEEP", "carry_out_evaluation", "carry_out_sweep"]

EVALUATION, SWEEP = "evaluation.json", "noise-sweep.json"


def carry_out_evaluation(
    chosen: Chosen,
    job: JobSpec,
    *,
    folder: str | os.PathLike[str],
    command: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> Evaluation:
    """Evaluate a checkpoint and keep what is found.

    Args:
        chosen: The checkpoint.
        job: As in `evaluate_checkpoint`.
        folder: The run's folder, new or empty.
        command: The words typed, for the record.
        progress: Called with the number of images done.
        download_progress: Called while data are downloaded.

    Raises:
        ArgumentError: If the folder has something in it.
        SqdrError: As in `evaluate_checkpoint`; the folder is then gone again.
    """
    begun = perf_counter()
    backend = backend_of(job)
    with _new_folder(folder) as path:
        seen = Seen()
        found = evaluate_checkpoint(
            chosen,
            job,
            backend=backend,
            seen=seen,
            progress=progress,
            download_progress=download_progress,
        )
        names = found.class_names
        titles = [f"{found.dataset}[{number}]" for number in range(found.metrics.n_images)]
        keep_expectations(path, seen, backend, images=titles, truths=[names[i] for i in found.labels])
        values = {
            "schema": 1,
            "dataset": found.dataset,
            "class_names": list(names),
            "test": found.metrics.to_dict(),
            "exact": None if found.exact is None else found.exact.to_dict(),
        }
        records.write_json(path / EVALUATION, values)
        results = {"accuracy": found.metrics.accuracy, **rehearsal_facts(backend)}
        _record(command, chosen, job, results, perf_counter() - begun).write(path / RECORD)
    return found


def carry_out_sweep(
    chosen: Chosen,
    job: JobSpec,
    strengths: Sequence[float],
    channels: Sequence[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    command: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
    download_progress: DownloadProgress | None = None,
) -> tuple[NoiseSweep, Path]:
    """Evaluate a checkpoint under noise of growing strength and keep the points.

    Args:
        chosen: The checkpoint.
        job: As in `sweep_noise`, like the next two.
        strengths: Probabilities, in [0, 1].
        channels: Names.
        folder: The run's folder, new or empty; None makes `runs/<time>-sweep-<circuit>-<dataset>`.
        command: The words typed, for the record.
        progress: Called with the number of points done.
        download_progress: Called while data are downloaded.

    Returns:
        The sweep and its folder.

    Raises:
        ArgumentError: If the folder has something in it.
        SqdrError: As in `sweep_noise`; the folder is then gone again.
    """
    begun = perf_counter()
    with _new_folder(folder, "sweep", chosen.checkpoint.settings.circuit.name, job.dataset) as path:
        found = sweep_noise(
            chosen, job, strengths, channels, progress=progress, download_progress=download_progress
        )
        values = {
            "schema": 1,
            "dataset": found.dataset,
            "backend": job.backend,
            "n_images": found.n_images,
            "noiseless": found.noiseless,
            "chance": 1.0 / found.n_classes,
            "points": [asdict(point) for point in found.points],
        }
        records.write_json(path / SWEEP, values)
        results = {"noiseless_accuracy": found.noiseless, "points": len(found.points)}
        _record(command, chosen, job, results, perf_counter() - begun).write(path / RECORD)
    return found, path


@contextmanager
def _new_folder(folder: str | os.PathLike[str] | None, *parts: str) -> Iterator[Path]:
    """The run's folder, made at once, so that nothing is computed in vain; removed if nothing comes of it."""
    path = make_folder(folder, *parts)
    try:
        yield path
    except BaseException:
        with suppress(OSError):  # what has something in it stays
            path.rmdir()
        raise


def _record(
    command: Sequence[str], chosen: Chosen, job: JobSpec, results: Mapping[str, Any], seconds: float
) -> RunRecord:
    return RunRecord(
        command=records.public_command(command),
        inputs={
            "job": {**job.to_dict(), "checkpoint": os.fspath(chosen.path)},
            "checkpoint_sha256": records.digest_file(chosen.path),
        },
        seeds={"run": job.seed},
        results={"status": "finished", **results},
        timings_s={"this_sitting": seconds},
    )
