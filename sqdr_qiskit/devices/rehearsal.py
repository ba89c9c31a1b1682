"""A device rehearsed on this machine: its compiled circuits under the noise and the readout of its snapshot.

Only the qubits in use are computed, and of those each reading's light cone by itself: a tile costs what a
circuit of its 3 or 7 qubits costs, whatever the size of the chip. Gates err by the rule of Aer's
`NoiseModel.from_backend`; waiting qubits relax. Where a chip's noise was learnt, its pairs turn too far, and
its two-qubit gates turn their neighbours, too; what no snapshot holds (drift, leakage, ...) is left out.

All of that is a Pauli-transfer matrix on one or two qubits, so the exact engine computes the expectation of
every reading, and its shots are drawn from that (a reading is +1 with probability (1 + expectation) / 2).
Aer, a thousand times slower, samples the same circuits under the same noise.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import Barrier, IGate, RZZGate
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError

from sqdr_qiskit.devices.chip import Chip, PlacedChannels
from sqdr_qiskit.devices.sender import Handle, Request, shots_of
from sqdr_qiskit.devices.success import schedule
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.angles import prepared
from sqdr_qiskit.lightcone.cones import cone, pauli_terms
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.operations import normal_form
from sqdr_qiskit.noise_models import Channel, kraus_operators, kraus_to_ptm, without_rounding
from sqdr_qiskit.noise_models.aer_model import read_terms
from sqdr_qiskit.simulators import CircuitCache
from sqdr_qiskit.simulators.aer import AerConeEstimator
from sqdr_qiskit.simulators.exact import distinct_observables
from sqdr_qiskit.specs.channels import ChannelSpec

__all__ = [
    "aer_noise",
    "chip_engine",
    "crosstalk",
    "draw",
    "LocalHandle",
    "LocalSender",
    "Noise",
    "part_in_use",
    "PartInUse",
    "SIMULATORS",
    "ShotSeeds",
    "twirled",
    "waiting_time",
]

_log = logging.getLogger("sqdr_qiskit")

SIMULATORS = ("exact", "aer")
"""What computes a rehearsal."""

_CIRCUITS = 8

_Float = NDArray[np.float64]


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
        words: dict[str, int] = {}
        entries = []
        self._constants = np.zeros(len(observables))
        for row, observable in enumerate(observables):
            for word, coefficient in observable.to_list():
                if word.strip("I"):
                    entries.append((row, words.setdefault(word, len(words)), coefficient.real))
                else:
                    self._constants[row] += coefficient.real
        self._weights = np.zeros((len(observables), len(words)))
        for row, column, coefficient in entries:
            self._weights[row, column] += coefficient
        # Word by word, since shots are drawn of words: a sum of several has no readings of its own.
        self._engine = chip_engine(pub.circuit, [SparsePauliOp([word]) for word in words], chip)

    def run(self, pub: EstimatorPub, shots: int | None, seeds: ShotSeeds) -> tuple[_Float, _Float]:
        parameters = pub.parameter_values.as_array(pub.circuit.parameters)
        parameters = parameters.reshape(pub.parameter_values.size, pub.circuit.num_parameters)
        terms = self._engine.values(parameters)
        errors = np.zeros_like(terms)
        if shots is not None:
            terms = draw(terms, shots, seeds.next(parameters, pub.circuit, shots))
            # Of readings of +-1; rounding may put an expectation a little beyond 1.
            errors = np.sqrt(np.maximum(0.0, 1.0 - terms**2) / shots)
        values = terms @ self._weights.T + self._constants
        spread = np.sqrt(errors**2 @ self._weights.T**2)
        rows = np.arange(len(values)).reshape(pub.parameter_values.shape)
        return np.asarray(values[rows, self._which]), np.asarray(spread[rows, self._which])


class _Aer:
    """A device's circuit for Aer: its qubits in use under new numbers, noise included."""

    def __init__(self, pub: EstimatorPub, chip: Chip, seed: int | None, *, sampled: bool) -> None:
        part = part_in_use(pub.circuit, chip, _support(pub.observables))
        self._circuit = part.circuit.copy_empty_like()
        for item in part.circuit.data:
            label = item.operation.label or ""
            turn = RZZGate(float(label.removeprefix(_ZZ))) if label.startswith(_ZZ) else item.operation
            self._circuit.append(turn, item.qubits)
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


@dataclass(frozen=True, eq=False)
class PartInUse:
    """What is left of a device's circuit when the qubits that do nothing are left out.

    Attributes:
        circuit: On the qubits in use, with an identity gate wherever a qubit waits (labelled by the time in
            ns, `wait~84`), and a barrier where a pair turns by crosstalk (labelled by the angle in radians,
            `zz~0.02`).
        qubits: The device's qubits that its qubits stand for, ascending.
        measured: Those of them that are measured.
        to_end: For each instruction, seconds from its start to the measurement; of waiting and crosstalk, of
            the gate that they follow.
    """

    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    measured: tuple[int, ...]
    to_end: tuple[float, ...]

    def word(self, word: str) -> str:
        """A Pauli word of the device's circuit on the qubits in use (Qiskit writes qubit 0 last)."""
        return "".join(word[len(word) - 1 - qubit] for qubit in reversed(self.qubits))


