"""A command's options, derived from the fields of a run's description, and the page that `--help` shows."""

from __future__ import annotations

import inspect
import io
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.records import require_place
from sqdr_qiskit.specs.job import JOB_OPTIONS, JobSpec, Task
from sqdr_qiskit.specs.reader import GROUPS, Option
from sqdr_qiskit.training.recipes import RECIPES

__all__ = [
    "Given",
    "HelpCommand",
    "HelpGroup",
    "OutOption",
    "ResumeOption",
    "default_words",
    "folder_name",
    "job_option",
    "job_options",
    "out_option",
    "resumed_job",
    "typed_command",
]

_FILES = (".html", ".md", ".json", ".csv", ".tex", ".txt", ".toml", ".npz", ".pdf", ".png", ".svg")

Given: TypeAlias = Mapping[str, Any]
"""Options of a run that were typed, by the name of their field."""


def folder_name(path: Path | None) -> Path | None:
    """A path that is to become a folder, judged before anything is computed.

    Raises:
        ArgumentError: Its name is a file's.
        StorageError: It cannot be made or written.
    """
    if path is None:
        return None
    if path.suffix.lower() in _FILES and not path.is_dir():
        raise ArgumentError(
            f"Argument `out` must name a folder, but {str(path)!r} ends in {path.suffix} as a file does."
        )
    return require_place(path, folder=True)


def out_option(words: str, default: str | bool) -> Any:
    """`--out FOLDER`: the metadata of an `Annotated` type, as `typer` wants it."""
    return typer.Option("--out", help=words, show_default=default, metavar="FOLDER", callback=folder_name)


OutOption: TypeAlias = Annotated[Path | None, out_option("Folder for the run.", "one of its own in runs/")]
ResumeOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--resume", help="Go on with the run in this folder.", metavar="FOLDER"),
]


def job_option(name: str) -> Any:
    """Give `typer` what it must know of an option of a run: the metadata of an `Annotated` type."""
    one = JOB_OPTIONS[name]
    return typer.Option(
        one.typed,
        help=_sentence(one),
        show_default=default_words(one),
        metavar=one.metavar,
        rich_help_panel=one.group,
    )


def job_options(task: Task, *, positional: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Any]:
    """Give a command all options that a run of a task has; it gets those that were typed as `given`.

    Args:
        task: The task.
        positional: Options that are arguments of the command.
    """
    mine = [one for one in JOB_OPTIONS.values() if task in one.tasks]
    options = sorted((one for one in mine if one.name not in positional), key=lambda o: GROUPS.index(o.group))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        parameters = [_argument(JOB_OPTIONS[name]) for name in positional]
        parameters += [p for p in own.values() if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "given"]
        for one in options:
            kind: Any = list[str] if one.kind is tuple else one.kind
            annotation = Annotated[kind | None, job_option(one.name)]
            parameters.append(
                inspect.Parameter(
                    one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
                )
            )
        parameters += [p for p in own.values() if p.kind is p.KEYWORD_ONLY and p.name != "given"]

        def run(**values: Any) -> None:
            given = {one.name: values.pop(one.name) for one in mine}
            given = {name: value for name, value in given.items() if value not in (None, [], ())}
            for name, value in given.items():
                if value == "" or (isinstance(value, list) and "" in value):
                    raise ArgumentError(f"Argument `{name}` must be a text, but is ''.")
            command(given={n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}, **values)

        run.__doc__, run.__name__, run.__module__ = command.__doc__, command.__name__, command.__module__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _argument(one: Option) -> inspect.Parameter:
    argument = typer.Argument(
        help="A checkpoint file, a run's folder, or a pretrained one's name.",
        metavar=one.name.upper(),
        show_default="the newest finished run, else a pretrained one",
    )
    kind = Annotated[str | None, argument]
    return inspect.Parameter(one.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)


def _sentence(one: Option) -> str:
    """An option's help, its choices included."""
    if not one.choices or all(choice in one.help for choice in one.choices):
        return one.help
    return f"{one.help.rstrip('.')}: {', '.join(one.choices)}."


def default_words(one: Option) -> str:
    """What an option is where it is not given."""
    if one.feeds == "recipe":
        found = {name: _shown(getattr(recipe, one.name)) for name, recipe in RECIPES.items()}
        first, *others = found.items()
        return "; ".join([first[1], *(f"{name}: {value}" for name, value in others if value != first[1])])
    return one.usual or _shown(one.default)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def resumed_job(folder: Path, task: Task, given: Given, **own: Any) -> JobSpec:
    """The job of a run that is taken up again.

    Raises:
        ArgumentError: An option is given that may not change on the way, or the run is of another task.
        CheckpointError: There is no run.
    """
    names = [JOB_OPTIONS[name].typed for name in given if not JOB_OPTIONS[name].may_change]
    for name in [*names, *(f"--{name}" for name, value in own.items() if value is not None)]:
        raise ArgumentError(
            f"Option `{name}` must be left out with --resume, which goes on with what the run was started "
            "with."
        )
    from sqdr_qiskit.jobs.folders import job_of_run

    job = replace(job_of_run(folder), **given)
    if job.task != task:
        raise ArgumentError(
            f"Option `--resume` must name a run of task {task}, but {str(folder)!r} holds one of task "
            f"{job.task}."
        )
    return job


