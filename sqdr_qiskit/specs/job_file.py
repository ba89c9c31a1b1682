"""What a file in `jobs/` says: one run, grids of runs, or parts that follow each other.

[job]
task = "train"
circuit = "2b-9q"

[grid]                  # every combination becomes one run; the last key varies fastest
dataset = ["mnist", "fashion-mnist"]
seed = [0, 1, 2]

Several grids stand in one file as [[grid]].

[[part]]                # or parts, carried out in order in one folder, under one ceiling
name = "tiled"
title = "100 images in tiles"
task = "infer"
limit = 100

[[part]]
name = "noise"
learn_from = ["tiled"]  # nothing is sent: the device's noise from what that part measured
"""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import dataclass
from typing import Any

from sqdr_qiskit.errors import SpecError
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec, read_options
from sqdr_qiskit.specs.reader import Document, Table, read_document

__all__ = ["JobFile", "Part", "read_job"]

MOST_RUNS = 100_000
"""More runs than this in one file are a slip of the pen."""

_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")


@dataclass(frozen=True)
class Part:
    """One of the parts of a job file.

    Attributes:
        name: Of its folder.
        title: One line; may be empty.
        job: The run; None where noise is learnt.
        learn_from: Names of the earlier parts that noise is learnt from.
    """

    name: str
    title: str = ""
    job: JobSpec | None = None
    learn_from: tuple[str, ...] = ()

    def defining(self) -> dict[str, Any]:
        """What makes it another part, as JSON values."""
        return {"learn_from": list(self.learn_from), **({} if self.job is None else self.job.defining())}


@dataclass(frozen=True)
class JobFile:
    """A job file: a name, a line about it, its runs in order, and what varies among them.

    Attributes:
        name: The file's name without its ending.
        title: One line.
        source: Where it comes from.
        jobs: The runs.
        axes: Options that a grid varies, in the file's order.
        parts: Of a list of parts, these; `jobs` are then their runs.
    """

    name: str
    title: str
    source: str
    jobs: tuple[JobSpec, ...]
    axes: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


def read_job(path: str | os.PathLike[str]) -> JobFile:
    """Read a job file; the lists of a table `grid` multiply into single runs, the last key varying fastest.

    Several grids (`[[grid]]`) follow each other. Parts (`[[part]]`) each say a run, or what noise is learnt
    from; table `job` says what they share.

    Raises:
        SpecError: The file says something that cannot be, names a key in `job` and `grid`, has the same run
            twice, or more than `MOST_RUNS`.
    """
    document = read_document(path, kinds=("job",))
    if "part" in document.top:
        parts = _parts(document)
        document.finish()
        runs = tuple(part.job for part in parts if part.job is not None)
        return JobFile(document.path.stem, document.title, document.source, runs, parts=parts)
    job = document.table("job")
    fixed = read_options(job)
    several = isinstance(document.top.value("grid", default=None), list)
    grids = document.top.tables("grid") if several else (document.table("grid", optional=True),)
    jobs: dict[str, JobSpec] = {}
    axes: dict[str, None] = {}
    for grid in grids:
        lists = _axes(job, grid)
        axes.update(dict.fromkeys(lists))
        n_runs = math.prod(map(len, lists.values()))
        if n_runs + len(jobs) > MOST_RUNS:
            raise SpecError(
                f"{document.top.file}: must have at most {MOST_RUNS:,} runs, but has {n_runs + len(jobs):,}."
            )
        for values in itertools.product(*lists.values()):
            varied = Table(
                dict(zip(lists, values, strict=True)), file=document.top.file, name=grid.name or "grid"
            )
            read = {**fixed, **read_options(varied, task_needed=False)}
            varied.finish()
            _require_use(varied, read["task"])
            one = JobSpec(**read)
            if repr(one.to_dict()) in jobs:
                told = ", ".join(f"{key} = {value!r}" for key, value in zip(lists, values, strict=True))
                raise SpecError(
                    f"{document.top.file}: must have each run once, but has {told or 'one'} twice."
                )
            jobs[repr(one.to_dict())] = one
    if "task" not in axes:
        _require_use(job, fixed["task"])
    document.finish()
    return JobFile(document.path.stem, document.title, document.source, tuple(jobs.values()), tuple(axes))


def _parts(document: Document) -> tuple[Part, ...]:
    """The parts of a file that has some."""
    shared = document.table("job", optional=True)
    common = read_options(shared, task_needed=False)
    parts: dict[str, Part] = {}
    for table in document.top.tables("part"):
        name = table.text("name")
        if not _PART_NAME.fullmatch(name) or name in parts:
            table.refuse("name", f"must be a word of letters, digits and dashes, each once, but is {name!r}")
        title, sources = table.text("title", default=""), table.texts("learn_from", default=())
        if not sources:
            read = {**common, **read_options(table, task_needed="task" not in common)}
            _require_use(table, read["task"])
            parts[name] = Part(name, title, JobSpec(**read))
            continue
        for source in sources:
            if source not in parts or parts[source].job is None:
                table.refuse("learn_from", f"must name earlier parts that are runs, but names {source!r}")
        parts[name] = Part(name, title, learn_from=sources)
    backends = sorted({part.job.backend for part in parts.values() if part.job is not None})
    if len(backends) != 1:
        told = ", ".join(backends) or "none"
        raise SpecError(f"{document.top.file}: must have parts on one backend, but they have {told}.")
    return tuple(parts.values())


def _axes(job: Table, grid: Table) -> dict[str, list[Any]]:
    """The lists of a grid, by key."""
    axes: dict[str, list[Any]] = {}
    for key in grid.keys():  # noqa: SIM118 (a Table is not a mapping)
        if key in job:
            grid.refuse(key, "stands in table `job` too; leave one of them out")
        values = grid.value(key)
        if not isinstance(values, list) or not values:
            grid.refuse(key, f"must be a list with at least one entry, but is {values!r}")
        axes[key] = values
    return axes


def _require_use(table: Table, task: str) -> None:
    """Refuse options that have no effect in a task."""
    for name, one in JOB_OPTIONS.items():
        if name in table and task not in one.tasks:
            table.refuse(name, f"must be left out for task {task}, where it has no effect")
