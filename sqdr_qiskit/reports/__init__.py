"""From records to tables and figures (reads records; no torch)."""

from __future__ import annotations
