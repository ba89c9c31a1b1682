"""A device as laying out, rehearsing and reporting see it: gates, couplings, errors, durations."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from statistics import median
from typing import Any, TypeAlias

from qiskit.circuit import Parameter
from qiskit.circuit.library import RXGate
from qiskit.providers import BackendV2
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError

from sqdr_qiskit.devices.fusing import Entanglers
from sqdr_qiskit.devices.names import no_fractional_gates
from sqdr_qiskit.errors import ArgumentError, BackendError, SpecError
from sqdr_qiskit.noise_models.build import PlacedChannel, quantum_error
from sqdr_qiskit.noise_models.calibration import device_channels, over_rotation
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.device import DeviceSnapshot

__all__ = ["aer_error", "Chip", "chip_of", "Edge", "fake_backend", "median_noise", "PlacedChannels"]


def fake_backend(name: str) -> BackendV2:
    """The snapshot of a device.

    Args:
        name: Such as `fake_brisbane`.

    Raises:
        ArgumentError: There is no such snapshot; the message offers the likely name.
    """
    from qiskit_ibm_runtime import fake_provider

    classes = _classes()
    if name not in classes:
        likely = difflib.get_close_matches(name, classes, n=3, cutoff=0.5)
        hint = (
            f"did you mean {', '.join(repr(other) for other in likely)}?"
            if likely
            else "see the list in its docs."
        )
        raise ArgumentError(f"There is no device snapshot {name!r}; {hint}")
    backend: BackendV2 = getattr(fake_provider, classes[name])()
    return backend


@cache
def _classes() -> dict[str, str]:
    """Name of a snapshot -> its class in `qiskit_ibm_runtime.fake_provider`, by that package's own rule."""
    from qiskit_ibm_runtime import fake_provider

    # Its own list of snapshots loads all of them.
    names = [n for n in vars(fake_provider) if n.startswith("Fake") and not n.startswith("FakeProvider")]
    return {"fake_" + name[4:].removesuffix("V2").removesuffix("Backend").lower(): name for name in names}


_ENTANGLERS = ("cz", "ecr", "cx")
_FAULTY = 0.5  # an error from here on marks a gate as not to be used
PlacedChannels: TypeAlias = tuple[tuple[ChannelSpec, tuple[int, ...]], ...]
_UNREADABLE = 0.25  # a readout with this mean error says next to nothing


@dataclass(frozen=True)
class Edge:
    """A two-qubit gate of a device on one pair.

    Attributes:
        name: The gate.
        qubits: In the gate's own order, the better calibrated direction if there are two.
        error: Average gate infidelity.
        duration: Seconds.
    """

    name: str
    qubits: tuple[int, int]
    error: float
    duration: float


