"""Cones too deep for the expansion, held as a whole state: which, together with which, and at what cost.

All terms of an observable that are held share one state, and one reverse sweep for their sum, however many
they are; outputs on the same qubits share the forward run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.cones import Cone, PauliTerm
from sqdr_qiskit.lightcone.operations import CZ, Fixed, NormalForm, Rotation
from sqdr_qiskit.lightcone.pauli_vector import PauliVectors
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.statevector import Statevectors
from sqdr_qiskit.parallel import free_memory, n_threads, readable

__all__ = ["DeepCones", "fits", "state_cost"]

_log = logging.getLogger(__name__)

# Multiply-adds of a tape that one amplitude and operation are worth (measured, 2 to 9 qubits).
_PER_AMPLITUDE = 6
_LARGEST = 2**15  # multiply-adds; no longer tape is written, it would take seconds
_WIDEST = 26  # qubits of a state vector; half as many of a noisy one
_SECONDS = 2e-9  # for an operation on an amplitude (measured: 1 to 3)
_LONG = 60.0  # seconds of a call before which a line is written


def _is_unitary(form: NormalForm, operations: Iterable[int]) -> bool:
    found = (form.operations[index] for index in operations)
    return all(
        isinstance(op, Rotation | CZ) or (isinstance(op, Fixed) and op.unitary is not None) for op in found
    )


def _size(form: NormalForm, qubits: Sequence[int], operations: Iterable[int]) -> int:
    """Numbers of the state: 2^n amplitudes, or 4^n Pauli coefficients."""
    return 1 << len(qubits) * (1 if _is_unitary(form, operations) else 2)


def state_cost(form: NormalForm, qubits: Sequence[int], operations: Sequence[int]) -> int:
    """What holding a whole state costs, in multiply-adds of a tape; never more than may be written."""
    return min(_PER_AMPLITUDE * len(operations) * _size(form, qubits, operations), _LARGEST)


def fits(form: NormalForm, qubits: Sequence[int], operations: Iterable[int]) -> bool:
    """Whether a state of these qubits can be held at all."""
    return _size(form, qubits, operations) <= 1 << _WIDEST


@dataclass(frozen=True)
class _Group:
    """Outputs whose terms are held in one state."""

    numbers: tuple[int, ...]
    sums: tuple[tuple[PauliTerm, ...], ...]  # the terms of each
    operations: tuple[int, ...]
    qubits: tuple[int, ...]


class DeepCones:
    """Statevectors, or with noise Pauli vectors, of the terms that no tape was written for.

    Args:
        form: The circuit.
        cones: Output number and cone of each Pauli term.

    Raises:
        UnsupportedError: A cone that does not fit into memory.
    """

    def __init__(self, form: NormalForm, cones: Sequence[tuple[int, Cone]]) -> None:
        self._coefficients = form.coefficients
        self._states: list[tuple[_Group, Statevectors | PauliVectors]] = []
        self._warned = False
        for group in _groups(form, cones):
            _check_size(form, group)
            unitary = _is_unitary(form, group.operations)
            make = Statevectors if unitary else PauliVectors
            self._states.append((group, make(form, group.qubits, group.operations, group.sums)))

    @property
    def methods(self) -> dict[int, set[str]]:
        """For each output number the names of the methods that contribute to it."""
        found: dict[int, set[str]] = {}
        for group, states in self._states:
            for number in group.numbers:
                found.setdefault(number, set()).add(states.method)
        return found

    def announce(self, n_samples: int, *, with_jacobian: bool) -> None:
        """Write one line before work that will take long: how long, and what would be cheaper."""
        # A derivative takes three sweeps for each output: the operator and the state back, and the state
        # forth again.
        work = 0.0
        widest: tuple[int, ...] = ()
        for group, states in self._states:
            sweeps = 1 + (3 * len(group.numbers) if with_jacobian else 0)
            work += states.n_steps * states.size * sweeps
            widest = max(widest, group.qubits, key=len)
        seconds = _SECONDS * work * n_samples / min(n_threads(), max(n_samples, 1))
        if seconds < _LONG or self._warned:
            return
        self._warned = True
        _log.warning(
            "The exact engine will take about %s for these %d samples: light cones of up to %d qubits are "
            "held as whole states. Fewer layers, observables on fewer qubits, fewer samples at once%s would "
            "be cheaper.",
            f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours",
            n_samples,
            len(widest),
            " or values without derivatives" if with_jacobian else "",
        )

    def add(
        self, radians: RealArray, start: int, with_jacobian: bool, values: RealArray, jacobian: RealArray
    ) -> None:
        """Add expectation values and Jacobians of samples `start` on; `radians` has shape (samples,
        n_angles).
        """
        stop = start + len(radians)
        for group, states in self._states:
            numbers = list(group.numbers)
            expectations, slopes = states.run(radians, with_jacobian)
            values[start:stop, numbers] += expectations
            if with_jacobian:
                jacobian[start:stop, numbers] += slopes @ self._coefficients


def _groups(form: NormalForm, cones: Sequence[tuple[int, Cone]]) -> list[_Group]:
    """Each output's terms in as few states as hold them: what lies within a wider cone joins it."""
    parts: list[tuple[int, list[Cone]]] = []
    by_output: dict[int, list[Cone]] = {}
    for number, member in cones:
        by_output.setdefault(number, []).append(member)
    for number, members in by_output.items():
        homes: list[tuple[frozenset[int], list[Cone]]] = []
        for member in sorted(members, key=lambda found: -len(found.qubits)):
            own = frozenset(member.qubits)
            home = next((held for qubits, held in homes if own <= qubits), None)
            if home is None:
                homes.append((own, [member]))
            else:
                home.append(member)
        parts += [(number, held) for _, held in homes]
    shared: dict[tuple[tuple[int, ...], bool], list[tuple[int, list[Cone]]]] = {}
    for number, held in parts:
        operations = {index for member in held for index in member.operations}
        key = (held[0].qubits, _is_unitary(form, operations))
        shared.setdefault(key, []).append((number, held))
    groups = []
    for (qubits, _), together in shared.items():
        operations = {index for _, held in together for member in held for index in member.operations}
        groups.append(
            _Group(
                numbers=tuple(number for number, _ in together),
                sums=tuple(tuple(member.term for member in held) for _, held in together),
                operations=tuple(sorted(operations)),
                qubits=qubits,
            )
        )
    return groups


def _check_size(form: NormalForm, group: _Group) -> None:
    n_qubits, size = len(group.qubits), _size(form, group.qubits, group.operations)
    unitary = _is_unitary(form, group.operations)
    # Two states, and beside amplitudes a real number each for the phases of diagonal gates.
    needed, free = (2 * 16 + 8) * size * n_threads(), free_memory()
    if size <= 1 << _WIDEST and needed <= free:
        return
    hint = "" if unitary else " or sample it (backend `aer_noisy` with shots)"
    raise UnsupportedError(
        f"Light cone of {n_qubits} qubits, too deep to be expanded, must fit into memory as a whole "
        f"{'state' if unitary else 'noisy state'}, but needs {readable(needed)} and {readable(free)} is "
        f"free, with at most {_WIDEST if unitary else _WIDEST // 2} qubits; use fewer layers{hint}."
    )
