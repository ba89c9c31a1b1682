"""The cones of a circuit's outputs, and the exact engine that works on them."""

from __future__ import annotations
