"""Gather the finished runs of grids for these pages: `python -m docs.results GRID...`, then `docs.tables`.

runs.csv holds one line for each run whose numbers these pages show: what tells it from others, its accuracies
and its time. Tables and the figure of accuracies are made of it alone, so that no number stands twice.

`python -m docs.results ship GRID...` makes the package's pretrained networks: of each data set and size the
run that validation chooses.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqdr_qiskit.jobs.runs import collect_runs
from sqdr_qiskit.jobs.settings import pretrained_folder
from sqdr_qiskit.model.controls import MODELS
from sqdr_qiskit.records import write_text
from sqdr_qiskit.reports.comparison import Group, Paired, compare_pairs, compare_runs

__all__ = ["RUNS", "SIZES", "gather", "one_group", "ship", "tables"]

RUNS = Path(__file__).with_name("runs.csv")
_SETTINGS = (
    "circuit", "dataset", "backend", "noise", "model", "recipe", "optimiser", "initialisation",
    "learning_rate", "weight_decay", "epochs", "seed",
)  # fmt: skip
_FOUND = ("parameters", "epochs_done", "validation_accuracy", "accuracy", "seconds", "written")
_NUMBERS = {
    "learning_rate": float, "weight_decay": float, "epochs": int, "epochs_done": int, "seed": int,
    "parameters": int, "validation_accuracy": float, "accuracy": float, "seconds": float,
}  # fmt: skip
SIZES = ("2b-9q", "4b-9q", "2b-18q", "4b-18q")
_NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}


# ---- runs.csv ----------------------------------------------------------------------------------------------


def gather(folders: Sequence[str]) -> str:
    """The finished runs of grids as the text of runs.csv, in the order of the grids.

    Args:
        folders: Grids' folders; a grid's name is its folder's.
    """
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(["grid", "run", *_SETTINGS, *_FOUND])
    for folder in folders:
        for run in collect_runs([folder]):
            if run["state"] != "finished":
                continue
            found = {key: run["epochs" if key == "epochs_done" else key] for key in _FOUND}
            values = {**run["job"], "circuit": run["circuit"], "dataset": run["dataset"], **found}
            cells = ["" if values[key] is None else values[key] for key in (*_SETTINGS, *_FOUND)]
            writer.writerow([Path(folder).resolve().name, run["run"], *cells])
    return page.getvalue()


def ship(folders: Sequence[str]) -> list[str]:
    """Copy into the package, for each data set and size, the run of the grids that validation chooses.

    Args:
        folders: Grids' folders.

    Returns:
        The names of what was copied.
    """
    best: dict[str, dict[str, Any]] = {}
    for run in (run for folder in folders for run in collect_runs([folder]) if run["state"] == "finished"):
        name = f"{run['dataset']}-{run['circuit']}"
        if name not in best or run["validation_accuracy"] > best[name]["validation_accuracy"]:
            best[name] = run
    for name, run in best.items():
        for file, suffix in (("best.safetensors", ".safetensors"), ("run.json", ".json")):
            shutil.copyfile(Path(run["folder"], file), pretrained_folder() / f"{name}{suffix}")
    return sorted(best)


@cache
def _runs() -> tuple[dict[str, Any], ...]:
    """The lines of runs.csv as `reports.comparison` takes runs."""
    found = []
    with RUNS.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            values = {
                key: None if text == "" else _NUMBERS.get(key, str)(text) for key, text in line.items() if key
            }
            job = {key: values[key] for key in _SETTINGS}
            found.append({**values, "job": job, "task": "train", "folder": values["run"], "command": ""})
    return tuple(found)


def _groups(grid: str, **settings: Any) -> tuple[Group, ...]:
    """The groups of runs of one grid that have these settings; empty if no such run is finished."""
    chosen = [
        run
        for run in _runs()
        if run["grid"] == grid and all(run[key] == value for key, value in settings.items())
    ]
    return compare_runs(chosen).groups if chosen else ()


def one_group(grid: str, **settings: Any) -> Group | None:
    """The finished runs with these settings, of the full recipe if there are any; None if there are none."""
    found = _groups(grid, **settings)
    full = [group for group in found if group.runs[0]["epochs"] is None] or list(found)
    assert len(full) <= 1, f"{len(full)} kinds of runs of {grid} have {settings}"
    return full[0] if full else None


# ---- tables ------------------------------------------------------------------------------------------------

_NOT_RUN = "not run"


def _mean(group: Group) -> str:
    """`92.71 ± 0.31 (10)`: mean, sample standard deviation, number of seeds."""
    spread = group.spread
    if spread is None:
        return _NOT_RUN
    return f"{spread.text()} ({spread.n})"


def _chosen(group: Group) -> str:
    """The run that validation chooses of all seeds, beside what the seeds spread over."""
    if len(group.runs) < 2:
        return "–"
    best = max(group.runs, key=lambda run: float(run["validation_accuracy"] or 0))
    low, high = min(group.by_seed.values()), max(group.by_seed.values())
    return f"{100 * low:.2f} to {100 * high:.2f}; {100 * best['accuracy']:.2f} (seed {best['seed']})"


def _against(group: Group) -> str:
    """Ours minus the paper's, in points. Agreement is less than two standard deviations: of the seeds, or of
    what 10,000 images say (0.3 points) if that is more.
    """
    if group.paper is None or group.spread is None:
        return "–"
    difference = 100 * (group.spread.mean - group.paper["accuracy"])
    sd = max(100 * (group.spread.sd or 0), 0.3)
    word = "agrees" if abs(difference) <= 2 * sd else "above" if difference > 0 else "below"
    return f"{difference:+.2f}, {word}"


def _row(name: str, group: Group | None) -> list[str]:
    if group is None:
        return [name, *["–"] * 2, _NOT_RUN, *["–"] * 3]
    return [
        name,
        f"{group.runs[0]['parameters']:,}",
        "–" if group.paper is None else f"{100 * group.paper['accuracy']:.2f}",
        _mean(group),
        _chosen(group),
        _against(group),
        str(group.runs[0]["epochs_done"]),
    ]


_HEAD = [
    "circuit", "parameters", "paper, %", "test % (seeds)", "lowest to highest; chosen by validation",
    "against the paper", "epochs",
]  # fmt: skip
Rows = tuple[list[str], list[list[str]]]


def _sizes(grid: str, dataset: str) -> Callable[[], Rows]:
    def made() -> Rows:
        found = [(name, _groups(grid, circuit=name, dataset=dataset) or (None,)) for name in SIZES]
        return _HEAD, [_row(name, group) for name, own in found for group in own]

    return made


def _three(dataset: str) -> Callable[[], Rows]:
    names = ("hea-9q", "sqnn-9q", "2b-9q")
    return lambda: (
        _HEAD,
        [_row(name, one_group("table-2", circuit=name, dataset=dataset)) for name in names],
    )


def _overview() -> Rows:
    """One cell for each size and column of Tables 3 and 4."""
    head, rows = ["circuit", "parameters"], []
    columns = [(g, d) for g in ("table-3", "table-4") for d in _NAMES]
    for grid, dataset in columns:
        head += [("noisy " if grid == "table-4" else "") + _NAMES[dataset], "paper"]
    for name in SIZES:
        found = [one_group(grid, circuit=name, dataset=dataset) for grid, dataset in columns]
        row = [name, next((str(g.runs[0]["parameters"]) for g in found if g is not None), "–")]
        for group in found:
            if group is None or group.spread is None or group.paper is None:
                row += [_NOT_RUN, "–"]
                continue
            ours, theirs = _mean(group), f"{100 * group.paper['accuracy']:.2f}"
            above = group.spread.mean > group.paper["accuracy"]
            row += [f"**{ours}**" if above else ours, theirs if above else f"**{theirs}**"]
        rows.append(row)
    return head, rows


def _optimisers() -> Rows:
    """Table 5: optimisers and starts at the paper's learning rate; each optimiser at its own best rate."""
    starts = ("normal-2pi", "uniform-2pi", "uniform-1", "normal-1")
    head = ["optimiser", *[f"{start} (paper)" for start in starts], "own best rate: test %"]
    rows = []
    for name in ("adam", "adamw", "sgd", "sgdr", "adagrad"):
        row = [name]
        for start in starts:
            cell = one_group("table-5", optimiser=name, initialisation=start)
            if cell is None or cell.spread is None or cell.paper is None:
                row.append(_NOT_RUN)
            else:
                row.append(f"{100 * cell.spread.mean:.2f} ({100 * cell.paper['accuracy']:.2f})")
        own = [run for group in _groups("table-5", optimiser=name, initialisation=None) for run in group.runs]
        best = max(own, key=lambda run: float(run["validation_accuracy"] or 0), default=None)
        row.append(_NOT_RUN if best is None else f"{best['learning_rate']:g}: {100 * best['accuracy']:.2f}")
        rows.append(row)
    return head, rows


