"""What a run asks for and what it may spend: requests told from equal ones, all of them under one ceiling.

A group of requests that belong together is held as a whole, before the first of it goes out. What the ledger
has already, or has under way, costs nothing more; what the service has not said of a job's cost counts as the
most that it may be. Last, a rehearsal that is held under the ceiling as the device's run would be.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.circuit import ParameterExpression, QuantumCircuit
from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.devices.estimator import Handle, Request, Sender, executions_of, planned_seconds
from sqdr_qiskit.errors import ArgumentError, BackendError
from sqdr_qiskit.runtime import Waiting, nobody
from sqdr_qiskit.runtime.ledger import UNDER_WAY, Entry, Ledger
from sqdr_qiskit.runtime.service import read_result, write_result
from sqdr_qiskit.simulators import shots_of

__all__ = ["Budget", "Ceiling", "RehearsalSender", "request_digest"]


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The most that a run may spend on a quantum computer.

    Attributes:
        max_qpu_seconds: Estimated quantum seconds; None is no limit.
        max_executions: Circuit executions: parameter sets x bases x shots; None is no limit.

    Raises:
        ArgumentError: A limit is not a number above 0.
    """

    max_qpu_seconds: float | None = None
    max_executions: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_qpu_seconds", "max_executions"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ArgumentError(f"Argument `{name}` must be above 0, but is {value}.")

    def exceeded(
        self, executions: Sequence[int], *, spent_s: float = 0.0, spent_executions: int = 0
    ) -> str | None:
        """Why jobs of so many executions may not be sent any more; None if they may.

        Args:
            executions: Of each job.
            spent_s: Quantum seconds spent or committed before.
            spent_executions: Executions before.
        """
        seconds = spent_s + sum(planned_seconds(number) for number in executions)
        total = spent_executions + sum(executions)
        if self.max_qpu_seconds is not None and seconds > self.max_qpu_seconds:
            return f"about {seconds:,.1f} s of quantum time, above --max-qpu-seconds {self.max_qpu_seconds:g}"
        if self.max_executions is not None and total > self.max_executions:
            return f"{total:,} executions, above --max-executions {self.max_executions:,}"
        return None


