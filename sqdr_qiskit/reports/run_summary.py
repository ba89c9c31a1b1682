"""What a run's record says, in words: the headline, three cards, its cost, the settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqdr_qiskit.reports.tables import channel_name, duration, paper_accuracy, percent

__all__ = [
    "Card",
    "agreement_words",
    "cards",
    "cost_of",
    "headline",
    "is_rehearsal",
    "promises",
    "settings",
    "speed_words",
    "subtitle",
]

Record = Mapping[str, Any]


class Card(NamedTuple):
    """A question, its answer at a glance, and a few lines more."""

    question: str
    answer: str
    lines: tuple[str, ...]


_KINDS = {"train": "Training", "infer": "Inference", "evaluate": "Evaluation"}


def headline(record: Record) -> str:
    """How well the run did, in one line."""
    right, of = _score(record)
    if of:
        if of < 100:
            return f"{right} of {of} {_images(record)} right"
        return f"{percent(right / of)} of {of:,} {_images(record)} right"
    if record["kind"] == "train":
        done, wanted = _epochs(record)
        best = (record.get("best") or {}).get("validation_accuracy")
        so_far = f", {percent(best)} right in validation so far" if best is not None else ""
        return f"Unfinished after {done} of {wanted} epoch{'s' if wanted != 1 else ''}{so_far}"
    if record.get("answers"):
        number = len(record["answers"])
        return f"{number} picture{'s' if number > 1 else ''} classified"
    if record.get("sweeps"):
        sweep = record["sweeps"][0]
        worst = min(sweep["points"], key=lambda point: float(point["accuracy"]))
        return (
            f"{percent(sweep['noiseless'])} right without noise, {percent(worst['accuracy'])} under "
            f"{100 * worst['strength']:g} % {channel_name(worst['channel'])}"
        )
    return "Unfinished: no result yet"


def subtitle(record: Record) -> str:
    """Which run this is."""
    return f"{_KINDS[record['kind']]} {record['name']}: {_what(record)}, backend {_where(record)}"


def cards(record: Record) -> list[Card]:
    """How well it did, what it ran, what it cost."""
    return [
        Card("How well it did", _well(record), tuple(_well_lines(record))),
        Card("What it ran", _what(record), tuple(_what_lines(record))),
        _cost_card(record),
    ]


# ---- how well ----------------------------------------------------------------------------------------------


def _score(record: Record) -> tuple[int, int]:
    """Images right and images looked at, (0, 0) where nothing is known."""
    if record.get("test"):
        confusion = record["test"]["confusion"]
        return sum(row[i] for i, row in enumerate(confusion)), sum(map(sum, confusion))
    answers = [a for a in record.get("answers") or () if a.get("truth") is not None]
    return sum(a["truth"] == a["class"] for a in answers), len(answers)


def _images(record: Record) -> str:
    return "images" if record["kind"] == "infer" else "test images"


def _well(record: Record) -> str:
    right, of = _score(record)
    if of:
        return percent(right / of)
    best = (record.get("best") or {}).get("validation_accuracy")
    if best is not None:
        return f"{percent(best)} so far"
    if record.get("sweeps") and record["kind"] == "evaluate":
        return percent(record["sweeps"][0]["noiseless"])
    return "no result yet" if not record["finished"] else "no truths known"


def _well_lines(record: Record) -> list[str]:
    right, of = _score(record)
    lines = []
    if of:
        error = math.sqrt(right / of * (1 - right / of) / of)
        spread = f", standard error {percent(error, 1)}" if error else ""  # of all or none it says nothing
        lines.append(f"{right:,} of {of:,} {_images(record)} right{spread}")
    lines += [f"{source}: {percent(accuracy)}" for source, accuracy in promises(record)]
    names = record.get("class_names") or ()
    if names:
        lines.append(f"guessing: {percent(1 / len(names), 1)}")
    if record.get("exact_test"):
        lines.append(f"exact engine, the same images: {percent(record['exact_test']['accuracy'])}")
    elif record.get("agreement") and record["agreement"]["exact_right"] is not None:
        found = record["agreement"]
        lines.append(f"exact engine: {found['exact_right']} of {found['n_samples']} right")
    best = record.get("best") or {}
    if best.get("validation_accuracy") is not None:
        lines.append(f"best in validation: {percent(best['validation_accuracy'])}, epoch {best['epoch']}")
    if record["kind"] == "train" and not record["finished"]:
        lines.append("test images are looked at once, at the end")
    if not record["finished"]:
        lines.append(
            f"running or cut short: last written {record['written'][:16].replace('T', ' ')} UTC; "
            f"`sqdr-qiskit {record['kind']} --resume {record['folder']}` goes on"
        )
    if record["kind"] == "evaluate" and record.get("sweeps"):
        lines.append(f"without noise, on {record['sweeps'][0]['n_images']:,} test images")
    return lines


def promises(record: Record) -> list[tuple[str, float]]:
    """What to expect of a training: the paper's accuracy and that of our own pretrained network, of the same
    circuit, data and noise.
    """
    if record["kind"] != "train" or not record["inputs"].get("recipe") or _control(record) is not None:
        return []
    job, found = _job(record), []
    recipe = record["inputs"]["recipe"]
    overruled = {key: job.get(key) for key in ("optimiser", "initialisation")}
    paper = paper_accuracy({**job, **overruled, "circuit": (record.get("circuit") or {}).get("name")})
    if paper is not None:
        found.append((f"the paper (Table {paper['table']}, validation, 100 epochs)", paper["accuracy"]))
    pretrained = record.get("pretrained")
    if pretrained is not None:
        name = f"recipe {recipe.get('name', 'unknown')}" if pretrained["same_recipe"] else "pretrained"
        found.append((f"{name} in the package ({pretrained['name']})", pretrained["test_accuracy"]))
    return found


# ---- what --------------------------------------------------------------------------------------------------


def _job(record: Record) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record["inputs"].get("job", {})
    return found


def _what(record: Record) -> str:
    name = (record.get("circuit") or {}).get("name") or _job(record).get("circuit", "unknown circuit")
    images = "pictures" if record["inputs"].get("files") else _job(record).get("dataset", "unknown data")
    control = _control(record)
    return f"{name} on {images}" if control is None else f"control {control} of {name} on {images}"


def _control(record: Record) -> str | None:
    """Name of the control that was trained in the network's place, None for the network itself."""
    model: str = record["inputs"].get("model", {}).get("model", "circuit")
    return None if model == "circuit" else model


