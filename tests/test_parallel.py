"""What is said of the machine."""

from __future__ import annotations

import pytest

from sqdr_qiskit.parallel import free_memory, readable


def test_there_is_some_memory() -> None:
    assert free_memory() > 10**6


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(12, "12 bytes"), (2048, "2.05 kB"), (3.2e9, "3.2 GB"), (5e15, "5e+03 TB")]
)
def test_sizes_are_readable(n_bytes: float, text: str) -> None:
    assert readable(int(n_bytes)) == text
