"""A device rehearsed on this machine: its circuits on Aer, with the noise and the readout of its snapshot.

Only the qubits in use are simulated, and of those each observable's light cone by itself: a tile costs what a
circuit of its 3 or 7 qubits costs, whatever the size of the chip. Gates err by the rule of Aer's
`NoiseModel.from_backend`; waiting qubits relax; what no snapshot holds (crosstalk, drift, ...) is left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import IGate
from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit_aer.noise import NoiseModel, ReadoutError

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.sender import Handle, Request, shots_of
from sqdr_qiskit.devices.success import schedule
from sqdr_qiskit.simulators.aer import AerConeEstimator
from sqdr_qiskit.simulators.circuit_cache import CircuitCache

__all__ = ["LocalHandle", "LocalSender", "noisy_part"]

_CIRCUITS = 8


@dataclass(frozen=True, eq=False)
class LocalHandle:
    """A request that is computed when it is collected."""

    pubs: tuple[EstimatorPub, ...]
    precision: float
    label: str


class LocalSender:
    """A `Sender` that runs requests on Aer.

    Args:
        chip: The device.
        seed: Makes samples repeatable; None draws fresh ones.
    """

    def __init__(self, chip: Chip, *, seed: int | None = None) -> None:
        self._chip = chip
        self._seed = seed
        self._known: CircuitCache[_Rehearsal] = CircuitCache(_CIRCUITS)

    def announce(self, requests: Sequence[Request]) -> None:
        """Nothing is spent here."""

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> LocalHandle:
        """Remember a request."""
        return LocalHandle(tuple(pubs), precision, label)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """Compute a request's results."""
        assert isinstance(handle, LocalHandle)
        results = [self._run(pub, handle.precision) for pub in handle.pubs]
        return PrimitiveResult(results, metadata={"version": 2})

    def _run(self, pub: EstimatorPub, precision: float) -> PubResult:
        rehearsal = self._rehearsal(pub)
        observables = ObservablesArray(
            [
                {_part(word, rehearsal.qubits): weight for word, weight in observable.items()}
                for observable in pub.observables.ravel().tolist()
            ],
        ).reshape(pub.observables.shape)
        shots = shots_of(precision)
        inner = EstimatorPub(rehearsal.circuit, observables, pub.parameter_values, precision=precision)
        result = rehearsal.estimator.run([inner]).result()[0]
        return PubResult(result.data, metadata={"shots": shots, "target_precision": precision})

    def _rehearsal(self, pub: EstimatorPub) -> _Rehearsal:
        measured = _support(pub.observables)
        return self._known.get(pub.circuit, (), lambda: self._rehearse(pub, measured), more=measured)

    def _rehearse(self, pub: EstimatorPub, measured: tuple[int, ...]) -> _Rehearsal:
        circuit, model, qubits = noisy_part(pub.circuit, self._chip, measured)
        # Each circuit has a stream of its own, so that the order of circuits does not matter.
        seed = None if self._seed is None else zlib.crc32(f"{self._seed} {pub.circuit.size()}".encode())
        return _Rehearsal(circuit, qubits, AerConeEstimator(model, shots=1, seed=seed))


@dataclass(frozen=True, eq=False)
class _Rehearsal:
    """What stands for a device's circuit: its qubits in use under new numbers, noise included."""

    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    estimator: AerConeEstimator


def noisy_part(
    circuit: QuantumCircuit, chip: Chip, measured: Sequence[int]
) -> tuple[QuantumCircuit, NoiseModel, tuple[int, ...]]:
    """The qubits of a device's circuit that are in use, and the noise on them.

    Args:
        circuit: Of the device's own gates, on all its qubits, without measurements.
        chip: The device.
        measured: Qubits that are measured.

    Returns:
        The circuit on the qubits in use, with an identity gate wherever a qubit waits (labelled by the time
        in ns); the noise model for it; and the device's qubits that its qubits stand for.
    """
    used = {circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits} | set(measured)
    qubits = tuple(sorted(used))
    place = {qubit: i for i, qubit in enumerate(qubits)}
    small = QuantumCircuit(len(qubits))
    model = NoiseModel()
    known: set[tuple[str, tuple[int, ...]]] = set()
    for item, waits in zip(circuit.data, schedule(circuit, chip, measured).waits, strict=True):
        where = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        small.append(item.operation, [place[qubit] for qubit in where])
        key = (item.operation.name, where)
        error = chip.error_after(*key)
        if error is not None and key not in known:
            model.add_quantum_error(error, [key[0]], [place[qubit] for qubit in where], warnings=False)
            known.add(key)
        for qubit, seconds in waits:
            nanoseconds = round(seconds * 1e9)
            error = chip.error_of_waiting(qubit, nanoseconds) if nanoseconds else None
            if error is None:
                continue
            label = f"wait~{nanoseconds}"
            small.append(IGate(label=label), [place[qubit]])
            if (label, (qubit,)) not in known:
                model.add_quantum_error(error, [label], [place[qubit]], warnings=False)
                known.add((label, (qubit,)))
    for qubit in measured:
        p01, p10 = chip.readout[qubit]
        if p01 or p10:
            reading = ReadoutError([[1 - p01, p01], [p10, 1 - p10]])
            model.add_readout_error(reading, [place[qubit]], warnings=False)
    return small, model, qubits


def _support(observables: ObservablesArray) -> tuple[int, ...]:
    """Qubits that any observable looks at, ascending."""
    found: set[int] = set()
    for observable in observables.ravel().tolist():
        for word in observable:
            found.update(place for place, letter in enumerate(reversed(word)) if letter != "I")
    return tuple(sorted(found))


def _part(word: str, qubits: Sequence[int]) -> str:
    """A Pauli word on some of its qubits (Qiskit writes qubit 0 last)."""
    return "".join(word[len(word) - 1 - qubit] for qubit in reversed(qubits))
