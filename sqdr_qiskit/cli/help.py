"""What `--help` shows: titled panels, one column of options and one of words, readable from 60 columns on.

Typer's own page has a column of types wider than the words, cuts long names at 80 columns and takes
`[default: ...]` for markup.
"""

from __future__ import annotations

import inspect
import io
import shutil
import sys
from collections.abc import Iterable
from typing import Any

import typer

from sqdr_qiskit.specs.reader import GROUPS

__all__ = ["HelpCommand", "HelpGroup"]

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
