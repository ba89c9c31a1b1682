"""Expectation values from a device: logical circuits laid out, sent in few requests, results mapped back.

First the seam between what runs on a chip and how it gets there and back. Above it stands
`DeviceEstimator`: circuits laid out and transpiled for the device, cut into requests by the device's limits.
Below it a `Sender`: this machine (`twin`), or IBM Runtime with accounts, queues, outages and a ledger.

    sender.announce([Request(pubs, p, executions), ...])      # may refuse the group: the ceiling
    handles = [sender.send(pubs, precision=p, label=l) for ...]
    results = [sender.collect(handle) for handle in handles]
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol
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
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.providers import JobStatus
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.programs import (
    DeviceProgram,
    LayoutOptions,
    Round,
    note_calibration,
    require_device,
)
from sqdr_qiskit.devices.transpilation import compile_for_device
from sqdr_qiskit.errors import ArgumentError, BackendError
from sqdr_qiskit.simulators import (
    CircuitCache,
    distinct_observables,
    in_shape,
    parameter_rows,
    precision_of,
    shots_of,
)

__all__ = [
    "DEFAULT_SHOTS",
    "DeviceEstimator",
    "DeviceJob",
    "executions_of",
    "Handle",
    "MOST_EXECUTIONS",
    "MOST_INSTRUCTIONS",
    "planned_seconds",
    "Request",
    "Sender",
    "Usage",
]

DEFAULT_SHOTS = 4096
_PROGRAMS = 16
_log = logging.getLogger("sqdr_qiskit")

_Float = NDArray[np.float64]


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


def executions_of(pubs: Sequence[EstimatorPub], precision: float) -> int:
    """Circuit executions of a request: parameter sets times bases to measure in times shots.

    Observables that agree qubit by qubit (or leave a qubit alone) share a basis.
    """
    total = 0
    for pub in pubs:
        total += max(pub.parameter_values.size, 1) * _n_bases(pub) * shots_of(precision)
    return total


def _n_bases(pub: EstimatorPub) -> int:
    # The words of most letters first: shorter ones then find a basis that they agree with.
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


@dataclass
class Usage:
    """What was sent so far.

    Attributes:
        jobs: Requests.
        executions: Circuit executions: parameter sets x bases x shots.
        qpu_seconds: Estimated seconds on the machine.
    """

    jobs: int = 0
    executions: int = 0
    qpu_seconds: float = 0.0

    def add(self, executions: Sequence[int]) -> None:
        """Count requests with these numbers of executions."""
        self.jobs += len(executions)
        self.executions += sum(executions)
        self.qpu_seconds += sum(planned_seconds(number) for number in executions)


class DeviceEstimator(BaseEstimatorV2):
    """A standard estimator for logical circuits on a device.

    Each circuit is laid out once (`transpilation`), samples share executions, and what belongs together goes
    out in as few requests as the device's limits allow. All outputs are measured in the same executions.

    Args:
        chip: The device.
        sender: What takes requests there and brings results back.
        shots: Samples per expectation value where no precision is asked for.
        options: How circuits are laid out.

    Raises:
        ArgumentError: `shots` is below 1.
        SpecError: The options name a layout file for another device.
    """

    def __init__(
        self, chip: Chip, sender: Sender, *, shots: int = DEFAULT_SHOTS, options: LayoutOptions | None = None
    ) -> None:
        if shots < 1:
            raise ArgumentError(f"Argument `shots` must be at least 1, but is {shots}.")
        self.chip = chip
        self.sender = sender
        self.shots = shots
        self.options = options or LayoutOptions()
        if self.options.choice is not None:
            require_device(self.options.choice, chip)
            note_calibration(self.options.choice, chip)
        self.usage = Usage()
        self._programs: CircuitCache[DeviceProgram] = CircuitCache(_PROGRAMS)

    def program(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> DeviceProgram:
        """How a circuit stands on the device; laid out once for equal ones.

        Raises:
            UnsupportedError: The device cannot take it.
            SpecError: A layout file is used, which is not for this circuit, or which the device does not
                carry any more.
        """
        return self._programs.get(circuit, observables, lambda: self._compile(circuit, observables))

    def _compile(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> DeviceProgram:
        program = compile_for_device(circuit, list(observables), self.chip, self.options)
        if program.note:
            _log.warning(
                "%s: laid out whole%s.", program.note, "" if self.options.choice else ", not in tiles"
            )
        return program

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> DeviceJob:
        """Send `pubs`; observables and parameters broadcast as Qiskit's interface says.

        Args:
            pubs: Logical circuits with observables and parameter values.
            precision: Target standard error of every expectation value, met by 1 / precision^2 shots; None
                and 0 mean this estimator's `shots`.

        Returns:
            The job, sent; `result()` waits for it.

        Raises:
            UnsupportedError: The device cannot take a circuit.
            BackendError: The spending ceiling would be exceeded; nothing was sent.
        """
        works = [self._work(EstimatorPub.coerce(pub, precision or None)) for pub in pubs]
        requests = _pack([part for work in works for parts in work.parts for part in parts])
        executions = [sum(part.executions for part in request) for request in requests]
        # All before the first: a ceiling that would be exceeded stops the whole, not what is left of it.
        self.sender.announce(
            [
                Request([part.pub for part in request], request[0].pub.precision, number)
                for request, number in zip(requests, executions, strict=True)
            ]
        )
        self.usage.add(executions)
        sent = []
        for number, request in enumerate(requests, start=1):
            pubs_of = [part.pub for part in request]
            label = f"{number}/{len(requests)}"
            sent.append((self.sender.send(pubs_of, precision=request[0].pub.precision, label=label), request))
        return DeviceJob(self.sender, works, sent)

    def _work(self, pub: EstimatorPub) -> _Work:
        observables, which = distinct_observables(pub.observables)
        program = self.program(pub.circuit, observables)
        # One axis of samples, whatever shape the caller broadcasts; `result` folds it back.
        values = parameter_rows(pub)
        precision = precision_of(shots_of(pub.precision) if pub.precision else self.shots)
        inner = program.inner(values)
        # A round of constants alone reads nothing: it is not sent.
        parts = [_parts(of, of.bind(inner), precision) if of.terms else [] for of in program.rounds]
        return _Work(pub, program, which, len(values), precision, parts)


@dataclass(frozen=True, eq=False)
class _Part:
    """A PUB that is sent as one."""

    pub: EstimatorPub
    executions: int
    instructions: int


@dataclass(frozen=True, eq=False)
class _Work:
    """A logical PUB and, for each round, the parts that it is sent in."""

    pub: EstimatorPub
    program: DeviceProgram
    which: NDArray[np.int64]
    batch: int
    precision: float
    parts: list[list[_Part]]

    def result(self, found: dict[int, PubResult]) -> PubResult:
        """The logical PUB's result from its parts'."""
        n_terms = len(self.program.logical.terms)
        means, errors = np.zeros((self.batch, n_terms)), np.zeros((self.batch, n_terms))
        for of, parts in zip(self.program.rounds, self.parts, strict=True):
            results = [found[id(part)].data for part in parts]
            if not results:  # no samples, or no terms: nothing was sent
                continue
            for table, name in ((means, "evs"), (errors, "stds")):
                together = np.concatenate([np.asarray(result[name]) for result in results], axis=1)
                table[:, list(of.terms)] = of.unfold(together, self.batch)
        # Every observable was measured at every row anyway.
        chosen = in_shape(self.pub, self.program.observables(means), self.which)
        spread = in_shape(self.pub, self.program.spread(errors), self.which)
        metadata = {
            "target_precision": self.precision,
            "shots": shots_of(self.precision),
            "circuit_metadata": self.pub.circuit.metadata,
            "layout": self.program.layout,
            "note": self.program.note,
        }
        return PubResult(DataBin(evs=chosen, stds=spread, shape=chosen.shape), metadata=metadata)


class DeviceJob(BasePrimitiveJob[PrimitiveResult[PubResult], JobStatus]):
    """Requests on their way; collected in the caller's own thread, each once."""

    def __init__(
        self, sender: Sender, works: Sequence[_Work], sent: Sequence[tuple[Handle, Sequence[_Part]]]
    ) -> None:
        super().__init__(str(uuid4()))
        self._sender = sender
        self._works = list(works)
        self._sent = list(sent)
        self._found: dict[int, PubResult] = {}
        self._result: PrimitiveResult[PubResult] | None = None

    def result(self) -> PrimitiveResult[PubResult]:
        """Wait for all requests.

        Raises:
            BackendError: The device failed.
        """
        if self._result is None:
            while self._sent:
                # Dropped only when its results are here: an interruption loses nothing.
                handle, request = self._sent[0]
                results = self._sender.collect(handle)
                self._found.update((id(part), results[i]) for i, part in enumerate(request))
                self._sent.pop(0)
            self._result = PrimitiveResult(
                [work.result(self._found) for work in self._works], metadata={"version": 2}
            )
        return self._result

    def status(self) -> JobStatus:
        """Whether all is collected."""
        return JobStatus.RUNNING if self._result is None else JobStatus.DONE

    def done(self) -> bool:
        """Whether all is collected."""
        return self._result is not None

    def running(self) -> bool:
        """Whether something is still to be collected."""
        return self._result is None

    def cancelled(self) -> bool:
        """Never: requests are cancelled where they are kept."""
        return False

    def in_final_state(self) -> bool:
        """Whether all is collected."""
        return self.done()

    def cancel(self) -> None:
        """Not here: the sender keeps the requests.

        Raises:
            BackendError: Always.
        """
        raise BackendError("This job must be cancelled where its requests are kept: sqdr-qiskit jobs cancel.")


