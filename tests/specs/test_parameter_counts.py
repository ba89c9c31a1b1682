"""Parameter counts by formula: the paper's table 3."""

from __future__ import annotations

import pytest

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.circuit import parameter_counts


@pytest.mark.parametrize(
    ("n_qubits", "n_blocks", "total"), [(9, 2, 803), (9, 4, 857), (18, 2, 1190), (18, 4, 1298)]
)
def test_table_3(n_qubits: int, n_blocks: int, total: int) -> None:
    counts = parameter_counts(n_features=3 * n_qubits, n_weights=3 * n_qubits * n_blocks, n_outputs=n_qubits)
    assert counts["conv"] == 378
    assert counts["batch_norm"] == 28
    assert counts["linear"] == 27 * n_qubits
    assert counts["circuit"] == 3 * n_qubits * n_blocks
    assert counts["head"] == 10 * (n_qubits + 1)
    assert counts["total"] == total == sum(counts.values()) - counts["total"]


def test_without_a_head_it_counts_nothing() -> None:
    assert parameter_counts(n_features=27, n_weights=54, n_outputs=9, head=False)["total"] == 803 - 100


def test_colour_images_have_larger_convolutions() -> None:
    counts = parameter_counts(n_features=27, n_weights=54, n_outputs=9, n_channels=3)
    assert (counts["conv"], counts["batch_norm"], counts["linear"]) == (378 * 9, 28 * 3, 25 * 27)


def test_a_wrong_number_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Argument `n_classes` must be at least 1, but is 0"):
        parameter_counts(n_features=27, n_weights=54, n_outputs=9, n_classes=0)
