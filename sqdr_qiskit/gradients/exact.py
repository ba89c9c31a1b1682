"""The exact gradient: one reverse sweep of the exact engine gives the whole Jacobian."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.backends.exact import EngineCache, EngineMaker, ExactEstimator
from sqdr_qiskit.gradients.interface import BatchedEstimatorGradient
from sqdr_qiskit.lightcone.channels import ChannelModel, noiseless

__all__ = ["ExactGradient"]


class ExactGradient(BatchedEstimatorGradient):
    """Derivatives to rounding, through the same noise as the expectation values.

    Args:
        channels: The noise that follows the gates.
        maker: Makes the engines; in place of `channels`, where noise means more than channels.
    """

    def __init__(self, channels: ChannelModel = noiseless, *, maker: EngineMaker | None = None) -> None:
        super().__init__(ExactEstimator(channels, maker=maker))
        self._engines = EngineCache(channels, maker=maker)

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
        _, jacobian = self._engines.get(circuit, observables).jacobian(values)
        if parameters is None:
            return jacobian
        column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
        wanted = [column[parameter] for parameter in parameters]
        return jacobian if wanted == list(range(len(column))) else jacobian[:, :, wanted]
