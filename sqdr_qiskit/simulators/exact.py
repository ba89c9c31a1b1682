"""The exact engine as a Qiskit estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock
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

from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless

__all__ = ["distinct_observables", "EngineCache", "EngineMaker", "ExactEstimator", "FinishedJob"]


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


class EngineCache:
    """Compiled engines, so that a circuit is taken apart once and not for every batch.

    Args:
        channels: The noise that follows the gates.
        maker: Makes the engines; in place of `channels`, where noise means more than channels.
        size: Engines kept; the one not used for longest goes first.
    """

    def __init__(
        self, channels: ChannelModel = noiseless, *, maker: EngineMaker | None = None, size: int = 16
    ) -> None:
        self._make = partial(ExactEngine, channels=channels) if maker is None else maker
        self._size = size
        self._engines: list[tuple[QuantumCircuit, list[SparsePauliOp], ExactEngine]] = []
        self._last: tuple[QuantumCircuit, Sequence[SparsePauliOp], ExactEngine] | None = None
        self._lock = Lock()

    def get(
        self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], *, same: bool = False
    ) -> ExactEngine:
        """The engine of `circuit` and `observables`; equal circuits share one, a changed one never does.

        Args:
            circuit: The circuit.
            observables: The observables, on its qubits.
            same: Whether both are objects that nobody changes: the last such pair is known without a look.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        wanted = list(observables)
        with self._lock:
            last = self._last
            if same and last is not None and last[0] is circuit and last[1] is observables:
                return last[2]
            engine = self._find(circuit, wanted)
            if engine is None:
                engine = self._make(circuit, wanted)
                self._engines.insert(0, (circuit.copy(), wanted, engine))
                del self._engines[self._size :]
            if same:
                self._last = circuit, observables, engine
            return engine

    def _find(self, circuit: QuantumCircuit, observables: list[SparsePauliOp]) -> ExactEngine | None:
        for place, (known, of, engine) in enumerate(self._engines):
            if observables == of and circuit == known:
                self._engines.insert(0, self._engines.pop(place))
                return engine
        return None


class ExactEstimator(BaseEstimatorV2):
    """Expectation values to rounding, from light cones; noise enters as channels.

    Any requested precision is met: the standard errors are zero.

    Args:
        channels: The noise that follows the gates.
        maker: Makes the engines; in place of `channels`, where noise means more than channels.
    """

    def __init__(self, channels: ChannelModel = noiseless, *, maker: EngineMaker | None = None) -> None:
        self.engines = EngineCache(channels, maker=maker)
        self._last: tuple[ObservablesArray, list[SparsePauliOp], NDArray[np.int64]] | None = None

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> FinishedJob:
        """Evaluate `pubs`; observables and parameters broadcast as Qiskit's interface says.

        Raises:
            UnsupportedError: The engine cannot take a circuit.
        """
        results = [self._pub(EstimatorPub.coerce(pub, precision)) for pub in pubs]
        return FinishedJob(PrimitiveResult(results, metadata={"version": 2}))

    def _pub(self, pub: EstimatorPub) -> PubResult:
        last = self._last
        if last is None or last[0] is not pub.observables:
            last = self._last = (pub.observables, *distinct_observables(pub.observables))
        engine = self.engines.get(pub.circuit, last[1])
        parameters = pub.parameter_values.as_array(pub.circuit.parameters)
        values = engine.values(parameters.reshape(pub.parameter_values.size, pub.circuit.num_parameters))
        rows = np.arange(len(values)).reshape(pub.parameter_values.shape)
        evs = np.asarray(values[rows, last[2]])
        return PubResult(
            DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape),
            metadata={"target_precision": 0.0, "circuit_metadata": pub.circuit.metadata},
        )


def distinct_observables(observables: ObservablesArray) -> tuple[list[SparsePauliOp], NDArray[np.int64]]:
    """The distinct observables of an array, and for each of its places the number of its observable."""
    numbers: dict[tuple[tuple[str, float], ...], int] = {}
    which = np.zeros(observables.shape, dtype=np.int64)
    operators = observables.sparse_observables_array()
    found: list[SparsePauliOp] = []
    for index in np.ndindex(*observables.shape):
        key = tuple(observables[index].items())
        if key not in numbers:
            numbers[key] = len(found)
            found.append(SparsePauliOp.from_sparse_observable(operators[index]))
        which[index] = numbers[key]
    return found, which
