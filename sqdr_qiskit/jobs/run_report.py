"""All that there is to say of a run, as one record of plain values; `reports.run_page` makes a page of it.

First what is kept of it, then what is computed from that: exact values beside the device's, and examples, a
few images with all that happens to them on their way: spikes, firing rates, expectations, classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sqdr_qiskit import records
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.circuits.formats import picture
from sqdr_qiskit.data import Progress as DownloadProgress
from sqdr_qiskit.encoder import SpikingEncoder
from sqdr_qiskit.errors import CheckpointError, DataError, SqdrError
from sqdr_qiskit.jobs.evaluation import agreement, read_expectations
from sqdr_qiskit.jobs.folders import read_record
from sqdr_qiskit.jobs.inference import ANSWERS, Samples, samples_of
from sqdr_qiskit.jobs.runs import is_grid, read_kept, sweeps_of
from sqdr_qiskit.jobs.settings import Chosen, checkpoint_of_run, data_of, pretrained_folder
from sqdr_qiskit.model.network import SQDRCNN, count_parameters
from sqdr_qiskit.records import EVALUATION, METRICS, RECORD
from sqdr_qiskit.runtime.ledger import LEDGER, Ledger
from sqdr_qiskit.specs.circuit import CircuitSpec
from sqdr_qiskit.specs.job import JobSpec

__all__ = ["choose", "collect_run", "examples", "Samples", "samples_of_run"]


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
    if is_grid(path):
        first = next((run.parent for run in sorted(path.glob(f"*/{RECORD}"))), None)
        hint = f"such as {os.fspath(first)!r}" if first is not None else "but has none yet"
        raise CheckpointError(
            f"Argument `run` must be one run; {os.fspath(folder)!r} is a grid of runs, {hint}."
        )
    values = read_record(path)
    inputs, results = values["inputs"], values["results"]
    job = JobSpec.from_dict(inputs["job"], where=RECORD)
    found: dict[str, Any] = {
        "schema": 1,
        "kind": job.task,
        "name": path.resolve().name,
        "folder": records.public_command([os.fspath(path)])[0],
        "finished": results.get("status") == "finished",
        **_moments(path),
        "command": " ".join(values["command"]),
        "inputs": inputs,
        "results": results,
        "timings_s": values["timings_s"],
        "circuit": inputs.get("model", {}).get("circuit"),
        "n_parameters": inputs.get("n_parameters"),
        "made_by": {key: values[key] for key in ("versions", "host", "seeds", "digests")},
        "left_out": {},
    }
    _add(found, "results", lambda: _kept_results(path))
    _add(found, "circuit", lambda: _circuit(found))
    _add(found, "jobs", lambda: _hardware(path))
    _add(found, "noise sweeps", lambda: {"sweeps": sweeps_of([path])[path]})
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
    metrics = read_kept(path / METRICS)
    found.update({key: metrics[key] for key in ("history", "best", "test", "class_names") if key in metrics})
    evaluation = read_kept(path / EVALUATION)
    found.update({key: evaluation[key] for key in ("test", "class_names") if key in evaluation})
    if evaluation.get("exact") is not None:
        found["exact_test"] = evaluation["exact"]
    answers = read_kept(path / ANSWERS)
    if "answers" in answers:
        found["answers"] = answers["answers"]
    return found


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


def _circuit(found: Mapping[str, Any]) -> dict[str, Any]:
    """A training's circuit, to be drawn, and what the package's own network of its kind reaches."""
    if found["kind"] != "train" or not found["circuit"]:
        return {}
    spec = CircuitSpec.from_dict(found["circuit"])
    result: dict[str, Any] = {"drawing": picture(build_circuit(spec).circuit)}
    job, recipe = found["inputs"]["job"], found["inputs"].get("recipe", {})
    name = f"{job.get('dataset')}-{spec.name}"
    record = pretrained_folder() / f"{name}.json"
    if record.is_file() and not job.get("noise"):
        made = read_kept(record)
        same = made["inputs"]["recipe"] == recipe and job.get("limit") is None
        accuracy = made["results"]["test_accuracy"]
        result["pretrained"] = {"name": name, "test_accuracy": accuracy, "same_recipe": same}
    return result


# ---- what is computed --------------------------------------------------------------------------------------


def _computed(
    path: Path, job: JobSpec, found: dict[str, Any], data_dir: str | None, progress: DownloadProgress | None
) -> dict[str, Any]:
    """Exact values beside those of where the run ran, and examples."""
    chosen = checkpoint_of_run(path, job, found["inputs"])
    if chosen is None:
        return {}
    model = chosen.network()
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


# ---- examples ----------------------------------------------------------------------------------------------

SHOWN = 6  # images
_DOUBTFUL, _MISTAKES = 2, 2  # of these, where there are any
_LOOKED_AT = 400  # images to choose from


def samples_of_run(
    job: JobSpec,
    inputs: Mapping[str, Any],
    chosen: Chosen,
    *,
    finished: bool = True,
    progress: DownloadProgress | None = None,
) -> Samples:
    """The images that a run looked at: of a finished training its test images, before that others.

    Raises:
        DataError: The data cannot be had, or are not those of the run.
        CheckpointError: The checkpoint does not fit them.
    """
    if job.task == "train":
        data = data_of(job, progress=progress)
        parts = {"test": data.test, "validation": data.validation, "train": data.train}
        name = "test" if finished else "train" if data.validation is None else "validation"
        found = parts[name]
        assert found is not None
        known = inputs.get("data", {}).get(name, {}).get("sha256")
        if known is not None and known != found.digest and not (name == "train" and job.steps is not None):
            raise DataError(
                f"The {name} images of {data.name} must be those of the run, but have another SHA-256."
            )
        return Samples.of(found, data.class_names, f"{'training' if name == 'train' else name} images")
    files = tuple(str(file) for file in inputs.get("files") or ())
    for file in files:
        if not Path(file).is_file():
            raise DataError(f"There is no picture {file!r} any more.")
    return samples_of(chosen, replace(job, input=files or None), progress)


def examples(
    samples: Samples, model: SQDRCNN, class_names: Sequence[str], *, ran: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A few samples, some of them mistakes, with what happens to each on its way through the network.

    Args:
        samples: The images.
        model: The network, its circuit on backend exact.
        class_names: One per class.
        ran: What `agreement` gave, for what came from where the run ran.

    Returns:
        For each: `image`, `why` (see `choose`), `truth`, `pixels` (C, H, W); `layers`, for the phase code and
        each convolution the share of neurons that `fired` in a step and, for each neuron, a word in `words`
        (channel, row, column)
        whose bit t says whether it fired in step t; `features`, such words of the last layer; its `rates`;
        `exact` and, where known, `ran`: `expectations`, `label`, `probabilities`.

    Raises:
        CheckpointError: If the images do not fit the network, or it has no spikes or no circuit to show.
    """
    if not isinstance(model.encoder, SpikingEncoder) or not hasattr(model.quantum, "neural_network"):
        raise CheckpointError(
            "Examples are shown of a circuit behind a spiking encoder, but this is a control."
        )
    if samples.images.shape[1] != model.encoder.in_channels:
        raise CheckpointError(
            f"The network must take images of {samples.images.shape[1]} channels, but takes "
            f"{model.encoder.in_channels}."
        )
    place = {} if ran is None else {title: row for row, title in enumerate(ran["images"])}
    known = [i for i in range(len(samples.titles)) if samples.titles[i] in place]
    looked_at = (known or list(range(len(samples.titles))))[:_LOOKED_AT]
    pixels = torch.from_numpy(samples.images[looked_at])
    with torch.no_grad():
        expectations = model.expectations(model.encode(pixels)).float()
        chances = functional.softmax(model.read_out(expectations), dim=1)
    labels = [class_names[i] for i in chances.argmax(1)]
    truths = None if samples.truths is None else [samples.truths[i] for i in looked_at]
    elsewhere = None
    if ran is not None and known:
        elsewhere = [str(ran["labels"][place[samples.titles[i]]]) for i in looked_at]
    sure = chances.max(dim=1).values.tolist()
    picked = choose(elsewhere or labels, truths, sure, exact=labels)
    found = []
    for number, why in picked:
        title = samples.titles[looked_at[number]]
        row = place.get(title)
        found.append(
            {
                "image": title,
                "why": why,
                "truth": None if truths is None else truths[number],
                "pixels": samples.images[looked_at[number]].tolist(),
                **_spikes(model.encoder, pixels[number : number + 1]),
                "exact": _way(expectations[number].tolist(), chances[number].tolist(), class_names),
                "ran": None
                if ran is None or row is None
                else _way(ran["ran"][row], ran["probabilities"][row], class_names),
            }
        )
    return found


