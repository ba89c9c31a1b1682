"""A device computed on this machine: requests answered as the chip would, and its exact twin.

`LocalSender` takes what would be sent to the chip. The exact engine computes the expectation of every reading
under the chip's noise, and its shots are drawn from that (a reading is +1 with probability (1 + expectation)
/ 2); Aer samples the same circuits under the same noise.

`Twin` gives derivatives, too. A compiled program turns the circuit's parameters into angles of the chip's
pulses. Expectations under the chip's noise come from the exact engine at these angles, derivatives by its
reverse sweep, pulled back through the turns that the pulses were composed of (`turns`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import RZZGate
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from scipy.special import chdtrc

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.chip_noise import aer_noise, chip_engine, crosstalk_angle, looked_at, part_in_use
from sqdr_qiskit.devices.estimator import DeviceEstimator, Handle, Request
from sqdr_qiskit.devices.programs import DeviceProgram, Round
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.cones import TermSums
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.simulators import (
    CircuitCache,
    distinct_observables,
    in_shape,
    parameter_rows,
    shots_of,
)
from sqdr_qiskit.simulators.aer import AerConeEstimator
from sqdr_qiskit.tiles.turns import Turns

__all__ = [
    "compare",
    "Comparison",
    "draw",
    "LocalHandle",
    "LocalSender",
    "ShotSeeds",
    "SIMULATORS",
    "Twin",
    "TwinEngine",
]

_Float = NDArray[np.float64]
_Int = NDArray[np.int64]

SIMULATORS = ("exact", "aer")
"""What computes a rehearsal."""

_CIRCUITS = 8


@dataclass(frozen=True, eq=False)
class LocalHandle:
    """A request that is computed when it is collected."""

    pubs: tuple[EstimatorPub, ...]
    precision: float
    label: str


class ShotSeeds:
    """Seeds for shots: equal requests in equal order get equal ones, whatever is asked in between.

    Args:
        seed: Where they come from; None gives fresh ones.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._asked: dict[bytes, int] = {}

    def next(self, parameters: _Float, circuit: QuantumCircuit, shots: int) -> np.random.Generator:
        """The stream for what is asked, another one the next time; nothing that a resumed run would need."""
        if self._seed is None:
            return np.random.default_rng(secrets.randbits(128))
        # A function of what is asked and how often it was: a kill or other questions change nothing.
        digest = hashlib.blake2b(np.ascontiguousarray(parameters).tobytes(), digest_size=16)
        digest.update(f"{self._seed} {shots} {circuit.num_qubits} {circuit.size()}".encode())
        key = digest.digest()
        times = self._asked[key] = self._asked.get(key, -1) + 1
        digest.update(str(times).encode())
        return np.random.default_rng(int.from_bytes(digest.digest(), "little"))


def draw(expectations: _Float, shots: int, stream: np.random.Generator) -> _Float:
    """Means of `shots` readings of +1 or -1 with these expectations, each drawn by itself.

    Right where every expectation is read on a tile of its own. Readings of one execution are correlated;
    drawn like this they keep expectation and variance, but not their covariance.
    """
    ones = stream.binomial(shots, np.clip((1.0 + expectations) / 2.0, 0.0, 1.0))
    return np.asarray(2.0 * ones / shots - 1.0)


class LocalSender:
    """A `Sender` that computes requests here.

    Args:
        chip: The device.
        seed: Makes samples repeatable; None draws fresh ones.
        simulator: `exact` draws shots from exact expectations; `aer` samples with Aer.
        sampled: Whether shots are drawn; else every result is the expectation.

    Raises:
        ArgumentError: No such simulator.
    """

    def __init__(
        self, chip: Chip, *, seed: int | None = None, simulator: str = "exact", sampled: bool = True
    ) -> None:
        if simulator not in SIMULATORS:
            raise ArgumentError(
                f"Argument `simulator` must be {' or '.join(SIMULATORS)}, but is `{simulator}`."
            )
        self.chip = chip
        self.seeds = ShotSeeds(seed)
        self.sampled = sampled
        self._seed = seed
        self._simulator = simulator
        self._known: CircuitCache[_Exact | _Aer] = CircuitCache(_CIRCUITS)

    def announce(self, requests: Sequence[Request]) -> None:
        """Nothing is spent here."""

    def send(self, pubs: Sequence[EstimatorPub], *, precision: float, label: str) -> LocalHandle:
        """Remember a request."""
        return LocalHandle(tuple(pubs), precision, label)

    def collect(self, handle: Handle) -> PrimitiveResult[PubResult]:
        """Compute a request's results."""
        assert isinstance(handle, LocalHandle)
        return PrimitiveResult([self._run(pub, handle.precision) for pub in handle.pubs])

    def _run(self, pub: EstimatorPub, precision: float) -> PubResult:
        shots = shots_of(precision) if self.sampled else None
        found = self._rehearsal(pub)
        if isinstance(found, _Exact):
            evs, stds = found.run(pub, shots, self.seeds)
        else:
            evs, stds = found.run(pub, precision)
        metadata = {"shots": shots, "target_precision": precision if self.sampled else 0.0}
        return PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), metadata=metadata)

    def _rehearsal(self, pub: EstimatorPub) -> _Exact | _Aer:
        def make() -> _Exact | _Aer:
            if self._simulator == "exact":
                return _Exact(pub, self.chip)
            return _Aer(pub, self.chip, self._seed, sampled=self.sampled)

        words = tuple(tuple(observable.items()) for observable in pub.observables.ravel().tolist())
        return self._known.get(pub.circuit, (), make, more=(pub.observables.shape, words))