class Budget:
    """The requests of one process, and what the run's ledger says of them.

    Args:
        ledger: The run's ledger.
        ceiling: The most that the run may spend.
        device: Says the device's name; asked when it is needed.
        facts: Options that change the numbers.
        watch: Told what a group costs, before it is held.
        settle: Asks once more what jobs cost whose cost is not known; called before the ceiling is asked.

    Attributes:
        calls: Groups so far.
    """

    def __init__(
        self,
        ledger: Ledger,
        ceiling: Ceiling,
        *,
        device: Callable[[], str],
        facts: Mapping[str, Any],
        watch: Callable[[Waiting], None] = nobody,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger, self._ceiling, self._device = ledger, ceiling, device
        self._facts, self._watch, self._settle = dict(facts), watch, settle
        self._counted: Counter[str] = Counter()
        self.calls = 0

    def announce(self, requests: Sequence[Request]) -> None:
        """Say what a group costs, then refuse it if what is new in it is above the ceiling.

        Raises:
            BackendError: It is; nothing of the group was sent.
        """
        self.calls += 1
        self._settle()
        executions = [request.executions for request in requests]
        cost = sum(planned_seconds(number) for number in executions)
        text = (
            f"{len(executions)} job{'s' * (len(executions) != 1)} for {self._device()}, "
            f"{sum(executions):,} executions: about {cost:.1f} s of quantum time; {self._so_far()}"
        )
        self._watch(Waiting(text, "cost", total=len(executions)))
        # On a copy: requests are counted when they are sent, and this group may be refused.
        counted, new = self._counted.copy(), []
        for request in requests:
            digest = self._digest(request.pubs, request.precision)
            entry = self._ledger.find(digest, counted[digest])
            counted[digest] += 1
            if entry is None or entry.state not in (*UNDER_WAY, "done"):
                new.append(request.executions)
        part = "" if len(new) == len(requests) else f", {len(new)} of {len(requests)} jobs"
        self.check(new, f"call {self.calls}{part}")

    def count(self, pubs: Sequence[EstimatorPub], precision: float) -> tuple[str, int]:
        """Digest of a request that is about to be sent, and how many equal ones were sent before it."""
        digest = self._digest(pubs, precision)
        number = self._counted[digest]
        self._counted[digest] += 1
        return digest, number

    def check(self, executions: Sequence[int], label: str) -> None:
        """Refuse new jobs of so many executions if the run would go above its ceiling with them.

        Raises:
            BackendError: It would.
        """
        if not executions:
            return
        ledger = self._ledger
        reason = self._ceiling.exceeded(
            executions, spent_s=ledger.committed_s(), spent_executions=ledger.committed_executions()
        )
        if reason is not None:
            raise BackendError(
                f"Stopped before sending {label}: with it the run would take {reason}; nothing more was "
                f"sent. --resume {ledger.title} with a higher ceiling goes on from here."
            )

    def _digest(self, pubs: Sequence[EstimatorPub], precision: float) -> str:
        return request_digest(pubs, precision, device=self._device(), facts=self._facts)

    def _so_far(self) -> str:
        limit = self._ceiling.max_qpu_seconds
        words = f"{self._ledger.committed_s():.1f} s{'' if limit is None else f' of {limit:g} s'}"
        if self._ceiling.max_executions is not None:
            done = self._ledger.committed_executions()
            words += f" and {done:,} of {self._ceiling.max_executions:,} executions"
        return f"{words} committed so far"


def request_digest(
    pubs: Sequence[EstimatorPub], precision: float, *, device: str, facts: Mapping[str, Any]
) -> str:
    """SHA-256 of what is asked, as 64 hexadecimal digits.

    Names of circuits and identities of parameters do not count; gates, qubits, angles, observables, parameter
    values, precision, device and options do.

    Args:
        pubs: The request's PUBs.
        precision: Their precision.
        device: Where they go.
        facts: Options that change the numbers.
    """
    content = hashlib.sha256()
    head = {"device": device, "facts": dict(facts), "precision": precision, "pubs": len(pubs)}
    content.update(json.dumps(head, sort_keys=True).encode())
    for pub in pubs:
        content.update(_circuit(pub.circuit))
        observables = [dict(sorted(observable.items())) for observable in pub.observables.ravel().tolist()]
        content.update(json.dumps([pub.observables.shape, observables]).encode())
        # One byte order, since a run may be taken up again on another machine.
        values = np.ascontiguousarray(pub.parameter_values.as_array(pub.circuit.parameters), dtype="<f8")
        content.update(json.dumps([pub.parameter_values.shape, values.shape]).encode())
        content.update(values.tobytes())
    return content.hexdigest()


def _circuit(circuit: QuantumCircuit) -> bytes:
    # Names say which parameter is which; their identities differ from process to process.
    number = {parameter.name: place for place, parameter in enumerate(circuit.parameters)}
    lines: list[str] = [f"{circuit.num_qubits} {circuit.num_clbits} {circuit.global_phase} {sorted(number)}"]
    for item in circuit.data:
        wires = [circuit.find_bit(qubit).index for qubit in item.qubits]
        angles = [_angle(value) for value in item.operation.params]
        lines.append(f"{item.operation.name} {wires} {angles}")
    return "\n".join(lines).encode()


def _angle(value: Any) -> str:
    if isinstance(value, ParameterExpression):
        return str(value)
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return repr(float(value)) if isinstance(value, int | float) else repr(value)


@dataclass(frozen=True, eq=False)
class _Ticket:
    """A request: its entry if the ledger has its result, else what computes it."""

    label: str
    digest: str
    number: int
    executions: int
    shots: int
    known: Entry | None
    handle: Handle | None


class RehearsalSender:
    """A `Sender` that writes down what another one computes on this machine, as the device would be charged.

    What the ledger has is not computed again, and nothing goes above the ceiling: a run stops, and is taken
    up again, where it would on the device. A row is written when its result is there.

    Args:
        inner: Computes the requests.
        ledger: The run's ledger.
        device: The snapshot's name.
        ceiling: The most that the device's run might spend.
        watch: Told what each group would cost.
    """

    def __init__(
        self,
        inner: Sender,
        ledger: Ledger,
        *,
        device: str,
        ceiling: Ceiling,
        watch: Callable[[Waiting], None] = nobody,
    ) -> None:
        self._inner, self._ledger, self._device = inner, ledger, device
        self._budget = Budget(ledger, ceiling, device=lambda: device, facts={}, watch=watch)

    def announce(self, requests: Sequence[Request]) -> None:
        """See `Sender.announce`.

        Raises:
            BackendError: The run's ceiling would be exceeded.
        """
        self._budget.announce(requests)
        self._inner.announce(requests)

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> _Ticket:
        """See `Sender.send`."""
        digest, number = self._budget.count(pubs, precision)
        entry = self._ledger.find(digest, number)
        known = entry if entry is not None and entry.state == "done" else None
        executions = executions_of(pubs, precision)
        handle = None
        if known is None:
            handle = self._inner.send(pubs, precision=precision, label=label)
        label = f"call {self._budget.calls} part {label}"
        return _Ticket(label, digest, number, executions, shots_of(precision), known, handle)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """See `Sender.collect`."""
        assert isinstance(handle, _Ticket)
        if handle.known is not None:
            return read_result(handle.known)
        assert handle.handle is not None
        result = write_result(self._inner.collect(handle.handle))
        self._ledger.kept("device", self._device)
        entry = self._ledger.find(handle.digest, handle.number) or self._ledger.plan(
            digest=handle.digest,
            number=handle.number,
            label=handle.label,
            device=self._device,
            planned_s=planned_seconds(handle.executions),
            calibrated=None,
            facts={"rehearsed": True, "shots": handle.shots, "executions": handle.executions},
        )
        return read_result(self._ledger.done(entry.row, result, used_s=None))
