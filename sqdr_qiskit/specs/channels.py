"""One noise channel of a noise file: its kind and its parameters, checked (standard library only)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.reader import Table

__all__ = ["CHANNEL_PARAMETERS", "SWEEPABLE", "ChannelSpec", "Matrix", "channel_to_dict", "read_channel"]

Matrix: TypeAlias = tuple[tuple[tuple[float, float], ...], ...]
"""Rows of (real, imaginary) pairs."""

# Kind -> the keys that a file gives. `pauli` and `kraus` have keys of their own; `depolarizing` also takes
# `lambda`.
CHANNEL_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "bit_flip": ("p",),
    "phase_flip": ("p",),
    "depolarizing": ("p",),
    "depolarizing_2q": ("p",),
    "amplitude_damping": ("gamma",),
    "phase_damping": ("lambda",),
    "thermal_relaxation": ("t1_us", "t2_us", "duration_ns"),
    "zz_rotation": ("angle_rad",),
    "zx_rotation": ("angle_rad",),
    "pauli": (),
    "kraus": (),
}

SWEEPABLE: Mapping[str, str] = {
    kind: keys[0]
    for kind, keys in CHANNEL_PARAMETERS.items()
    if len(keys) == 1 and kind != "depolarizing_2q" and keys != ("angle_rad",)
}
"""Channels of one strength in [0, 1] -> the parameter that is the strength."""

# Qiskit's lambda per the paper's p: (1 - lambda) rho + lambda 1/d is p = lambda (1 - 1/4^k), spread over 4^k
# - 1 Paulis.
_P_PER_LAMBDA = {"depolarizing": 3.0 / 4.0, "depolarizing_2q": 15.0 / 16.0}
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ChannelSpec:
    """A trace-preserving channel on one or two qubits.

    Attributes:
        kind: One of `CHANNEL_PARAMETERS`.
        params: (name, value) pairs: the kind's parameters, or for `pauli` the probability of each Pauli word.
            Depolarizing channels hold the paper's p: each of the 3 (or 15) Paulis with p/3 (or p/15),
            equation 15.
        matrices: Kraus operators of kind `kraus`, else empty. For two qubits the first one is the most
            significant.

    Raises:
        ArgumentError: A parameter is missing, unknown or out of range, or the operators do not preserve the
            trace.
    """

    kind: str
    params: tuple[tuple[str, float], ...] = ()
    matrices: tuple[Matrix, ...] = ()

    def __post_init__(self) -> None:
        problem = _problem(self.kind, dict(self.params), self.matrices)
        if problem is not None:
            key, why = problem
            raise ArgumentError(f"Argument `{key}` of channel {self.kind!r} {why}.")

    def __getitem__(self, name: str) -> float:
        return dict(self.params)[name]

    @property
    def n_qubits(self) -> int:
        """Number of qubits the channel acts on, 1 or 2."""
        if self.kind == "pauli":
            return len(self.params[0][0])
        if self.kind == "kraus":
            return len(self.matrices[0]).bit_length() - 1
        return 2 if self.kind.endswith(("_2q", "_rotation")) else 1

    def describe(self) -> str:
        """The channel in one line, for tables and messages."""
        if self.kind == "kraus":
            return f"kraus ({len(self.matrices)} operators)"
        return f"{self.kind}({', '.join(f'{name} = {value:g}' for name, value in self.params)})"


def read_channel(table: Table) -> ChannelSpec:
    """Read the keys of one channel from a table of a noise file.

    Raises:
        SpecError: A key is missing, out of range or contradicts another one; names file, table and key.
    """
    kind = table.text("channel", choices=tuple(CHANNEL_PARAMETERS))
    params: dict[str, float] = {}
    matrices: tuple[Matrix, ...] = ()
    if kind == "pauli":
        params = _read_probabilities(table)
    elif kind == "kraus":
        matrices = _read_matrices(table)
    elif kind in _P_PER_LAMBDA:
        params = {"p": _read_depolarizing(table, kind)}
    else:
        params = {name: table.number(name) for name in CHANNEL_PARAMETERS[kind]}
    problem = _problem(kind, params, matrices)
    if problem is not None:
        table.refuse(*problem)
    return ChannelSpec(kind, tuple(params.items()), matrices)


def channel_to_dict(channel: ChannelSpec) -> dict[str, Any]:
    """The keys of a file that `read_channel` reads back as this channel."""
    values: dict[str, Any] = {"channel": channel.kind}
    if channel.kind == "pauli":
        values["probabilities"] = dict(channel.params)
    elif channel.kind == "kraus":
        values["kraus"] = [[[list(entry) for entry in row] for row in m] for m in channel.matrices]
    else:
        values.update(channel.params)
    return values


def _read_depolarizing(table: Table, kind: str) -> float:
    p = table.number("p", default=None, at_least=0, at_most=1)
    lam = table.number("lambda", default=None, at_least=0)
    if (p is None) == (lam is None):
        given = "neither" if p is None else "both"
        table.refuse("p", f"or key `lambda` (Qiskit's parameter) must be given, one of them, but {given} is")
    if p is not None:
        return float(p)
    factor = _P_PER_LAMBDA[kind]
    assert lam is not None
    if lam * factor > 1.0 + _TOLERANCE:
        table.refuse("lambda", f"must be at most {1 / factor:.10g}, but is {lam:g}")
    return float(min(1.0, lam * factor))


def _read_probabilities(table: Table) -> dict[str, float]:
    inner = table.table("probabilities")
    params = {word: inner.number(word, at_least=0, at_most=1) for word in inner.keys()}  # noqa: SIM118
    words = [word for word in params if word.strip("I")] or [word for word in params if word]
    if not words:
        table.refuse("probabilities", "must give the probability of at least one Pauli")
    identity = "I" * len(words[0])
    if identity not in params:
        params = {identity: 1.0 - sum(params.values()), **params}
    return params


def _read_matrices(table: Table) -> tuple[Matrix, ...]:
    value = table.value("kraus")
    if not isinstance(value, list) or not value:
        table.refuse("kraus", "must be a list of matrices")
    return tuple(_read_matrix(table, matrix, position) for position, matrix in enumerate(value, 1))


def _read_matrix(table: Table, value: Any, position: int) -> Matrix:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        table.refuse("kraus", f"must hold matrices (lists of rows), but number {position} is none")
    return tuple(tuple(_read_entry(table, entry, position) for entry in row) for row in value)


def _read_entry(table: Table, value: Any, position: int) -> tuple[float, float]:
    parts = value if isinstance(value, list) and len(value) == 2 else [value, 0.0]
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts):
        table.refuse(
            "kraus",
            f"must hold numbers or [real, imaginary] pairs, but matrix {position} holds {value!r:.60}",
        )
    return float(parts[0]), float(parts[1])


def _problem(kind: str, params: Mapping[str, float], matrices: tuple[Matrix, ...]) -> tuple[str, str] | None:
    """What is wrong with a channel, as (key, why), or None."""
    if kind not in CHANNEL_PARAMETERS:
        return "kind", f"must be one of {', '.join(CHANNEL_PARAMETERS)}, but is {kind!r}"
    if kind == "kraus":
        return _matrices_problem(matrices)
    if kind == "pauli":
        return _probabilities_problem(params)
    for name in CHANNEL_PARAMETERS[kind]:
        if name not in params:
            return name, "is missing"
    for name, value in params.items():
        if name not in CHANNEL_PARAMETERS[kind]:
            return name, "is unknown"
        if name in ("p", "gamma", "lambda") and not 0.0 <= value <= 1.0:
            return name, f"must be from 0 to 1, but is {value:g}"
        if name in ("t1_us", "t2_us") and not value > 0.0:
            return name, f"must be above 0, but is {value:g}"
        if name == "angle_rad" and not abs(value) <= math.pi:
            return name, f"must be from -pi to pi, but is {value:g}"
        if name == "duration_ns" and not value >= 0.0:
            return name, f"must be at least 0, but is {value:g}"
    if kind == "thermal_relaxation" and params["t2_us"] > 2.0 * params["t1_us"]:
        t1, t2 = params["t1_us"], params["t2_us"]
        return "t2_us", f"must be at most 2 * t1_us = {2 * t1:g}, but is {t2:g}"
    return None


def _probabilities_problem(params: Mapping[str, float]) -> tuple[str, str] | None:
    lengths = {len(word) for word in params}
    if lengths not in ({1}, {2}) or any(set(word) - set("IXYZ") for word in params):
        words = ", ".join(params)
        return (
            "probabilities",
            f"must have keys of I, X, Y, Z (one letter, or two for two qubits), but has {words}",
        )
    if min(params.values()) < -_TOLERANCE or abs(sum(params.values()) - 1.0) > _TOLERANCE:
        values = ", ".join(f"{word} = {value:g}" for word, value in params.items())
        return "probabilities", f"must be from 0 to 1 and sum to 1, but is {values}"
    return None


def _matrices_problem(matrices: tuple[Matrix, ...]) -> tuple[str, str] | None:
    """Sum of K^dagger K must be the identity: the channel must preserve the trace."""
    size = len(matrices[0]) if matrices else 0
    if size not in (2, 4) or any(len(m) != size or any(len(row) != size for row in m) for m in matrices):
        return "kraus", "must be matrices of shape 2 x 2, or of shape 4 x 4 for two qubits"
    worst = 0.0
    for i, k in itertools.product(range(size), repeat=2):
        total = sum(
            complex(*matrix[j][i]).conjugate() * complex(*matrix[j][k])
            for matrix in matrices
            for j in range(size)
        )
        worst = max(worst, abs(total - (1.0 if i == k else 0.0)))
    if not worst <= _TOLERANCE:
        return "kraus", f"must satisfy sum of K^dagger K = identity, but is off by {worst:.3g}"
    return None
