"""A noise file and a circuit brought together: what Aer runs, and what the exact engine computes with.

Both read the same Aer noise model, built for the circuit and probed once, so that file, Aer and engine agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.lightcone.angles import AngleStage, prepared
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.instructions import written_out
from sqdr_qiskit.lightcone.operations import Channel
from sqdr_qiskit.noise_models.build import build_noise_model, noisy_circuit
from sqdr_qiskit.noise_models.check import probe
from sqdr_qiskit.noise_models.convert import GateChannels, error_after, read_observable
from sqdr_qiskit.simulators.exact import EngineMaker
from sqdr_qiskit.specs.noise import NoiseSpec

__all__ = ["aer_circuit", "CircuitNoise", "Noise", "circuit_noise", "noisy_engine"]

Noise: TypeAlias = NoiseSpec | NoiseModel
"""Noise as a backend takes it: a file's description, or any Aer noise model."""


@dataclass(frozen=True)
class CircuitNoise:
    """The noise of one circuit.

    Attributes:
        circuit: The circuit as Aer runs it (`aer_circuit`), with markers where the noise names places, its
            angles affine in its parameters; same qubits.
        model: Aer noise model for it.
        stage: Computes its parameters from the original circuit's; None if they are the same.
    """

    circuit: QuantumCircuit
    model: NoiseModel
    stage: AngleStage | None

    @property
    def channels(self) -> _EngineChannels:
        """The noise model as the engine's `ChannelModel`."""
        return _EngineChannels(GateChannels(self.model))

    def read(self, observable: SparsePauliOp) -> SparsePauliOp:
        """The operator whose expectation is the mean of noisy readings of `observable`."""
        return read_observable(self.model, observable)


@dataclass(frozen=True)
class _EngineChannels:
    """Channels of a noise model, in the engine's own type."""

    gates: GateChannels

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        return tuple(Channel(channel.qubits, channel.ptm) for channel in self.gates.after(gate, qubits))


def circuit_noise(noise: Noise, circuit: QuantumCircuit) -> CircuitNoise:
    """Bring noise and circuit together, and make sure that the noise is there.

    Args:
        noise: A noise file's description, or an Aer noise model.
        circuit: The circuit without noise.

    Raises:
        SpecError: The noise does not fit the circuit (a gate or a qubit that it lacks).
        BackendError: Aer ignores the noise.
        UnsupportedError: A device snapshot and a circuit that was not transpiled for the device.
    """
    inner, stage = prepared(circuit)
    if isinstance(noise, NoiseModel):
        marked, model = inner, noise
    else:
        marked = noisy_circuit(noise, inner)
        model = build_noise_model(noise, marked)
    flat = aer_circuit(marked, model)
    probe(model, flat)
    return CircuitNoise(flat, model, stage)


# What Aer 0.18 binds rightly by itself, fixed and free. It takes the free angles of controlled rotations
# (crx, cp, cu, ...) for zero without a word (qiskit-aer issues 2323, 2391, 2403), so these are written out,
# as is all that it does not know.
_FREE = frozenset({"rx", "ry", "rz", "p", "u", "u1", "u2", "u3", "r", "rxx", "ryy", "rzz", "rzx"})
_FIXED = _FREE | {
    *("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "t", "tdg"),
    *("cx", "cy", "cz", "ecr", "swap", "unitary", "reset"),
}


def aer_circuit(circuit: QuantumCircuit, model: NoiseModel | None) -> QuantumCircuit:
    """A circuit in gates on one and two qubits that Aer knows and binds, noise where it was.

    Raises:
        UnsupportedError: An instruction that is no gate and not made of gates.
    """
    is_marked = None if model is None else lambda key, wires: error_after(model, key, wires) is not None
    return written_out(circuit, free=_FREE, fixed=_FIXED, is_marked=is_marked)


def noisy_engine(noise: Noise) -> EngineMaker:
    """The exact engine under noise: a function that compiles a circuit and its observables.

    Its engines give the expectations of noisy gates and noisy readings, and their derivatives.

    Args:
        noise: A noise file's description, or an Aer noise model.

    Returns:
        What `ExactEstimator` and `ExactGradient` take as `maker`. Called with a circuit that the noise
        does not fit, it raises what `circuit_noise` raises.
    """
    return partial(_noisy_engine, noise)


def _noisy_engine(noise: Noise, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> ExactEngine:
    bound = circuit_noise(noise, circuit)
    return ExactEngine(bound.circuit, [bound.read(o) for o in observables], bound.channels, bound.stage)
