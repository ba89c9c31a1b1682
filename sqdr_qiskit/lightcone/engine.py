"""The exact engine: expectation values and whole Jacobians of a circuit, from its light cones.

A circuit and its observables are compiled once: each observable's cones become a tape (`expansion`), or,
where a cone is too deep for that, a whole state of the cone's qubits (`deep`). Evaluation then costs a few
microseconds a sample, and channels between the gates change nothing but numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.channels import ChannelModel, noiseless
from sqdr_qiskit.lightcone.cones import Cone, cone, pauli_terms
from sqdr_qiskit.lightcone.deep import DeepCones, cost
from sqdr_qiskit.lightcone.elimination import TooWideError
from sqdr_qiskit.lightcone.expansion import expand
from sqdr_qiskit.lightcone.kernels import LANES, evaluate
from sqdr_qiskit.lightcone.operations import NormalForm, normal_form
from sqdr_qiskit.lightcone.paulis import RealArray
from sqdr_qiskit.lightcone.program import assemble
from sqdr_qiskit.lightcone.sites import ChainTable, sites_of
from sqdr_qiskit.lightcone.tape import Tape, Value
from sqdr_qiskit.lightcone.trigonometry import LARGEST_ANGLE
from sqdr_qiskit.parallel import n_threads, run_chunks

__all__ = ["ExactEngine"]

_LARGEST_CHUNK = 8 * LANES  # samples per call of the kernel; no result depends on it
_UNUSED = 2  # references to an array that only `_Sheet` knows: its variable and the count's argument


class ExactEngine:
    """Expectation values and Jacobians of `observables` after `circuit`, exact to rounding.

    Args:
        circuit: See `operations.normal_form` for what it may hold.
        observables: Real sums of Pauli strings on the circuit's qubits.
        channels: The noise that follows the gates.

    Raises:
        UnsupportedError: A gate, an angle or an observable that the engine cannot take, by name.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        channels: ChannelModel = noiseless,
    ) -> None:
        self._form = normal_form(circuit, channels)
        self._n_params = circuit.num_parameters
        self._constants = np.zeros(len(observables))
        sites, owner = sites_of(self._form)
        chains = ChainTable(self._form, sites)
        codes = []
        deep: list[tuple[int, Cone]] = []
        for number, observable in enumerate(observables):
            tape = Tape()
            values: list[tuple[Value, Value]] = []
            for term in pauli_terms(observable, self._form):
                if not term.paulis:
                    self._constants[number] += term.coefficient
                    continue
                member = cone(self._form, term)
                try:
                    budget = cost(self._form, member)
                    values.append(
                        (term.coefficient, expand(self._form, member, owner, chains, tape, budget=budget))
                    )
                except TooWideError:
                    deep.append((number, member))
            code = tape.finish(tape.dot(values))
            self._constants[number] += code.constant
            codes.append(code)
        self._program = assemble(self._form, chains.chains, codes)
        self._deep = DeepCones(self._form, deep) if deep else None
        self._sheet = _Sheet()
        held = self._deep.methods if self._deep is not None else {}
        self._methods = tuple(
            "+".join((["expansion"] if code.result >= 0 else []) + sorted(held.get(number, set())))
            or "expansion"
            for number, code in enumerate(codes)
        )

    @property
    def n_outputs(self) -> int:
        """Number of observables."""
        return len(self._constants)

    @property
    def methods(self) -> tuple[str, ...]:
        """How each output is computed: `expansion`, `statevector`, `pauli vector`, or several joined by
        `+`.
        """
        return self._methods

    @property
    def form(self) -> NormalForm:
        """The circuit as the engine sees it."""
        return self._form

    def values(self, parameters: RealArray) -> RealArray:
        """Expectation values.

        Args:
            parameters: Shape (batch, n_params), radians, in the order of `circuit.parameters`.

        Returns:
            Shape (batch, n_outputs).
        """
        values, _ = self._run(parameters, None)
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
        return self._run(parameters, dtype)

    def _run(
        self, parameters: RealArray, dtype: type[np.floating[Any]] | None
    ) -> tuple[RealArray, NDArray[Any]]:
        parameters = np.ascontiguousarray(parameters, dtype=np.float64)
        if parameters.ndim != 2 or parameters.shape[1] != self._n_params:
            raise ArgumentError(
                f"Argument `parameters` must have shape (batch, {self._n_params}), but has "
                f"{parameters.shape}."
            )
        batch = len(parameters)
        values = np.tile(self._constants, (batch, 1))
        with_jacobian = dtype is not None
        jacobian: NDArray[Any] = np.zeros((0, 0, 0))
        if dtype is not None:
            shape = (batch, self.n_outputs, self._n_params)
            # Deep cones add to what is there; the tapes set the same entries each time.
            jacobian = np.zeros(shape, dtype) if self._deep is not None else self._sheet.blank(shape, dtype)
        share = -(-batch // (n_threads() * LANES)) * LANES
        chunk = max(LANES, min(share, _LARGEST_CHUNK))
        angles = _angles(self._form, parameters)

        def kernel(start: int, stop: int) -> None:
            evaluate(*angles, *self._program, start, stop, with_jacobian, values, jacobian)
            if self._deep is not None:
                radians = self._form.radians(parameters[start:stop])
                self._deep.add(radians.T, start, with_jacobian, values, jacobian)

        run_chunks(kernel, batch, chunk=chunk)
        return values, jacobian


class _Sheet:
    """A large array that is zero where nothing is ever written, made once and used again.

    Fresh memory costs a page fault for every 4 kB, more than the numbers that are written there. An array
    that somebody still holds, itself or a view of it, is never given out a second time.
    """

    def __init__(self) -> None:
        self._array: NDArray[Any] | None = None

    def blank(self, shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """An array of zeros, or one used before, with other values in the entries that are written."""
        array, self._array = self._array, None  # a second thread finds none, and makes its own
        if array is None or array.shape != shape or array.dtype != dtype or sys.getrefcount(array) > _UNUSED:
            array = np.zeros(shape, dtype)
        self._array = array
        return array


def _angles(
    form: NormalForm, parameters: RealArray
) -> tuple[RealArray, NDArray[np.intp], NDArray[np.intp], RealArray]:
    """What the kernel needs of a batch's angles: inputs, columns, moving, shared (see `kernels.evaluate`).

    An angle that all samples share is left out of the moving ones, and computed once.
    """
    first = parameters[:1] if len(parameters) else np.zeros((1, parameters.shape[1]))
    varying = (parameters != first).any(axis=0)
    moving = np.flatnonzero((form.coefficients[:, varying] != 0.0).any(axis=1))
    shared = _within(form.radians(first)[0])
    part = form.coefficients[moving]
    plain = ((part != 0.0).sum(axis=1) == 1).all() and (part.sum(axis=1) == 1.0).all()
    if plain and len(moving) and not form.offsets[moving].any():  # as usual, angles are parameters
        return _within(parameters), part.argmax(axis=1), moving, shared
    return _within(form.radians(parameters)[:, moving]), np.arange(len(moving)), moving, shared


def _within(angles: RealArray) -> RealArray:
    """Angles that the kernel's sines can take."""
    if not angles.size or np.abs(angles).max() <= LARGEST_ANGLE:
        return angles
    return np.arctan2(np.sin(angles), np.cos(angles))
