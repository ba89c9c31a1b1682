"""Options of commands that can run on a quantum computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = [
    "CeilingOption",
    "DecouplingOption",
    "ExecutionsOption",
    "MaxExecutionOption",
    "ModeOption",
    "OutOption",
    "ResilienceOption",
    "ResumeOption",
    "TagsOption",
    "TwirlingOption",
]

ModeOption: TypeAlias = Annotated[
    str | None, typer.Option("--mode", help="On hardware: job or batch. [default: job]")
]
ResilienceOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--resilience", help="On hardware: error mitigation 0, 1 or 2. [default: 1]", min=0, max=2),
]
DecouplingOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--dynamical-decoupling", help="On hardware: XX, XpXm or XY4. [default: none]"),
]
TwirlingOption: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--twirling/--no-twirling", help="On hardware: twirl two-qubit gates. [default: as --resilience]"
    ),
]
MaxExecutionOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--max-execution-s", help="On hardware: quantum seconds that end a job.", min=1),
]
TagsOption: TypeAlias = Annotated[
    str | None, typer.Option("--job-tags", help="On hardware: tags of every job, separated by commas.")
]
CeilingOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--max-qpu-seconds",
        help="On hardware and in its rehearsal: quantum seconds that the run may use. "
        "[default on hardware: 60]",
    ),
]
ExecutionsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--max-executions",
        help="On hardware and in its rehearsal: circuit executions that the run may use.",
        min=1,
    ),
]
OutOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Keep the run in this folder. [default: on hardware runs/<time>-infer-<device>-...]"
    ),
]
ResumeOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--resume", help="On hardware, or rehearsed under a ceiling: go on with this run."),
]
