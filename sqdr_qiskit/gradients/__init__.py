"""Where gradients come from, each a Qiskit `BaseEstimatorGradient`."""

from __future__ import annotations
