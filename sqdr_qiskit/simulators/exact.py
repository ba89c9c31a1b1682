"""The exact engine as a Qiskit estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    BasePrimitiveJob,
    DataBin,
    EstimatorPubLike,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.providers import JobStatus
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators import CircuitCache, distinct_observables, in_shape, parameter_rows

__all__ = ["EngineMaker", "ExactEstimator", "FinishedJob"]


class FinishedJob(BasePrimitiveJob[PrimitiveResult[PubResult], JobStatus]):
    """The job of an estimator that answers at once.

    Qiskit's `PrimitiveJob` starts a thread for every job, which costs more than the expectation values of a
    batch do here.

    Args:
        result: The result.
    """

    def __init__(self, result: PrimitiveResult[PubResult]) -> None:
        super().__init__(str(uuid4()))
        self._finished = result

    def result(self) -> PrimitiveResult[PubResult]:
        """The result."""
        return self._finished

    def status(self) -> JobStatus:
        """Always `JobStatus.DONE`."""
        return JobStatus.DONE

    def done(self) -> bool:
        """Always true."""
        return True

    def running(self) -> bool:
        """Always false."""
        return False

    def cancelled(self) -> bool:
        """Always false."""
        return False

    def in_final_state(self) -> bool:
        """Always true."""
        return True

    def cancel(self) -> None:
        """There is nothing left to cancel."""


EngineMaker: TypeAlias = Callable[[QuantumCircuit, Sequence[SparsePauliOp]], ExactEngine]
"""What makes the engine of a circuit and its observables; `ExactEngine` is the noiseless one."""


class ExactEstimator(BaseEstimatorV2):
    """Expectation values to rounding, from light cones; noise enters as channels.

    Args:
        maker: Makes the engines; `ExactEngine` is the noiseless one, `simulators.aer.noisy_engine(noise)`
            one under noise.
        default_precision: 0 for exact values at any precision that is asked for. Above 0, values are drawn
            around the exact ones with the standard error that is asked for, this one if none is, as Qiskit's
            `StatevectorEstimator` does, with the same numbers for the same seed.
        seed: Of these draws: a number makes every PUB repeatable.

    Raises:
        ArgumentError: A precision below 0.
    """

    def __init__(
        self,
        maker: EngineMaker | None = None,
        *,
        default_precision: float = 0.0,
        seed: np.random.Generator | int | None = None,
    ) -> None:
        if default_precision < 0.0:
            raise ArgumentError(
                f"Argument `default_precision` must be at least 0, but is {default_precision}."
            )
        self._make: EngineMaker = ExactEngine if maker is None else maker
        self.default_precision, self.seed = default_precision, seed
        self._engines: CircuitCache[ExactEngine] = CircuitCache()
        self._last: tuple[ObservablesArray, list[SparsePauliOp], NDArray[np.int64]] | None = None

    def engine(
        self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], *, same: bool = False
    ) -> ExactEngine:
        """The engine of a circuit and its observables, made once for equal ones.

        Args:
            circuit: The circuit.
            observables: The observables, on its qubits.
            same: See `CircuitCache.get`.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        return self._engines.get(
            circuit, observables, lambda: self._make(circuit, list(observables)), same=same
        )

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> FinishedJob:
        """Evaluate `pubs`; observables and parameters broadcast as Qiskit's interface says.

        Raises:
            UnsupportedError: The engine cannot take a circuit.
        """
        asked = self.default_precision if precision is None else precision
        results = [self._pub(EstimatorPub.coerce(pub, asked)) for pub in pubs]
        return FinishedJob(PrimitiveResult(results, metadata={"version": 2}))

    def _pub(self, pub: EstimatorPub) -> PubResult:
        # A training sends one array of observables with every batch: it is taken apart once.
        last = self._last
        if last is None or last[0] is not pub.observables:
            last = self._last = (pub.observables, *distinct_observables(pub.observables))
        engine = self.engine(pub.circuit, last[1])
        evs = in_shape(pub, engine.values(parameter_rows(pub)), last[2])
        stds = np.zeros_like(evs)
        if self.default_precision > 0.0 and pub.precision:
            evs = np.asarray(np.random.default_rng(self.seed).normal(evs, pub.precision))
            stds += pub.precision
        return PubResult(
            DataBin(evs=evs, stds=stds, shape=evs.shape),
            metadata={"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata},
        )
