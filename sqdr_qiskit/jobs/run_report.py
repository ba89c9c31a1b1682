"""All that there is to say of a run, as one record of plain values; `reports.run_page` makes a page of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqdr_qiskit import records
from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.circuits.formats import picture
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.errors import CheckpointError, SqdrError
from sqdr_qiskit.jobs.examples import examples, samples_of_run
from sqdr_qiskit.jobs.expectations import agreement, read_expectations
from sqdr_qiskit.jobs.folders import read_record
from sqdr_qiskit.jobs.inference import ANSWERS
from sqdr_qiskit.jobs.settings import Chosen, choose_checkpoint, pretrained_folder
from sqdr_qiskit.model.checkpoint import restore
from sqdr_qiskit.model.network import count_parameters
from sqdr_qiskit.records import BEST, EVALUATION, GRID, METRICS, RECORD, SWEEP
from sqdr_qiskit.runtime.ledger import LEDGER, Ledger
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.job import JobSpec

__all__ = ["checkpoint_of_run", "collect_run"]

_THUMBNAILS = 40  # of the least sure answers; as many as a page has rows


def collect_run(
    folder: str | os.PathLike[str],
    *,
    data_dir: str | None = None,
    download_progress: DownloadProgress | None = None,
) -> dict[str, Any]:
    """Gather what a run left, and compute what can be computed from it: examples, exact values beside the
    device's.

    Args:
        folder: The run's folder.
        data_dir: Folder of the data sets, if it is not that of the run.
        download_progress: Called while data are downloaded.

    Returns:
        `kind` (train, infer, evaluate), `name`, `folder`, `finished`, `written` (ISO 8601, UTC, of the newest
        file), `since_record_s` (from the writing of `run.json` to then), `command`, `inputs`, `results`,
        `timings_s`, `made_by`; where there are any: `class_names`, `circuit`, `n_parameters`, `history`,
        `best`, `test` (`Metrics.to_dict`), `exact_test`, `answers`, `sweeps`, `hardware` (`jobs`),
        `agreement`, `examples`, `thumbnails` (by image, pixels of shape (C, H, W)), `drawing` (of the
        circuit, for a training), `pretrained` (the package's own network of the same kind: `name`,
        `test_accuracy`, `same_recipe`); in `left_out`, by name, why a part is not there.

    Raises:
        CheckpointError: The folder holds no run.
        SpecError: Its record is damaged.
    """
    path = Path(folder)
    if (path / GRID).is_file() and not (path / RECORD).is_file():
        first = next((run.parent for run in sorted(path.glob(f"*/{RECORD}"))), None)
        hint = f"such as {os.fspath(first)!r}" if first is not None else "but has none yet"
        raise CheckpointError(
            f"Argument `run` must be one run; {os.fspath(folder)!r} is a grid of runs, {hint}."
        )
    values = read_record(path)
    inputs, results = values.get("inputs", {}), values["results"]
    job = JobSpec.from_dict(inputs.get("job", {}), where=RECORD)
    found: dict[str, Any] = {
        "schema": 1,
        "kind": job.task,
        "name": path.resolve().name,
        "folder": records.public_command([os.fspath(path)])[0],
        "finished": results.get("status") == "finished",
        **_moments(path),
        "command": " ".join(values.get("command", ())),
        "inputs": inputs,
        "results": results,
        "timings_s": values.get("timings_s", {}),
        "circuit": inputs.get("model", {}).get("circuit"),
        "n_parameters": inputs.get("n_parameters"),
        "made_by": {key: values.get(key, {}) for key in ("versions", "host", "seeds", "digests")},
        "left_out": {},
    }
    _add(found, "results", lambda: _kept_results(path))
    _add(found, "circuit", lambda: _circuit(found))
    _add(found, "jobs", lambda: _hardware(path))
    _add(found, "noise sweeps", lambda: {"sweeps": _sweeps(path)})
    _add(found, "examples", lambda: _computed(path, job, found, data_dir, download_progress))
    return found


def _add(found: dict[str, Any], part: str, gather: Callable[[], Mapping[str, Any]]) -> None:
    """Add a part, or else why it cannot be made."""
    try:
        found.update(gather())
    except SqdrError as error:
        found["left_out"][part] = str(error)


# ---- what is kept ------------------------------------------------------------------------------------------


def _kept_results(path: Path) -> dict[str, Any]:
    """History, test results, answers: whatever the folder has."""
    found: dict[str, Any] = {}
    metrics = _read(path / METRICS)
    found.update({key: metrics[key] for key in ("history", "best", "test", "class_names") if key in metrics})
    evaluation = _read(path / EVALUATION)
    found.update({key: evaluation[key] for key in ("test", "class_names") if key in evaluation})
    if evaluation.get("exact") is not None:
        found["exact_test"] = evaluation["exact"]
    answers = _read(path / ANSWERS)
    if "answers" in answers:
        found["answers"] = answers["answers"]
    return found


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name}: is no intact file of this run.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path.name}: is no file of this version.")
    return values


def _moments(path: Path) -> dict[str, Any]:
    """When a file of the run was last written, and how long after its record."""
    files = [file for file in path.iterdir() if file.is_file() and file.suffix != ".html"]
    moment = max(file.stat().st_mtime for file in files)
    written = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    return {"written": written, "since_record_s": moment - (path / RECORD).stat().st_mtime}


def _hardware(path: Path) -> dict[str, Any]:
    """Jobs of the ledger, oldest first."""
    if not (path / LEDGER).is_file():
        return {}
    with Ledger(path, read_only=True) as ledger:
        entries = ledger.entries()
        device, calibrated = ledger.kept("device"), ledger.kept("calibrated")
    jobs = [
        {
            "job": entry.job_id,
            "request": entry.label,
            "state": entry.state,
            "planned_s": entry.planned_s,
            "used_s": entry.used_s,
            "executions": entry.facts.get("executions"),
            "made": entry.created,
            "reason": entry.reason,
        }
        for entry in entries
    ]
    return {"hardware": {"device": device, "calibrated": calibrated, "jobs": jobs}}


def _sweeps(path: Path) -> list[dict[str, Any]]:
    """The run's own noise sweep, and those beside it that were made of its checkpoint."""
    own = _read(path / SWEEP)
    if own:
        return [{"name": path.resolve().name, **own}]
    if not (path / BEST).is_file():
        return []
    digest, found = records.digest_file(path / BEST), []
    for file in sorted(path.resolve().parent.glob(f"*/{SWEEP}")):
        try:
            made_of = read_record(file.parent).get("inputs", {}).get("checkpoint_sha256")
            if made_of == digest:
                found.append({"name": file.parent.name, **_read(file)})
        except CheckpointError:
            continue  # another run's fault is no fault of this one
    return found


