"""What a noise file says: channels, the gates they follow, readout errors (standard library only)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqdr_qiskit.catalog import find
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.channels import SWEEPABLE, ChannelSpec, channel_to_dict, read_channel
from sqdr_qiskit.specs.device import DeviceSnapshot, device_to_dict, read_device, write_device
from sqdr_qiskit.specs.reader import Table, read_document, toml_lines

__all__ = [
    "ErrorSpec",
    "GROUPS",
    "noise_spec",
    "noise_text",
    "NoiseSpec",
    "ONE_QUBIT_GATES",
    "PLACES",
    "read_noise",
    "ReadoutSpec",
    "single_channel_noise",
    "TWO_QUBIT_GATES",
]


# fmt: off
ONE_QUBIT_GATES = (
    "u", "rx", "ry", "rz", "h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg", "p", "id",
)
# fmt: on
TWO_QUBIT_GATES = ("cz", "cx", "cy", "ecr", "swap", "rzz", "rxx", "ryy", "cp")

# Words for several gates at once; a circuit says which of them it has. `id` waits, it is no gate of a group.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "all_gates": tuple(name for name in (*ONE_QUBIT_GATES, *TWO_QUBIT_GATES) if name != "id"),
    "one_qubit_gates": tuple(name for name in ONE_QUBIT_GATES if name != "id"),
    "pulsed_gates": ("u", "rx", "ry", "h", "x", "y", "sx", "sxdg"),  # on a chip, turns about Z are virtual
    "two_qubit_gates": TWO_QUBIT_GATES,
}

# Places in a circuit that are no gates: an identity gate with this label marks them (`with_places`).
PLACES: Mapping[str, str] = {
    "idle": "a qubit that waits while a two-qubit gate runs elsewhere",
    "run_end": "the end of each run of one-qubit gates on a qubit",
    "layer_end": "the end of each layer of two-qubit gates, on every qubit",
}

_ALIASES = {"rot": "u"}  # one Rot is one `u` gate in the circuits


@dataclass(frozen=True)
class ErrorSpec:
    """A channel and where it acts.

    Attributes:
        channel: The channel.
        after: Gate names, group names (`GROUPS`) and places (`PLACES`). A one-qubit channel acts on every
            qubit of the gate; a two-qubit channel on the gate's qubits in the gate's order.
        qubits: Only on these qubits, negative ones counted from the last; None for all. One-qubit channels
            only.
        pairs: Only on gates between these pairs, in either order; None for all. Two-qubit channels only.
    """

    channel: ChannelSpec
    after: tuple[str, ...]
    qubits: tuple[int, ...] | None = None
    pairs: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        problem = _error_problem(self.channel, self.after, self.qubits, self.pairs)
        if problem is not None:
            raise ArgumentError(f"Argument `{problem[0]}` {problem[1]}.")

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of all gates and places meant, groups spelt out."""
        names = [gate for word in self.after for gate in GROUPS.get(word, (word,))]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class ReadoutSpec:
    """Readout error: a qubit in |0> is read as 1 with probability p01, one in |1> as 0 with p10.

    Attributes:
        p01: P(read 1 | is 0), in [0, 1].
        p10: P(read 0 | is 1), in [0, 1].
        qubits: On these qubits, negative ones counted from the last; None for all that no other entry names.
    """

    p01: float
    p10: float
    qubits: tuple[int, ...] | None = None


@dataclass(frozen=True)
class NoiseSpec:
    """A noise file.

    Attributes:
        name: Catalogue name, or the file's stem.
        title: One line for lists.
        source: Where the numbers come from.
        errors: Channels after gates, in the order in which they act.
        readout: Readout errors.
        device: A device's calibration snapshot (kind `device`), which gives gate and readout errors of its
            own.
    """

    name: str
    title: str
    source: str
    errors: tuple[ErrorSpec, ...] = ()
    readout: tuple[ReadoutSpec, ...] = ()
    device: DeviceSnapshot | None = None

    def to_dict(self) -> dict[str, Any]:
        """All that the file says, as JSON values in the file's own keys."""
        values: dict[str, Any] = {"name": self.name, "title": self.title, "source": self.source}
        if self.device is not None:
            return {**values, "device": device_to_dict(self.device)}
        values["error"] = [_error_to_dict(error) for error in self.errors]
        values["readout"] = [
            {"p01": r.p01, "p10": r.p10, **({} if r.qubits is None else {"qubits": list(r.qubits)})}
            for r in self.readout
        ]
        return values

    @property
    def places(self) -> tuple[str, ...]:
        """Places (`PLACES`) that some error names: the circuit needs markers there."""
        named = {gate for error in self.errors for gate in error.gates}
        return tuple(place for place in PLACES if place in named)


def noise_spec(noise: str | os.PathLike[str] | NoiseSpec) -> NoiseSpec:
    """The noise that a user's argument means: a catalogue name, a path, or a description, returned as it is.

    Args:
        noise: `paper`, `my/noise.toml`, ... or a `NoiseSpec`.

    Raises:
        CatalogError: There is no such file.
        SpecError: The file says something that cannot be; names file, table and key.
    """
    return noise if isinstance(noise, NoiseSpec) else read_noise(find("noise_models", noise))


