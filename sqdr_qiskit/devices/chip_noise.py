"""A device's circuit in time and under its noise: schedule, chance of success, what is left for a simulator.

Only the qubits in use are computed, and of those each reading's light cone by itself: a tile costs what a
circuit of its 3 or 7 qubits costs, whatever the size of the chip. Gates err by the rule of Aer's
`NoiseModel.from_backend`; waiting qubits relax. Where a chip's noise was learnt, its pairs turn too far, and
its two-qubit gates turn their neighbours, too; what no snapshot holds (drift, leakage, ...) is left out.

All of that is a Pauli-transfer matrix on one or two qubits, so the exact engine computes the expectation of
every reading (`chip_engine`); Aer, a thousand times slower, takes the same noise (`aer_noise`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import Barrier, IGate
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError

from sqdr_qiskit.devices.chip import Chip, PlacedChannels, aer_error
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.angles import prepared
from sqdr_qiskit.lightcone.cones import cone, pauli_terms
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.operations import normal_form
from sqdr_qiskit.noise_models import Channel, kraus_operators, kraus_to_ptm
from sqdr_qiskit.noise_models.aer_model import read_terms
from sqdr_qiskit.specs.channels import ChannelSpec

__all__ = [
    "aer_noise",
    "chip_engine",
    "crosstalk",
    "crosstalk_angle",
    "estimate_success",
    "looked_at",
    "Noise",
    "part_in_use",
    "PartInUse",
    "Schedule",
    "schedule",
    "Success",
    "twirled",
    "waiting_time",
]

_log = logging.getLogger("sqdr_qiskit")

_Float = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """A circuit in time.

    Attributes:
        duration: Seconds from the first gate to the end of the measurement.
        waits: For each instruction, (qubit, seconds) pairs: how long its qubits then wait for their next gate
            or for the measurement.
        to_end: For each instruction, seconds from its start to the measurement.
    """

    duration: float
    waits: tuple[tuple[tuple[int, float], ...], ...]
    to_end: tuple[float, ...]


def schedule(circuit: QuantumCircuit, chip: Chip, measured: Collection[int]) -> Schedule:
    """Schedule a circuit of the device's own gates as late as possible, all measurements together at the end.

    A qubit in |0> is not disturbed before its first gate, and an unmeasured one not missed after its last.

    Args:
        circuit: On the device's qubits, without measurements.
        chip: Gives durations.
        measured: Qubits that are measured.
    """
    to_end: dict[int, float] = {}  # seconds from the start of the qubit's next gate to the measurement
    waits: list[tuple[tuple[int, float], ...]] = []
    starts: list[float] = []
    # From the measurement back: as late as possible, a gate ends where the next one on its qubits begins.
    for item in reversed(circuit.data):
        qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        start = max(to_end.get(qubit, 0.0) for qubit in qubits)
        waits.append(
            tuple(
                (qubit, start - to_end.get(qubit, 0.0))
                for qubit in qubits
                if (qubit in to_end or qubit in measured) and start - to_end.get(qubit, 0.0) > 1e-10
            )
        )
        duration = chip.duration(item.operation.name, qubits)
        starts.append(start + duration)
        for qubit in qubits:
            to_end[qubit] = start + duration
    reading = max((chip.duration("measure", (qubit,)) for qubit in measured), default=0.0)
    length = max(to_end.values(), default=0.0) + reading
    return Schedule(length, tuple(reversed(waits)), tuple(reversed(starts)))


_WORST = 0.99  # an error of 1 would make every product 0 and hide the rest


@dataclass(frozen=True)
class Success:
    """-log of the fidelity lost to each source; the estimated success probability is exp(-sum).

    Attributes:
        two_qubit: Entangling gates.
        one_qubit: Turns of single qubits.
        idle: Relaxation of waiting qubits.
        readout: Measurement.
        duration: Seconds from the first gate to the end of the measurement.
    """

    two_qubit: float
    one_qubit: float
    idle: float
    readout: float
    duration: float

    @property
    def cost(self) -> float:
        """-log of the success probability."""
        return self.two_qubit + self.one_qubit + self.idle + self.readout

    @property
    def probability(self) -> float:
        """Estimated success probability, 0 to 1."""
        return math.exp(-self.cost)

    @property
    def parts(self) -> dict[str, float]:
        """-log of the fidelity by source."""
        return {
            "two-qubit gates": self.two_qubit,
            "one-qubit gates": self.one_qubit,
            "idle": self.idle,
            "readout": self.readout,
        }


def estimate_success(circuit: QuantumCircuit, chip: Chip, measured: Collection[int]) -> Success:
    """Estimate from the device's calibration how likely a circuit runs and is read without error.

    A qubit that waits for t loses the average infidelity of relaxation,
    1 - (3 + exp(-t/T1) + 2 exp(-t/T2)) / 6.

    Args:
        circuit: Of the device's own gates, on its qubits.
        chip: The device.
        measured: Qubits that are measured.
    """
    two_qubit = one_qubit = idle = 0.0
    times = schedule(circuit, chip, measured)
    for item, waits in zip(circuit.data, times.waits, strict=True):
        qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        lost = _loss(chip.gate_error(item.operation.name, qubits))
        if len(qubits) == 2:
            two_qubit += lost
        elif len(qubits) == 1:
            one_qubit += lost
        idle += sum(_loss(_waiting(chip, qubit, seconds)) for qubit, seconds in waits)
    readout = sum(_loss(chip.readout_error(qubit)) for qubit in measured)
    return Success(two_qubit, one_qubit, idle, readout, times.duration)


def _waiting(chip: Chip, qubit: int, seconds: float) -> float:
    """Average infidelity of relaxation during a time."""
    t1, t2 = chip.relaxation(qubit)
    return 1.0 - (3.0 + math.exp(-seconds / t1) + 2.0 * math.exp(-seconds / t2)) / 6.0


def _loss(error: float) -> float:
    return -math.log1p(-min(error, _WORST))


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
            # Whole nanoseconds, so that equal waits have one label and one error.
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


def crosstalk_angle(label: str) -> float | None:
    """Angle in radians that the barrier of this label stands for; None if it is no such barrier."""
    return float(label.removeprefix(_ZZ)) if label.startswith(_ZZ) else None


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
        channels = _channels_of(self.chip, gate, tuple(self.qubits[qubit] for qubit in qubits))
        if len(qubits) == 2 and self.noise.pairs is not None:
            # Fidelities of a Pauli channel to the power k are those of k such channels in a row.
            power = twirled(channels).reshape(16) ** self.noise.pairs
            return () if self.noise.pairs == 0 else (Channel(qubits, np.diag(power)),)
        return tuple(Channel(tuple(qubits[i] for i in operands), _ptm(spec)) for spec, operands in channels)


def _channels_of(chip: Chip, label: str, qubits: tuple[int, ...]) -> PlacedChannels:
    """The noise of an instruction of a `PartInUse`, on the device's qubits."""
    angle = crosstalk_angle(label)
    if angle is not None:
        return ((ChannelSpec("zz_rotation", (("angle_rad", angle),)), (0, 1)),)
    if label.startswith(_WAIT):
        return chip.channels_of_waiting(qubits[0], int(label.removeprefix(_WAIT)))
    return chip.channels_after(label, qubits)


