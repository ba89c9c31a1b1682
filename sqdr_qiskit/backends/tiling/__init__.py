"""Cones as disjoint lines on a chip's best-calibrated places."""

from __future__ import annotations