def _controls(circuit: str, dataset: str) -> Callable[[], Rows]:
    """Each control beside the circuit, seed by seed."""

    def made() -> Rows:
        found = {name: one_group("ablation", circuit=circuit, dataset=dataset, model=name) for name in MODELS}
        known = {name: group for name, group in found.items() if group is not None and group.by_seed}
        first = known.get("circuit")
        others = {name: group.by_seed for name, group in known.items() if group is not first}
        pairs = compare_pairs(first.by_seed, others) if first is not None else {}
        rows = []
        for name, group in known.items():
            p = pairs.get(name)
            rows.append([f"`{name}`", f"{group.runs[0]['parameters']:,}", _mean(group), *_difference(p)])
        return ["`--model`", "parameters", "test % (seeds)", "points", "95 % interval", "p after Holm"], rows

    return made


def _difference(pair: Paired | None) -> list[str]:
    if pair is None:
        return ["–"] * 3
    return [f"{100 * pair.mean:+.2f}", pair.interval(), "–" if pair.p_holm is None else f"{pair.p_holm:.2g}"]


def _pretrained() -> Rows:
    """What the package's networks reach, with the seeds and epochs of their runs, from their records."""
    rows = []
    for dataset in (*_NAMES, "digits"):
        row = [_NAMES.get(dataset, dataset)]
        for size in SIZES:
            record = json.loads((pretrained_folder() / f"{dataset}-{size}.json").read_text(encoding="utf-8"))
            found, seed = record["results"], record["seeds"]["run"]
            row.append(f"{100 * found['test_accuracy']:.2f} (seed {seed}, {found['epochs']} epochs)")
        rows.append(row)
    return ["test %", *SIZES], rows


tables: dict[str, Callable[[], Rows]] = {
    "overview": _overview,
    **{
        f"{grid.replace('-', '_')}_{dataset.replace('-', '_')}": make(dataset)
        for grid, make in (
            ("table-2", _three),
            ("table-3", lambda dataset: _sizes("table-3", dataset)),
            ("table-4", lambda dataset: _sizes("table-4", dataset)),
        )
        for dataset in _NAMES
    },
    "table_5": _optimisers,
    "digits": _sizes("digits-sizes", "digits"),
    "pretrained": _pretrained,
    "ablation_mnist": _controls("2b-9q", "mnist"),
    "ablation_fashion_mnist": _controls("2b-9q", "fashion-mnist"),
    "ablation_large": _controls("4b-18q", "mnist"),
}
"""Name of a table in the pages -> its head and its rows."""


if __name__ == "__main__":
    if sys.argv[1:2] == ["ship"]:
        print(*ship(sys.argv[2:]), sep="\n")
    else:
        write_text(RUNS, gather(sys.argv[1:]))
