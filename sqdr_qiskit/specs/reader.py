"""Read TOML strictly: every key is asked for, by name and type, and whatever nobody asked for is an error.

    document = read_document(path, kinds=("reupload", "hea"))
    table = document.table("circuit")
    n_qubits = table.integer("n_qubits", at_least=1)
    entangler = table.text("entangler", choices=("ring", "line"), default="ring")
    document.finish()

Every error is a `SpecError` that names file, table and key, and for an unknown key or choice the likely
spelling. At the end: a dataclass's fields as options, read from a table or a command line alike.
"""

from __future__ import annotations

import difflib
import json
import math
import operator
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import NoneType
from typing import (
    Any,
    Literal,
    NoReturn,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from sqdr_qiskit.errors import ArgumentError, SpecError

__all__ = [
    "Bounds",
    "Document",
    "Group",
    "GROUPS",
    "Option",
    "option",
    "options_of",
    "read_document",
    "Table",
    "toml_lines",
]


_T = TypeVar("_T")
_FIRST_KEYS = ("schema", "kind", "title", "source")
_SCHEMA = 1


class _Required:
    """Marks a key that has no default."""


_REQUIRED = _Required()


class Bounds(TypedDict, total=False):
    """What a number must satisfy; None is no bound."""

    at_least: float | None
    above: float | None
    at_most: float | None
    below: float | None


_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "at_least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "at_most": ("at most", operator.le),
    "below": ("below", operator.lt),
}


