"""Plans of executions for circuits as a gradient meets them, made once for each, and their results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, GradientRequest
from sqdr_qiskit.gradients.shifts.packing import ShiftPlan, Unit, pack
from sqdr_qiskit.gradients.shifts.pieces import Assumption
from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless
from sqdr_qiskit.simulators.noise import Noise, circuit_noise
from sqdr_qiskit.tiles.tiles import TiledCircuit, tile_circuit, whole_register

__all__ = ["execute", "PlanBook", "PlannedGradient", "Results"]


_KEPT = 16


@dataclass(frozen=True, eq=False)
class Results:
    """Expectation values of a plan's terms, shape (n_terms, ...), and their standard errors."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    shots: int | None


class PlanBook:
    """Makes plans and keeps them.

    Args:
        assume: See `gradients.shifts.pieces`.
        unit: See `gradients.shifts.packing`.
        tiling: Whether cones lie side by side; None: yes, unless there is noise, which knows its qubits.
        channels: The noise that follows the gates, by name.
        noise: The noise as a noise file or an Aer noise model has it.
    """

    def __init__(
        self,
        *,
        assume: Assumption = "ideal",
        unit: Unit = "rotation",
        tiling: bool | None = None,
        channels: ChannelModel = noiseless,
        noise: Noise | None = None,
    ) -> None:
        self.assume, self.unit, self.channels, self.noise = assume, unit, channels, noise
        noisy = noise is not None or channels is not noiseless
        self.tiling = not noisy if tiling is None else tiling
        self._plans: list[tuple[QuantumCircuit, list[SparsePauliOp], tuple[int, ...], ShiftPlan]] = []

    def get(
        self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], wanted: Sequence[int]
    ) -> ShiftPlan:
        """The plan for a circuit, its observables and the columns of the parameters to differentiate by.

        Raises:
            UnsupportedError: The circuit or the observables cannot be taken, by name.
        """
        operators, columns = list(observables), tuple(wanted)
        for place, (known, of, by, plan) in enumerate(self._plans):
            if by == columns and operators == of and circuit == known:
                self._plans.insert(0, self._plans.pop(place))
                return plan
        plan = pack(self._lay_out(circuit, operators), assume=self.assume, unit=self.unit, wanted=columns)
        self._plans.insert(0, (circuit.copy(), operators, columns, plan))
        del self._plans[_KEPT:]
        return plan

    def _lay_out(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> TiledCircuit:
        if self.assume != "structural":
            if self.tiling:
                return tile_circuit(circuit, observables)
            return whole_register(circuit, observables)
        if self.noise is not None:
            if self.tiling:
                raise UnsupportedError(
                    "Argument `tiling` must be false with a noise file, because cones side by side would "
                    "have the noise of other qubits."
                )
            noise = self.noise

            def mark(plain: QuantumCircuit) -> tuple[QuantumCircuit, ChannelModel]:
                bound = circuit_noise(noise, plain)
                return bound.circuit, bound.channels

            return whole_register(circuit, observables, noise=mark, read=circuit_noise(noise, circuit).read)
        if not self.tiling:
            return whole_register(circuit, observables, noise=lambda plain: (plain, self.channels))
        tiled = tile_circuit(circuit, observables, fuse=False, channels=self.channels)
        _check_places(tiled, self.channels)
        return tiled


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
    nested: Callable[[object], object] = lambda one: one  # noqa: E731
    for _ in shape:
        nested = (lambda inner: lambda one: [inner(one)])(nested)
    column = ObservablesArray.coerce([nested(term) for term in tiled.terms])  # (n_terms, 1, ..., 1)
    options = {} if precision is None else {"precision": precision}
    result = estimator.run([(tiled.circuit, column, rows)], **options).result()[0]
    values = np.asarray(result.data.evs, dtype=np.float64)
    errors = np.asarray(getattr(result.data, "stds", np.zeros_like(values)), dtype=np.float64)
    shots = result.metadata.get("shots")
    per_row = shots if isinstance(shots, int) else None
    return Results(values, errors, None if per_row is None else per_row * int(np.prod(shape)))


def _check_places(tiled: TiledCircuit, channels: ChannelModel) -> None:
    """Refuse noise that differs from qubit to qubit: tiles stand on others than the circuit did."""
    original = {
        wire: name for tile in tiled.tiles for wire, name in zip(tile.wires, tile.qubits, strict=True)
    }
    for item in tiled.circuit.data:
        wires = tuple(tiled.circuit.find_bit(qubit).index for qubit in item.qubits)
        name = item.operation.label or item.operation.name
        here = channels.after(name, wires)
        there = channels.after(name, tuple(original[wire] for wire in wires))
        same = len(here) == len(there) and all(
            tuple(original[q] for q in one.qubits) == other.qubits and np.array_equal(one.ptm, other.ptm)
            for one, other in zip(here, there, strict=False)
        )
        if not same:
            raise UnsupportedError(
                f"Argument `tiling` must be false with noise that differs from qubit to qubit, as that "
                f"after gate `{name}` does."
            )


class PlannedGradient(BatchedEstimatorGradient):
    """A gradient from the estimator that gives the values, by a plan for each circuit.

    Args:
        estimator: Any `BaseEstimatorV2`.
        book: Makes the plans.
    """

    def __init__(self, estimator: BaseEstimatorV2, book: PlanBook) -> None:
        super().__init__(estimator)
        self._book = book

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of its own estimator, from the same PUB."""
        return estimator is self._estimator

    def evaluate(self, request: GradientRequest) -> tuple[NDArray[np.float64] | None, NDArray[Any]]:
        """See `BatchedEstimatorGradient.evaluate`; one PUB, and one execution a sample more with values.

        Raises:
            UnsupportedError: A gate, an angle or observables that cannot be taken, by name.
        """
        plan = self._book.get(request.circuit, request.observables, request.columns)
        values, jacobian = self._measure(
            plan, request.values, request.precision, with_values=request.with_values
        )
        return values if request.with_values else None, jacobian.astype(request.dtype, copy=False)

    @abstractmethod
    def _measure(
        self, plan: ShiftPlan, parameters: NDArray[np.float64], precision: float | None, *, with_values: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values, shape (batch, n_observables), right only `with_values`; and the Jacobian."""
