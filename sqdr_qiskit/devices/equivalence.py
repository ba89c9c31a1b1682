"""Does a device's circuit compute what its source does? Pauli strings pulled back through it, exactly.

An output's Pauli string stays a short sum of strings through any circuit of Clifford gates and turns whose
light cone is narrow, SWAPs included, however many qubits the device has: no state vector is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Instruction, QuantumCircuit
from qiskit.quantum_info import Operator, Pauli, PauliList, SparsePauliOp, Statevector

from sqdr_qiskit.errors import BackendError, UnsupportedError
from sqdr_qiskit.noise_models import kraus_to_ptm

__all__ = ["check_equivalent"]

_MOST_STRINGS = 1 << 18
_MOST_QUBITS = 20  # of a state vector, where strings are too many
_AGREES = 1e-6
_NOTHING = 1e-8  # Qiskit's numerical synthesis is as exact as that


def check_equivalent(
    circuit: QuantumCircuit, words: Sequence[SparsePauliOp], expected: NDArray[np.float64], *, what: str
) -> None:
    """Make sure that a bound circuit gives these expectation values.

    Args:
        circuit: Without free parameters: one-qubit gates and Clifford two-qubit gates; any gates where it
            acts on 20 qubits or fewer.
        words: Observables on its qubits.
        expected: What the source gives, shape (len(words),).
        what: Names the circuit in the error.

    Raises:
        BackendError: It does not: a fault of the transpiler or of this package.
        UnsupportedError: The circuit is too entangled, and acts on too many qubits, to be checked.
    """
    try:
        steps, bloch = _steps(circuit)
        found = np.array([_pull_back(steps, bloch, word) for word in words])
    except UnsupportedError:
        used = sorted({circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits})
        if len(used) > _MOST_QUBITS:
            raise
        found = _by_state_vector(circuit, used, words)
    worst = float(np.max(np.abs(found - expected), initial=0.0))
    if worst > _AGREES:
        raise BackendError(f"{what} does not compute what its source does: an output differs by {worst:.2g}.")


def _by_state_vector(
    circuit: QuantumCircuit, used: Sequence[int], words: Sequence[SparsePauliOp]
) -> NDArray[np.float64]:
    """Expectation values from the state of the qubits in use; the others are |0>."""
    place = {qubit: i for i, qubit in enumerate(used)}
    small = QuantumCircuit(len(used))
    for item in circuit.data:
        small.append(item.operation, [place[circuit.find_bit(qubit).index] for qubit in item.qubits])
    state = Statevector(small)
    found = []
    for word in words:
        total = 0.0
        for letters, qubits, weight in word.to_sparse_list():
            inside = [(letter, place[q]) for letter, q in zip(letters, qubits, strict=True) if q in place]
            if any(letter != "Z" for letter, q in zip(letters, qubits, strict=True) if q not in place):
                continue  # X and Y vanish on |0>
            text = ["".join(letter for letter, _ in inside), [q for _, q in inside], 1.0]
            one = SparsePauliOp.from_sparse_list([tuple(text)], len(used))
            total += float((weight * state.expectation_value(one)).real)
        found.append(total)
    return np.array(found)


def _pull_back(
    steps: Sequence[_Step], bloch: Mapping[int, NDArray[np.float64]], observable: SparsePauliOp
) -> float:
    """Expectation value in |0...0> after the circuit of `_steps`, the observable pulled back through it.

    A qubit is done with as soon as its first two-qubit gate is passed: what stands before is a product state.

    Raises:
        UnsupportedError: More than 2^18 Pauli strings are needed, or a gate that is no turn and not Clifford.
    """
    looked_at = np.flatnonzero((observable.paulis.x | observable.paulis.z).any(axis=0))
    qubits = sorted({*bloch, *(int(q) for q in looked_at)})
    place = {qubit: i for i, qubit in enumerate(qubits)}
    codes = np.ascontiguousarray(_codes(observable.paulis)[:, qubits])
    weights = observable.coeffs.real.copy()
    for name, where, ptm, last in reversed(steps):
        columns = [place[qubit] for qubit in where]
        if not codes[:, columns].any():
            continue  # only identities stand here, and a gate leaves them
        if ptm is not None:
            codes, weights = _turned(codes, weights, columns[0], ptm)
            if len(weights) > _MOST_STRINGS:
                raise UnsupportedError(
                    "A circuit to be checked must have narrow light cones, but this one has not."
                )
            continue
        images, signs = _clifford(name)
        pair = 4 * codes[:, columns[0]] + codes[:, columns[1]]
        codes[:, columns[0]], codes[:, columns[1]] = images[pair] >> 2, images[pair] & 3
        weights = weights * signs[pair]
        # Before a qubit's first gate the state is a product: its letter can be replaced by a number now, and
        # strings that differ there alone become one.
        for qubit in last:
            weights = weights * bloch[qubit][codes[:, place[qubit]]]
            codes[:, place[qubit]] = 0
        if last:
            codes, weights = _merged(codes, weights)
    for qubit in qubits:  # never entangled
        column = place[qubit]
        weights = weights * bloch.get(qubit, _ZERO)[codes[:, column]]
        codes[:, column] = 0
    return float(weights.sum())


_ZERO = np.array([1.0, 0.0, 0.0, 1.0])  # expectations of I, X, Y, Z in |0>
_Step = tuple[str, tuple[int, ...], "NDArray[np.float64] | None", tuple[int, ...]]


def _steps(circuit: QuantumCircuit) -> tuple[list[_Step], dict[int, NDArray[np.float64]]]:
    """Turns and two-qubit gates after each qubit's first one, and (1, <X>, <Y>, <Z>) of each qubit before it.

    A two-qubit gate's last entry are the qubits whose first one it is.
    """
    steps: list[_Step] = []
    bloch: dict[int, NDArray[np.float64]] = {}
    entangled: set[int] = set()
    runs: dict[int, NDArray[np.float64]] = {}
    for item in circuit.data:
        where = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        if item.operation.name in ("barrier", "id", "delay"):
            continue
        if len(where) == 1:
            ptm = _ptm(item.operation)
            ptm = ptm @ runs[where[0]] if where[0] in runs else ptm
            # Rounding would make strings that are not there, and their number is what limits this.
            runs[where[0]] = np.where(np.abs(ptm) < _NOTHING, 0.0, ptm)
            continue
        first = tuple(qubit for qubit in where if qubit not in entangled)
        for qubit in where:
            run = runs.pop(qubit, None)
            if qubit in first:
                bloch[qubit] = _ZERO if run is None else run @ _ZERO
            elif run is not None:
                steps.append(("turn", (qubit,), run, ()))
        entangled.update(where)
        steps.append((item.operation.name, where, None, first))
    for qubit, run in runs.items():
        if qubit in entangled:
            steps.append(("turn", (qubit,), run, ()))
        else:
            bloch[qubit] = run @ _ZERO
    return steps, bloch


def _codes(paulis: PauliList) -> NDArray[np.uint8]:
    """I, X, Y, Z as 0, 1, 2, 3; shape (strings, qubits)."""
    x, z = paulis.x.astype(np.uint8), paulis.z.astype(np.uint8)
    return np.asarray(x + 3 * z - 2 * x * z, dtype=np.uint8)


def _turned(
    codes: NDArray[np.uint8], weights: NDArray[np.float64], qubit: int, ptm: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Pull the strings through a turn, equal ones summed, vanishing ones dropped."""
    acting = codes[:, qubit] != 0
    parts, sizes = [codes[~acting]], [weights[~acting]]
    for letter in (1, 2, 3):
        size = weights[acting] * ptm[codes[acting, qubit], letter]
        kept = np.abs(size) > 1e-12
        part = codes[acting][kept]
        part[:, qubit] = letter
        parts.append(part)
        sizes.append(size[kept])
    return _merged(np.concatenate(parts), np.concatenate(sizes))


