"""What the engine needs to know of noise: which channels follow which gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.paulis import RealArray

__all__ = ["Channel", "ChannelModel", "noiseless"]


@dataclass(frozen=True)
class Channel:
    """A trace-preserving map on one or two qubits.

    Attributes:
        qubits: The circuit's qubits it acts on.
        ptm: Pauli-transfer matrix, shape (4, 4) or (16, 16), in the convention of `lightcone.paulis`.
    """

    qubits: tuple[int, ...]
    ptm: RealArray

    def __post_init__(self) -> None:
        size = 4 ** len(self.qubits)
        if len(self.qubits) not in (1, 2) or self.ptm.shape != (size, size):
            raise ArgumentError(
                f"Argument `ptm` must have shape (4, 4) for one qubit or (16, 16) for two, but has "
                f"{self.ptm.shape} for {len(self.qubits)} qubits."
            )
        first_row = np.zeros(size)
        first_row[0] = 1.0
        if not np.allclose(self.ptm[0], first_row, atol=1e-9):
            raise ArgumentError(
                "Argument `ptm` must preserve the trace, but its first row is not (1, 0, ...)."
            )


class ChannelModel(Protocol):
    """A noise model as the engine sees it."""

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        """Channels that follow the gate of this label, or else name, on `qubits`, in the order in which they
        act.
        """
        ...  # pragma: no cover


class _Noiseless:
    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        return ()


noiseless: ChannelModel = _Noiseless()