def part_in_use(circuit: QuantumCircuit, chip: Chip, measured: Sequence[int]) -> PartInUse:
    """The qubits of a device's circuit that are in use, and when they wait.

    Args:
        circuit: Of the device's own gates, on all its qubits, without measurements.
        chip: The device.
        measured: Qubits that are measured.
    """
    # A device has a hundred qubits and more; a simulation holds those that something happens on.
    used = {circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits} | set(measured)
    qubits = tuple(sorted(used))
    unknown = [qubit for qubit in qubits if qubit not in chip.learnt] if chip.learnt else []
    if unknown:
        _log.warning(
            "The noise of %s was learnt on other qubits: %d of the %d in use here have it as calibrated.",
            chip.name,
            len(unknown),
            len(qubits),
        )
    place = {qubit: i for i, qubit in enumerate(qubits)}
    small = QuantumCircuit(len(qubits))
    times = schedule(circuit, chip, measured)
    near: dict[int, list[tuple[int, float]]] = {}
    for (first, second), angle in chip.zz.items():
        if angle and {first, second} <= used:
            near.setdefault(first, []).append((second, angle))
            near.setdefault(second, []).append((first, angle))
    # What a neighbour does meanwhile counts only where there is crosstalk; the order stays, else.
    order = sorted(range(len(circuit.data)), key=lambda i: -times.to_end[i] if near else 0.0)
    to_end: list[float] = []
    for number in order:
        item, waits = circuit.data[number], times.waits[number]
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        small.append(item.operation, [place[qubit] for qubit in where])
        for qubit, other, angle in crosstalk(where, near):
            small.append(Barrier(2, label=f"{_ZZ}{angle!r}"), [place[qubit], place[other]])
        for qubit, seconds in waits:
            nanoseconds = round(seconds * 1e9)
            if nanoseconds:
                small.append(IGate(label=f"{_WAIT}{nanoseconds}"), [place[qubit]])
        to_end += [times.to_end[number]] * (len(small.data) - len(to_end))
    return PartInUse(small, qubits, tuple(measured), tuple(to_end))


def crosstalk(
    gate: Sequence[int], near: Mapping[int, Sequence[tuple[int, float]]]
) -> list[tuple[int, int, float]]:
    """Pairs that a gate's crosstalk turns, with their angles: each of its qubits with others than its own.

    Args:
        gate: The gate's qubits; a turn of one qubit has no crosstalk.
        near: For each qubit, those that it is coupled to, and the angles in radians.
    """
    if len(gate) != 2:
        return []
    return [(q, other, angle) for q in gate for other, angle in near.get(q, ()) if other not in gate]


_WIDEST_JOINED = 8  # qubits: beyond, only whole states would hold a cone that crosstalk joins to others
_WAIT = "wait~"
_ZZ = "zz~"


