"""The training loop, its recipes, and its metrics."""

from __future__ import annotations