def _where(record: Record) -> str:
    hardware = record.get("hardware") or {}
    return str(hardware.get("device") or record["inputs"].get("device") or _job(record)["backend"])


def _what_lines(record: Record) -> list[str]:
    lines, circuit, job = [], record.get("circuit") or {}, _job(record)
    if circuit.get("title"):
        count = f", {record['n_parameters']:,} parameters" if record.get("n_parameters") else ""
        lines.append(f"{circuit['title']}{count}")
    if record["kind"] == "train":
        recipe, data = record["inputs"].get("recipe", {}), record["inputs"].get("data", {})
        done, wanted = _epochs(record)
        epochs = f"{done} of {wanted}" if done != wanted else f"{done}"
        epochs += " epochs" if wanted != 1 else " epoch"
        images = f"{data['train']['images']:,} training images, " if "train" in data else ""
        lines.append(f"{images}{epochs}, recipe {recipe.get('name', 'unknown')}")
        if record["results"].get("stopped_early"):
            lines.append("stopped early: validation got no better")
    where = f"backend {_where(record)}"
    where += f", noise {job['noise']}" if job.get("noise") else ""
    shots = (record.get("agreement") or {}).get("shots") or job.get("shots")
    where += f", {shots:,} shots" if shots else ""
    lines.append(where + (f", gradient {job['gradient']}" if job.get("gradient") else ""))
    calibrated = (record.get("hardware") or {}).get("calibrated")
    if calibrated:
        lines.append(f"calibrated {calibrated[:16].replace('T', ' ')}")
    return lines


def _epochs(record: Record) -> tuple[int, int]:
    done = len(record.get("history") or ())
    return done, int(record["inputs"].get("recipe", {}).get("epochs", done))


def settings(record: Record) -> dict[str, str]:
    """What was asked for and is not the usual, and the recipe of a training."""
    skipped = {"task", "checkpoint", "data_dir"}
    given = {
        key: value
        for key, value in _job(record).items()
        if value is not None and value is not False and key not in skipped
    }
    recipe = {f"recipe: {k}": v for k, v in record["inputs"].get("recipe", {}).items() if v is not None}
    return {key.replace("_", " "): _value(value) for key, value in {**given, **recipe}.items()}


