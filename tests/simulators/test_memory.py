"""Memory estimates."""

from __future__ import annotations

import pytest

from sqdr_qiskit.parallel import free_memory, readable
from sqdr_qiskit.simulators.aer import state_bytes


def test_a_density_matrix_has_four_numbers_per_qubit_and_a_state_vector_two() -> None:
    assert state_bytes(3, "density_matrix") == 16 * 2 * 64
    assert state_bytes(3, "statevector", n_states=4) == 16 * 2 * 8 * 4
    assert state_bytes(18, "density_matrix") > 10**12


def test_there_is_some_memory() -> None:
    assert free_memory() > 10**6


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(12, "12 bytes"), (2048, "2.05 kB"), (3.2e9, "3.2 GB"), (5e15, "5e+03 TB")]
)
def test_sizes_are_readable(n_bytes: float, text: str) -> None:
    assert readable(int(n_bytes)) == text