@dataclass(frozen=True, eq=False)
class Chip:
    """What is known of a quantum computer.

    Attributes:
        name: Its name.
        target: Qiskit's description of its gates, with errors and durations.
        readout: For each qubit (P(1|0), P(0|1)).
        calibrated: Time of calibration, ISO 8601; empty if unknown.
        over_rotation: For pairs, ascending, by which angle their gate turns too far (`DeviceRotation`).
        zz: The same of their crosstalk.
        learnt: Qubits whose noise was learnt from measurements; empty for a calibration.
        fractional: Whether turns are written with RX of any angle, one pulse, in place of two SX.
    """

    name: str
    target: Target
    readout: tuple[tuple[float, float], ...]
    calibrated: str = ""
    over_rotation: Mapping[tuple[int, int], float] = field(default_factory=dict)
    zz: Mapping[tuple[int, int], float] = field(default_factory=dict)
    learnt: frozenset[int] = frozenset()
    fractional: bool = False
    _found: dict[tuple[str, tuple[int, ...]], PlacedChannels] = field(default_factory=dict, repr=False)

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return int(self.target.num_qubits)

    @cached_property
    def entangler(self) -> str:
        """Name of the two-qubit gate that most pairs have.

        Raises:
            BackendError: The device has none that is known here.
        """
        if not self._entanglers:
            wanted = ", ".join(_ENTANGLERS)
            raise BackendError(f"Device {self.name} has none of the two-qubit gates {wanted}.")
        return max(self._entanglers, key=lambda name: len(self.target[name]))

    @property
    def _entanglers(self) -> list[str]:
        return [name for name in _ENTANGLERS if name in self.target.operation_names]

    @property
    def one_qubit_gates(self) -> str:
        """`zsx` for chips that turn by RZ and SX, `zrx` for RZ and RX, `u3` for older ones."""
        names = self.target.operation_names
        if "sx" not in names or "rz" not in names:
            return "u3"
        return "zrx" if self.fractional else "zsx"

    @property
    def pulse(self) -> str:
        """The gate whose calibration says what a pulse does."""
        return "u3" if self.one_qubit_gates == "u3" else "sx"

    @property
    def has_fractional_gates(self) -> bool:
        """Whether it has RX of any angle as one pulse, by its target or, of a snapshot, by its kind."""
        # Snapshots were taken without the option that shows a device's RX: their kind has to tell.
        names = self.target.operation_names
        return "rx" in names or (self.name.startswith("fake_") and {"cz", "sx", "rz"}.issubset(names))

    def with_fractional_gates(self) -> Chip:
        """The same chip with RX of any angle as one pulse.

        Snapshots do not hold that gate: on those of chips that have it (CZ gates: Heron and Nighthawk) it
        gets error and duration of SX, which is what IBM reports of the devices themselves, too.

        Raises:
            ArgumentError: The chip has no such gate.
        """
        if not self.has_fractional_gates:
            raise no_fractional_gates(self.name)
        target = self.target
        if "rx" not in target.operation_names:
            target = _copied(target, lambda _, table: table)
            target.add_instruction(RXGate(Parameter("theta")), dict(self.target["sx"]))
        # What was found of channels so far stays with the chip as it was.
        return replace(self, target=target, fractional=True, _found={})

    @cached_property
    def edges(self) -> dict[frozenset[int], Edge]:
        """Pairs with a working two-qubit gate."""
        found: dict[frozenset[int], Edge] = {}
        for name in self._entanglers:
            for qubits in self.target[name]:
                error, pair = self.gate_error(name, qubits), frozenset(qubits)
                # Calibrated in both directions, a pair runs in the better one: a CZ has none.
                if error < _FAULTY and (pair not in found or error < found[pair].error):
                    duration = self.duration(name, qubits)
                    found[pair] = Edge(name, (int(qubits[0]), int(qubits[1])), error, duration)
        return found

    @cached_property
    def working(self) -> Target:
        """The target without faulty two-qubit gates, for routing."""

        # Qiskit routes by what is coupled, whatever its error: a faulty gate must not be there at all.
        def sound(name: str, table: _Table) -> _Table:
            if name not in self._entanglers:
                return table
            return {q: properties for q, properties in table.items() if self.gate_error(name, q) < _FAULTY}

        return _copied(self.target, sound)

    @cached_property
    def neighbours(self) -> dict[int, tuple[int, ...]]:
        """For each qubit with a working two-qubit gate, those that it is coupled to."""
        table: dict[int, list[int]] = {}
        for pair in self.edges:
            first, second = sorted(pair)
            table.setdefault(first, []).append(second)
            table.setdefault(second, []).append(first)
        return {qubit: tuple(sorted(others)) for qubit, others in sorted(table.items())}

    @property
    def entanglers(self) -> Entanglers:
        """What stands for a CZ on each pair that is coupled."""
        return {pair: (edge.name, edge.qubits) for pair, edge in self.edges.items()}

    def gate_error(self, name: str, qubits: tuple[int, ...]) -> float:
        """Average infidelity of a gate; 0 if unknown, 1 if the gate is not there."""
        return min(max(self._property(name, qubits, "error", missing=1.0), 0.0), 1.0)

    def duration(self, name: str, qubits: tuple[int, ...]) -> float:
        """Duration of a gate or of `measure`, seconds; 0 if unknown."""
        return self._property(name, qubits, "duration", missing=0.0)

    def turn_error(self, qubit: int) -> float:
        """Average infidelity of one pulse: the qubit's SX, or half a U3 where there is no SX."""
        return self.gate_error(self.pulse, (qubit,)) / (2 if self.pulse == "u3" else 1)

    def readout_error(self, qubit: int) -> float:
        """Mean of the two readout errors."""
        return sum(self.readout[qubit]) / 2

    def can_measure(self, qubit: int) -> bool:
        """Whether the qubit's readout says anything."""
        return self.readout_error(qubit) < _UNREADABLE

    def relaxation(self, qubit: int) -> tuple[float, float]:
        """(T1, T2) of a qubit, seconds; infinite where unknown."""
        properties = self.target.qubit_properties
        entry = properties[qubit] if properties else None
        t1 = getattr(entry, "t1", None) or math.inf
        t2 = getattr(entry, "t2", None) or math.inf
        return t1, min(t2, 2 * t1)  # calibrated T2 may lie above, where no channel is

    def under(self, device: DeviceSnapshot) -> Chip:
        """The same chip with other noise: errors, durations, relaxation and readout of a snapshot of it.

        Raises:
            SpecError: The snapshot is of another device.
        """
        same = device.name.removeprefix("fake_").removeprefix("ibm_")
        if same != self.name.removeprefix("fake_").removeprefix("ibm_") or device.n_qubits != self.n_qubits:
            raise SpecError(
                f"The noise model must be of device {self.name} ({self.n_qubits} qubits), but is of "
                f"{device.name} ({device.n_qubits} qubits)."
            )
        told = {(gate.name, gate.qubits): gate for gate in device.gates}
        relaxation = [
            QubitProperties(t1=None if t1 is None else t1 * 1e-6, t2=None if t2 is None else t2 * 1e-6)
            for t1, t2 in zip(device.t1_us, device.t2_us, strict=True)
        ]

        def as_told(name: str, table: _Table) -> _Table:
            found = dict(table)
            for qubits in () if None in table else table:
                gate = told.get((name, qubits))
                if gate is None and name == "rx":  # calibrations hold none
                    gate = told.get(("sx", qubits))
                if gate is not None:
                    seconds = None if gate.duration_ns is None else gate.duration_ns * 1e-9
                    found[qubits] = InstructionProperties(error=gate.error, duration=seconds)
            return found

        target = _copied(self.target, as_told, relaxation)
        # What the snapshot leaves open stays as it is calibrated here.
        readout = tuple(
            (old[0] if p01 is None else p01, old[1] if p10 is None else p10)
            for p01, p10, old in zip(device.p01, device.p10, self.readout, strict=True)
        )
        return Chip(
            self.name,
            target,
            readout,
            device.calibrated,
            device.angles("over_rotation"),
            device.angles("zz"),
            frozenset(device.learnt),
            self.fractional,
        )

    def channels_after(self, name: str, qubits: tuple[int, ...]) -> PlacedChannels:
        """The noise after a gate by the rule of Aer's `NoiseModel.from_backend`: (channel, operands) pairs in
        the order in which they act, operands by position among the gate's qubits.
        """
        return self._channels(name, qubits, self.gate_error(name, qubits), self.duration(name, qubits))

    def channels_of_waiting(self, qubit: int, nanoseconds: int) -> PlacedChannels:
        """The relaxation of a qubit that waits."""
        return self._channels(f"wait~{nanoseconds}", (qubit,), 0.0, nanoseconds * 1e-9)

    def _channels(self, name: str, qubits: tuple[int, ...], error: float, seconds: float) -> PlacedChannels:
        # A chip has some hundred gates, a training asks for thousands.
        key = (name, qubits)
        if key not in self._found:
            times = [self.relaxation(qubit) for qubit in qubits]
            angle = self.over_rotation.get((min(qubits), max(qubits)), 0.0)
            self._found[key] = device_channels(
                error,
                seconds * 1e9 or None,
                tuple(None if math.isinf(t1) else t1 * 1e6 for t1, _ in times),
                tuple(None if math.isinf(t2) else t2 * 1e6 for _, t2 in times),
                over_rotation(name, angle),
            )
        return self._found[key]

    def _property(self, name: str, qubits: tuple[int, ...], what: str, *, missing: float) -> float:
        if name not in self.target.operation_names:
            return missing
        table = self.target[name]
        if qubits not in table:
            return 0.0 if None in table else missing
        value = getattr(table[qubits], what, None)
        return 0.0 if value is None or math.isnan(value) else float(value)


