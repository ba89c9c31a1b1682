"""Options of a run: what each means, what it may be and whom it concerns, said once, at its field.

    @dataclass(frozen=True, kw_only=True)
    class JobSpec:
        batch_size: int | None = option(help="Images per step.", group="training", at_least=1, feeds="recipe")

The reader of job files, the command line, the recipe, gradient and runtime settings, what defines a run and
what a grid may vary are all derived from these fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from sqdr_qiskit.specs.reader import Bounds, Table

__all__ = ["GROUPS", "MOST", "Feeds", "Group", "Option", "option", "options_of"]

Group: TypeAlias = Literal["data", "circuit", "training", "noise and shots", "gradient", "hardware", "output"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Titles of the panels of `--help`, in order."""

MOST = 10**9
"""Bound of whole numbers that have no other."""

Feeds: TypeAlias = Literal["recipe", "gradient", "runtime"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a run.

    Attributes:
        name: The field's name; on the command line `--` and dashes.
        kind: `str`, `int`, `float`, `bool`, or `tuple` (of texts).
        default: Where it is not given.
        help: One sentence.
        group: Panel of `--help` that it stands in.
        metavar: What stands for its value in `--help`.
        usual: What a default of None means, in words.
        choices: The values that it may have; empty if there are others.
        bounds: Of a number.
        tasks: Tasks that it has an effect in.
        feeds: The settings that have a field of the same name, which this option overrules.
        defines: Whether another value makes another run, so that `--resume` must refuse it.
        may_change: Whether a run that is taken up again may be given another value.
        reader: Takes the value from a table where `kind` does not say all.
    """

    name: str
    kind: type
    default: Any
    help: str
    group: Group
    metavar: str
    usual: str
    choices: tuple[str, ...]
    bounds: Bounds
    tasks: tuple[str, ...]
    feeds: Feeds | None
    defines: bool
    may_change: bool
    reader: Callable[[Table, str], Any] | None

    @property
    def typed(self) -> str:
        """The option as it is typed: `--batch-size`, `--flip/--no-flip`."""
        words = self.name.replace("_", "-")
        return f"--{words}/--no-{words}" if self.kind is bool and self.default is not False else f"--{words}"

    def read(self, table: Table) -> Any:
        """The value that a table has under this option's name, checked; None if it has none.

        Raises:
            SpecError: It is out of range (`ArgumentError` if the table is a caller's arguments).
        """
        if self.reader is not None:
            return self.reader(table, self.name)
        if self.kind is int:
            return table.integer(self.name, default=None, **self.bounds)
        if self.kind is float:
            return table.number(self.name, default=None, **self.bounds)
        if self.kind is bool:
            return table.flag(self.name, default=None)
        if self.kind is tuple:
            return table.texts(self.name, default=None, choices=self.choices)
        return table.text(self.name, default=None, choices=self.choices)


def option(
    default: Any = None,
    *,
    help: str,
    group: Group,
    metavar: str = "",
    usual: str = "",
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    tasks: tuple[str, ...] = ("train", "evaluate", "infer"),
    feeds: Feeds | None = None,
    defines: bool = True,
    may_change: bool = False,
    reader: Callable[[Table, str], Any] | None = None,
) -> Any:
    """A field of a dataclass that is an option, see `Option` for the arguments.

    Args:
        default: The field's default; None leaves the choice to what `usual` says.
        help: One sentence for `--help`.
        group: Its panel.
        metavar: What stands for its value; by default N, X, or NAME.
        usual: What None means, in words.
        choices: The only values.
        at_least: Bounds of a number, as the next three.
        above: Excluded.
        at_most: Included.
        below: Excluded.
        tasks: Tasks that it has an effect in.
        feeds: Settings with a field of the same name.
        defines: Whether another value makes another run.
        may_change: Whether it may change when a run is taken up again.
        reader: Takes the value from a table.
    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    facts = {
        "help": help,
        "group": group,
        "metavar": metavar,
        "usual": usual,
        "choices": choices,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "tasks": tasks,
        "feeds": feeds,
        "defines": defines,
        "may_change": may_change,
        "reader": reader,
    }
    return field(default=default, metadata=facts)


@cache
def options_of(owner: type) -> Mapping[str, Option]:
    """The options of a dataclass by name, in the order of its fields."""
    hints = get_type_hints(owner)
    found = {}
    for item in fields(owner):
        if "help" not in item.metadata:
            continue
        given = next(kind for kind in (*get_args(hints[item.name]), hints[item.name]) if kind is not NoneType)
        kind = hints[item.name] if get_origin(hints[item.name]) is Literal else given
        kind = {Literal: str}.get(get_origin(kind), get_origin(kind) or kind)
        facts = dict(item.metadata)
        if kind is int:  # more is a slip of the pen
            facts["bounds"] = {**facts["bounds"], "at_most": facts["bounds"].get("at_most", MOST)}
        facts["metavar"] = facts["metavar"] or {int: "N", float: "X", bool: ""}.get(kind, "NAME")
        default = None if item.default is MISSING else item.default
        found[item.name] = Option(name=item.name, kind=kind, default=default, **facts)
    return found
