"""`sqdr-qiskit report`, `runs` and `compare`: one page about a run, runs in a list, runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, download_progress, print_json, print_note, print_text
from sqdr_qiskit.cli.options import (
    folder_name,
    job_option,
    out_option,
    typed_command,
)
from sqdr_qiskit.errors import ArgumentError, CheckpointError

__all__ = ["compare", "report", "runs"]

_Reference = Annotated[
    str | None,
    typer.Option(
        help="Run, or label of the group, that the others are compared with.",
        show_default="the first of each data set",
    ),
]


def report(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A run's folder; several runs or a grid are compared. [default: the newest in runs/]",
            metavar="RUN",
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page; of several runs the folder of page, tables and figures.",
            show_default="RUN/report.html; of a grid its folder",
            metavar="PATH",
        ),
    ] = None,
    reference: _Reference = None,
    data_dir: Annotated[str | None, job_option("data_dir")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make one HTML page about a run: how well it did, what it ran, what it cost.

    Of a training, an inference or an evaluation, finished or not: curves, confusion matrix, example images
    with their spikes and expectation values, the device beside the exact engine, noise sweeps, jobs and their
    cost. The page needs nothing else: no network, no other file. Of a grid or several runs: a table with the
    spread over seeds beside the paper's numbers, paired differences, figures; as a page, Markdown, CSV, LaTeX
    and PDF.
    """
    from sqdr_qiskit import records
    from sqdr_qiskit.jobs.folders import RUNS, newest_run, read_record
    from sqdr_qiskit.jobs.runs import is_grid

    folders = run or []
    if len(folders) > 1 or any(map(is_grid, folders)):
        if out is None and len(folders) > 1:
            raise CheckpointError("Option `--out` must name a folder for the report on several runs.")
        _compared(folders, folder_name(out) or folders[0], reference, as_json=as_json)
        return
    if reference is not None:
        raise ArgumentError(
            "Option `--reference` must be left out for a single run, which is compared with none."
        )
    folder = folders[0] if folders else newest_run()
    if folder is None:
        raise CheckpointError(f"There is no run in {RUNS}/; name a run's folder, or train first.")
    if not folders:
        print_note(f"run {folder}, the newest")
    if (folder / records.PARTS).is_file():
        raise CheckpointError(
            f"Folder {str(folder)!r} holds a list of parts, each a run; its page is {folder / 'report.html'}."
        )
    read_record(folder)  # judged, as where the page goes, before anything heavy is loaded
    place = records.require_place(out or folder / "report.html")
    print_note("loading PyTorch and Qiskit")
    from sqdr_qiskit.jobs.run_report import collect_run
    from sqdr_qiskit.reports.run_page import run_page

    record = collect_run(folder, data_dir=data_dir, download_progress=download_progress())
    page = records.write_text(place, run_page(record))
    if as_json:
        print_json({"page": str(page), **record})
        return
    for part, reason in record["left_out"].items():
        print_note(f"left out: {part}: {reason}")
    print_text(f"in {page}")


def runs(
    root: Annotated[
        Path | None, typer.Argument(help="A folder of runs. [default: runs]", metavar="FOLDER")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List runs, the newest first: accuracy, circuit, data, backend, noise, time, state."""
    from sqdr_qiskit.jobs.runs import list_runs
    from sqdr_qiskit.reports.tables import runs_table

    found = list_runs(root)
    if as_json:
        print_json({"runs": found})
    elif found:
        print_text(runs_table(found).text().rstrip())
    else:
        print_text(f"no runs in {root or 'runs'}")


def compare(
    run: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs or grids.", metavar="RUN"),
    ],
    *,
    out: Annotated[
        Path | None,
        out_option("Folder for a page, Markdown, CSV, LaTeX and figures as PDF.", "nothing is written"),
    ] = None,
    reference: _Reference = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: one table with the spread over seeds, paired differences, and what they establish.

    Runs that differ in nothing but their seed are one row. Differences are of equal seeds: their mean, a 95 %
    bootstrap interval, Wilcoxon's signed-rank test with Holm's correction, and one sentence.
    """
    _compared(run, out, reference, as_json=as_json)


def _compared(folders: Sequence[Path], out: Path | None, reference: str | None, *, as_json: bool) -> None:
    """Compare runs, print what was found, and write it where there is a folder for it."""
    from sqdr_qiskit import records
    from sqdr_qiskit.jobs.runs import collect_runs
    from sqdr_qiskit.reports.comparison import compare_runs
    from sqdr_qiskit.reports.comparison_page import write_comparison

    found = compare_runs(collect_runs(folders), reference=reference)
    n_runs = sum(len(group.runs) for group in found.groups)
    alone = len(folders) == 1 or n_runs == 1
    title = folders[0].resolve().name if alone else f"{n_runs} runs side by side"
    files: list[Path] = []
    if out is not None:
        command = " ".join(records.public_command(typed_command()))
        files = write_comparison(found, out, title=title, command=command)
    if as_json:
        print_json({**found.to_dict(), "files": [str(file) for file in files]})
        return
    print_text(found.table(title=title).text())
    differences = found.differences_table()
    if differences.rows:
        print_text(differences.text())
        print_text("\n".join(found.verdicts))
    if out is not None:
        print_text(f"in {out}: {', '.join(file.name for file in files)}")
