"""What a layout file says: where on a device a circuit stands (standard library only).

schema = 1
kind = "layout"
title = "2b-9q on fake_brisbane, tiled"
source = "sqdr-qiskit transpile --circuit 2b-9q --backend fake_brisbane --choose best.toml"

circuit = "2b-9q"
...
tiles = [
  [ # round 1
    [[62, 72, 81], [17, 12, 13]], # one sample: the qubits of each tile
  ],
]
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from sqdr_qiskit.catalog import is_path
from sqdr_qiskit.specs.reader import Table, read_document

__all__ = ["LAYOUTS", "LayoutSpec", "TileQubits", "layout_at", "read_layout"]

LAYOUTS = ("tiled", "whole")
_DIGEST = re.compile("[0-9a-f]{64}")

TileQubits: TypeAlias = tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
"""The device's qubits: of each round, of each sample side by side, of each tile."""


@dataclass(frozen=True, kw_only=True, repr=False)
class LayoutSpec:
    """A circuit's place on a device.

    Attributes:
        circuit: The circuit's name.
        digest: SHA-256 of its gates and outputs (`devices.layout_file.digest_of`).
        device: The device's name.
        layout: `tiled` or `whole`.
        tiles: The device's qubits of each tile, for each round and sample side by side; where it is whole,
            all qubits in use as the one tile.
        two_qubit_gates: Number for one sample.
        title: One line for lists.
        source: The command that made it.
        calibrated: Time of the calibration by which it was chosen, ISO 8601; empty if unknown.
        level: Qiskit's optimisation level. Whole only.
        seed: Of the transpiler. Whole only.
        initial: The device's qubit that each of the circuit's qubits starts on, before routing. Whole only.
        success: Estimated success probability of one output.
        versions: Of the packages that made it.

    Raises:
        ArgumentError: A value cannot be.
    """

    circuit: str
    digest: str
    device: str
    layout: Literal["tiled", "whole"]
    tiles: TileQubits
    two_qubit_gates: int
    title: str
    source: str
    calibrated: str = ""
    level: int | None = None
    seed: int | None = None
    initial: tuple[int, ...] | None = None
    success: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _fields(Table({key: value for key, value in asdict(self).items() if value not in (None, "")}))

    def __repr__(self) -> str:
        return f"<layout of {self.circuit} on {self.device}, {self.layout}>"

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "layout") -> LayoutSpec:
        """The layout that `to_dict` wrote.

        Args:
            values: Its fields; those of None or "" have their defaults.
            where: What to call their home in errors.

        Raises:
            SpecError: A field is missing, unknown or cannot be.
        """
        table = Table({key: value for key, value in values.items() if value not in (None, "")}, file=where)
        found = cls(**_fields(table), title=table.text("title"), source=table.text("source"))
        table.finish()
        return found

    def text(self) -> str:
        """TOML that `read_layout` reads back as this layout."""
        values = self.to_dict()
        lines = ["schema = 1", 'kind = "layout"']
        lines += [f"{key} = {_value(values[key])}" for key in ("title", "source")]
        lines.append("")
        for key, value in values.items():
            if key not in ("title", "source", "tiles", "versions") and value not in (None, ""):
                lines.append(f"{key} = {_value(value)}")
        lines.append("tiles = [")
        for number, copies in enumerate(self.tiles, 1):
            lines += [f"  [ # round {number}", *(f"    {_value(copy)}," for copy in copies), "  ],"]
        lines += ["]", "", "[versions]"]
        lines += [f"{_value(key)} = {_value(value)}" for key, value in self.versions.items()]
        return "\n".join(lines) + "\n"


def read_layout(path: str | os.PathLike[str]) -> LayoutSpec:
    """Read a layout file.

    Raises:
        SpecError: It cannot be read, or says something that cannot be; the message names file and key.
    """
    document = read_document(path, kinds=("layout",))
    found = _fields(document.top)
    document.finish()
    return LayoutSpec(**found, title=document.title, source=document.source)


def layout_at(table: Table, key: str) -> str | LayoutSpec | None:
    """The layout that a key or an option means; None where it is missing.

    `tiled` and `whole` stay what they are; a path, recognised by a path separator or the ending `.toml`,
    gives what the file there says, and so does a table of `LayoutSpec.to_dict`.

    Raises:
        SpecError: The file cannot be read or says something that cannot be; no such word.
    """
    value = table.value(key, default=None)
    if value is None:
        return None
    if isinstance(value, Mapping):
        return LayoutSpec.from_dict(value, where=f"{table.file}: {key}".removeprefix(": "))
    text = table.text(key)
    if is_path(text):
        return read_layout(text)
    if text not in LAYOUTS:
        table.refuse(key, f"must be {', '.join(LAYOUTS)} or a layout file (FILE.toml), but is {text!r}")
    return text


def _fields(table: Table) -> dict[str, Any]:
    """The fields that a table has, checked."""
    read: dict[str, Any] = {
        "circuit": table.text("circuit"),
        "digest": table.text("digest"),
        "device": table.text("device"),
        "calibrated": table.text("calibrated", default=None),
        "layout": table.text("layout", choices=LAYOUTS),
        "level": table.integer("level", default=None, at_least=0, at_most=3),
        "seed": table.integer("seed", default=None, at_least=0),
        "initial": table.integers("initial", default=None, at_least=0),
        "two_qubit_gates": table.integer("two_qubit_gates", at_least=0),
        "success": table.number("success", default=None, at_least=0, at_most=1),
        "tiles": _tiles(table),
    }
    if not _DIGEST.fullmatch(read["digest"]):
        table.refuse("digest", f"must be 64 hexadecimal digits, but is {read['digest']!r}")
    whole = read["layout"] == "whole"
    for key in ("level", "seed", "initial"):
        if (read[key] is None) == whole:
            table.refuse(key, f"must {'' if whole else 'not '}be there where `layout` is {read['layout']}")
    if whole and [[len(copy) for copy in copies] for copies in read["tiles"]] != [[1]]:
        table.refuse("tiles", "must hold one round, one copy and one list of qubits where `layout` is whole")
    versions = table.table("versions", optional=True)
    read["versions"] = {name: versions.text(name) for name in versions.keys()}  # noqa: SIM118
    return {key: value for key, value in read.items() if value is not None}


def _tiles(table: Table) -> TileQubits:
    """The value of `tiles`: lists of lists of lists of lists of different whole numbers."""
    found: list[tuple[tuple[tuple[int, ...], ...], ...]] = []
    for number, copies in enumerate(_list(table, table.value("tiles"), "tiles"), 1):
        where = f"tiles: round {number}"
        here = tuple(
            tuple(
                tuple(_qubit(table, qubit, where) for qubit in _list(table, line, f"{where}, a tile"))
                for line in _list(table, copy, f"{where}, a copy")
            )
            for copy in _list(table, copies, where)
        )
        qubits = [qubit for copy in here for line in copy for qubit in line]
        if len(set(qubits)) != len(qubits):
            twice = next(qubit for qubit in qubits if qubits.count(qubit) > 1)
            table.refuse("tiles", f"must use a qubit once in a round, but round {number} has {twice} twice")
        if len({len(copy) for copy in here}) != 1:
            table.refuse("tiles", f"must have as many tiles in each copy, but round {number} has not")
        found.append(here)
    return tuple(found)


def _list(table: Table, value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        table.refuse("tiles", f"must be rounds of copies of tiles of qubits, but {where} is {value!r:.60}")
    return list(value)


def _qubit(table: Table, value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        table.refuse("tiles", f"must hold numbers of qubits, but {where} has {value!r:.60}")
    return value


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
