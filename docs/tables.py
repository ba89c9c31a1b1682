"""Write the tables of these pages that stand in the code: `python -m docs.tables`.

The reader of a file asks for each key by name, type, bounds and default. Here it is given a table that notes
what it is asked for, so a table of files.md cannot say other than what is read; the controls are those of
`MODELS`, and the accuracies those of runs.csv (docs/results.py). tests/test_docs.py compares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from docs import results
from sqdr_qiskit.model.controls import MODELS
from sqdr_qiskit.specs import channels, circuit, noise
from sqdr_qiskit.specs.job import JOB_OPTIONS, TASKS
from sqdr_qiskit.specs.reader import GROUPS, Option, Table
from sqdr_qiskit.training.recipes import RECIPES

__all__ = ["PAGES", "updated"]

PAGES = tuple(
    Path(__file__).parent / name
    for name in ("files.md", "results.md", "what-the-circuit-does.md", "../README.md")
)
_TYPES = {"integer": "whole number", "number": "number", "flag": "true or false", "text": "text"}
_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text", tuple: "list of texts"}


@dataclass(frozen=True)
class _Asked:
    """One question of a reader."""

    key: str
    type: str
    may_be: str
    default: str


class _Noting(Table):
    """A table of given values that notes what is asked of it; `notes` is shared with the tables inside."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values, file="docs")
        self.notes: dict[str, _Asked] = {}

    def _note(self, key: str, kind: str, options: dict[str, Any]) -> None:
        choices = options.pop("choices", ())
        default = options.pop("default", "needed")
        self.notes[key] = _Asked(key, kind, _range(choices, options), _default(default))

    def text(self, key: str, **options: Any) -> Any:
        self._note(key, _TYPES["text"], dict(options))
        return super().text(key, **options)

    def integer(self, key: str, **options: Any) -> Any:
        self._note(key, _TYPES["integer"], dict(options))
        return super().integer(key, **options)

    def number(self, key: str, **options: Any) -> Any:
        self._note(key, _TYPES["number"], dict(options))
        return super().number(key, **options)

    def flag(self, key: str, **options: Any) -> Any:
        self._note(key, _TYPES["flag"], dict(options))
        return super().flag(key, **options)

    def texts(self, key: str, **options: Any) -> Any:
        self._note(key, "list of texts", dict(options))
        return super().texts(key, **options)

    def integers(self, key: str, **options: Any) -> Any:
        self._note(key, "list of whole numbers", dict(options))
        return super().integers(key, **options)


def _range(choices: Sequence[str], bounds: dict[str, float | None]) -> str:
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    words = {"at_least": "at least {}", "above": "above {}", "at_most": "at most {}", "below": "below {}"}
    given = [words[name].format(_number(bound)) for name, bound in bounds.items() if bound is not None]
    return ", ".join(given)


def _number(bound: float) -> str:
    return "2^63 - 1" if bound == 2**63 - 1 else f"{bound:,g}" if bound < 1e6 else f"{bound:,}"


def _default(value: Any) -> str:
    if value in ("needed", ""):
        return str(value)
    return "left out" if value is None else f"`{value}`".lower() if isinstance(value, bool) else f"`{value}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escapes = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;"})
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.translate(escapes) for cell in line) + " |" for line in lines)


def _keys(notes: dict[str, _Asked]) -> str:
    rows = [[f"`{note.key}`", note.type, note.may_be, note.default] for note in notes.values()]
    return _table(["key", "type", "may be", "default"], rows)


def _circuits() -> str:
    noting = _Noting({"n_qubits": 1, "n_blocks": 1})
    circuit._sizes(noting)
    return _keys(noting.notes)


# What makes each channel's reader ask for all that it has; the values themselves are not shown.
_EXAMPLES: dict[str, dict[str, Any]] = {
    "thermal_relaxation": {"t1_us": 1.0, "t2_us": 1.0, "duration_ns": 1.0},
    "pauli": {"probabilities": {"X": 0.1}},
    "kraus": {"kraus": [[[1, 0], [0, 1]]]},
}
_MEANS = {
    "p": "a probability, 0 to 1",
    "gamma": "a probability, 0 to 1",
    "lambda": "a probability, 0 to 1",
    "t1_us": "microseconds, above 0",
    "t2_us": "microseconds, above 0, at most 2 `t1_us`",
    "duration_ns": "nanoseconds, at least 0",
    "angle_rad": "radians, -pi to pi",
    "probabilities": "table of Pauli words, each 0 to 1",
    "kraus": "list of 2 x 2 or 4 x 4 matrices; an entry is a number or `[real, imaginary]`",
}