def _parts(of: Round, rows: _Float, precision: float) -> list[_Part]:
    """A round's parameter sets in PUBs that each fit into a job."""
    column = ObservablesArray.coerce([[word] for copy in of.words for word in copy])

    def pub(some: _Float) -> EstimatorPub:
        bound = BindingsArray({of.parameters: some}, shape=(len(some),))
        return EstimatorPub(of.circuit, column, bound, precision=precision)

    # A part takes what one parameter set takes, times their number: none has to be cut again.
    one = pub(np.zeros((1, len(of.parameters))))
    executions = executions_of([one], precision)
    most = max(1, min(MOST_EXECUTIONS // executions, MOST_INSTRUCTIONS // of.instructions))
    cuts = [rows[start : start + most] for start in range(0, len(rows), most)]
    return [_Part(pub(some), executions * len(some), of.instructions * len(some)) for some in cuts]


def _pack(parts: Sequence[_Part]) -> list[list[_Part]]:
    """Parts in requests: as few as the limits allow, one precision in each."""
    requests: list[list[_Part]] = []
    for part in parts:
        last = requests[-1] if requests else []
        # Only with the last one: packed in order, a run that is resumed makes the same requests again.
        if (
            last
            and last[0].pub.precision == part.pub.precision
            and sum(other.executions for other in last) + part.executions <= MOST_EXECUTIONS
            and sum(other.instructions for other in last) + part.instructions <= MOST_INSTRUCTIONS
        ):
            last.append(part)
        else:
            requests.append([part])
    return requests
