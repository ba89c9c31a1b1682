"""Noise files turned into Aer noise models, and those into channels for the exact engine."""

from __future__ import annotations