_Table: TypeAlias = Mapping[tuple[int, ...], InstructionProperties | None]


def _copied(
    target: Target, of: Callable[[str, _Table], _Table], relaxation: Sequence[QubitProperties] | None = None
) -> Target:
    """A target's gates with other properties, without control flow, which no circuit here has."""
    copy = Target(
        num_qubits=target.num_qubits, dt=target.dt, qubit_properties=relaxation or target.qubit_properties
    )
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if not isinstance(operation, type):
            copy.add_instruction(operation, of(name, target[name]), name=name)
    return copy


def chip_of(backend: Any) -> Chip:
    """The chip behind a Qiskit backend: a snapshot or one of IBM's machines.

    Args:
        backend: A `BackendV2`; its `properties()`, where it has them, tell both readout errors apart.
    """
    target = backend.target
    properties = backend.properties() if hasattr(backend, "properties") else None
    readout = tuple(_readout(target, properties, qubit) for qubit in range(target.num_qubits))
    date = getattr(properties, "last_update_date", None)
    return Chip(str(backend.name), target, readout, "" if date is None else date.isoformat())


def _readout(target: Target, properties: Any, qubit: int) -> tuple[float, float]:
    if properties is not None:
        known = properties.qubit_property(qubit)
        if "prob_meas1_prep0" in known and "prob_meas0_prep1" in known:
            return float(known["prob_meas1_prep0"][0]), float(known["prob_meas0_prep1"][0])
    # A target knows the mean of both errors alone.
    entry = target["measure"].get((qubit,)) if "measure" in target.operation_names else None
    error = float(getattr(entry, "error", None) or 0.0)
    return error, error


