"""From images to firing rates: the phase code and the spiking convolutional encoder."""

from __future__ import annotations

from sqdr_qiskit import parallel as parallel  # first: numba needs a place for its kernels
from sqdr_qiskit.encoder.network import PoolGradient, SpikingEncoder, phase_code, quantise

__all__ = ["PoolGradient", "SpikingEncoder", "phase_code", "quantise"]