@lru_cache(maxsize=4096)  # the gates of a chip share their kinds of noise, and programs share gates
def _ptm(channel: ChannelSpec) -> _Float:
    return kraus_to_ptm(kraus_operators(channel))


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
    part = part_in_use(circuit, chip, looked_at(words))
    present = noise or Noise()
    # A channel of two qubits grows cones as a gate does; tiles side by side would become one.
    if chip.zz and _widest_cone(part, words, chip) > _WIDEST_JOINED:
        _log.warning(
            "ZZ coupling between neighbouring tiles on %s is left out: it joins light cones to more qubits "
            "than %d here.",
            chip.name,
            _WIDEST_JOINED,
        )
        chip = replace(chip, zz={})
        part = part_in_use(circuit, chip, looked_at(words))

    def readout(qubit: int) -> tuple[float, float]:
        return chip.readout[part.qubits[qubit]] if present.readout else (0.0, 0.0)

    # Errors of the readout act on what is read, and so become part of the observables.
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
        error = aer_error(_channels_of(chip, name, qubits), len(qubits))
        if error is not None:
            model.add_quantum_error(error, [name], list(where), warnings=False)
    for qubit in part.measured:
        p01, p10 = chip.readout[qubit]
        if p01 or p10:
            reading = ReadoutError([[1 - p01, p01], [p10, 1 - p10]])
            model.add_readout_error(reading, [part.qubits.index(qubit)], warnings=False)
    return model


def looked_at(words: Sequence[SparsePauliOp]) -> tuple[int, ...]:
    """Qubits that any word acts on, ascending."""
    acts = np.zeros(words[0].num_qubits if words else 0, dtype=bool)
    for word in words:
        acts |= (word.paulis.x | word.paulis.z).any(axis=0)
    return tuple(int(qubit) for qubit in np.flatnonzero(acts))
