"""The benchmark's noise as Aer takes it, for the peers that run on Aer."""

from __future__ import annotations

from functools import reduce

from qiskit_aer.noise import QuantumError, kraus_error

from benchmarks.task import Noise

__all__ = ["one_qubit_error"]


def one_qubit_error(noise: Noise) -> QuantumError:
    """All channels of one gate and qubit, in order, as one error."""
    errors = [kraus_error(noise.kraus(index)) for index in range(len(noise.channels))]
    return reduce(lambda first, then: first.compose(then), errors)