class Table:
    """One table of a file, read key by key; `finish` refuses the keys that nobody asked for.

    Args:
        values: The table as `tomllib` or `json` gives it.
        file: What to call the file in errors; empty if the values are a caller's arguments, so that errors
            are an `ArgumentError` "Argument `KEY` WHY.".
        name: Dotted name of the table in its file, empty for the top level.
    """

    def __init__(self, values: Mapping[str, Any], *, file: str = "", name: str = "") -> None:
        self.file = file
        self.name = name
        self._values = dict(values)
        self._asked: list[str] = []  # in order, as an error lists what is known
        self._children: list[Table] = []

    # one key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> tuple[str, ...]:
        """The keys that the file has in this table, in the file's order."""
        return tuple(self._values)

    @overload
    def text(self, key: str, *, choices: Sequence[str] = ()) -> str: ...
    @overload
    def text(self, key: str, *, default: _T, choices: Sequence[str] = ()) -> str | _T: ...
    def text(self, key: str, *, default: Any = _REQUIRED, choices: Sequence[str] = ()) -> Any:
        """A text, not empty; with `choices`, one of them."""
        return self._one(key, default, lambda value: self._text(key, value, choices))

    @overload
    def integer(self, key: str, **bounds: Unpack[Bounds]) -> int: ...
    @overload
    def integer(self, key: str, *, default: _T, **bounds: Unpack[Bounds]) -> int | _T: ...
    def integer(self, key: str, *, default: Any = _REQUIRED, **bounds: Unpack[Bounds]) -> Any:
        """A whole number (a boolean is none) within bounds."""
        return self._one(key, default, lambda value: self._integer(key, value, bounds))

    @overload
    def number(self, key: str, **bounds: Unpack[Bounds]) -> float: ...
    @overload
    def number(self, key: str, *, default: _T, **bounds: Unpack[Bounds]) -> float | _T: ...
    def number(self, key: str, *, default: Any = _REQUIRED, **bounds: Unpack[Bounds]) -> Any:
        """A finite number within bounds."""
        return self._one(key, default, lambda value: self._number(key, value, bounds))

    @overload
    def flag(self, key: str) -> bool: ...
    @overload
    def flag(self, key: str, *, default: _T) -> bool | _T: ...
    def flag(self, key: str, *, default: Any = _REQUIRED) -> Any:
        """`true` or `false`."""
        return self._one(key, default, lambda value: self._flag(key, value))

    # lists

    def texts(self, key: str, *, default: Any = _REQUIRED, choices: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of texts, not empty; a default is returned as it is."""
        return self._list(key, default, lambda item: self._text(key, item, choices))

    def integers(self, key: str, *, default: Any = _REQUIRED, **bounds: Unpack[Bounds]) -> tuple[int, ...]:
        """A list of whole numbers, not empty; a default is returned as it is."""
        return self._list(key, default, lambda item: self._integer(key, item, bounds))

    def numbers(self, key: str, **bounds: Unpack[Bounds]) -> tuple[float, ...]:
        """A list of finite numbers, not empty."""
        return self._list(key, _REQUIRED, lambda item: self._number(key, item, bounds))

    def value(self, key: str, *, default: Any = _REQUIRED) -> Any:
        """Whatever stands there, unchecked: for keys whose type depends on something else."""
        return self._one(key, default, lambda value: value)

    # tables

    def table(self, key: str, *, optional: bool = False) -> Table:
        """A table inside this one; an empty one if it is optional and missing."""
        if optional and key not in self._values:
            self._asked.append(key)
            return Table({}, file=self.file, name=self._child_name(key))
        value = self._one(key, _REQUIRED, lambda value: value)
        if not isinstance(value, Mapping):
            self.refuse(key, f"must be a table, but is {_show(value)}")
        return self._adopt(Table(value, file=self.file, name=self._child_name(key)))

    def tables(self, key: str, *, optional: bool = False) -> tuple[Table, ...]:
        """An array of tables (`[[key]]`); an empty one if it is optional and missing."""
        value = self._one(key, [] if optional else _REQUIRED, lambda value: value)
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            self.refuse(key, f"must be an array of tables ([[{key}]]), but is {_show(value)}")
        name = self._child_name(key)
        return tuple(
            self._adopt(Table(item, file=self.file, name=f"{name}[{position}]"))
            for position, item in enumerate(value, 1)
        )

    def finish(self) -> None:
        """Refuse the keys that nobody asked for, here and in the tables inside.

        Raises:
            SpecError: There is one; the message offers the likely spelling.
        """
        for key in self._values:
            if key not in self._asked:
                close = difflib.get_close_matches(key, self._asked, n=1)
                known = ", ".join(f"`{name}`" for name in self._asked)
                hint = f"did you mean `{close[0]}`?" if close else f"known keys: {known}."
                self._raise(f"{self._where(key)} is unknown; {hint}")
        for child in self._children:
            child.finish()

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise the error "FILE: table `T`: key `KEY` WHY."."""
        self._raise(f"{self._where(key)} {why}.")

    # inside

    def _raise(self, message: str) -> NoReturn:
        raise SpecError(message) if self.file else ArgumentError(message)

    def _where(self, key: str) -> str:
        if not self.file:
            return f"Argument `{self._child_name(key)}`"
        table = f"table `{self.name}`: " if self.name else ""
        return f"{self.file}: {table}key `{key}`"

    def _child_name(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def _adopt(self, child: Table) -> Table:
        self._children.append(child)
        return child

    def _one(self, key: str, default: Any, check: Callable[[Any], Any]) -> Any:
        if key not in self._asked:
            self._asked.append(key)
        if key in self._values:
            return check(self._values[key])
        if default is _REQUIRED:
            free = [name for name in self._values if name not in self._asked]
            close = difflib.get_close_matches(key, free, n=1)
            self._raise(f"{self._where(key)} is missing{f'; did you write `{close[0]}`?' if close else '.'}")
        return default

    def _list(self, key: str, default: Any, check: Callable[[Any], Any]) -> Any:
        def each(value: Any) -> tuple[Any, ...]:
            if not isinstance(value, list | tuple) or not value:
                self.refuse(key, f"must be a list with at least one entry, but is {_show(value)}")
            return tuple(check(item) for item in value)

        return self._one(key, default, each)

    def _text(self, key: str, value: Any, choices: Sequence[str]) -> str:
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, f"must be a text, but is {_show(value)}")
        if choices and value not in choices:
            close = difflib.get_close_matches(value, choices, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            self._raise(
                f"{self._where(key)} must be one of {', '.join(choices)}, but is {_show(value)}{hint or '.'}"
            )
        return value

    def _flag(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, but is {_show(value)}")
        return value

    def _integer(self, key: str, value: Any, bounds: Bounds) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(key, f"must be a whole number, but is {_show(value)}")
        self._range(key, value, bounds)
        return value

    def _number(self, key: str, value: Any, bounds: Bounds) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            self.refuse(key, f"must be a finite number, but is {_show(value)}")
        self._range(key, value, bounds)
        return float(value)

    def _range(self, key: str, value: float, bounds: Bounds) -> None:
        for name, bound in bounds.items():
            words, holds = _BOUNDS[name]
            if bound is not None and not holds(value, bound):
                self.refuse(key, f"must be {words} {bound}, but is {value}")


@dataclass(frozen=True)
class Document:
    """A file whose four first keys have been read.

    Attributes:
        path: Where it was read.
        kind: What it describes, one of the kinds the caller allowed.
        title: One line for lists.
        source: Where its numbers come from.
        top: The top-level table, its four first keys already asked for.
    """

    path: Path
    kind: str
    title: str
    source: str
    top: Table

    def table(self, key: str, *, optional: bool = False) -> Table:
        """A top-level table of the file."""
        return self.top.table(key, optional=optional)

    def finish(self) -> None:
        """Refuse every key of the file that nobody asked for."""
        self.top.finish()


def read_document(path: str | os.PathLike[str], *, kinds: Sequence[str]) -> Document:
    """Read a TOML file and its four first keys `schema`, `kind`, `title`, `source`.

    Args:
        path: The file.
        kinds: Values that key `kind` may have.

    Raises:
        SpecError: The file cannot be read, is no TOML, does not begin with the four keys, or one of them is
            wrong.
    """
    path = Path(path)
    file = path.name
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise SpecError(f"{file}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{file}: must be UTF-8 text, but byte {error.start} is not.") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{file}: is not valid TOML: {error}.") from error
    except (ValueError, RecursionError) as error:  # numbers of 10,000 digits, tables in tables in tables
        raise SpecError(
            f"{file}: is not valid TOML: a number is too long, or tables nest too deeply."
        ) from error
    top = Table(values, file=file)
    schema = top.integer("schema")
    if schema != _SCHEMA:
        top.refuse("schema", f"must be {_SCHEMA}, the only schema this version reads, but is {schema}")
    kind = top.text("kind", choices=kinds)
    title = top.text("title")
    source = top.text("source")
    if top.keys()[:4] != _FIRST_KEYS:
        raise SpecError(f"{file}: must begin with the keys {', '.join(_FIRST_KEYS)}, in this order.")
    return Document(path=path, kind=kind, title=title, source=source, top=top)


def toml_lines(values: Mapping[str, Any]) -> list[str]:
    """A table's keys as lines of TOML, which `Table` reads back."""
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    """JSON's texts, numbers and lists are TOML's too; its objects are not."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(toml_lines(value)) + " }"
    return json.dumps(value, ensure_ascii=False)


def _show(value: Any) -> str:
    """A value for an error line, short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


Group: TypeAlias = Literal["data", "circuit", "training", "noise and shots", "gradient", "hardware", "output"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Titles of the panels of `--help`, in order."""

_MOST = 10**9  # bound of whole numbers that have no other: more is a slip of the pen


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a run.

    Attributes:
        name: The field's name; on the command line `--` and dashes.
        kind: `str`, `int`, `float`, `bool`, or `tuple` (of texts).
        default: Where it is not given; None leaves the choice to what `usual` says.
        help: One sentence.
        group: Panel of `--help` that it stands in.
        metavar: What stands for its value in `--help`.
        usual: What a default of None means, in words.
        choices: The values that it may have; empty if there are others.
        at_least: Bound of a number, included, as `at_most`; `above` and `below` are excluded.
        tasks: Tasks that it has an effect in.
        feeds: The settings that have a field of the same name, which this option overrules.
        defines: Whether another value makes another run, so that `--resume` must refuse it.
        may_change: Whether a run that is taken up again may be given another value.
        reader: Takes the value from a table where `kind` does not say all.
    """

    name: str = ""
    kind: type = str
    default: Any = None
    help: str
    group: Group
    metavar: str = ""
    usual: str = ""
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    tasks: tuple[str, ...] = ("train", "evaluate", "infer")
    feeds: Literal["recipe", "gradient", "runtime"] | None = None
    defines: bool = True
    may_change: bool = False
    reader: Callable[[Table, str], Any] | None = None

    @property
    def typed(self) -> str:
        """The option as it is typed: `--batch-size`, `--flip/--no-flip`."""
        words = self.name.replace("_", "-")
        return f"--{words}/--no-{words}" if self.kind is bool and self.default is not False else f"--{words}"

    @property
    def bounds(self) -> Bounds:
        """Of a number, those that there are."""
        found = {name: getattr(self, name) for name in _BOUNDS}
        return cast("Bounds", {name: bound for name, bound in found.items() if bound is not None})

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


def option(default: Any = None, **facts: Any) -> Any:
    """A field that is an option, with the attributes of `Option`; all else is derived from it."""
    return field(default=default, metadata={"option": Option(default=default, **facts)})


@cache
def options_of(owner: type) -> Mapping[str, Option]:
    """The options of a dataclass by name, in the order of its fields, of the fields' types."""
    hints = get_type_hints(owner)
    found = {}
    for item in fields(owner):
        if "option" not in item.metadata:
            continue
        one: Option = item.metadata["option"]
        kind = next(hint for hint in (*get_args(hints[item.name]), hints[item.name]) if hint is not NoneType)
        kind = get_origin(kind) or kind
        found[item.name] = replace(
            one,
            name=item.name,
            kind=kind,
            metavar=one.metavar or {int: "N", float: "X", bool: ""}.get(kind, "NAME"),
            at_most=_MOST if kind is int and one.at_most is None else one.at_most,
        )
    return found