def waiting_time(label: str) -> float | None:
    """Seconds that the identity gate of this label stands for; None if it is no such gate."""
    return int(label.removeprefix(_WAIT)) * 1e-9 if label.startswith(_WAIT) else None


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Which of a chip's noise there is.

    Attributes:
        gates: Of gates and waiting at all.
        readout: Of the readout.
        pairs: Power to which the noise of two-qubit gates is raised after twirling it into a Pauli channel:
            0 for none, 3 for three times as much; None leaves it as it is.
    """

    gates: bool = True
    readout: bool = True
    pairs: float | None = None


@dataclass(frozen=True)
class _ChipChannels:
    """The device's noise as the engine's `ChannelModel`, on the qubits in use."""

    chip: Chip
    qubits: tuple[int, ...]
    noise: Noise

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        if not self.noise.gates:
            return ()
        where = tuple(self.qubits[qubit] for qubit in qubits)
        if gate.startswith(_ZZ):
            turn = ChannelSpec("zz_rotation", (("angle_rad", float(gate.removeprefix(_ZZ))),))
            channels: PlacedChannels = ((turn, (0, 1)),)
        elif gate.startswith(_WAIT):
            channels = self.chip.channels_of_waiting(where[0], int(gate.removeprefix(_WAIT)))
        else:
            channels = self.chip.channels_after(gate, where)
        if len(qubits) == 2 and self.noise.pairs is not None:
            power = twirled(channels).reshape(16) ** self.noise.pairs
            return () if self.noise.pairs == 0 else (Channel(qubits, np.diag(power)),)
        return tuple(Channel(tuple(qubits[i] for i in operands), _ptm(spec)) for spec, operands in channels)


@lru_cache(maxsize=4096)
def _ptm(channel: ChannelSpec) -> _Float:
    return without_rounding(kraus_to_ptm(kraus_operators(channel)))


@lru_cache(maxsize=4096)
def twirled(channels: PlacedChannels) -> _Float:
    """Pauli fidelities of a two-qubit gate's noise: the diagonal of its transfer matrix, shape (4, 4),
    first operand first.
    """
    whole: _Float = np.eye(16)
    for channel, operands in channels:
        ptm = _ptm(channel)
        if len(operands) == 1:
            ptm = np.asarray(
                np.kron(ptm, np.eye(4)) if operands == (0,) else np.kron(np.eye(4), ptm), dtype=np.float64
            )
        whole = ptm @ whole
    return np.ascontiguousarray(np.diag(whole).reshape(4, 4))


def chip_engine(
    circuit: QuantumCircuit, words: Sequence[SparsePauliOp], chip: Chip, noise: Noise | None = None
) -> ExactEngine:
    """The exact engine for a device's circuit under the device's noise.

    Args:
        circuit: See `part_in_use`.
        words: What is read, on the device's qubits.
        chip: The device.
        noise: Which of its noise there is; None for all.

    Returns:
        Gives the expectations of the readings, errors of the readout included; its parameters are the
        circuit's, in their order. Crosstalk joins light cones: where one has more than 8 qubits with it, it
        is left out, and a warning says so.

    Raises:
        UnsupportedError: A light cone is too wide and too deep for its noise.
    """
    part = part_in_use(circuit, chip, _looked_at(words))
    present = noise or Noise()
    if chip.zz and _widest_cone(part, words, chip) > _WIDEST_JOINED:
        _log.warning(
            "ZZ coupling between neighbouring tiles on %s is left out: it joins light cones to more qubits "
            "than %d here.",
            chip.name,
            _WIDEST_JOINED,
        )
        chip = replace(chip, zz={})
        part = part_in_use(circuit, chip, _looked_at(words))

    def readout(qubit: int) -> tuple[float, float]:
        return chip.readout[part.qubits[qubit]] if present.readout else (0.0, 0.0)

    observables = [
        read_terms(
            readout, SparsePauliOp([part.word(label) for label in word.paulis.to_labels()], word.coeffs)
        )
        for word in words
    ]
    try:
        return ExactEngine(part.circuit, observables, _ChipChannels(chip, part.qubits, present))
    except UnsupportedError as error:
        raise UnsupportedError(
            f"The circuit on {chip.name} must have light cones that the exact simulator can hold with their "
            f"noise, but one is too wide and too deep; sample it with `--simulator aer`, or lay it out with "
            f"`--layout tiled` where that can be."
        ) from error


def _widest_cone(part: PartInUse, words: Sequence[SparsePauliOp], chip: Chip) -> int:
    """Qubits of the widest light cone, crosstalk included."""
    form = normal_form(prepared(part.circuit)[0], _ChipChannels(chip, part.qubits, Noise()))
    terms = [
        term
        for word in words
        for label in word.paulis.to_labels()
        for term in pauli_terms(SparsePauliOp([part.word(label)]), form)
    ]
    return max((len(cone(form, term).qubits) for term in terms), default=0)


def aer_noise(part: PartInUse, chip: Chip) -> NoiseModel:
    """The noise on the qubits in use as an Aer noise model."""
    model = NoiseModel()
    known: set[tuple[str, tuple[int, ...]]] = set()
    for item in part.circuit.data:
        name = item.operation.label or item.operation.name
        where = tuple(part.circuit.find_bit(qubit).index for qubit in item.qubits)
        # Aer adds up what is given twice.
        if (name, where) in known or name.startswith(_ZZ):
            continue
        known.add((name, where))
        qubits = tuple(part.qubits[qubit] for qubit in where)
        if name.startswith(_WAIT):
            error = chip.error_of_waiting(qubits[0], int(name.removeprefix(_WAIT)))
        else:
            error = chip.error_after(name, qubits)
        if error is not None:
            model.add_quantum_error(error, [name], list(where), warnings=False)
    for qubit in part.measured:
        p01, p10 = chip.readout[qubit]
        if p01 or p10:
            reading = ReadoutError([[1 - p01, p01], [p10, 1 - p10]])
            model.add_readout_error(reading, [part.qubits.index(qubit)], warnings=False)
    return model


def _looked_at(words: Sequence[SparsePauliOp]) -> tuple[int, ...]:
    """Qubits that any word acts on, ascending."""
    acts = np.zeros(words[0].num_qubits if words else 0, dtype=bool)
    for word in words:
        acts |= (word.paulis.x | word.paulis.z).any(axis=0)
    return tuple(int(qubit) for qubit in np.flatnonzero(acts))


def _support(observables: ObservablesArray) -> tuple[int, ...]:
    return _looked_at(distinct_observables(observables)[0])
