"""A job file carried out."""

from __future__ import annotations
