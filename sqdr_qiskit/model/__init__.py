"""The quantum layer, the network, and its checkpoints."""

from __future__ import annotations