_TURNS = ("u", "u1", "u2", "u3", "rx", "ry", "r", "h", "sx", "sxdg", "x", "y")
_PAIRS = ("cz", "cx", "ecr")


def median_noise(chip: Chip) -> NoiseModel:
    """The median noise of a device as a noise model for circuits that are not transpiled.

    A turn has the error of one SX: a data Rot and a weight Rot are fused into two of them. A CZ or CX has the
    error of the device's two-qubit gate; RZ is a change of frame.

    Args:
        chip: The device; faulty gates are left out.
    """
    # Medians: a few qubits of every chip are out of order and would spoil a mean.
    qubits = list(chip.neighbours)
    t1, t2 = (median(chip.relaxation(qubit)[i] for qubit in qubits) for i in (0, 1))
    edges = list(chip.edges.values())
    seconds = [chip.duration(chip.pulse, (qubit,)) for qubit in qubits]
    one = _relaxing(median(chip.turn_error(qubit) for qubit in qubits), seconds, t1, t2, 1)
    two = _relaxing(median(edge.error for edge in edges), [edge.duration for edge in edges], t1, t2, 2)
    model = NoiseModel()
    if one is not None:
        model.add_all_qubit_quantum_error(one, list(_TURNS), warnings=False)
    if two is not None:
        model.add_all_qubit_quantum_error(two, list(_PAIRS), warnings=False)
    p01, p10 = (median(chip.readout[qubit][i] for qubit in qubits) for i in (0, 1))
    if p01 or p10:
        model.add_all_qubit_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), warnings=False)
    return model


def _relaxing(
    error: float, seconds: Iterable[float], t1: float, t2: float, n_qubits: int
) -> QuantumError | None:
    times = tuple(None if t == float("inf") else t * 1e6 for t in (t1, t2))
    channels = device_channels(
        error, median(seconds) * 1e9 or None, (times[0],) * n_qubits, (times[1],) * n_qubits
    )
    return aer_error(channels, n_qubits)


def aer_error(channels: PlacedChannels, n_qubits: int) -> QuantumError | None:
    """Channels after a gate as one Aer error; None if there are none."""
    placed = tuple(PlacedChannel(channel, operands) for channel, operands in channels)
    return quantum_error(placed, n_qubits) if placed else None