_FEW = 4  # of a list; an inference may have thousands of pictures


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - _FEW} more" if len(value) > _FEW else ""
        return ", ".join(map(_value, value[:_FEW])) + more
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ---- what it cost ------------------------------------------------------------------------------------------


def cost_of(jobs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over jobs: `planned_s` of those not refused, `used_s`, `executions`, and how many are `done`."""
    sent = [job for job in jobs if job["state"] != "refused"]
    return {
        "planned_s": sum(job["planned_s"] for job in sent),
        "used_s": sum(job["used_s"] or 0.0 for job in jobs),
        "executions": sum(job["executions"] or 0 for job in jobs if job["state"] == "done"),
        "done": sum(job["state"] == "done" for job in jobs),
    }


def _cost_card(record: Record) -> Card:
    """What it cost: quantum seconds where there were any, else time on the clock."""
    time, results = _seconds(record), record["results"]
    lines = []
    plan = results.get("rehearsal")
    if is_rehearsal(record) and plan is None:
        sums = cost_of(record["hardware"]["jobs"])
        plan = {"jobs": sums["done"], "executions": sums["executions"], "planned_s": sums["planned_s"]}
    if record.get("hardware") and not is_rehearsal(record):
        jobs = record["hardware"]["jobs"]
        sums = cost_of(jobs)
        lines.append(f"quantum time used; estimated {sums['planned_s']:.1f} s")
        done = "" if sums["done"] == len(jobs) else f" done of {len(jobs)}"
        lines.append(f"{_jobs(sums['done'])}{done}, {sums['executions']:,.0f} circuit executions")
        if time:
            lines.append(f"{duration(time)} on the clock")
        so_far = "" if record["finished"] else " so far"
        return Card("What it cost", f"{sums['used_s']:.1f} QPU s{so_far}", tuple(lines))
    if results.get("samples_per_s"):
        lines.append(speed_words(results))
    if plan is not None:
        lines.append(
            f"a rehearsal: the device would take about {plan['planned_s']:.1f} s of quantum time in "
            f"{_jobs(plan['jobs'])}, {plan['executions']:,.0f} circuit executions"
        )
        gradient = _job(record).get("gradient")
        if record["kind"] == "train" and not is_rehearsal(record) and gradient in (None, "exact"):
            lines.append("without the training steps: exact gradients, which no device gives")
    else:
        lines.append("no quantum time: simulated")
    so_far = "" if record["finished"] else " so far"
    return Card("What it cost", f"{duration(time)}{so_far}" if time else "not known yet", tuple(lines))


def speed_words(results: Mapping[str, Any]) -> str:
    """How fast a training was and what took the time, from its `results`."""
    shares = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in results["shares"].items())
    return f"{results['samples_per_s']:,.0f} samples/s in training steps ({shares})"


def is_rehearsal(record: Record) -> bool:
    """Whether the ledger is that of a rehearsal on a device's snapshot, where nothing is spent."""
    return str((record.get("hardware") or {}).get("device", "")).startswith("fake_")


def _jobs(number: float) -> str:
    return "1 job" if number == 1 else f"{number:.0f} jobs"


def _seconds(record: Record) -> float:
    """Seconds on the clock: of one sitting all of it, of several what was measured by stage; of a run that is
    not finished, from the writing of its record to that of its newest file.
    """
    timings = record["timings_s"]
    if not record["finished"]:
        return float(record["since_record_s"])
    if record["results"].get("sittings", 1) == 1:
        return float(timings.get("this_sitting", 0.0))
    return float(sum(value for stage, value in timings.items() if stage != "this_sitting"))


# ---- device against exact ----------------------------------------------------------------------------------


def agreement_words(found: Mapping[str, Any]) -> list[str]:
    """How far the run's expectation values are from exact ones, in sentences."""
    of, where = found["n_samples"], found["backend"]
    lines = [f"{found['agree']} of {of} samples get the same class from {where} and from the exact engine."]
    if found["right"] is not None:
        lines[0] += f" Right: {found['right']} from {where}, {found['exact_right']} from the exact engine."
    mean = f"Expectation values are {found['mean_error']:.3f} off on average"
    mean += f", {found['rms_error']:.3f} in root mean square"
    if found["sampling_error"]:
        mean += (
            f", where sampling with {found['shots']:,} shots alone would give {found['sampling_error']:.3f}"
        )
    lines.append(f"{mean}.")
    lines.append(
        f"{percent(found['slope'], 1)} of the signal is left (slope of the line through the points)."
    )
    return lines
