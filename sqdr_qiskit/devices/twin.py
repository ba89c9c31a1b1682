"""The twin of a chip: a circuit's expectations as the chip would read them, and their derivatives, exactly.

A compiled program turns the circuit's parameters into angles of the chip's pulses. Expectations under the
chip's noise come from the exact engine at these angles, derivatives by its reverse sweep, pulled back through
the turns that the pulses were composed of (`turns`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from scipy.special import chdtrc

from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import DeviceProgram, Round
from sqdr_qiskit.devices.rehearsal import LocalSender, chip_engine, draw
from sqdr_qiskit.devices.turns import Turns
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators import CircuitCache

__all__ = ["Comparison", "Twin", "TwinEngine", "compare"]

_Float = NDArray[np.float64]
_Int = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Measured expectation values against a twin's.

    Attributes:
        n_values: Values compared.
        shots: Readings of each.
        chi_square: Mean of z^2, z = (measured - twin's) / sqrt((1 - twin's^2) / shots); 1 where shots alone
            tell them apart.
        p_value: How often shots alone would make it as large or larger.
        largest_z: Largest |z|.
        output: The output that it is of.
        rms_error: Root of the mean square of (measured - twin's).
        slope: sum (measured x twin's) / sum twin's^2: below 1 the device is noisier than its twin.
    """

    n_values: int
    shots: int
    chi_square: float
    p_value: float
    largest_z: float
    output: int
    rms_error: float
    slope: float

    @property
    def agrees(self) -> bool:
        """Whether shots alone explain what differs, up to one time in a thousand."""
        return self.p_value >= 1e-3


def compare(measured: _Float, expected: _Float, shots: int) -> Comparison:
    """Hold measured values against a twin's expectations.

    Args:
        measured: Shape (batch, n_outputs), without mitigation.
        expected: The same values without shot noise.
        shots: Readings of each.
    """
    # A value of +-1 can still be missed by one reading.
    spread = np.sqrt(np.maximum(1.0 - expected**2, 1.0 / shots) / shots)
    z = (measured - expected) / spread
    worst = int(np.abs(z).argmax())
    return Comparison(
        n_values=z.size,
        shots=shots,
        chi_square=float((z**2).mean()),
        p_value=float(chdtrc(z.size, (z**2).sum())),
        largest_z=float(np.abs(z).max()),
        output=worst % z.shape[1],
        rms_error=float(np.sqrt(((measured - expected) ** 2).mean())),
        slope=float((measured * expected).sum() / max(float((expected**2).sum()), 1e-12)),
    )


