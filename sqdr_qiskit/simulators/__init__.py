"""Simulators of circuits on their light cones: the exact engine's and Aer's estimators."""

from __future__ import annotations
