"""Noise channels: Kraus operators, Pauli-transfer matrices, fidelities.

A channel on k = 1 or 2 qubits is held as its Kraus operators, an array of shape (n_operators, 2^k, 2^k), or
as its Pauli-transfer matrix (PTM), the real matrix

    R[a, b] = Tr(P_a E(P_b)) / 2^k,          P = I, X, Y, Z  (0, 1, 2, 3).

A state's Pauli coefficients are a column that R multiplies from the left (Schroedinger picture); an
observable's are a row that R multiplies from the right (Heisenberg picture). For two qubits the FIRST qubit
is the most significant factor: an operator is kron(A, B) with A on the first qubit, and a = 4 * a_first +
a_second. (Qiskit orders the other way round; `aer_model` and `build` are the only places that turn one into
the other.)

Beside this: `build` makes Aer's noise model of a file, `aer_model` reads one, `calibration` makes channels
and files of devices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Operation

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.noise import ErrorSpec, NoiseSpec

__all__ = [
    "PAULI_MATRICES",
    "average_gate_fidelity",
    "Channel",
    "completeness_error",
    "ComplexArray",
    "compose",
    "describe_channels",
    "gate_key",
    "kraus_operators",
    "kraus_to_ptm",
    "minimal_kraus",
    "pauli_labels",
    "pauli_matrices",
    "pauli_probabilities",
    "ptm_to_kraus",
    "RealArray",
    "without_rounding",
]

ComplexArray: TypeAlias = NDArray[np.complex128]
RealArray: TypeAlias = NDArray[np.float64]

_ROUNDING = 1e-14

PAULI_MATRICES: Mapping[str, ComplexArray] = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}


@dataclass(frozen=True)
class Channel:
    """A trace-preserving map on one or two qubits.

    Attributes:
        qubits: The circuit's qubits it acts on.
        ptm: Pauli-transfer matrix, shape (4, 4) or (16, 16), P in the order I, X, Y, Z, the first of
            `qubits` slowest.
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


def gate_key(operation: Operation) -> str:
    """The word by which noise knows an instruction: its label if it has one, else its name (Aer's rule)."""
    return str(getattr(operation, "label", None) or operation.name)


def pauli_labels(n_qubits: int) -> tuple[str, ...]:
    """Pauli words of `n_qubits` letters in the order of transfer matrices: IXYZ, first letter slowest."""
    return tuple("".join(letters) for letters in itertools.product("IXYZ", repeat=n_qubits))


def _pauli_word(label: str) -> ComplexArray:
    matrix: ComplexArray = np.eye(1, dtype=np.complex128)
    for letter in label:
        matrix = np.asarray(np.kron(matrix, PAULI_MATRICES[letter]), dtype=np.complex128)
    return matrix


@cache
def pauli_matrices(n_qubits: int) -> ComplexArray:
    """All Pauli words on `n_qubits` as matrices, in the order of `pauli_labels`: shape (4^k, 2^k, 2^k)."""
    return np.stack([_pauli_word(label) for label in pauli_labels(n_qubits)])


def _amplitude_damping(gamma: float) -> ComplexArray:
    """Equation 16: K0 = diag(1, sqrt(1-gamma)), K1 = sqrt(gamma) |0><1|."""
    return np.array(
        [[[1, 0], [0, math.sqrt(1 - gamma)]], [[0, math.sqrt(gamma)], [0, 0]]], dtype=np.complex128
    )


def _phase_damping(lam: float) -> ComplexArray:
    """K0 = diag(1, sqrt(1-lambda)), K1 = diag(0, sqrt(lambda))."""
    return np.array([[[1, 0], [0, math.sqrt(1 - lam)]], [[0, 0], [0, math.sqrt(lam)]]], dtype=np.complex128)