class Twin:
    """The exact twin of what an estimator sends to a rehearsed device.

    Args:
        estimator: Of the device; gives the layout, the shots and the seed.
        sender: The one that rehearses for it.
    """

    def __init__(self, estimator: DeviceEstimator, sender: LocalSender) -> None:
        self.estimator = estimator
        self._sender = sender
        self._engines: CircuitCache[TwinEngine] = CircuitCache()

    @property
    def stands_alone(self) -> bool:
        """Whether requests go straight to the rehearsal, with nobody between who counts them."""
        return self.estimator.sender is self._sender

    def sampled(
        self, terms: _Float, engine: TwinEngine, parameters: _Float, *, shots: int | None = None
    ) -> _Float:
        """Observables from the expectations of single readings, each read as often as the estimator does.

        Args:
            terms: Shape (batch, n_terms).
            engine: What they come from.
            parameters: At which, shape (batch, n_params).
            shots: Readings of each; the estimator's own number if None.

        Returns:
            Shape (batch, n_observables).
        """
        if self._sender.sampled:
            shots = shots or self.estimator.shots
            terms = draw(terms, shots, self._sender.seeds.next(parameters, engine.circuit, shots))
        return engine.program.observables(terms)

    def engine(
        self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], *, same: bool = False
    ) -> TwinEngine:
        """The engine of a circuit and its observables, made once for equal ones.

        Args:
            circuit: The circuit.
            observables: The observables, on its qubits.
            same: See `CircuitCache.get`.

        Raises:
            UnsupportedError: The device cannot take the circuit, or it is too wide and deep to be computed.
        """
        return self._engines.get(circuit, observables, lambda: self._make(circuit, observables), same=same)

    def _make(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> TwinEngine:
        program = self.estimator.program(circuit, observables)

        def compiled(part: Round) -> ExactEngine:
            return chip_engine(
                part.circuit, [word for copy in part.words for word in copy], self._sender.chip
            )

        return TwinEngine(circuit, program, compiled)


class TwinEngine:
    """Expectation values and Jacobians of a compiled program, by the circuit's own parameters.

    Sample number s stands where the estimator puts it: on place s modulo the number of places side by side.

    Args:
        circuit: The circuit that was compiled.
        program: What it became on the device.
        engine: Makes the exact engine of a round: of its circuit's parameters, one output for each of its
            `words`, copy by copy.
    """

    def __init__(
        self, circuit: QuantumCircuit, program: DeviceProgram, engine: Callable[[Round], ExactEngine]
    ) -> None:
        self.circuit = circuit
        self.program = program
        self._parts = [_Part.of(part, engine(part)) for part in program.rounds]

    @property
    def n_outputs(self) -> int:
        """Number of observables."""
        return len(self.program.logical.constants)

    def values(self, parameters: _Float) -> _Float:
        """Expectation values, shape (batch, n_params) -> (batch, n_outputs)."""
        return self.program.observables(self.terms(parameters, None)[0])

    def jacobian(
        self, parameters: _Float, *, dtype: type[np.floating[Any]] = np.float64
    ) -> tuple[_Float, NDArray[Any]]:
        """Expectation values and their derivatives along every parameter, see `ExactEngine.jacobian`."""
        terms, jacobian = self.terms(parameters, dtype)
        return self.program.observables(terms), jacobian

    def terms(self, parameters: _Float, dtype: type[np.floating[Any]] | None) -> tuple[_Float, NDArray[Any]]:
        """Expectations of the single readings, shape (batch, n_terms), and with a `dtype` the Jacobian of the
        observables, shape (batch, n_outputs, n_params), per radian.
        """
        parameters = np.ascontiguousarray(parameters, dtype=np.float64)
        batch, logical = len(parameters), self.program.logical
        with_slopes = dtype is not None
        outer = parameters if logical.stage is None else logical.stage.values(parameters)
        inner, slopes = self.program.turns.values(outer, with_slopes)
        terms = np.zeros((batch, len(logical.terms)))
        total = np.zeros((batch, len(logical.terms), outer.shape[1])) if with_slopes else np.zeros(0)
        for part in self._parts:
            readings, pulled = part.readings(inner, with_slopes)
            terms[:, part.terms] = readings
            if with_slopes:
                self.program.turns.pull_back(pulled, slopes, total, part.terms)
        if dtype is None:
            return terms, total
        weights = logical.weights
        if not np.array_equal(weights, np.eye(len(weights), weights.shape[1])):
            total = np.einsum("ot,stp->sop", weights, total)
        if logical.stage is not None:
            total = total @ logical.stage.slopes(parameters)
        return terms, total.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class _Part:
    """A round: its engine, and for each place side by side its turns and which samples stand there."""

    engine: ExactEngine
    turns: tuple[Turns, ...]
    terms: _Int
    order: _Int  # of the circuit's parameters among the turns' angles, and back
    back: _Int

    @classmethod
    def of(cls, part: Round, engine: ExactEngine) -> _Part:
        column = {parameter: i for i, parameter in enumerate(part.parameters)}
        order = np.array([column[parameter] for parameter in part.circuit.parameters], dtype=np.int64)
        turns = tuple(copy.turns for copy in part.copies)
        return cls(engine, turns, np.array(part.terms, dtype=np.int64), order, np.argsort(order))

    def readings(self, inner: _Float, with_slopes: bool) -> tuple[_Float, _Float]:
        """Expectations, shape (batch, n_terms), and on request their Jacobian by `inner`."""
        batch, n_copies, n_terms = len(inner), len(self.turns), len(self.terms)
        n_rows = -(-batch // n_copies)
        last = np.minimum(np.arange(n_rows * n_copies), batch - 1)  # the last row is filled up
        found = [turns.values(inner[last[c::n_copies]], with_slopes) for c, turns in enumerate(self.turns)]
        rows = np.concatenate([angles for angles, _ in found], axis=1)[:, self.order]
        values, jacobian = (
            self.engine.jacobian(rows) if with_slopes else (self.engine.values(rows), np.zeros((0, 0, 0)))
        )
        readings = values.reshape(-1, n_terms)[:batch]
        if not with_slopes:
            return readings, jacobian
        pulled = np.zeros((n_rows, n_copies, n_terms, inner.shape[1]))
        column = 0
        for c, (turns, (angles, slopes)) in enumerate(zip(self.turns, found, strict=True)):
            own = jacobian[:, c * n_terms : (c + 1) * n_terms]
            own = own[:, :, self.back[column : column + angles.shape[1]]]
            turns.pull_back(own, slopes, pulled[:, c], np.arange(n_terms))
            column += angles.shape[1]
        return readings, pulled.reshape(-1, n_terms, inner.shape[1])[:batch]