def typed_command() -> tuple[str, ...]:
    """The words typed, for the record."""
    return ("sqdr-qiskit", *sys.argv[1:])


# ---- the page of --help ------------------------------------------------------------------------------------

# Typer's own page has a column of types wider than the words, cuts long names at 80 columns and takes
# `[default: ...]` for markup. This one has titled panels, one column of options and one of words, and can be
# read from 60 columns on.
_WIDEST = 100  # longer lines are hard to read


class HelpCommand(typer.core.TyperCommand):
    """A command with our page of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(_page(self, ctx, ()))


class HelpGroup(typer.core.TyperGroup):
    """A command with sub-commands, with our page of help; alone it prints that page if it can do nothing."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        names = self.list_commands(ctx)
        found = [(name, self.get_command(ctx, name)) for name in names]
        rows = [(name, _summary(command)) for name, command in found if command is not None]
        formatter.write(_page(self, ctx, rows))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print the page where nothing is asked for and nothing would be done."""
        if not args and self.no_args_is_help:
            typer.echo(ctx.get_help().rstrip())
            ctx.exit()
        return super().parse_args(ctx, args)


def _summary(command: Any) -> str:
    """The first sentence of a command's help."""
    return inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")


def _page(command: Any, ctx: Any, commands: Iterable[tuple[str, str]]) -> str:
    """The whole page as text, with colours where it goes to a terminal."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    width = max(min(shutil.get_terminal_size((80, 24)).columns, _WIDEST), 40)
    page = io.StringIO()
    console = Console(
        file=page, width=width, force_terminal=sys.stdout.isatty(), highlight=False, legacy_windows=False
    )
    pieces = [piece for piece in command.collect_usage_pieces(ctx) if not piece.startswith("{")]
    needed = [
        _argument_name(p) for p in command.get_params(ctx) if p.param_type_name == "argument" and p.required
    ]
    usage = " ".join([*pieces[:1], *needed, *pieces[1:]])
    console.print(Padding(Text(f"Usage: {ctx.command_path} {usage}"), (1, 1)))
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        console.print(Padding(Text(paragraph.replace("\n", " ")), (0, 1, 1, 1)))
    panels: dict[str, list[tuple[str, str]]] = {"arguments": [], **{title: [] for title in GROUPS}}
    for param in command.get_params(ctx):
        if param.param_type_name == "argument":
            panels["arguments"].append((_argument_name(param), _words(param)))
        elif not getattr(param, "hidden", False):
            title = getattr(param, "rich_help_panel", None) or "output"
            panels.setdefault(title, []).append((_option_name(param), _words(param)))
    panels["commands"] = list(commands)
    for title, rows in panels.items():
        if rows:
            console.print(_panel(title, rows, width))
    return page.getvalue()


def _panel(title: str, rows: list[tuple[str, str]], width: int) -> Any:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(ratio=1, overflow="fold")
    for name, words in rows:
        table.add_row(Text(name), Text(words))
    return Panel(table, title=title, title_align="left", border_style="dim", width=width, padding=(0, 1))


def _option_name(param: Any) -> str:
    """`--shots N`, `--flip/--no-flip`, `--output, -o FILE`."""
    names = ", ".join(sorted(param.opts, key=len, reverse=True))
    names += "".join(f"/{name}" for name in param.secondary_opts)
    if getattr(param, "is_flag", False):
        return names
    kind = getattr(getattr(param, "type", None), "name", "") or param.bare_type()  # older typers, newer ones
    usual = {"int": "N", "flo": "X", "pat": "FILE", "Pat": "FILE", "Pos": "FILE"}
    return f"{names} {param.metavar or usual.get(kind[:3], 'NAME')}"


def _argument_name(param: Any) -> str:
    return str(param.metavar or param.name.upper()).strip("[]") + ("..." if param.nargs == -1 else "")


def _words(param: Any) -> str:
    """An option's sentence, and its default in brackets."""
    words = str(param.help or "")
    said = getattr(param, "show_default", None)
    if isinstance(said, str):
        return f"{words} [default: {said}]"
    if param.required:
        return f"{words} [required]"
    default = param.default
    if callable(default) or default in (None, False, "", ()) or default == []:
        return words
    if default is True:
        default = "yes"
    return f"{words} [default: {default}]"
