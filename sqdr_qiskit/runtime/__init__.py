"""IBM Runtime: accounts, requests that are never lost nor paid twice, and patience."""

from __future__ import annotations
