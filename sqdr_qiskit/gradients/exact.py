"""The exact gradient: one reverse sweep of the exact engine gives the whole Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.backends.exact import EngineMaker, ExactEstimator
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient, ValuesAndJacobian
from sqdr_qiskit.gradients.plans import columns_of
from sqdr_qiskit.lightcone.channels import ChannelModel, noiseless

__all__ = ["ExactGradient"]


class ExactGradient(BatchedEstimatorGradient):
    """Derivatives to rounding, through the same noise as the expectation values.

    Args:
        channels: The noise that follows the gates.
        maker: Makes the engines; in place of `channels`, where noise means more than channels.
        estimator: The exact estimator whose values these are the derivatives of: its engines and its noise
            are used in place of the two above.
    """

    def __init__(
        self,
        channels: ChannelModel = noiseless,
        *,
        maker: EngineMaker | None = None,
        estimator: ExactEstimator | None = None,
    ) -> None:
        own = ExactEstimator(channels, maker=maker) if estimator is None else estimator
        super().__init__(own)
        self._engines = own.engines

    def gives_values_of(self, estimator: BaseEstimatorV2) -> bool:
        """See `BatchedEstimatorGradient.gives_values_of`: of the exact estimator that it was made for."""
        return estimator is self._estimator

    def jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        values: NDArray[np.float64],
        *,
        parameters: Sequence[Parameter] | None = None,
        precision: float | None = None,
    ) -> NDArray[np.float64]:
        """See `BatchedEstimatorGradient.jacobian`; any `precision` is met.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        return self.values_and_jacobian(circuit, observables, values, parameters=parameters)[1]

    def values_and_jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        values: NDArray[np.float64],
        *,
        parameters: Sequence[Parameter] | None = None,
        precision: float | None = None,
        dtype: type[np.floating[Any]] = np.float64,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """See `BatchedEstimatorGradient.values_and_jacobian`; any `precision` is met.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        return self.prepared(circuit, observables, parameters)(values, precision=precision, dtype=dtype)

    def prepared(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        parameters: Sequence[Parameter] | None = None,
    ) -> ValuesAndJacobian:
        """See `BatchedEstimatorGradient.prepared`.

        Raises:
            UnsupportedError: The engine cannot take the circuit.
        """
        engine = self._engines.get(circuit, observables)
        wanted = columns_of(circuit, parameters)
        everything = wanted == list(range(circuit.num_parameters))

        def evaluate(
            values: NDArray[np.float64],
            *,
            precision: float | None = None,
            dtype: type[np.floating[Any]] = np.float64,
        ) -> tuple[NDArray[np.float64], NDArray[Any]]:
            found, jacobian = engine.jacobian(values, dtype=dtype)
            return found, jacobian if everything else jacobian[:, :, wanted]

        return evaluate
