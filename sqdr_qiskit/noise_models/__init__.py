"""From a noise description or a device snapshot to a noise model."""

from __future__ import annotations
