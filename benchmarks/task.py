"""What every row of the benchmark computes: one circuit, one batch of inputs, the same numbers for all."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["VARIANTS", "Noise", "Task", "draw_inputs", "parse_variant"]

Array = NDArray[np.float64]

VARIANTS = ("2b-9q", "4b-9q", "2b-18q", "4b-18q")
"""The four circuits of the paper's Table 3: `<blocks>b-<qubits>q`."""

_PAPER_CHANNELS = (("bit_flip", 0.02), ("depolarizing", 0.03), ("amplitude_damping", 0.02))


@dataclass(frozen=True)
class Noise:
    """One-qubit channels that follow every `Rot`, in order: (name, strength), names as in noise files.

    With `after_cz` the same channels also follow every CZ, on each of its two qubits ("all gates"). `source`
    is the noise file that says so, for ours, which reads it as its users do.
    """

    channels: tuple[tuple[str, float], ...] = _PAPER_CHANNELS
    after_cz: bool = True
    source: str = "paper"

    @classmethod
    def from_file(cls, path: Path) -> Noise:
        """Read a noise file whose channels all follow `["rot"]`, or all `["all_gates"]`."""
        channels, places = [], set()
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["error"]:
            kind, strength = entry["channel"], entry.get("p", entry.get("gamma"))
            places.add(tuple(entry["after"]))
            if kind not in {"bit_flip", "depolarizing", "amplitude_damping"} or strength is None:
                raise SystemExit(f"error: the benchmark's peers cannot take channel {kind!r} of {path}")
            channels.append((kind, float(strength)))
        if places not in ({("rot",)}, {("u",)}, {("all_gates",)}):
            raise SystemExit(f"error: all channels of {path} must follow rot, or all of them all_gates")
        return cls(tuple(channels), after_cz=places == {("all_gates",)}, source=str(path.resolve()))

    def kraus(self, index: int) -> list[NDArray[np.complex128]]:
        """Kraus operators of channel number `index`, equations 14 to 16 of the paper."""
        kind, p = self.channels[index]
        identity, x = np.eye(2, dtype=complex), np.array([[0, 1], [1, 0]], dtype=complex)
        y, z = np.array([[0, -1j], [1j, 0]]), np.diag([1.0 + 0j, -1.0])
        if kind == "bit_flip":
            return [np.sqrt(1 - p) * identity, np.sqrt(p) * x]
        if kind == "depolarizing":
            return [np.sqrt(1 - p) * identity, *(np.sqrt(p / 3) * pauli for pauli in (x, y, z))]
        if kind == "amplitude_damping":
            decay = np.array([[0, np.sqrt(p)], [0, 0]], dtype=complex)
            return [np.diag([1.0 + 0j, np.sqrt(1 - p)]), decay]
        raise ValueError(f"unknown channel {kind!r}")

    def superoperator(self) -> NDArray[np.complex128]:
        """All channels as one 4x4 matrix on vec(rho), row by row: rho[r, c] is element 2 r + c."""
        total = np.eye(4, dtype=complex)
        for index in range(len(self.channels)):
            total = sum(np.kron(k, k.conj()) for k in self.kraus(index)) @ total
        return total


@dataclass(frozen=True)
class Task:
    """A re-upload circuit (blocks of Rot(x), Rot(w), CZ ring) on `batch` samples, with or without noise."""

    n_qubits: int
    n_blocks: int
    batch: int
    noise: Noise | None = None

    @property
    def n_inputs(self) -> int:
        return 3 * self.n_qubits

    @property
    def n_weights(self) -> int:
        return 3 * self.n_qubits * self.n_blocks

    @property
    def ring(self) -> list[tuple[int, int]]:
        """The CZ pairs, in order; two qubits share one."""
        n = self.n_qubits
        return [(i, (i + 1) % n) for i in range(n if n > 2 else n - 1)]


def parse_variant(name: str) -> tuple[int, int]:
    """`'2b-9q'` -> (n_qubits, n_blocks) = (9, 2)."""
    blocks, qubits = name.removesuffix("q").split("b-")
    return int(qubits), int(blocks)


def draw_inputs(task: Task, seed: int = 0) -> tuple[Array, Array, Array]:
    """Angles x (batch, 3n), w (3nb,), cotangent (batch, n); the first samples do not depend on `batch`."""
    rng_w, rng_x, rng_c = (np.random.default_rng([seed, task.n_qubits, task.n_blocks, k]) for k in range(3))
    w = rng_w.uniform(0, 2 * np.pi, task.n_weights)
    x = rng_x.uniform(0, 2 * np.pi, (task.batch, task.n_inputs))
    return x, w, rng_c.normal(size=(task.batch, task.n_qubits))