def choose(
    labels: Sequence[str],
    truths: Sequence[str] | None,
    sure: Sequence[float],
    *,
    exact: Sequence[str],
    n_shown: int = SHOWN,
) -> list[tuple[int, str]]:
    """Which samples to show: of as many classes as can be, then the two least sure, then two mistakes, first
    those the run made alone.

    Args:
        labels: What each was taken for.
        truths: What each is, if it is known.
        sure: Probability of the likeliest class; the surest mistakes come first.
        exact: What the exact engine takes each for.
        n_shown: How many at most.

    Returns:
        Their numbers, each with why it is shown: nothing, `doubtful` or `mistake`; in that order.
    """
    everything = range(len(labels))
    odd = sorted(
        (i for i in everything if labels[i] != exact[i] or (truths is not None and labels[i] != truths[i])),
        key=lambda i: (labels[i] == exact[i], -sure[i]),
    )
    right = [i for i in everything if i not in set(odd)]
    n_odd = min(len(odd), max(_MISTAKES, n_shown - len(right)), n_shown)
    n_doubtful = min(_DOUBTFUL, max(n_shown - n_odd, 0) // 2)
    doubtful = sorted(right, key=lambda i: sure[i])[:n_doubtful]
    plain = [i for i in right if i not in set(doubtful)]
    firsts: dict[str, int] = {}
    for i in plain:
        firsts.setdefault(labels[i] if truths is None else truths[i], i)
    ordered = [*firsts.values(), *(i for i in plain if i not in set(firsts.values()))]
    n_plain = max(n_shown - n_odd - len(doubtful), 0)
    return [
        *((i, "") for i in sorted(ordered[:n_plain])),
        *((i, "doubtful") for i in doubtful),
        *((i, "mistake") for i in odd[:n_odd]),
    ]


def _way(expectations: list[float], chances: list[float], class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "expectations": expectations,
        "label": class_names[int(np.argmax(chances))],
        "probabilities": dict(zip(class_names, chances, strict=True)),
    }


def _spikes(encoder: SpikingEncoder, pixels: torch.Tensor) -> dict[str, Any]:
    """Spikes of one image of shape (1, C, H, W), packed into words."""
    with torch.no_grad():
        *maps, features = encoder.spikes(pixels)
    return {
        "n_steps": encoder.n_steps,
        "n_phases": encoder.n_phases,
        "layers": [
            {"words": _words(spikes[:, 0]), "fired": float((spikes > 0).double().mean())} for spikes in maps
        ],
        "features": _words(features[:, 0]),
        "rates": features[:, 0].mean(dim=0).tolist(),
    }


def _words(spikes: torch.Tensor) -> list[Any]:
    """Spikes of shape (T, ...) as words of shape (...): bit t for step t."""
    bits = (spikes > 0).to(torch.int64)
    steps = torch.arange(len(bits)).reshape(-1, *(1,) * (bits.ndim - 1))
    words: list[Any] = (bits << steps).sum(dim=0).tolist()
    return words
