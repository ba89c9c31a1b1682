"""The seam between what runs on a chip and how it gets there and back.

Above it (`DeviceEstimator`): circuits laid out and transpiled for the device, cut into requests by the
device's limits. Below it: Aer on this machine, or IBM Runtime with accounts, queues, outages and a ledger.

    sender.announce([Request(pubs, p, executions), ...])      # may refuse the group: the ceiling
    handles = [sender.send(pubs, precision=p, label=l) for ...]
    results = [sender.collect(handle) for handle in handles]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qiskit.primitives import PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

__all__ = [
    "executions_of",
    "Handle",
    "MOST_EXECUTIONS",
    "MOST_INSTRUCTIONS",
    "planned_seconds",
    "precision_of",
    "Request",
    "Sender",
    "shots_of",
]


_PER_JOB_S = 2.0
_PER_EXECUTION_S = 0.00035


def planned_seconds(executions: int) -> float:
    """Quantum seconds of one job: 2 + 0.00035 x executions.

    Args:
        executions: Parameter sets x bases x shots.

    Source: IBM Quantum documentation, "Workload usage": about 2 s per job and 0.35 ms per execution. Error
    mitigation adds to it; what was really used stands beside the plan afterwards.
    """
    return _PER_JOB_S + _PER_EXECUTION_S * executions


_LONGEST_JOB_S = 3 * 3600.0
_MARGIN = 0.8  # the figures are round ones

MOST_INSTRUCTIONS = int(_MARGIN * 26.8e6)
"""Control instructions on one qubit in one job, over all its parameter sets."""

MOST_EXECUTIONS = int(
    _MARGIN * (_LONGEST_JOB_S - planned_seconds(0)) / (planned_seconds(1) - planned_seconds(0))
)
"""Circuit executions (parameter sets x bases x shots) of one job, so that it ends within three hours."""


@dataclass(frozen=True, eq=False)
class Request:
    """A request that is about to be sent.

    Attributes:
        pubs: See `Sender.send`.
        precision: See `Sender.send`.
        executions: Circuit executions, `executions_of(pubs, precision)`.
    """

    pubs: Sequence[EstimatorPub]
    precision: float
    executions: int


class Handle(Protocol):
    """A request that was sent and is not collected yet; opaque but for its name."""

    @property
    def label(self) -> str:
        """What it is for, in a word or two (`forward 3/7`)."""
        ...


class Sender(Protocol):
    """Takes requests to a device and brings their results back.

    Send all requests that belong together before the first is collected: they then queue once, not in turn.
    """

    def announce(self, requests: Sequence[Request]) -> None:
        """Say what is about to be sent; call it once for each group, before the first of it is sent.

        Raises:
            BackendError: The group would exceed a ceiling; nothing of it was sent.
        """
        ...

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> Handle:
        """Send one request.

        Args:
            pubs: PUBs of circuits that the device can run as they are (its gates, its couplings), observables
                on the device's qubits.
            precision: Target standard error of every expectation value; `precision_of(shots)`.
            label: What it is for, in a word or two.

        Raises:
            BackendError: The device refused it, or cannot be reached.
        """
        ...

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """Wait for a request's result: one `PubResult` for each of its PUBs, in their order.

        Raises:
            BackendError: The device failed.
        """
        ...


def precision_of(shots: int) -> float:
    """The precision for which Runtime takes exactly `shots` samples, 1 / sqrt(shots)."""
    precision = 1.0 / math.sqrt(shots)
    while math.ceil(1.0 / precision**2) > shots:  # rounding up by one in the last digit
        precision = math.nextafter(precision, 1.0)
    return precision


def shots_of(precision: float) -> int:
    """Samples that Runtime takes for a precision, ceil(1 / precision^2)."""
    return math.ceil(1.0 / precision**2)


def executions_of(pubs: Sequence[EstimatorPub], precision: float) -> int:
    """Circuit executions of a request: parameter sets times bases to measure in times shots.

    Observables that agree qubit by qubit (or leave a qubit alone) share a basis.
    """
    total = 0
    for pub in pubs:
        total += max(pub.parameter_values.size, 1) * _n_bases(pub) * shots_of(precision)
    return total


def _n_bases(pub: EstimatorPub) -> int:
    bases: list[dict[int, str]] = []
    terms = {term for observable in pub.observables.ravel().tolist() for term in observable}
    for term in sorted(terms, key=lambda text: (-sum(letter != "I" for letter in text), text)):
        wanted = {place: _AXIS[letter] for place, letter in enumerate(term) if letter != "I"}
        for basis in bases:
            if all(basis.get(place, axis) == axis for place, axis in wanted.items()):
                basis.update(wanted)
                break
        else:
            bases.append(wanted)
    return max(len(bases), 1)


_AXIS = {
    "X": "X", "+": "X", "-": "X",
    "Y": "Y", "r": "Y", "l": "Y",
    "Z": "Z", "0": "Z", "1": "Z",
}  # fmt: skip
