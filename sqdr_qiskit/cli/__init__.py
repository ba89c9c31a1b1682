"""The command `sqdr-qiskit`: each command parses, calls and renders.

Commands that share what they call and how they show it share a file. Importing one imports neither torch nor
Qiskit, so that `--help` answers at once; a command imports what it needs when it runs.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from sqdr_qiskit import __version__
from sqdr_qiskit.cli import console
from sqdr_qiskit.cli.options import HelpCommand, HelpGroup
from sqdr_qiskit.errors import ArgumentError, SqdrError

__all__ = ["COMMANDS", "build_app", "entry", "main"]

COMMANDS: Mapping[str, str] = {
    "train": "sqdr_qiskit.cli.train:train",
    "evaluate": "sqdr_qiskit.cli.inference:evaluate",
    "infer": "sqdr_qiskit.cli.inference:infer",
    "run": "sqdr_qiskit.cli.run:run",
    "runs": "sqdr_qiskit.cli.report:runs",
    "compare": "sqdr_qiskit.cli.report:compare",
    "report": "sqdr_qiskit.cli.report:report",
    "noise": "sqdr_qiskit.cli.noise:app",
    "backends": "sqdr_qiskit.cli.hardware:backends",
    "doctor": "sqdr_qiskit.cli.hardware:doctor",
    "jobs": "sqdr_qiskit.cli.hardware:jobs",
    "cost": "sqdr_qiskit.cli.transpile:cost",
    "gradient-check": "sqdr_qiskit.cli.gradients:gradient_check",
    "gradient-variance": "sqdr_qiskit.cli.gradients:gradient_variance",
    "transpile": "sqdr_qiskit.cli.transpile:transpile",
    "catalog": "sqdr_qiskit.cli.catalog:app",
}
"""Name of a command -> module:attribute (a function, or a `typer.Typer` of sub-commands), in help's order."""

_INTERRUPTED = 130  # what a shell reports for a process ended by Ctrl-C


def build_app() -> typer.Typer:
    """The command with all its sub-commands."""
    app = typer.Typer(name="sqdr-qiskit", cls=HelpGroup, callback=_top)
    for name, target in COMMANDS.items():
        module, _, attribute = target.partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, cls=HelpGroup)
        else:
            app.command(name, cls=HelpCommand)(command)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line.

    Args:
        arguments: The words after the command's name; None takes this process's.

    Returns:
        The exit code: 0, 1 if the work failed, 2 if the input was wrong, 130 after Ctrl-C. Every failure that
        a user can cause is one line on stderr, `error: ...`, or with `--json` the object {"error": ...} on
        stdout; no traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in words
    console.prepare_streams()
    command = typer.main.get_command(build_app())
    line: str | None = None
    try:
        result = command.main(words, prog_name="sqdr-qiskit", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except ArgumentError as error:
        code, line = error.exit_code, _as_typed(str(error), command, words)
    except SqdrError as error:
        code, line = error.exit_code, str(error)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        code, line = 2, _usage_error(error)
        if line is None:  # a fault of ours: the traceback is the best report
            console.print_note(traceback.format_exc().rstrip())
            code, line = 1, f"{type(error).__name__}: {error}"
    if line is None and code == _INTERRUPTED:
        line = "interrupted."
    if line is not None:
        console.print_error(line, as_json=as_json)
    return code


def entry() -> NoReturn:
    """Carry out this process's command line, and end with its last line.

    Python would spend seconds more on taking torch, Qiskit and the compiled kernels down, whose work is done:
    files are whole and on the disk, worker processes are gone.
    """
    code = main()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _as_typed(message: str, command: Any, words: Sequence[str]) -> str:
    """A message that names arguments as Python does, with the names of the options as they are typed."""
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    options = {
        (param.name or "").removeprefix("as_"): max(param.opts, key=len)
        for param in command.params
        if param.param_type_name == "option"
    }

    def typed(found: re.Match[str]) -> str:
        option = options.get(found[2].replace("-", "_"))
        return found[0] if option is None else f"{'Option ' if found[1] else ''}`{option}`"

    return re.sub(r"(Argument )?`([a-z][a-z0-9_-]*)`", typed, message)


def _usage_error(error: Exception) -> str | None:
    """One line for a wrong command line, or None if the error is something else."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "sqdr-qiskit"
    message = str(format_message()).strip()
    end = "" if message.endswith((".", "?", "!")) else "."
    return f"{message}{end} See `{path} --help`."


def _version(wanted: bool) -> None:
    if wanted:
        console.print_text(f"sqdr-qiskit {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Train the spiking-quantum classifier SQDR-CNN, simulate it with noise, run it on quantum hardware."""