def _thermal_relaxation(t1_us: float, t2_us: float, duration_ns: float) -> ComplexArray:
    """Relaxation to |0>: coherences shrink by exp(-t/T2), the excited population by exp(-t/T1).

    Amplitude damping with 1 - gamma = exp(-t/T1), then phase damping with 1 - lambda = exp(-2t/T2 + t/T1).
    """
    t = duration_ns / 1000.0
    gamma = -math.expm1(-t / t1_us)
    lam = max(0.0, -math.expm1(-2.0 * t / t2_us + t / t1_us))  # T2 <= 2 T1 makes it non-negative
    return minimal_kraus(compose(_amplitude_damping(gamma), _phase_damping(lam)))


def _rotation(word: str, angle: float) -> ComplexArray:
    """exp(-i angle / 2 P Q) as the one Kraus operator."""
    return np.asarray(
        math.cos(angle / 2) * np.eye(4) - 1j * math.sin(angle / 2) * _pauli_word(word), dtype=np.complex128
    )[None]


def _kraus(spec: ChannelSpec) -> ComplexArray:
    parts = np.array(spec.matrices)
    return np.asarray(parts[..., 0] + 1j * parts[..., 1])


def _depolarizing(spec: ChannelSpec) -> dict[str, float]:
    """Equation 15 for one qubit: p / 3 for each Pauli but I; p / 15 each for two."""
    labels = pauli_labels(spec.n_qubits)
    return dict.fromkeys(labels, spec["p"] / (len(labels) - 1)) | {labels[0]: 1 - spec["p"]}


# Every kind of channel is in one of two tables. Mixtures of Paulis, by the probability of each word:
_PAULI: Mapping[str, Callable[[ChannelSpec], dict[str, float]]] = {
    "bit_flip": lambda spec: {"I": 1 - spec["p"], "X": spec["p"]},  # equation 14
    "phase_flip": lambda spec: {"I": 1 - spec["p"], "Z": spec["p"]},
    "depolarizing": _depolarizing,
    "depolarizing_2q": _depolarizing,
    "pauli": lambda spec: dict.fromkeys(pauli_labels(spec.n_qubits), 0.0) | dict(spec.params),
}
# All others, by their Kraus operators:
_KRAUS: Mapping[str, Callable[[ChannelSpec], ComplexArray]] = {
    "amplitude_damping": lambda spec: _amplitude_damping(spec["gamma"]),
    "phase_damping": lambda spec: _phase_damping(spec["lambda"]),
    "thermal_relaxation": lambda spec: _thermal_relaxation(spec["t1_us"], spec["t2_us"], spec["duration_ns"]),
    "zz_rotation": lambda spec: _rotation("ZZ", spec["angle_rad"]),
    "zx_rotation": lambda spec: _rotation("ZX", spec["angle_rad"]),
    "kraus": _kraus,
}


def pauli_probabilities(spec: ChannelSpec) -> dict[str, float] | None:
    """Probability of each Pauli word if the channel is a mixture of Paulis by its kind, else None."""
    return _PAULI[spec.kind](spec) if spec.kind in _PAULI else None


def kraus_operators(spec: ChannelSpec) -> ComplexArray:
    """Kraus operators of one channel of a noise file, by the paper's equations 14 to 16 where it has them.

    Args:
        spec: The channel; its parameters were checked when it was made.

    Returns:
        Array of shape (n_operators, 2^k, 2^k), k = `spec.n_qubits`; first qubit most significant. A mixture
        of Paulis P_i has sqrt(p_i) P_i for each whose p_i is not 0.
    """
    probabilities = pauli_probabilities(spec)
    if probabilities is None:
        return _KRAUS[spec.kind](spec)
    return np.stack([math.sqrt(p) * _pauli_word(word) for word, p in probabilities.items() if p > 0.0])


def compose(first: ComplexArray, second: ComplexArray) -> ComplexArray:
    """Kraus operators of `first`, then `second`: all products K2 K1, shape (a * b, d, d)."""
    dim = first.shape[-1]
    return np.einsum("bij,ajk->abik", second, first).reshape(-1, dim, dim)