class _Exact:
    """A device's circuit and its readings, for the exact engine."""

    def __init__(self, pub: EstimatorPub, chip: Chip) -> None:
        observables, self._which = distinct_observables(pub.observables)
        self._sums = TermSums(
            [[(word if word.strip("I") else "", c.real) for word, c in o.to_list()] for o in observables]
        )
        # Word by word, since shots are drawn of words: a sum of several has no readings of its own.
        self._engine = chip_engine(pub.circuit, [SparsePauliOp([word]) for word in self._sums.terms], chip)

    def run(self, pub: EstimatorPub, shots: int | None, seeds: ShotSeeds) -> tuple[_Float, _Float]:
        parameters = parameter_rows(pub)
        means = self._engine.values(parameters)
        if shots is not None:
            means = draw(means, shots, seeds.next(parameters, pub.circuit, shots))
        values, errors = self._sums.values(means), self._sums.errors(means, shots)
        return in_shape(pub, values, self._which), in_shape(pub, errors, self._which)


class _Aer:
    """A device's circuit for Aer: its qubits in use under new numbers, noise included."""

    def __init__(self, pub: EstimatorPub, chip: Chip, seed: int | None, *, sampled: bool) -> None:
        part = part_in_use(pub.circuit, chip, looked_at(distinct_observables(pub.observables)[0]))
        self._circuit = part.circuit.copy_empty_like()
        for item in part.circuit.data:
            angle = crosstalk_angle(item.operation.label or "")
            self._circuit.append(item.operation if angle is None else RZZGate(angle), item.qubits)
        self._observables = ObservablesArray(
            [
                {part.word(word): weight for word, weight in observable.items()}
                for observable in pub.observables.ravel().tolist()
            ],
        ).reshape(pub.observables.shape)
        # How many are drawn follows from the precision that each PUB asks for.
        shots = 1 if sampled else None
        self._estimator: BaseEstimatorV2 = AerConeEstimator(aer_noise(part, chip), shots=shots, seed=seed)

    def run(self, pub: EstimatorPub, precision: float) -> tuple[_Float, _Float]:
        inner = EstimatorPub(self._circuit, self._observables, pub.parameter_values, precision=precision)
        data = self._estimator.run([inner]).result()[0].data
        return np.asarray(data.evs), np.asarray(data.stds)


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

    def terms(self, parameters: _Float, dtype: type[np.floating[Any]] | None) -> tuple[_Float, NDArray[Any]]:
        """Expectations of the single readings, shape (batch, n_terms), and with a `dtype` the Jacobian of the
        observables, shape (batch, n_outputs, n_params), per radian.
        """
        parameters = np.ascontiguousarray(parameters, dtype=np.float64)
        batch, logical = len(parameters), self.program.logical
        with_slopes = dtype is not None
        outer = parameters if logical.stage is None else logical.stage.values(parameters)
        inner, slopes = logical.turns.values(outer, with_slopes)
        terms = np.zeros((batch, len(logical.terms)))
        total = np.zeros((batch, len(logical.terms), outer.shape[1])) if with_slopes else np.zeros(0)
        for part in self._parts:
            readings, pulled = part.readings(inner, with_slopes)
            terms[:, part.terms] = readings
            if with_slopes:
                logical.turns.pull_back(pulled, slopes, total, part.terms)
        if dtype is None:
            return terms, total
        weights = logical.weights
        # Mostly each observable is one term: then the sum would only copy the largest array here.
        if not np.array_equal(weights, np.eye(len(weights))):
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
        # The engine has Qiskit's order of a circuit's parameters, by name; the turns stand copy by copy.
        column = {parameter: i for i, parameter in enumerate(part.parameters)}
        order = np.array([column[parameter] for parameter in part.circuit.parameters], dtype=np.int64)
        turns = tuple(copy.turns for copy in part.copies)
        return cls(engine, turns, np.array(part.terms, dtype=np.int64), order, np.argsort(order))

    def readings(self, inner: _Float, with_slopes: bool) -> tuple[_Float, _Float]:
        """Expectations, shape (batch, n_terms), and on request their Jacobian by `inner`."""
        batch, n_copies, n_terms = len(inner), len(self.turns), len(self.terms)
        n_rows = -(-batch // n_copies)
        last = np.minimum(np.arange(n_rows * n_copies), batch - 1)  # the last row is filled up
        # Sample s stands on copy s modulo their number, where the estimator puts it, too.
        found = [turns.values(inner[last[c::n_copies]], with_slopes) for c, turns in enumerate(self.turns)]
        rows = np.concatenate([angles for angles, _ in found], axis=1)[:, self.order]
        values, jacobian = (
            self.engine.jacobian(rows) if with_slopes else (self.engine.values(rows), np.zeros((0, 0, 0)))
        )
        readings = values.reshape(n_rows * n_copies, n_terms)[:batch]
        if not with_slopes:
            return readings, jacobian
        pulled = np.zeros((n_rows, n_copies, n_terms, inner.shape[1]))
        column = 0
        for c, (turns, (angles, slopes)) in enumerate(zip(self.turns, found, strict=True)):
            own = jacobian[:, c * n_terms : (c + 1) * n_terms]
            own = own[:, :, self.back[column : column + angles.shape[1]]]
            turns.pull_back(own, slopes, pulled[:, c], np.arange(n_terms))
            column += angles.shape[1]
        return readings, pulled.reshape(n_rows * n_copies, n_terms, inner.shape[1])[:batch]


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
