"""What files say of a device: its calibration, and where on it a circuit stands (standard library only).

First a calibration snapshot, as a noise file of kind `device` holds it; then a layout file:

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
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal, TypeAlias

from sqdr_qiskit.catalog import is_path
from sqdr_qiskit.specs.reader import Table, read_document, toml_lines

__all__ = [
    "COHERENT",
    "device_to_dict",
    "DeviceGate",
    "DeviceRotation",
    "DeviceSnapshot",
    "layout_at",
    "LAYOUTS",
    "LayoutSpec",
    "read_device",
    "read_layout",
    "TileQubits",
    "write_device",
]


@dataclass(frozen=True)
class DeviceGate:
    """One gate on one set of qubits.

    Attributes:
        name: The gate's name, such as `sx` or `ecr`.
        qubits: Device qubits, in the gate's order.
        error: Average gate infidelity as calibrated, in [0, 1]; None if unknown.
        duration_ns: Duration in ns; None if unknown. Virtual gates last 0 ns.
    """

    name: str
    qubits: tuple[int, ...]
    error: float | None
    duration_ns: float | None


COHERENT = ("over_rotation", "zz")
"""Errors of a pair that turn it by an angle."""


@dataclass(frozen=True)
class DeviceRotation:
    """A pair that turns by more than it should.

    Attributes:
        kind: `over_rotation`: after each of the pair's two-qubit gates, exp(-i angle / 2 P), P = ZZ after a
            CZ, Z on the first and X on the second qubit after an ECR or CX. `zz`: crosstalk, the same with
            ZZ in each two-qubit gate that one of the two takes part in without the other.
        qubits: The pair, ascending.
        angle_rad: Radians.
    """

    kind: str
    qubits: tuple[int, int]
    angle_rad: float


@dataclass(frozen=True)
class DeviceSnapshot:
    """Calibration of a device at one time.

    Attributes:
        name: The device.
        calibrated: Calibration time, ISO 8601.
        t1_us: Relaxation time of each qubit, microseconds; None if unknown.
        t2_us: Dephasing time of each qubit, microseconds, as calibrated (it may exceed 2 T1); None if
            unknown.
        p01: P(read 1 | is 0) of each qubit; None if unknown.
        p10: P(read 0 | is 1) of each qubit; None if unknown.
        gates: Every gate of the device.
        rotations: Pairs that turn too far, where that is known; no calibration says it.
        learnt: Qubits whose noise was learnt from measurements; the others are as calibrated.
    """

    name: str
    calibrated: str
    t1_us: tuple[float | None, ...]
    t2_us: tuple[float | None, ...]
    p01: tuple[float | None, ...]
    p10: tuple[float | None, ...]
    gates: tuple[DeviceGate, ...]
    rotations: tuple[DeviceRotation, ...] = ()
    learnt: tuple[int, ...] = ()

    @property
    def n_qubits(self) -> int:
        """Number of qubits of the device."""
        return len(self.t1_us)

    def gate_names(self) -> tuple[str, ...]:
        """Names of the device's gates, in the file's order."""
        return tuple(dict.fromkeys(gate.name for gate in self.gates))

    def median_error(self, name: str) -> float | None:
        """Median calibrated error of a gate over its qubits, gates marked faulty (error 1) left out."""
        known = [g.error for g in self.gates if g.name == name and g.error is not None and g.error < 1.0]
        return median(known) if known else None

    def angles(self, kind: str) -> dict[tuple[int, int], float]:
        """Pairs, ascending, that turn too far in this way, and by which angle (radians)."""
        return {one.qubits: one.angle_rad for one in self.rotations if one.kind == kind}


def read_device(table: Table) -> DeviceSnapshot:
    """Read table `device` of a noise file of kind `device`.

    Raises:
        SpecError: A key is missing or wrong, or lists have different lengths; names file, table and key.
    """
    name = table.text("name")
    calibrated = table.text("calibrated")
    n_qubits = table.integer("n_qubits", at_least=1)
    qubits = table.table("qubits")
    columns = {}
    for key, at_most in (("t1_us", None), ("t2_us", None), ("p01", 1.0), ("p10", 1.0)):
        columns[key] = _column(qubits, key, n_qubits, at_most)
    gates = [gate for inner in table.tables("gate") for gate in _read_gates(inner, n_qubits)]
    rotations = [
        one for inner in table.tables("rotation", optional=True) for one in _read_rotations(inner, n_qubits)
    ]
    return DeviceSnapshot(
        name,
        calibrated,
        columns["t1_us"],
        columns["t2_us"],
        columns["p01"],
        columns["p10"],
        tuple(gates),
        tuple(rotations),
        table.integers("learnt", default=(), at_least=0, at_most=n_qubits - 1),
    )


def _column(table: Table, key: str, length: int, at_most: float | None = None) -> tuple[float | None, ...]:
    """A list of numbers, -1 standing for "unknown" (TOML has no null)."""
    values = table.numbers(key, at_least=-1, at_most=at_most)
    if len(values) != length:
        table.refuse(key, f"must have {length} entries, but has {len(values)}")
    if any(-1 < value < 0 for value in values):
        table.refuse(key, "must have entries of at least 0, or -1 for an unknown one")
    return tuple(None if value == -1 else value for value in values)


def _read_places(table: Table, n_qubits: int) -> list[list[int]]:
    places = table.value("qubits")
    if not isinstance(places, list) or not all(
        isinstance(place, list) and place and all(type(q) is int and 0 <= q < n_qubits for q in place)
        for place in places
    ):
        table.refuse("qubits", f"must be a list of lists of qubits from 0 to {n_qubits - 1}")
    return places


def _read_rotations(table: Table, n_qubits: int) -> list[DeviceRotation]:
    kind = table.text("kind", choices=COHERENT)
    places = _read_places(table, n_qubits)
    if any(len(place) != 2 or place[0] >= place[1] for place in places):
        table.refuse("qubits", "must be a list of pairs of qubits, the smaller one first")
    angles = table.numbers("angle_rad", at_least=-math.pi, at_most=math.pi)
    if len(angles) != len(places):
        table.refuse("angle_rad", f"must have {len(places)} entries, but has {len(angles)}")
    return [
        DeviceRotation(kind, (place[0], place[1]), angle) for place, angle in zip(places, angles, strict=True)
    ]


def _read_gates(table: Table, n_qubits: int) -> list[DeviceGate]:
    name = table.text("name")
    places = _read_places(table, n_qubits)
    errors = _column(table, "error", len(places), 1.0)
    durations = _column(table, "duration_ns", len(places))
    return [
        DeviceGate(name, tuple(place), error, duration)
        for place, error, duration in zip(places, errors, durations, strict=True)
    ]


def device_to_dict(snapshot: DeviceSnapshot) -> dict[str, Any]:
    """Table `device` that `read_device` reads back as this snapshot."""
    columns = {key: _known(getattr(snapshot, key)) for key in ("t1_us", "t2_us", "p01", "p10")}
    gates = []
    for name in snapshot.gate_names():
        same = [gate for gate in snapshot.gates if gate.name == name]
        gates.append(
            {
                "name": name,
                "qubits": [list(gate.qubits) for gate in same],
                "error": _known(gate.error for gate in same),
                "duration_ns": _known(gate.duration_ns for gate in same),
            }
        )
    head: dict[str, Any] = {
        "name": snapshot.name,
        "calibrated": snapshot.calibrated,
        "n_qubits": snapshot.n_qubits,
    }
    if snapshot.learnt:
        head["learnt"] = list(snapshot.learnt)
    rotations = [
        {"kind": kind, "qubits": [list(pair) for pair in found], "angle_rad": list(found.values())}
        for kind in COHERENT
        if (found := snapshot.angles(kind))
    ]
    return {**head, "qubits": columns, "gate": gates, **({"rotation": rotations} if rotations else {})}


def write_device(snapshot: DeviceSnapshot, *, title: str, source: str) -> str:
    """The snapshot as the text of a noise file of kind `device`; reading it gives the same numbers."""
    values = device_to_dict(snapshot)
    qubits, gates, rotations = values.pop("qubits"), values.pop("gate"), values.pop("rotation", ())
    lines = toml_lines({"schema": 1, "kind": "device", "title": title, "source": source})
    lines += ["", "[device]", *toml_lines(values)]
    lines += ["", "[device.qubits]  # -1: unknown", *toml_lines(qubits)]
    for name, tables in (("gate", gates), ("rotation", rotations)):
        for table in tables:
            lines += ["", f"[[device.{name}]]", *toml_lines(table)]
    return "\n".join(lines) + "\n"


def _known(values: Iterable[float | None]) -> list[float]:
    return [-1 if value is None else value for value in values]


# ---- layouts -----------------------------------------------------------------------------------------------

LAYOUTS = ("tiled", "whole")
_DIGEST = re.compile("[0-9a-f]{64}")

TileQubits: TypeAlias = tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
"""The device's qubits: of each round, of each sample side by side, of each tile."""


@dataclass(frozen=True, kw_only=True, repr=False)
class LayoutSpec:
    """A circuit's place on a device.

    Attributes:
        circuit: The circuit's name.
        digest: SHA-256 of its gates and outputs (`devices.programs.digest_of`).
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
        values = {key: value for key, value in self.to_dict().items() if value not in (None, "")}
        lines = toml_lines({"schema": 1, "kind": "layout", "title": self.title, "source": self.source})
        apart = ("title", "source", "tiles", "versions")
        lines += ["", *toml_lines({key: value for key, value in values.items() if key not in apart})]
        lines.append("tiles = [")
        for number, copies in enumerate(self.tiles, 1):
            lines += [f"  [ # round {number}", *(f"    {json.dumps(copy)}," for copy in copies), "  ],"]
        lines += ["]", "", "[versions]", *toml_lines({json.dumps(k): v for k, v in self.versions.items()})]
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
