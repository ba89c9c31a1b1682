"""`sqdr-qiskit report`: one page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqdr_qiskit.cli.console import JsonOption, print_json, print_note, print_text
from sqdr_qiskit.cli.options import download_progress, job_option
from sqdr_qiskit.errors import CheckpointError

__all__ = ["report"]


def report(
    run: Annotated[
        Path | None, typer.Argument(help="The run's folder. [default: the newest in runs/]", metavar="[RUN]")
    ] = None,
    *,
    out: Annotated[Path | None, typer.Option(help="The page. [default: RUN/report.html]")] = None,
    data_dir: Annotated[str | None, job_option("data_dir")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make one HTML page about a run: how well it did, what it ran, what it cost.

    Of a training, an inference or an evaluation, finished or not: curves, confusion matrix, example images
    with their spikes and expectation values, the device beside the exact engine, noise sweeps, jobs and their
    cost. The page needs nothing else: no network, no other file.
    """
    from sqdr_qiskit import records
    from sqdr_qiskit.jobs.folders import RUNS, newest_run
    from sqdr_qiskit.jobs.run_report import collect_run
    from sqdr_qiskit.reports.run_page import run_page

    folder = run
    if folder is None:
        folder = newest_run()
        if folder is None:
            raise CheckpointError(f"There is no run in {RUNS}/; name a run's folder, or train first.")
        print_note(f"run {folder}, the newest")
    record = collect_run(folder, data_dir=data_dir, download_progress=download_progress())
    page = records.write_text(out or folder / "report.html", run_page(record))
    if as_json:
        print_json({"page": str(page), **record})
        return
    for part, reason in record["left_out"].items():
        print_note(f"left out: {part}: {reason}")
    print_text(f"in {page}")
