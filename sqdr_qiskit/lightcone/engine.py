"""The exact engine: expectation values and whole Jacobians of a circuit, from its light cones.

A circuit and its observables are compiled once: each observable's cones become a tape (`expansion`), or,
where a cone is too deep for that, a whole state of the cone's qubits (`deep`). Evaluation then costs a few
microseconds a sample, and channels between the gates change nothing but numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
from sqdr_qiskit.parallel import n_threads, run_chunks

__all__ = ["ExactEngine"]

_LARGEST_CHUNK = 8 * LANES  # samples per call of the kernel; no result depends on it


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
        values, _ = self._run(parameters, with_jacobian=False)
        return values

    def jacobian(self, parameters: RealArray) -> tuple[RealArray, RealArray]:
        """Expectation values and their derivatives along every parameter.

        Returns:
            Values, shape (batch, n_outputs), and Jacobian, shape (batch, n_outputs, n_params), per radian.
        """
        return self._run(parameters, with_jacobian=True)

    def _run(self, parameters: RealArray, *, with_jacobian: bool) -> tuple[RealArray, RealArray]:
        parameters = np.ascontiguousarray(parameters, dtype=np.float64)
        if parameters.ndim != 2 or parameters.shape[1] != self._n_params:
            raise ArgumentError(
                f"Argument `parameters` must have shape (batch, {self._n_params}), but has "
                f"{parameters.shape}."
            )
        batch = len(parameters)
        values = np.tile(self._constants, (batch, 1))
        jacobian = np.zeros((batch, self.n_outputs, self._n_params) if with_jacobian else (0, 0, 0))
        share = -(-batch // (n_threads() * LANES)) * LANES
        chunk = max(LANES, min(share, _LARGEST_CHUNK))
        angles = _Angles(self._form, parameters, chunk)

        def kernel(start: int, stop: int) -> None:
            cosines, sines = angles.part(start, stop)
            evaluate(cosines, sines, *self._program, start, stop, with_jacobian, values, jacobian)
            if self._deep is not None:
                self._deep.add(angles.radians(start, stop), start, with_jacobian, values, jacobian)

        run_chunks(kernel, batch, chunk=chunk)
        return values, jacobian


class _Angles:
    """Cosines and sines of a batch's angles; an angle that all samples share is computed once."""

    def __init__(self, form: NormalForm, parameters: RealArray, chunk: int) -> None:
        self._parameters = parameters
        self._form = form
        first = parameters[:1] if len(parameters) else np.zeros((1, parameters.shape[1]))
        varying = (parameters != first).any(axis=0)
        self._moving = np.flatnonzero((form.coefficients[:, varying] != 0.0).any(axis=1))
        shared = form.coefficients @ first[0] + form.offsets
        self._cosines = np.repeat(np.cos(shared)[:, None], chunk, axis=1)
        self._sines = np.repeat(np.sin(shared)[:, None], chunk, axis=1)
        moving = form.coefficients[self._moving]
        plain = ((moving != 0.0).sum(axis=1) == 1).all() and (moving.sum(axis=1) == 1.0).all()
        # the usual case, every angle a parameter of its own, is a mere selection of columns
        plain = plain and len(moving) > 0 and not form.offsets[self._moving].any()
        self._columns = moving.argmax(axis=1) if plain else None

    def part(self, start: int, stop: int) -> tuple[RealArray, RealArray]:
        """Cosines and sines for samples start to stop, shape (n_angles, at least stop - start)."""
        cosines, sines = self._cosines.copy(), self._sines.copy()
        if len(self._moving):
            if self._columns is not None:
                radians = np.ascontiguousarray(self._parameters[start:stop, self._columns].T)
            else:
                radians = self.radians(start, stop)[self._moving]
            cosines[self._moving, : stop - start] = np.cos(radians)
            sines[self._moving, : stop - start] = np.sin(radians)
        return cosines, sines

    def radians(self, start: int, stop: int) -> RealArray:
        """All angles, shape (n_angles, stop - start)."""
        angles: RealArray = (
            self._form.coefficients @ self._parameters[start:stop].T + self._form.offsets[:, None]
        )
        return angles
