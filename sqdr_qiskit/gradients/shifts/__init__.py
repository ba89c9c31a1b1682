"""How derivatives are measured: which rotations to shift, and which of them in one execution."""

from __future__ import annotations
