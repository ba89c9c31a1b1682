"""Where expectation values come from, each a Qiskit `BaseEstimatorV2`."""

from __future__ import annotations
