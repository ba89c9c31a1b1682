"""A quantum device: its calibration, where circuits stand on it, what they become there, its rehearsal."""

from __future__ import annotations
