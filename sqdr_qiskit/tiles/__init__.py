"""Light cones written side by side as one circuit: tiles."""

from __future__ import annotations
