"""What the files in circuits/, noise_models/ and jobs/ say, as frozen dataclasses (standard library only)."""

from __future__ import annotations
