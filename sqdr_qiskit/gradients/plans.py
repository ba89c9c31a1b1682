"""Gradients by a plan of executions, made once for each circuit that they meet; the executions' results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.passmanager import BasePassManager
from qiskit.primitives import BaseEstimatorV2
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest, columns_of
from sqdr_qiskit.gradients.packing import ShiftPlan, Unit, pack
from sqdr_qiskit.gradients.probes import Assumption
from sqdr_qiskit.lightcone.angles import check_finite
from sqdr_qiskit.lightcone.operations import ChannelModel
from sqdr_qiskit.simulators import CircuitCache
from sqdr_qiskit.tiles import TiledCircuit, tile_circuit, whole_register

if TYPE_CHECKING:
    from sqdr_qiskit.simulators.aer import Noise

__all__ = ["execute", "PlannedGradient", "Results"]


@dataclass(frozen=True, eq=False)
class Results:
    """Expectation values of a plan's terms, shape (n_terms, ...), and their standard errors."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    shots: int | None


class PlannedGradient(BatchedEstimatorGradient):
    """A gradient from the estimator that gives the values, by a plan for each circuit, made once.

    Args:
        estimator: Any `BaseEstimatorV2`.
        assume: See `gradients.probes`.
        unit: See `gradients.packing`.
        tiling: Whether cones lie side by side; None: yes, unless there is noise, which knows its qubits.
        noise: With `structural`, the noise as a noise file or an Aer noise model has it.
        pass_manager: Transpiles what is executed, for estimators that take a device's gates alone.

    Raises:
        ArgumentError: Tiles under noise.
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2,
        *,
        assume: Assumption = "ideal",
        unit: Unit = "rotation",
        tiling: bool | None = None,
        noise: Noise | None = None,
        pass_manager: BasePassManager | None = None,
    ) -> None:
        super().__init__(estimator)
        self._assume, self._unit, self._noise = assume, unit, noise
        self._pass_manager = pass_manager
        # Like noise, what a transpiler does depends on which qubits a circuit stands on.
        whole = noise is not None or pass_manager is not None
        self._tiling = not whole if tiling is None else tiling
        if self._tiling and noise is not None:
            raise ArgumentError(
                "Argument `tiling` must be false with noise, because cones side by side would have the noise "
                "of other qubits."
            )
        self._plans: CircuitCache[ShiftPlan] = CircuitCache()

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of its own estimator, from the same PUB."""
        return estimator is self._estimator

    def plan(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        parameters: Sequence[Parameter] | None = None,
    ) -> ShiftPlan:
        """What will be executed for this circuit.

        Args:
            circuit: The circuit.
            observables: The observables, on its qubits.
            parameters: Those to differentiate by; all if None.

        Raises:
            UnsupportedError: A gate, an angle or observables that the rule cannot take, by name.
        """
        columns = tuple(columns_of(circuit, parameters))

        def make() -> ShiftPlan:
            tiled = self._lay_out(circuit, observables)
            return pack(tiled, assume=self._assume, unit=self._unit, wanted=columns)

        # The columns belong to the key: a plan for some parameters must not be taken for that of others.
        return self._plans.get(circuit, observables, make, more=columns)

    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64] | None, NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`; one PUB, and one execution a sample more with values.

        Raises:
            UnsupportedError: A gate, an angle or observables that cannot be taken, by name.
        """
        check_finite(request.values)
        plan = self.plan(request.circuit, request.observables, request.parameters)
        values, jacobian = self._measure(
            plan, request.values, request.precision, with_values=request.with_values
        )
        return values if request.with_values else None, jacobian.astype(request.dtype, copy=False)

    @abstractmethod
    def _measure(
        self, plan: ShiftPlan, parameters: NDArray[np.float64], precision: float | None, *, with_values: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values, shape (batch, n_observables), right only `with_values`; and the Jacobian."""

    def _lay_out(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> TiledCircuit:
        if self._tiling and circuit.layout is None:
            # a chip reads a tile in one basis, simulators compute each string by itself
            return tile_circuit(circuit, observables, one_basis=self._assume == "virtual-rz")
        if self._noise is None or self._assume != "structural":  # and a transpiled circuit's gates are kept
            return self._transpiled(whole_register(circuit, observables))
        from sqdr_qiskit.simulators.aer import circuit_noise

        noise = self._noise

        def mark(plain: QuantumCircuit) -> tuple[QuantumCircuit, ChannelModel]:
            bound = circuit_noise(noise, plain)
            return bound.circuit, bound.channels

        return whole_register(circuit, observables, noise=mark, read=circuit_noise(noise, circuit).read)

    def _transpiled(self, tiled: TiledCircuit) -> TiledCircuit:
        if self._pass_manager is None:
            return tiled
        ready = self._pass_manager.run(tiled.circuit)
        # Rows are bound by position: an angle that was simplified away would shift all others by one.
        if list(ready.parameters) != list(tiled.circuit.parameters):
            raise UnsupportedError(
                "Argument `pass_manager` must keep all angles of a circuit, but drops some; take one of a "
                "lower optimization level."
            )
        terms = tuple(term.apply_layout(ready.layout) for term in tiled.terms)
        return replace(tiled, circuit=ready, terms=terms)


def execute(
    estimator: BaseEstimatorV2, tiled: TiledCircuit, rows: NDArray[np.float64], precision: float | None
) -> Results:
    """One broadcast PUB: every term for every row.

    Args:
        estimator: Runs it.
        tiled: The circuit.
        rows: Shape (..., tiled.circuit.num_parameters), radians.
        precision: Target standard error; the estimator's own if None.
    """
    shape = rows.shape[:-1]
    if not tiled.terms:
        return Results(np.zeros((0, *shape)), np.zeros((0, *shape)), None)
    # An axis of length 1 for each axis of the rows, so that every term meets every row.
    column = ObservablesArray.coerce(list(tiled.terms)).reshape(len(tiled.terms), *[1] * len(shape))
    options = {} if precision is None else {"precision": precision}
    result = estimator.run([(tiled.circuit, column, rows)], **options).result()[0]
    values = np.asarray(result.data.evs, dtype=np.float64)
    errors = np.asarray(getattr(result.data, "stds", np.zeros_like(values)), dtype=np.float64)
    shots = result.metadata.get("shots")
    per_row = shots if isinstance(shots, int) else None
    return Results(values, errors, None if per_row is None else per_row * int(np.prod(shape)))
