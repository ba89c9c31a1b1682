"""The exact engine: expectation values and whole Jacobians of a circuit, from its light cones.

A circuit and its observables are compiled once: each observable's cones become a tape (`expansion`), or,
where a cone is too deep for that, a whole state of the cone's qubits (`deep`). Evaluation then costs a few
microseconds a sample, and channels between the gates change nothing but numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.angles import AngleStage, check_finite, prepared
from sqdr_qiskit.lightcone.cones import Cone, PauliTerm, common_cone, cone, pauli_terms
from sqdr_qiskit.lightcone.deep import DeepCones, fits, state_cost
from sqdr_qiskit.lightcone.expansion import TooLongError, TooWideError, expand
from sqdr_qiskit.lightcone.kernels import LANES, evaluate
from sqdr_qiskit.lightcone.operations import ChannelModel, NormalForm, noiseless, normal_form
from sqdr_qiskit.lightcone.tape import Chain, ChainTable, Tape, TapeCode, Value, sites_of
from sqdr_qiskit.noise_models import RealArray
from sqdr_qiskit.parallel import n_threads, run_chunks
from sqdr_qiskit.simd import LARGEST_ANGLE

__all__ = ["assemble", "ExactEngine", "Program"]


Table = NDArray[np.int64]


class Program(NamedTuple):
    """What `kernels.evaluate` reads, in the order of its arguments; the columns are described there."""

    chains: Table
    steps: Table
    entries: RealArray
    start: RealArray
    tapes: Table
    code: NDArray[np.int32]
    coefficients: RealArray
    outputs: Table
    leaves: Table
    slots: Table
    slopes: RealArray
    parameters: Table
    n_tangents: int
    n_rows: int
    n_local: int


def assemble(form: NormalForm, chains: Sequence[Chain], codes: Sequence[TapeCode]) -> Program:
    """Lay out the chains that some tape reads, and the tapes, equal ones once.

    Args:
        form: The circuit, for the slopes of its angles along its parameters.
        chains: Under the numbers that the tapes' leaves name.
        codes: One tape for each output.
    """
    used = sorted({chain for code in codes for chain, _ in code.leaves})
    chain_rows, steps, entries = _chain_tables([chains[number] for number in used])
    tape_rows: list[tuple[int, ...]] = []
    written: list[TapeCode] = []
    numbers: dict[bytes, int] = {}
    outputs: list[tuple[int, ...]] = []
    leaves: list[tuple[int, int]] = []
    slots: list[tuple[int, ...]] = []
    slopes: list[float] = []
    parameters: list[int] = []
    n_instructions = 0
    for code in codes:
        # Cones of one shape have the same words with other leaves: they share a tape.
        key = (
            code.code.tobytes() + code.coefficients.tobytes() + str((len(code.leaves), code.result)).encode()
        )
        if key not in numbers:
            numbers[key] = len(written)
            end = n_instructions + len(code.code)
            tape_rows.append((n_instructions, end, len(code.leaves), code.n_rows, code.result))
            n_instructions = end
            written.append(code)
        first_leaf, first_slot, first_parameter = len(leaves), len(slots), len(parameters)
        places = {chain: used.index(chain) for chain, _ in code.leaves}
        leaves += [(places[chain], component) for chain, component in code.leaves]
        # An output's Jacobian is worked out on its own few parameters, and spread over all columns at the
        # end.
        columns: dict[int, int] = {}
        found = []
        for row, (chain, component) in enumerate(code.leaves):
            for tangent, angle in enumerate(chains[chain].angles, start=chain_rows[places[chain]][2]):
                for column in np.flatnonzero(form.coefficients[angle]).tolist():
                    local = columns.setdefault(column, len(columns))
                    found.append(((row, tangent, component, local), float(form.coefficients[angle, column])))
        # By parameter, so that the kernel finishes one derivative after the other.
        found.sort(key=lambda item: item[0][3])
        slots += [slot for slot, _ in found]
        slopes += [slope for _, slope in found]
        parameters += list(columns)
        outputs.append((numbers[key], first_leaf, first_slot, len(slots), first_parameter, len(parameters)))
    return Program(
        chains=_table(chain_rows, 3),
        steps=_table(steps, 3),
        entries=np.array(entries, dtype=np.float64).reshape(-1, 3),
        start=np.array([chains[number].start for number in used], dtype=np.float64).reshape(-1, 4),
        tapes=_table(tape_rows, 5),
        code=np.concatenate([np.zeros((0, 4), np.int32), *(code.code for code in written)]),
        coefficients=np.concatenate([np.zeros(0), *(code.coefficients for code in written)]),
        outputs=_table(outputs, 6),
        leaves=_table(leaves, 2),
        slots=_table(slots, 4),
        slopes=np.array(slopes, dtype=np.float64),
        parameters=np.array(parameters, dtype=np.int64),
        n_tangents=sum(len(chains[number].angles) for number in used),
        n_rows=max((code.n_rows for code in written), default=0),
        n_local=max((row[5] - row[4] for row in outputs), default=0),
    )


def _chain_tables(
    chains: Sequence[Chain],
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]], list[tuple[float, float, float]]]:
    rows: list[tuple[int, int, int]] = []
    steps: list[tuple[int, int, int]] = []
    entries: list[tuple[float, float, float]] = []
    n_tangents = 0
    for chain in chains:
        rows.append((len(steps), len(steps) + len(chain.steps), n_tangents))
        n_tangents += len(chain.angles)
        for step in chain.steps:
            if isinstance(step, tuple):
                steps.append((step[0], step[1], int(step[2])))
                continue
            begin = len(entries)
            # Most channels are diagonal but for one entry between I and Z (amplitude damping, forward or
            # transposed): four numbers in place of sixteen.
            shifted = 3 if step[3, 0] else 0
            rest = step - np.diag(np.diag(step))
            rest[shifted, 3 - shifted] = 0.0
            if step[0, 0] == 1.0 and not rest.any():
                entries += [(step[1, 1], step[2, 2], step[3, 3]), (step[shifted, 3 - shifted], 0.0, 0.0)]
                steps.append((-1, begin, shifted))
            else:
                entries += [(float(r), float(c), float(step[r, c])) for r, c in np.argwhere(step != 0.0)]
                steps.append((0, begin, len(entries)))
    return rows, steps, entries


def _table(rows: Sequence[tuple[int, ...]], width: int) -> Table:
    return np.array(rows, dtype=np.int64).reshape(-1, width)


_LARGEST_CHUNK = 8 * LANES  # samples per call of the kernel; no result depends on it


class ExactEngine:
    """Expectation values and Jacobians of `observables` after `circuit`, exact to rounding.

    Args:
        circuit: See `operations.normal_form` for what it may hold.
        observables: Real sums of Pauli strings on the circuit's qubits.
        channels: The noise that follows the gates.
        stage: What computes the parameters of `circuit` from those that `values` and `jacobian` take, if its
            angles are affine already; else any circuit's expressions are seen to here.

    Attributes:
        form: The circuit as the engine sees it.
        n_outputs: Number of observables.
        methods: How each output is computed: `expansion`, `statevector`, `pauli vector`, or several joined
            by `+`.

    Raises:
        UnsupportedError: A gate, an angle or an observable that the engine cannot take, by name.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        channels: ChannelModel = noiseless,
        stage: AngleStage | None = None,
    ) -> None:
        inner, self._stage = (circuit, stage) if stage is not None else prepared(circuit)
        self.form = normal_form(inner, channels)
        self._n_params = inner.num_parameters
        self.n_outputs = len(observables)
        self._constants = np.zeros(self.n_outputs)
        sites, owner = sites_of(self.form)
        chains = ChainTable(self.form, sites)
        codes = []
        deep: list[tuple[int, Cone]] = []
        writer = _TapeWriter(self.form, owner, chains)
        for number, observable in enumerate(observables):
            terms = []
            for term in pauli_terms(observable, self.form):
                if term.paulis:
                    terms.append(term)
                else:
                    self._constants[number] += term.coefficient
            code, held = writer.write(terms)
            self._constants[number] += code.constant
            codes.append(code)
            deep += [(number, member) for member in held]
        self._program = assemble(self.form, chains.chains, codes)
        self._last_moving: _Moving | None = None
        self._deep = DeepCones(self.form, deep) if deep else None
        by_state = self._deep.methods if self._deep is not None else {}
        self.methods = tuple(
            "+".join((["expansion"] if code.result >= 0 else []) + sorted(by_state.get(number, set())))
            or "expansion"
            for number, code in enumerate(codes)
        )

    def values(self, parameters: RealArray) -> RealArray:
        """Expectation values.

        Args:
            parameters: Shape (batch, n_params), radians, in the order of `circuit.parameters`.

        Returns:
            Shape (batch, n_outputs).
        """
        values, _ = self._run(self._inner(parameters), None)
        return values

    def jacobian(
        self, parameters: RealArray, *, dtype: type[np.floating[Any]] = np.float64
    ) -> tuple[RealArray, NDArray[Any]]:
        """Expectation values and their derivatives along every parameter.

        Args:
            parameters: Shape (batch, n_params), radians, in the order of `circuit.parameters`.
            dtype: Of the Jacobian; computed in double precision, `numpy.float32` is rounded once, at the end.

        Returns:
            Values, shape (batch, n_outputs), and Jacobian, shape (batch, n_outputs, n_params), per radian.
        """
        inner = self._inner(parameters)
        if self._stage is None:
            return self._run(inner, dtype)
        values, along = self._run(inner, np.float64)
        jacobian = along @ self._stage.slopes(np.asarray(parameters, dtype=np.float64))
        return values, jacobian.astype(dtype, copy=False)

    def _inner(self, parameters: RealArray) -> RealArray:
        """The parameters that angles are affine in."""
        n_params = self._n_params if self._stage is None else self._stage.n_outer
        parameters = np.ascontiguousarray(parameters, dtype=np.float64)
        if parameters.ndim != 2 or parameters.shape[1] != n_params:
            raise ArgumentError(
                f"Argument `parameters` must have shape (batch, {n_params}), but has {parameters.shape}."
            )
        check_finite(parameters)
        return parameters if self._stage is None else self._stage.values(parameters)

    def _run(
        self, parameters: RealArray, dtype: type[np.floating[Any]] | None
    ) -> tuple[RealArray, NDArray[Any]]:
        batch, with_jacobian = len(parameters), dtype is not None
        values = np.tile(self._constants, (batch, 1))
        shape = (batch, self.n_outputs, self._n_params) if with_jacobian else (0, 0, 0)
        jacobian: NDArray[Any] = np.zeros(shape, dtype)
        # Whole vectors of samples, and where the batch is small a chunk for each thread.
        share = -(-batch // (n_threads() * LANES)) * LANES
        chunk = max(LANES, min(share, _LARGEST_CHUNK))
        angles = self._angles(parameters)
        if self._deep is not None:
            self._deep.announce(batch, with_jacobian=with_jacobian)
            chunk = min(chunk, max(1, -(-batch // (4 * n_threads()))))  # a sample is work enough for a thread

        def kernel(start: int, stop: int) -> None:
            evaluate(*angles, *self._program, start, stop, with_jacobian, values, jacobian)
            if self._deep is not None:
                radians = self.form.radians(parameters[start:stop])
                self._deep.add(radians, start, with_jacobian, values, jacobian)

        run_chunks(kernel, batch, chunk=chunk)
        return values, jacobian

    def _angles(
        self, parameters: RealArray
    ) -> tuple[RealArray, NDArray[np.intp], NDArray[np.intp], RealArray]:
        """What the kernel needs of a batch's angles: inputs, columns, moving, shared (`kernels.evaluate`).

        An angle that all samples share is left out of the moving ones, and computed once.
        """
        first = parameters[:1] if len(parameters) else np.zeros((1, parameters.shape[1]))
        varying = (parameters != first).any(axis=0)
        moving = self._last_moving
        if moving is None or moving.varying != varying.tobytes():  # in a training it is always the same
            moving = self._last_moving = _moving(self.form, varying)
        shared = _within(self.form.radians(first)[0])
        if moving.columns is not None:
            return _within(parameters), moving.columns, moving.angles, shared
        radians = self.form.radians(parameters)[:, moving.angles]
        return _within(radians), np.arange(len(moving.angles)), moving.angles, shared


_MANY = 64  # terms of a sum from which no tape is tried where one state holds them all


class _TapeWriter:
    """Chooses for every term between a tape and a whole state, and writes the tapes.

    A tape may take as many multiply-adds as the state that would hold what is written on it; where the terms
    of a sum have one state together, it is that one's cost that they share.
    """

    def __init__(self, form: NormalForm, owner: Mapping[int, int], chains: ChainTable) -> None:
        self._form, self._owner, self._chains = form, owner, chains
        self._failed: list[tuple[int, int]] = []  # qubits and operations of cones that were too wide

    def write(self, terms: Sequence[PauliTerm]) -> tuple[TapeCode, list[Cone]]:
        """The tape of a sum of Pauli strings, and the cones of those that are left to whole states."""
        qubits, operations = common_cone(self._form, terms) if len(terms) > 1 else ((), ())
        together = len(terms) > 1 and fits(self._form, qubits, operations)
        if together and len(terms) > _MANY:
            return Tape().finish(0.0), [Cone(term, qubits, operations, ()) for term in terms]
        left = state_cost(self._form, qubits, operations) if together else None
        tape = Tape()
        values: list[tuple[Value, Value]] = []
        deep: list[Cone] = []
        for term in terms:
            member = cone(self._form, term)
            own = state_cost(self._form, member.qubits, member.operations)
            budget = own if left is None else min(own, left - tape.n_instructions)
            value = self._expanded(member, tape, budget)
            if value is not None:
                values.append((term.coefficient, value))
            elif together:  # one state for all costs no more than it does for this term
                return Tape().finish(0.0), [Cone(term, qubits, operations, ()) for term in terms]
            else:
                deep.append(member)
        return tape.finish(tape.dot(values)), deep

    def _expanded(self, member: Cone, tape: Tape, budget: int) -> Value | None:
        """The term on the tape; None if that takes more than the budget."""
        size = (len(member.qubits), len(member.operations))
        if any(size[0] >= qubits and size[1] >= operations for qubits, operations in self._failed):
            return None  # a smaller one was too wide: trying takes a second
        try:
            return expand(self._form, member, self._owner, self._chains, tape, budget=budget)
        except TooLongError:
            if budget >= state_cost(self._form, member.qubits, member.operations):
                self._failed.append(size)
            return None
        except TooWideError:
            return None


class _Moving(NamedTuple):
    """Which angles differ between the samples of a batch, and where the kernel finds them."""

    varying: bytes
    angles: NDArray[np.intp]
    columns: NDArray[np.intp] | None  # of the parameters, where each of these angles is a parameter


def _moving(form: NormalForm, varying: NDArray[np.bool_]) -> _Moving:
    angles = np.flatnonzero((form.coefficients[:, varying] != 0.0).any(axis=1))
    part = form.coefficients[angles]
    plain = ((part != 0.0).sum(axis=1) == 1).all() and (part.sum(axis=1) == 1.0).all()
    usual = plain and len(angles) > 0 and not form.offsets[angles].any()
    return _Moving(varying.tobytes(), angles, part.argmax(axis=1) if usual else None)


def _within(angles: RealArray) -> RealArray:
    """Angles that the kernel's sines can take."""
    if not angles.size or np.abs(angles).max() <= LARGEST_ANGLE:
        return angles
    return np.arctan2(np.sin(angles), np.cos(angles))