def minimal_kraus(operators: ComplexArray) -> ComplexArray:
    """The same channel with at most 4^k Kraus operators, exact to rounding.

    Eigenvectors of the Choi matrix. Qiskit's own conversion drops eigenvalues below 1e-8, that is, whole weak
    channels; here only rounding (1e-17 of the trace) is dropped.
    """
    dim = operators.shape[-1]
    vectors = operators.reshape(len(operators), dim * dim)
    values, eigenvectors = np.linalg.eigh(vectors.T @ vectors.conj())
    # Of a weak channel the weakest operator is what matters: nothing but rounding is left out.
    keep = values > 1e-17 * dim
    return (np.sqrt(values[keep]) * eigenvectors[:, keep]).T.reshape(-1, dim, dim)


def completeness_error(operators: ComplexArray) -> float:
    """Largest entry of |sum_i K_i^dagger K_i - identity|: zero for a channel that preserves the trace."""
    total = np.einsum("aji,ajk->ik", operators.conj(), operators)
    return float(np.max(np.abs(total - np.eye(operators.shape[-1]))))


def kraus_to_ptm(operators: ComplexArray) -> RealArray:
    """Pauli-transfer matrix of a channel; of a gate too, as a channel with one Kraus operator.

    Args:
        operators: Shape (n_operators, 2^k, 2^k), k = 1 or 2.

    Returns:
        Real array of shape (4^k, 4^k), entries within 1e-14 of -1, 0 and 1 rounded to them; the first row is
        (1, 0, ..., 0) for a channel that preserves the trace.
    """
    dim = operators.shape[-1]
    paulis = pauli_matrices(dim.bit_length() - 1)
    mapped = np.einsum("nij,bjk,nlk->bil", operators, paulis, operators.conj())
    return without_rounding(np.einsum("aij,bji->ab", paulis, mapped).real / dim)


def without_rounding(ptm: RealArray) -> RealArray:
    """The matrix with entries within 1e-14 of -1, 0 and 1 set to them: light cones need exact zeros."""
    nearest = np.round(ptm)
    return np.ascontiguousarray(np.where(np.abs(ptm - nearest) < _ROUNDING, nearest, ptm) + 0.0)


def average_gate_fidelity(ptm: RealArray) -> float:
    """Average fidelity of a channel with the identity: (d F_e + 1) / (d + 1), with F_e = Tr(R) / d^2."""
    dim = math.isqrt(ptm.shape[0])
    return float((np.trace(ptm) / dim + 1.0) / (dim + 1.0))


def ptm_to_kraus(ptm: RealArray) -> ComplexArray:
    """Kraus operators, shape (n <= 4, 2, 2), of a one-qubit channel given by its transfer matrix (4, 4)."""
    paulis = pauli_matrices(1)
    # sum_ab R[a,b] / 2 P_a (x) P_b^T, entry ((i, j), (k, l)) = <i| E(|j><l|) |k>
    choi = np.einsum("ab,aik,blj->ijkl", ptm / 2.0, paulis, paulis).reshape(4, 4)
    values, vectors = np.linalg.eigh(choi)
    keep = values > 4e-17
    return np.asarray((np.sqrt(values[keep]) * vectors[:, keep]).T.reshape(-1, 2, 2))


def describe_channels(spec: NoiseSpec) -> list[dict[str, Any]]:
    """Each channel of a file: where it acts, Kraus operators, completeness, transfer matrix, fidelity.

    Complex numbers are [real, imaginary] pairs; `completeness_error` is the largest entry of
    |sum K^dagger K - 1|; transfer matrices have the order I, X, Y, Z, for two qubits the first one slowest.
    """
    return [_channel(error) for error in spec.errors]


def _channel(error: ErrorSpec) -> dict[str, Any]:
    operators = kraus_operators(error.channel)
    ptm = kraus_to_ptm(operators)
    return {
        "channel": error.channel.kind,
        "description": error.channel.describe(),
        "after": list(error.after),
        "qubits": None if error.qubits is None else list(error.qubits),
        "pairs": None if error.pairs is None else [list(pair) for pair in error.pairs],
        "kraus": np.stack([operators.real, operators.imag], axis=-1).tolist(),
        "completeness_error": completeness_error(operators),
        "pauli_transfer_matrix": ptm.tolist(),
        "average_gate_fidelity": average_gate_fidelity(ptm),
    }
