"""What a backend is: a source of expectation values, with all that a gradient needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.devices.twin import Twin
from sqdr_qiskit.simulators.exact import EngineMaker
from sqdr_qiskit.specs.noise import NoiseSpec

__all__ = ["Backend"]


@dataclass(frozen=True)
class Backend:
    """Where expectation values come from.

    Attributes:
        name: As given to `--backend`.
        estimator: A standard estimator; one broadcast PUB holds a whole batch.
        default_gradient: Key of `gradients.GRADIENTS` used unless another one is asked for.
        maker: Makes exact engines under all of its noise, readout included; None where there is none.
        noise: The noise model it simulates, if it simulates one.
        shots: Samples per expectation value, None if exact.
        twin: Of a rehearsed device: gives exact derivatives through its noise.
        require: Raises for a circuit with its observables that a device has no place for; None of simulators.
    """

    name: str
    estimator: BaseEstimatorV2
    default_gradient: str
    maker: EngineMaker | None = None
    noise: NoiseSpec | None = None
    shots: int | None = None
    twin: Twin | None = None
    require: Callable[[QuantumCircuit, Sequence[SparsePauliOp]], None] | None = None
