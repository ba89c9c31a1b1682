"""The plainest way onto a device: each circuit as it is, routed over the chip, one request for each PUB."""

from __future__ import annotations

from collections.abc import Iterable

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, EstimatorPubLike, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.providers import BackendV2
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager

from sqdr_qiskit.backends.finished import FinishedJob
from sqdr_qiskit.backends.sender import Sender, executions_of, precision_of

__all__ = ["RoutedEstimator"]


class RoutedEstimator(BaseEstimatorV2):
    """An estimator that transpiles whole circuits and hands them to a `Sender`.

    A circuit is transpiled once, with a fixed seed: equal circuits always take the same qubits.

    Args:
        device: The device.
        sender: Brings requests there and results back.
        shots: Samples per expectation value where no precision is asked for.
    """

    def __init__(self, device: BackendV2, sender: Sender, *, shots: int) -> None:
        self._sender = sender
        self._precision = precision_of(shots)
        self._passes = generate_preset_pass_manager(2, backend=device, seed_transpiler=0)
        self._known: list[tuple[QuantumCircuit, QuantumCircuit]] = []

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> FinishedJob:
        """See `BaseEstimatorV2.run`; a precision of 0 means the estimator's own, for no device is exact.

        Raises:
            BackendError: The device refused or failed.
        """
        wanted = [EstimatorPub.coerce(pub, precision or None) for pub in pubs]
        requests = [(self._placed(pub), pub.precision or self._precision) for pub in wanted]
        self._sender.announce([executions_of([pub], precise) for pub, precise in requests])
        handles = [
            self._sender.send([pub], precision=precise, label=f"request {number}/{len(requests)}")
            for number, (pub, precise) in enumerate(requests, 1)
        ]
        results = [self._sender.collect(handle)[0] for handle in handles]
        done: PrimitiveResult[PubResult] = PrimitiveResult(results, metadata={"version": 2})
        return FinishedJob(done)

    def _placed(self, pub: EstimatorPub) -> EstimatorPub:
        circuit = self._routed(pub.circuit)
        observables = pub.observables.apply_layout(circuit.layout)
        return EstimatorPub(circuit, observables, pub.parameter_values, validate=True)

    def _routed(self, circuit: QuantumCircuit) -> QuantumCircuit:
        for known, routed in self._known:
            if known is circuit or known == circuit:
                return routed
        routed = self._passes.run(circuit)
        self._known = [(circuit, routed), *self._known[:15]]
        return routed
