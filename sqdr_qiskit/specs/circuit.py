"""What a file in `circuits/` says: the kind of circuit and its sizes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

from sqdr_qiskit import catalog
from sqdr_qiskit.errors import ArgumentError, CatalogError
from sqdr_qiskit.specs.reader import Table, read_document, toml_lines

__all__ = [
    "CIRCUIT_KIND_NAMES",
    "circuit_spec",
    "circuit_toml",
    "CircuitKind",
    "CircuitSpec",
    "parameter_counts",
    "read_circuit",
]


def parameter_counts(
    *,
    n_features: int,
    n_weights: int,
    n_outputs: int,
    n_channels: int = 1,
    n_classes: int = 10,
    head: bool = True,
) -> dict[str, int]:
    """Trainable parameters of the network by part, and their sum under `total`; no network is built.

    Convolutions 9 (C 2C + 2C 4C + 4C 8C), batch norms 2 (2C + 4C + 8C), linear layer (8C + 1) F, circuit
    W, head (n + 1) c.

    For one channel, ten classes and circuits 2b-9q, 4b-9q, 2b-18q, 4b-18q the totals are 803, 857, 1190 and
    1298 (table 3 of the paper).

    Args:
        n_features: Inputs of the circuit, F.
        n_weights: Weights of the circuit, W.
        n_outputs: Expectation values of the circuit, n.
        n_channels: Channels of an image, C.
        n_classes: Classes, c.
        head: Whether a linear layer follows the circuit.

    Raises:
        ArgumentError: A number is below 1 (below 0 for `n_weights`).
    """
    sizes = Table(
        {"n_features": n_features, "n_outputs": n_outputs, "n_channels": n_channels, "n_classes": n_classes}
    )
    for key in sizes.keys():  # noqa: SIM118 (a Table is not a mapping)
        sizes.integer(key, at_least=1)
    Table({"n_weights": n_weights}).integer("n_weights", at_least=0)
    widths = [n_channels * factor for factor in (1, 2, 4, 8)]
    counts = {
        "conv": sum(9 * width * next_width for width, next_width in pairwise(widths)),
        "batch_norm": sum(2 * width for width in widths[1:]),
        "linear": (widths[-1] + 1) * n_features,
        "circuit": n_weights,
        "head": (n_outputs + 1) * n_classes if head else 0,
    }
    return {**counts, "total": sum(counts.values())}


CircuitKind: TypeAlias = Literal["reupload", "hea", "sqnn"]
CIRCUIT_KIND_NAMES: tuple[str, ...] = get_args(CircuitKind)

_NAME_PATTERN = re.compile(r"(?P<blocks>[1-9][0-9]*)b-(?P<qubits>[1-9][0-9]*)q")
_AT_MOST = 1000  # larger numbers are slips of the pen
_MOST_TOGETHER = 20_000  # blocks times qubits: what can be built in seconds


@dataclass(frozen=True, kw_only=True)
class CircuitSpec:
    """A circuit, described.

    Attributes:
        name: What lists and checkpoints call it.
        kind: `reupload` (equations 5 and 6 of the paper), `hea` (equation 2) or `sqnn` (section 3.2).
        n_qubits: Number of qubits n.
        n_blocks: Number of blocks b: encoding, weights and entangler for `reupload`; entangler and rotations
            for `hea`; rotations and entangler for `sqnn`.
        entangler: Neighbours that are entangled: (i, i+1) for all i, on a `ring` with i+1 modulo n (for n = 2
            the one pair once), on a `line` without the ring's last pair; `none` entangles nothing.
        last_entangler: Whether the last block has its entangling layer.
        trained_rotations: Whether each block of a `reupload` circuit has rotations with weights; without them
            only its data are left.
        observables: `local_z`: the n outputs are the expectations of Pauli Z on each qubit.
        title: One line for lists.
        source: Where the circuit comes from, and what was chosen where the source is silent.

    Raises:
        ArgumentError: A value is out of range.
    """

    name: str
    kind: CircuitKind
    n_qubits: int
    n_blocks: int
    entangler: Literal["ring", "line", "none"] = "ring"
    last_entangler: bool = True
    trained_rotations: bool = True
    observables: Literal["local_z"] = "local_z"
    title: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _sizes(Table({key: getattr(self, key) for key in _SIZE_KEYS}))
        Table({"kind": self.kind}).text("kind", choices=CIRCUIT_KIND_NAMES)
        Table({"name": self.name}).text("name")
        if not self.trained_rotations and self.kind != "reupload":
            raise ArgumentError(
                f"Argument `trained_rotations` must be true for kind {self.kind}, but is false: only "
                "reupload has others."
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "circuit") -> CircuitSpec:
        """The circuit that `to_dict` wrote.

        Args:
            values: Its fields.
            where: What to call their home in errors.

        Raises:
            SpecError: A field is missing, unknown or out of range.
        """
        table = Table(values, file=where)
        spec = cls(
            name=table.text("name"),
            kind=table.text("kind", choices=CIRCUIT_KIND_NAMES),  # type: ignore[arg-type]
            title=table.value("title", default=""),
            source=table.value("source", default=""),
            **_sizes(table),
        )
        table.finish()
        return spec


_SIZE_KEYS = ("n_qubits", "n_blocks", "entangler", "last_entangler", "trained_rotations", "observables")


def read_circuit(path: str | os.PathLike[str]) -> CircuitSpec:
    """Read a circuit file.

    Raises:
        SpecError: The file says something that cannot be.
    """
    document = read_document(path, kinds=CIRCUIT_KIND_NAMES)
    sizes = _sizes(document.table("circuit"))
    document.finish()
    return CircuitSpec(
        name=document.path.stem,
        kind=document.kind,  # type: ignore[arg-type]
        title=document.title,
        source=document.source,
        **sizes,
    )


def circuit_toml(spec: CircuitSpec) -> str:
    """The text of a circuit file that `read_circuit` reads back as this circuit, but for its name."""
    first = {"schema": 1, "kind": spec.kind, "title": spec.title, "source": spec.source}
    sizes = {key: getattr(spec, key) for key in _SIZE_KEYS}
    return "\n".join([*toml_lines(first), "", "[circuit]", *toml_lines(sizes)]) + "\n"


def circuit_spec(circuit: str | os.PathLike[str] | CircuitSpec) -> CircuitSpec:
    """The circuit that a user's argument means.

    Args:
        circuit: A catalogue name; a name of the form `<b>b-<n>q`, a data re-uploading circuit of b blocks on
            a ring of n qubits; a path; or a description, which is returned as it is.

    Raises:
        CatalogError: There is no such circuit.
        SpecError: Its file says something that cannot be.
    """
    if isinstance(circuit, CircuitSpec):
        return circuit
    name = os.fspath(circuit)
    match = _NAME_PATTERN.fullmatch(name)
    if match is None or name in catalog.list_names("circuits"):
        return read_circuit(catalog.find("circuits", name))
    n_blocks, n_qubits = int(match["blocks"]), int(match["qubits"])
    if max(n_blocks, n_qubits) > _AT_MOST:
        raise CatalogError(f"There is no circuit {name!r}; blocks and qubits must be at most {_AT_MOST}.")
    return CircuitSpec(
        name=name,
        kind="reupload",
        n_qubits=n_qubits,
        n_blocks=n_blocks,
        title=f"Data re-uploading, {n_blocks} blocks on {n_qubits} qubits, CZ ring",
        source="The name's pattern; Luu et al., arXiv 2512.03895: equations 5 and 6, figure 2",
    )


def _sizes(table: Table) -> dict[str, Any]:
    """The keys of table `circuit`, checked."""
    sizes: dict[str, Any] = {
        "n_qubits": table.integer("n_qubits", at_least=1, at_most=_AT_MOST),
        "n_blocks": table.integer("n_blocks", at_least=1, at_most=_AT_MOST),
        "entangler": table.text("entangler", choices=("ring", "line", "none"), default="ring"),
        "last_entangler": table.flag("last_entangler", default=True),
        "trained_rotations": table.flag("trained_rotations", default=True),
        "observables": table.text("observables", choices=("local_z",), default="local_z"),
    }
    if sizes["n_qubits"] * sizes["n_blocks"] > _MOST_TOGETHER:
        table.refuse(
            "n_blocks",
            f"times `n_qubits` must be at most {_MOST_TOGETHER:,}, "
            f"but is {sizes['n_qubits'] * sizes['n_blocks']:,}",
        )
    return sizes