def _channels() -> str:
    rows = []
    for kind in channels.CHANNEL_PARAMETERS:
        given = _EXAMPLES.get(kind) or dict.fromkeys(channels.CHANNEL_PARAMETERS[kind], 0.1)
        noting = _Noting({"channel": kind, **given})
        spec = channels.read_channel(noting)
        asked = [key for key in noting._asked if key != "channel"]
        either = " or " if kind.startswith("depolarizing") else ", "
        qubits = "1 or 2" if kind in ("pauli", "kraus") else str(spec.n_qubits)
        words = [f"`{key}`: {_MEANS[key]}" for key in asked]
        if kind in channels._P_PER_LAMBDA:
            words[-1] = f"`lambda` (Qiskit's): 0 to {1 / channels._P_PER_LAMBDA[kind]:.5g}"
        rows.append([f"`{kind}`", qubits, either.join(words)])
    return _table(["`channel`", "qubits", "keys"], rows)


def _after() -> str:
    rows = [
        [f"`{word}`", "gates " + ", ".join(f"`{g}`" for g in gates)] for word, gates in noise.GROUPS.items()
    ]
    rows += [[f"`{word}`", meaning] for word, meaning in noise.PLACES.items()]
    rows += [[f"`{word}`", f"gate `{gate}`"] for word, gate in noise._ALIASES.items()]
    return _table(["`after`", "means"], rows)


def _readout() -> str:
    noting = _Noting({"p01": 0.1, "p10": 0.1})
    holder = _Holding(noting)
    noise._read_readouts(holder)  # type: ignore[arg-type]
    return _keys(noting.notes)


class _Holding:
    """A top level with one table in it, whatever it is called."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def tables(self, key: str, *, optional: bool = False) -> tuple[Table, ...]:
        return (self._table,)


def _jobs() -> str:
    parts = [
        _table(
            ["key", "type", "may be", "default"],
            [["`task`", "text", ", ".join(f"`{t}`" for t in TASKS), "needed"]],
        )
    ]
    for group in GROUPS:
        chosen = [option for option in JOB_OPTIONS.values() if option.group == group]
        if chosen:
            rows = [_option(option) for option in chosen]
            parts.append(
                f"### {group.capitalize()}\n\n"
                + _table(["key", "type", "may be", "default", "says", "tasks"], rows)
            )
    return "\n\n".join(parts)


def _option(option: Option) -> list[str]:
    default = option.usual or _default(option.default)
    if option.feeds == "recipe" and not option.usual:
        default = ", ".join(
            f"{name}: {_value(getattr(recipe, option.name))}" for name, recipe in RECIPES.items()
        )
    tasks = "all" if option.tasks == TASKS else ", ".join(option.tasks)
    kind = _KINDS[option.kind]
    return [
        f"`{option.name}`",
        kind,
        _range(option.choices, dict(option.bounds)),
        default,
        option.help,
        tasks,
    ]


def _controls() -> str:
    return _table(
        ["`--model`", "what is different"], [[f"`{name}`", kind.title] for name, kind in MODELS.items()]
    )


def _accuracies(name: str) -> str:
    return _table(*results.tables[name]())


def _value(value: Any) -> str:
    """A recipe's setting; multiples of pi as such."""
    if isinstance(value, float) and value and value % math.pi == 0:
        return "pi" if value == math.pi else f"{value / math.pi:g} pi"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()


_TABLES: dict[str, Callable[[], str]] = {
    "circuit": _circuits,
    "channels": _channels,
    "after": _after,
    "readout": _readout,
    "jobs": _jobs,
    "controls": _controls,
    **{name: partial(_accuracies, name) for name in results.tables},
}


def updated(page: str) -> str:
    """The page with every table between `<!-- table NAME -->` and `<!-- end -->` as the code has it now."""

    def write(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n\n{_TABLES[match[1]]()}\n\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->.*?<!-- end -->", write, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