def _circuit(found: Mapping[str, Any]) -> dict[str, Any]:
    """A training's circuit, to be drawn, and what the package's own network of its kind reaches."""
    if found["kind"] != "train" or not found["circuit"]:
        return {}
    spec = CircuitSpec.from_dict(found["circuit"])
    result: dict[str, Any] = {"drawing": picture(build_circuit(spec).circuit)}
    job, recipe = found["inputs"].get("job", {}), found["inputs"].get("recipe", {})
    name = f"{job.get('dataset')}-{spec.name}"
    record = pretrained_folder() / f"{name}.json"
    if record.is_file() and not job.get("noise"):
        made = _read(record)
        same = made["inputs"]["recipe"] == recipe and job.get("limit") is None
        accuracy = made["results"]["test_accuracy"]
        result["pretrained"] = {"name": name, "test_accuracy": accuracy, "same_recipe": same}
    return result


# ---- what is computed --------------------------------------------------------------------------------------


def _computed(
    path: Path,
    job: JobSpec,
    found: dict[str, Any],
    data_dir: str | None,
    progress: DownloadProgress | None,
) -> dict[str, Any]:
    """Exact values beside those of where the run ran, and examples."""
    chosen = checkpoint_of_run(path, job, found["inputs"])
    if chosen is None:
        return {}
    model = restore(chosen.checkpoint, make_backend("exact"), where=chosen.path.name)
    names = [str(name) for name in chosen.checkpoint.dataset.get("class_names", ())]
    if len(names) != chosen.checkpoint.settings.n_classes:
        names = [str(number) for number in range(chosen.checkpoint.settings.n_classes)]
    found.setdefault("class_names", names)
    found["circuit"] = found["circuit"] or chosen.checkpoint.settings.circuit.to_dict()
    found["n_parameters"] = found["n_parameters"] or count_parameters(model)

    def compared() -> dict[str, Any]:
        kept = read_expectations(path)
        return {} if kept is None else {"agreement": agreement(kept, model, names)}

    _add(found, "agreement", compared)
    job = job if data_dir is None else replace(job, data_dir=data_dir)
    finished = bool(found["finished"])
    samples = samples_of_run(job, found["inputs"], chosen, finished=finished, progress=progress)
    shown = examples(samples, model, names, ran=found.get("agreement"))
    of_title = dict(zip(samples.titles, samples.images, strict=True))
    unsure = sorted(found.get("answers") or (), key=lambda answer: float(answer["probability"]))
    pictures = {
        answer["image"]: of_title[answer["image"]].tolist()
        for answer in unsure[:_THUMBNAILS]
        if answer["image"] in of_title
    }
    return {"examples": shown, "examples_of": samples.what, "thumbnails": pictures}


def checkpoint_of_run(path: Path, job: JobSpec, inputs: Mapping[str, Any]) -> Chosen | None:
    """The network to look at; None where a training has none yet.

    Raises:
        CheckpointError: It is not there any more, is damaged, or is another than the run's.
    """
    if job.task == "train":
        return choose_checkpoint(str(path / BEST)) if (path / BEST).is_file() else None
    named = Path(job.checkpoint or "")
    beside = path.resolve().parent / named.parent.name / named.name  # the runs may have moved together
    file = named if named.is_file() or not beside.is_file() else beside
    chosen = choose_checkpoint(str(file))
    if inputs.get("checkpoint_sha256") not in (None, records.digest_file(chosen.path)):
        raise CheckpointError(f"{chosen.path.name}: is another checkpoint than the run's, by its SHA-256.")
    return chosen
