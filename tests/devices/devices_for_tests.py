"""Small devices, and an ideal one to send to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from qiskit.circuit import Parameter
from qiskit.circuit.library import CZGate, Measure, RZGate, SXGate, XGate
from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from sqdr_qiskit.devices.chip import Chip, chip_of, fake_backend
from sqdr_qiskit.devices.chip_noise import part_in_use
from sqdr_qiskit.devices.estimator import Handle, Request, executions_of
from sqdr_qiskit.devices.twin import LocalHandle
from sqdr_qiskit.simulators.exact import ExactEstimator


@cache
def snapshot(name: str) -> Chip:
    """The chip of a snapshot, made once."""
    return chip_of(fake_backend(name))


def grid_chip(
    pairs: dict[tuple[int, int], float], readout: Sequence[float], *, turn: float = 0.0, seconds: float = 1e-7
) -> Chip:
    """A chip with these CZ errors and readout errors."""
    n = len(readout)
    target = Target(num_qubits=n, qubit_properties=[QubitProperties(t1=1e-4, t2=8e-5)] * n)
    ones = {(q,): InstructionProperties(error=turn, duration=seconds / 2) for q in range(n)}
    target.add_instruction(
        RZGate(Parameter("t")), {(q,): InstructionProperties(error=0.0, duration=0.0) for q in range(n)}
    )
    target.add_instruction(SXGate(), ones)
    target.add_instruction(XGate(), ones)
    target.add_instruction(
        CZGate(), {pair: InstructionProperties(error=e, duration=seconds) for pair, e in pairs.items()}
    )
    target.add_instruction(
        Measure(), {(q,): InstructionProperties(error=e, duration=1e-6) for q, e in enumerate(readout)}
    )
    return Chip("grid", target, tuple((e, e) for e in readout))


class IdealSender:
    """A `Sender` without noise or shots that remembers what it was asked."""

    def __init__(self, chip: Chip, *, ceiling: float = np.inf) -> None:
        self.chip = chip
        self.ceiling = ceiling
        self.announced: list[list[int]] = []
        self.sent: list[LocalHandle] = []
        self.collected: list[str] = []

    def announce(self, requests: Sequence[Request]) -> None:
        executions = [request.executions for request in requests]
        self.announced.append(executions)
        if sum(executions) > self.ceiling:
            raise ValueError("too dear")

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> LocalHandle:
        assert executions_of(pubs, precision) == self.announced[-1][len(self.sent) % len(self.announced[-1])]
        handle = LocalHandle(tuple(pubs), precision, label)
        self.sent.append(handle)
        return handle

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        assert isinstance(handle, LocalHandle)
        self.collected.append(handle.label)
        return PrimitiveResult([self._run(pub) for pub in handle.pubs])

    def _run(self, pub: EstimatorPub) -> PubResult:
        words = [word for observable in pub.observables.ravel().tolist() for word in observable]
        looked_at = sorted({len(w) - 1 - i for w in words for i, letter in enumerate(w) if letter != "I"})
        part = part_in_use(pub.circuit, self.chip, looked_at)
        bare = part.circuit.copy_empty_like()
        for item in part.circuit.data:
            if item.operation.name != "id":
                bare.append(item)
        observables = [
            [{part.word(word): weight for word, weight in o.items()} for o in row]
            for row in pub.observables.tolist()
        ]
        return ExactEstimator().run([(bare, observables, pub.parameter_values)]).result()[0]
