"""How readout errors enter an expectation value.

A qubit read with errors p01 = P(1|0) and p10 = P(0|1) yields, instead of Z, the operator

    Z -> (1 - p01 - p10) Z + (p10 - p01) I

(prepare |0>: 1 - 2 p01; prepare |1>: -1 + 2 p10). X and Y are read as Z after a perfect change of basis, so
the same holds for them. Qubits are read independently: a product of Paulis becomes the product of these.
Applied to the observable, this is what the mean over infinitely many noisy readings gives, for any backend.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from qiskit.quantum_info import Pauli, SparsePauliOp
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.noise_models.convert import readout_after

__all__ = ["has_readout_error", "read_observable", "read_terms"]

_MAX_WEIGHT = 12


def has_readout_error(model: NoiseModel) -> bool:
    """Whether a noise model reads any qubit wrongly."""
    return bool(model._local_readout_errors) or model._default_readout_error is not None


def read_observable(model: NoiseModel | None, observable: SparsePauliOp) -> SparsePauliOp:
    """The operator whose exact expectation is the mean of noisy readings of `observable`.

    Args:
        model: Noise model; None or one without readout error gives the observable back.
        observable: On the circuit's qubits.

    Raises:
        UnsupportedError: A Pauli on more than 12 qubits with readout error (2^weight terms), or a readout
            error on several qubits together.
    """
    if model is None or not has_readout_error(model):
        return observable
    return read_terms(lambda qubit: readout_after(model, qubit), observable)


def read_terms(readout: Callable[[int], tuple[float, float]], observable: SparsePauliOp) -> SparsePauliOp:
    """`read_observable` for a function qubit -> (p01, p10)."""
    paulis: list[Pauli] = []
    coefficients: list[complex] = []
    for pauli, coefficient in zip(observable.paulis, observable.coeffs, strict=True):
        support = [int(q) for q in np.flatnonzero(pauli.x | pauli.z)]
        if len(support) > _MAX_WEIGHT:
            raise UnsupportedError(
                f"Readout error on a Pauli of {len(support)} qubits has 2^{len(support)} terms; use "
                f"observables of at "
                f"most {_MAX_WEIGHT} qubits, or sample with shots."
            )
        errors = [readout(q) for q in support]
        for kept in itertools.product((True, False), repeat=len(support)):
            weight = 1.0
            z, x = pauli.z.copy(), pauli.x.copy()
            for qubit, (p01, p10), keep in zip(support, errors, kept, strict=True):
                weight *= (1.0 - p01 - p10) if keep else (p10 - p01)
                if not keep:
                    z[qubit] = x[qubit] = False
            if weight != 0.0:
                paulis.append(Pauli((z, x)))
                coefficients.append(coefficient * weight)
    if not paulis:
        return SparsePauliOp(["I" * observable.num_qubits], [0.0])
    return SparsePauliOp(paulis, np.array(coefficients)).simplify(atol=0.0)
