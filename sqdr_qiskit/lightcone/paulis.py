"""Pauli-transfer matrices of one-qubit gates and channels.

The Pauli-transfer matrix (PTM) of a map E on k qubits is the real matrix

    R[a, b] = Tr(P_a E(P_b)) / 2^k,          P = I, X, Y, Z  (0, 1, 2, 3).

A state's Pauli coefficients are a column that R multiplies from the left (Schroedinger picture); an
observable's are a row that R multiplies from the right (Heisenberg picture). For two qubits a = 4 * a_first +
a_second, where `first` is the first qubit of the operation's own list.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAULIS", "RealArray", "kraus_ptm", "unitary_ptm"]

RealArray: TypeAlias = NDArray[np.float64]
ComplexArray: TypeAlias = NDArray[np.complex128]

PAULIS: ComplexArray = np.array(
    [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=complex
)

# Entries this near to -1, 0 or 1 are rounding of a gate that maps Paulis to Paulis; cones need them exact.
_ROUNDING = 1e-14


def kraus_ptm(kraus: ComplexArray) -> RealArray:
    """PTM of the one-qubit channel E(rho) = sum_k K_k rho K_k^dagger.

    Args:
        kraus: Kraus operators, shape (n, 2, 2).

    Returns:
        Matrix of shape (4, 4), entries within 1e-14 of -1, 0 and 1 rounded to them.
    """
    images = np.einsum("kij,bjl,kml->bim", kraus, PAULIS, kraus.conj())
    ptm: RealArray = np.einsum("aij,bji->ab", PAULIS, images).real / 2
    nearest = np.round(ptm)
    return np.where(np.abs(ptm - nearest) < _ROUNDING, nearest, ptm) + 0.0


def unitary_ptm(unitary: ComplexArray) -> RealArray:
    """PTM of a one-qubit gate given by its matrix, shape (2, 2)."""
    return kraus_ptm(np.asarray(unitary, dtype=complex)[None])
