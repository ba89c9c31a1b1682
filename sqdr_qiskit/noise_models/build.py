"""Noise file -> Aer `NoiseModel`: one error per instruction, so that one Rot (`u`) is one noisy gate."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, reduce

import numpy as np
from qiskit.circuit import CircuitInstruction, QuantumCircuit, Qubit
from qiskit.circuit.library import IGate
from qiskit.quantum_info import Kraus, Pauli
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError, pauli_error

from sqdr_qiskit.errors import ArgumentError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models import (
    ComplexArray,
    compose,
    gate_key,
    kraus_operators,
    minimal_kraus,
    pauli_probabilities,
)
from sqdr_qiskit.noise_models.aer_model import attach, error_ptm
from sqdr_qiskit.noise_models.calibration import device_channels, over_rotation
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.device import DeviceGate
from sqdr_qiskit.specs.noise import GROUPS, PLACES, NoiseSpec

__all__ = [
    "check_gates",
    "build_noise_model",
    "NoiseRules",
    "PlacedChannel",
    "quantum_error",
    "with_places",
]


_log = logging.getLogger("sqdr_qiskit")


@dataclass(frozen=True)
class PlacedChannel:
    """A channel and the operands it acts on: positions among the qubits of the instruction it follows."""

    channel: ChannelSpec
    operands: tuple[int, ...]


@dataclass(frozen=True)
class NoiseRules:
    """A noise file, resolved for a register.

    Args:
        spec: The noise file.
        n_qubits: Number of qubits of the register.

    Raises:
        SpecError: The file names a qubit that the register does not have.
    """

    spec: NoiseSpec
    n_qubits: int

    def __post_init__(self) -> None:
        named = [q for error in self.spec.errors for q in error.qubits or ()]
        named += [q for error in self.spec.errors for pair in error.pairs or () for q in pair]
        named += [q for readout in self.spec.readout for q in readout.qubits or ()]
        for qubit in named:
            if not -self.n_qubits <= qubit < self.n_qubits:
                raise SpecError(
                    f"Noise `{self.spec.name}` names qubit {qubit}, but the circuit has qubits 0 to "
                    f"{self.n_qubits - 1}."
                )

    def is_uniform(self, key: str) -> bool:
        """Whether the noise after instruction `key` is the same on all qubits."""
        return self.spec.device is None and not any(
            error.qubits is not None or error.pairs is not None
            for error in self.spec.errors
            if key in error.gates
        )

    def after(self, key: str, qubits: tuple[int, ...]) -> tuple[PlacedChannel, ...]:
        """Channels that follow an instruction, in the order in which they act.

        Args:
            key: The instruction's name, or its label if it has one.
            qubits: Its qubits, in its own order.

        Raises:
            UnsupportedError: A device snapshot that has no such gate on these qubits.
        """
        if self.spec.device is not None:
            return self._after_on_device(key, qubits)
        placed: list[PlacedChannel] = []
        for error in self.spec.errors:
            if key not in error.gates:
                continue
            if error.channel.n_qubits == 1:
                wanted = None if error.qubits is None else {q % self.n_qubits for q in error.qubits}
                placed += [
                    PlacedChannel(error.channel, (position,))
                    for position, qubit in enumerate(qubits)
                    if wanted is None or qubit in wanted
                ]
            elif len(qubits) != 2:
                raise UnsupportedError(
                    f"Noise `{self.spec.name}` has a channel on two qubits after gate `{key}`, which acts on "
                    f"{len(qubits)}; let it follow the gates that `{key}` consists of."
                )
            elif error.pairs is None or set(qubits) in [
                {q % self.n_qubits for q in pair} for pair in error.pairs
            ]:
                placed.append(PlacedChannel(error.channel, (0, 1)))
        return tuple(placed)

    def readout(self, qubit: int) -> tuple[float, float]:
        """(p01, p10) of a qubit: the chance to read 1 for |0>, and 0 for |1>."""
        if self.spec.device is not None:
            device = self.spec.device
            if qubit >= device.n_qubits:
                return 0.0, 0.0
            return device.p01[qubit] or 0.0, device.p10[qubit] or 0.0
        general = (0.0, 0.0)
        for readout in self.spec.readout:
            if readout.qubits is None:
                general = (readout.p01, readout.p10)
            elif qubit in {q % self.n_qubits for q in readout.qubits}:
                return readout.p01, readout.p10
        return general

    @cached_property
    def _device_gates(self) -> dict[tuple[str, tuple[int, ...]], DeviceGate]:
        device = self.spec.device
        return {} if device is None else {(gate.name, gate.qubits): gate for gate in device.gates}

    def _after_on_device(self, key: str, qubits: tuple[int, ...]) -> tuple[PlacedChannel, ...]:
        device = self.spec.device
        assert device is not None
        gate = self._device_gates.get((key, qubits))
        if gate is None:
            raise UnsupportedError(
                f"Device snapshot `{self.spec.name}` has no gate `{key}` on qubits {list(qubits)} (it has "
                f"{', '.join(device.gate_names())}); transpile the circuit for the device, or use the "
                f"uniform noise that `sqdr-qiskit noise from-device {device.name} --median` writes."
            )
        channels = device_channels(
            gate.error,
            gate.duration_ns,
            tuple(device.t1_us[q] for q in qubits),
            tuple(device.t2_us[q] for q in qubits),
            over_rotation(key, device.angles("over_rotation").get((min(qubits), max(qubits)), 0.0)),
        )
        return tuple(PlacedChannel(channel, operands) for channel, operands in channels)


_Paulis = dict[str, float]


def build_noise_model(spec: NoiseSpec, circuit: QuantumCircuit) -> NoiseModel:
    """Aer noise model of a noise file for one circuit.

    Noise that is the same on all qubits becomes an all-qubit error of its gate, other noise one local error
    for each set of qubits on which the circuit has the gate. Readout errors become Aer readout errors.

    Args:
        spec: The noise file.
        circuit: The circuit to run, with markers where the file names places (`with_places`).

    Returns:
        The noise model; its basis gates are the circuit's gates, so that nothing needs to be rewritten.

    Raises:
        SpecError: A qubit that the circuit does not have, or a gate named in the file that it does not have.
        UnsupportedError: A device snapshot and a circuit that was not transpiled for the device.
    """
    check_gates(spec, circuit)
    if spec.device is not None and spec.device.angles("zz"):
        _log.warning(
            "ZZ coupling between qubits of noise model %s is left out: noise here follows gates, on their "
            "qubits alone. --backend fake_<device> --noise computes with it.",
            spec.name,
        )
    rules = NoiseRules(spec, circuit.num_qubits)
    model = NoiseModel(basis_gates=sorted({instruction.operation.name for instruction in circuit.data}))
    done: set[tuple[str, tuple[int, ...] | None]] = set()
    for instruction in circuit.data:
        key = gate_key(instruction.operation)
        if instruction.operation.name in ("barrier", "measure") or instruction.clbits:
            continue
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        where = None if rules.is_uniform(key) else qubits
        if (key, where) in done:
            continue
        done.add((key, where))
        placed = rules.after(key, qubits)
        if not placed:
            continue
        error = quantum_error(placed, len(qubits))
        if not np.array_equal(error_ptm(error), np.eye(4 ** len(qubits))):
            attach(model, error, key, where)
    for qubit in range(circuit.num_qubits):
        p01, p10 = rules.readout(qubit)
        if p01 or p10:
            model.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit], warnings=False)
    return model


@lru_cache(maxsize=4096)
def quantum_error(placed: tuple[PlacedChannel, ...], n_qubits: int) -> QuantumError:
    """One Aer error for the channels that follow a gate of `n_qubits` qubits (1 or 2), in their order.

    Neighbouring channels of a qubit are merged: Paulis into one Pauli mixture (cheap to sample), others into
    the fewest Kraus operators. Qiskit's qubit 0 is the gate's first qubit.
    """
    wires: list[list[ChannelSpec]] = [[] for _ in range(n_qubits)]
    parts: list[QuantumError] = []
    for item in placed:
        if len(item.operands) == 1:
            wires[item.operands[0]].append(item.channel)
            continue
        parts += _side_by_side(wires)
        wires = [[] for _ in range(n_qubits)]
        parts.append(_two_qubit(item.channel))
    parts += _side_by_side(wires)
    return reduce(QuantumError.compose, parts) if parts else pauli_error([("I" * n_qubits, 1.0)])


def _side_by_side(wires: list[list[ChannelSpec]]) -> list[QuantumError]:
    """The one-qubit channels of each wire as one error on all wires, or nothing."""
    return [reduce(QuantumError.expand, map(_one_qubit, wires))] if any(wires) else []


def _one_qubit(channels: list[ChannelSpec]) -> QuantumError:
    merged: list[_Paulis | ComplexArray] = []
    for channel in channels:
        paulis = pauli_probabilities(channel)
        last = merged[-1] if merged else None
        if paulis is not None and isinstance(last, dict):
            merged[-1] = _convolve(last, paulis)
        elif paulis is not None:
            merged.append(paulis)
        elif isinstance(last, np.ndarray):
            merged[-1] = minimal_kraus(compose(last, kraus_operators(channel)))
        else:
            merged.append(minimal_kraus(kraus_operators(channel)))
    parts = [_pauli_error(p) if isinstance(p, dict) else QuantumError(Kraus(list(p))) for p in merged]
    return reduce(QuantumError.compose, parts) if parts else pauli_error([("I", 1.0)])


def _two_qubit(channel: ChannelSpec) -> QuantumError:
    paulis = pauli_probabilities(channel)
    if paulis is not None:
        return _pauli_error({word[::-1]: value for word, value in paulis.items()})
    # kron(A, B) with A on the first qubit becomes Qiskit's kron(B, A): swap the two factors.
    operators = minimal_kraus(kraus_operators(channel)).reshape(-1, 2, 2, 2, 2)
    return QuantumError(Kraus(list(operators.transpose(0, 2, 1, 4, 3).reshape(-1, 4, 4))))


def _pauli_error(probabilities: _Paulis) -> QuantumError:
    return pauli_error([(Pauli(word), value) for word, value in probabilities.items() if value > 0.0])


def _convolve(first: _Paulis, second: _Paulis) -> _Paulis:
    """Probabilities of the product of two independent random Paulis."""
    total = dict.fromkeys("IXYZ", 0.0)
    for a, p in first.items():
        for b, q in second.items():
            # The number of a product in IXYZ is the exclusive or of its factors' numbers, but for its phase.
            total["IXYZ"["IXYZ".index(a) ^ "IXYZ".index(b)]] += p * q
    return total


def check_gates(spec: NoiseSpec, circuit: QuantumCircuit) -> None:
    """Refuse a noise file whose noise would miss.

    Each gate and each group of gates (`all_gates`, ...) that the file names must be in the circuit, and so
    must at least one of its places if it names nothing else (a ring of an even number of qubits, say, has
    none that idles).

    Args:
        spec: The noise file.
        circuit: The circuit, with markers at the places that it has.

    Raises:
        SpecError: Names the gate and says which ones the circuit has.
    """
    present = {gate_key(instruction.operation) for instruction in circuit.data} - {"barrier", "measure"}
    missed = [
        (error.channel, word)
        for error in spec.errors
        for word in error.after
        if not present & set(GROUPS.get(word, (word,)))
    ]
    everything = len(missed) == sum(len(error.after) for error in spec.errors)
    for channel, word in missed:
        attaches = f"Noise `{spec.name}` attaches {channel.describe()} to {word!r}"
        if word not in PLACES:
            close = difflib.get_close_matches(word, sorted(present), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise SpecError(f"{attaches}, but the circuit has only {', '.join(sorted(present))}{hint}")
        if everything and not spec.readout:
            raise SpecError(
                f"{attaches} ({PLACES[word]}), but the circuit has no such place: nothing would be noisy."
            )


# ---- places that are no gates -----------------------------------------------------------------------------


def with_places(circuit: QuantumCircuit, places: Iterable[str]) -> QuantumCircuit:
    """The circuit with markers at the places that a noise model names; the same circuit if it names none.

    - `run_end`: after the last of each run of one-qubit gates on a qubit, runs being broken by two-qubit
      gates.
    - `layer_end`: on every qubit, after each layer of two-qubit gates: all that stand between one-qubit
      gates.
    - `idle`: on each qubit that waits while a two-qubit gate runs. Two-qubit gates of a layer are put, in
      their order, each into the first step in which both its qubits are free (a diagonal layer may pass its
      own gates: on a ring of CZs two steps for even n, three for odd); a qubit that a step of its layer
      leaves free waits once.

    Args:
        circuit: Any circuit without control flow.
        places: Names of `specs.noise.PLACES`.

    Raises:
        ArgumentError: A place that is none.
    """
    wanted = set(places)
    unknown = sorted(wanted - set(PLACES))
    if unknown:
        raise ArgumentError(f"Argument `places` must be among {', '.join(PLACES)}, but has {unknown[0]!r}.")
    if not wanted:
        return circuit
    marked = circuit.copy_empty_like()
    in_run: dict[Qubit, bool] = dict.fromkeys(circuit.qubits, False)
    layer: list[CircuitInstruction] = []

    def end_run(qubits: Iterable[Qubit]) -> None:
        for qubit in qubits:
            if in_run[qubit] and "run_end" in wanted:
                marked.append(_marker("run_end"), [qubit])
            in_run[qubit] = False

    def end_layer() -> None:
        if not layer:
            return
        for step in _steps(layer):
            busy = {qubit for instruction in step for qubit in instruction.qubits}
            for instruction in step:
                marked.append(instruction)
            if "idle" in wanted:
                for qubit in circuit.qubits:
                    if qubit not in busy:
                        marked.append(_marker("idle"), [qubit])
        if "layer_end" in wanted:
            for qubit in circuit.qubits:
                marked.append(_marker("layer_end"), [qubit])
        layer.clear()

    for instruction in circuit.data:
        if len(instruction.qubits) == 2 and not instruction.clbits:
            end_run(instruction.qubits)
            layer.append(instruction)
            continue
        end_layer()
        if len(instruction.qubits) == 1 and not instruction.clbits:
            in_run[instruction.qubits[0]] = True
        else:
            end_run(instruction.qubits)
        marked.append(instruction)
    end_layer()
    end_run(circuit.qubits)
    return marked


def _steps(layer: list[CircuitInstruction]) -> list[list[CircuitInstruction]]:
    """Two-qubit gates packed into steps of disjoint gates; only diagonal gates may overtake one another."""
    # `cp:turned` is a `cp` that the parameter-shift rule wrote out (`tiles.writer`)
    names = [instruction.operation.name.partition(":")[0] for instruction in layer]
    diagonal = all(name in ("cz", "cp", "rzz", "crz") for name in names)
    steps: list[list[CircuitInstruction]] = []
    busy: list[set[Qubit]] = []
    for instruction in layer:
        qubits = set(instruction.qubits)
        if diagonal:
            position = next((i for i, taken in enumerate(busy) if not taken & qubits), len(steps))
        else:
            position = max((i + 1 for i, taken in enumerate(busy) if taken & qubits), default=0)
        if position == len(steps):
            steps.append([])
            busy.append(set())
        steps[position].append(instruction)
        busy[position] |= qubits
    return steps


@cache
def _marker(place: str) -> IGate:
    return IGate(label=place)
