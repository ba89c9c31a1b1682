"""Which channels follow which instruction: a noise file read for a register of n qubits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqdr_qiskit.errors import SpecError, UnsupportedError
from sqdr_qiskit.noise_models.device import device_channels
from sqdr_qiskit.specs.channels import ChannelSpec
from sqdr_qiskit.specs.device import DeviceGate
from sqdr_qiskit.specs.noise import NoiseSpec

__all__ = ["NoiseRules", "PlacedChannel"]


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
            elif error.pairs is None or set(qubits) in [
                {q % self.n_qubits for q in pair} for pair in error.pairs
            ]:
                placed.append(PlacedChannel(error.channel, (0, 1)))
        return tuple(placed)

    def readout(self, qubit: int) -> tuple[float, float]:
        """(p01, p10) of a qubit: the chance to read 1 for |0>, and 0 for |1>."""
        if self.spec.device is not None:
            device = self.spec.device
            return (
                (device.p01[qubit] or 0.0, device.p10[qubit] or 0.0)
                if qubit < device.n_qubits
                else (0.0, 0.0)
            )
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
                f"uniform noise "
                f"that `sqdr-qiskit noise from-device {device.name} --median` writes."
            )
        channels = device_channels(
            gate.error,
            gate.duration_ns,
            tuple(device.t1_us[q] for q in qubits),
            tuple(device.t2_us[q] for q in qubits),
        )
        return tuple(PlacedChannel(channel, operands) for channel, operands in channels)