def _merged(
    codes: NDArray[np.uint8], weights: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    if len(codes) < 2:
        return codes, weights
    # A string as one opaque value: sorted as a whole, many times faster than by its columns.
    view = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.shape[1]))).ravel()
    _, first, inverse = np.unique(view, return_index=True, return_inverse=True)
    return np.ascontiguousarray(codes[first]), np.asarray(
        np.bincount(inverse.reshape(-1), weights=weights), dtype=np.float64
    )


def _ptm(gate: Instruction) -> NDArray[np.float64]:
    return kraus_to_ptm(np.asarray(gate.to_matrix(), dtype=complex)[None])


@lru_cache(maxsize=16)
def _clifford(name: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """For each pair of Paulis 4 a + b, the pair that a two-qubit gate pulls it back to, and its sign."""
    probe = QuantumCircuit(2)
    if not hasattr(probe, name):
        raise UnsupportedError(
            f"Gate `{name}` must be a Clifford gate on two qubits for a circuit to be checked."
        )
    getattr(probe, name)(0, 1)
    matrix = Operator(probe).data
    # A Clifford gate takes every word to one word: each row of the table has a single entry of +-1.
    words = [Pauli("IXYZ"[b] + "IXYZ"[a]).to_matrix() for a in range(4) for b in range(4)]
    table = np.array([[np.trace(w @ matrix.conj().T @ v @ matrix).real / 4 for w in words] for v in words])
    if not np.allclose(np.abs(table).max(axis=1), 1.0):
        raise UnsupportedError(f"Gate `{name}` must be a Clifford gate for a circuit to be checked.")
    images = np.abs(table).argmax(axis=1)
    return images.astype(np.uint8), np.sign(table[np.arange(16), images])