def read_noise(path: str | os.PathLike[str]) -> NoiseSpec:
    """Read a noise file.

    Raises:
        SpecError: The file says something that cannot be; names file, table and key.
    """
    document = read_document(path, kinds=("noise", "device"))
    words = (document.path.stem, document.title, document.source)
    if document.kind == "device":
        spec = NoiseSpec(*words, device=read_device(document.table("device")))
    else:
        errors = tuple(_read_error(table) for table in document.top.tables("error", optional=True))
        spec = NoiseSpec(*words, errors, _read_readouts(document.top))
        if not errors and not spec.readout:
            document.top.refuse("error", "or key `readout` must be given: a file without noise says nothing")
    document.finish()
    return spec


def single_channel_noise(channel: str, strength: float) -> NoiseSpec:
    """Noise of one channel of one strength after every gate, for sweeps.

    Args:
        channel: One of `SWEEPABLE`.
        strength: Its probability (p, gamma or lambda), in [0, 1].

    Raises:
        ArgumentError: An unknown channel, or a strength that is none.
    """
    if channel not in SWEEPABLE:
        raise ArgumentError(f"Argument `channel` must be one of {', '.join(SWEEPABLE)}, but is {channel!r}.")
    spec = ChannelSpec(channel, ((SWEEPABLE[channel], float(strength)),))
    error = ErrorSpec(spec, ("all_gates",))
    title = f"{spec.describe()} after all_gates"
    return NoiseSpec(f"{channel}-{strength:g}", title, "made for a sweep", (error,))


def _error_to_dict(error: ErrorSpec) -> dict[str, Any]:
    values = {**channel_to_dict(error.channel), "after": list(error.after)}
    if error.qubits is not None:
        values["qubits"] = list(error.qubits)
    if error.pairs is not None:
        values["pairs"] = [list(pair) for pair in error.pairs]
    return values


def _read_error(table: Table) -> ErrorSpec:
    channel = read_channel(table)
    known = (*GROUPS, *PLACES, *_ALIASES, *ONE_QUBIT_GATES, *TWO_QUBIT_GATES)
    after = tuple(_ALIASES.get(word, word) for word in table.texts("after", choices=known))
    qubits = table.integers("qubits", default=None) if channel.n_qubits == 1 else None
    pairs = _read_pairs(table) if channel.n_qubits == 2 else None
    problem = _error_problem(channel, after, qubits, pairs)
    if problem is not None:
        table.refuse(*problem)
    return ErrorSpec(channel, after, qubits, pairs)


def _error_problem(
    channel: ChannelSpec,
    after: tuple[str, ...],
    qubits: tuple[int, ...] | None,
    pairs: tuple[tuple[int, int], ...] | None,
) -> tuple[str, str] | None:
    """What is wrong with an error's place, as (key, why), or None."""
    if channel.n_qubits == 1:
        if pairs is not None:
            return "pairs", "must be left out for a one-qubit channel; give `qubits`"
        if qubits is not None and len(set(qubits)) != len(qubits):
            return "qubits", f"must name each qubit once, but is {list(qubits)}"
        return None
    wrong = [name for word in after for name in GROUPS.get(word, (word,)) if name not in TWO_QUBIT_GATES]
    if wrong:
        return "after", f"must name two-qubit gates for a two-qubit channel, but names {wrong[0]!r}"
    if qubits is not None:
        return "qubits", "must be left out for a two-qubit channel; give `pairs`"
    seen = {frozenset(pair) for pair in pairs or ()}
    if pairs is not None and (len(seen) != len(pairs) or any(len(pair) != 2 for pair in seen)):
        shown = [list(pair) for pair in pairs]
        return "pairs", f"must name pairs of two different qubits, each once, but is {shown}"
    return None


def _read_pairs(table: Table) -> tuple[tuple[int, int], ...] | None:
    value = table.value("pairs", default=None)
    if value is None:
        return None
    good = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(qubit) is int for qubit in pair)
        for pair in value
    )
    if not good or not value:
        table.refuse("pairs", "must be a list of pairs of qubits, such as [[0, 1], [1, 2]]")
    return tuple((pair[0], pair[1]) for pair in value)


def _read_readouts(top: Table) -> tuple[ReadoutSpec, ...]:
    readouts: list[ReadoutSpec] = []
    taken: set[int | None] = set()
    for table in top.tables("readout", optional=True):
        p01 = table.number("p01", at_least=0, at_most=1)
        p10 = table.number("p10", at_least=0, at_most=1)
        qubits = table.integers("qubits", default=None)
        names: tuple[int | None, ...] = qubits if qubits is not None else (None,)
        for name in names:
            if name in taken or names.count(name) > 1:
                twice = "all qubits" if name is None else f"qubit {name}"
                table.refuse("qubits", f"must give each qubit one readout error, but {twice} has two")
        taken.update(names)
        readouts.append(ReadoutSpec(p01, p10, qubits))
    return tuple(readouts)


def noise_text(spec: NoiseSpec) -> str:
    """TOML that `read_noise` reads back as this noise (its name is the file's)."""
    if spec.device is not None:
        return write_device(spec.device, title=spec.title, source=spec.source)
    values = spec.to_dict()
    lines = toml_lines({"schema": 1, "kind": "noise", "title": spec.title, "source": spec.source})
    for table in ("error", "readout"):
        for entry in values[table]:
            lines += ["", f"[[{table}]]", *toml_lines(entry)]
    return "\n".join(lines) + "\n"
