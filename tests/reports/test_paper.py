from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sqdr_qiskit.reports.tables import PAPER, paper_accuracy


def test_every_cell_of_the_tables_is_there_once() -> None:
    assert Counter(row["table"] for row in PAPER) == {2: 9, 3: 12, 4: 12, 5: 20}
    keys = ("table", "circuit", "dataset", "noise", "optimiser", "initialisation")
    assert max(Counter(tuple(row.get(key) for key in keys) for row in PAPER).values()) == 1
    assert all(0.2 < row["accuracy"] < 0.9 for row in PAPER)


@pytest.mark.parametrize(
    ("settings", "table", "accuracy"),
    [
        ({"circuit": "2b-9q", "dataset": "mnist", "noise": None}, 3, 0.8403),
        ({"circuit": "4b-18q", "dataset": "fashion-mnist", "noise": "paper"}, 4, 0.7497),
        ({"circuit": "hea-9q", "dataset": "kmnist", "noise": None}, 2, 0.7626),
        ({"circuit": "2b-9q", "dataset": "mnist", "noise": None, "optimiser": "sgd"}, 5, 0.4736),
        ({"circuit": "2b-9q", "dataset": "mnist", "noise": None, "initialisation": "normal-1"}, 5, 0.8207),
    ],
)
def test_a_run_finds_its_cell(settings: dict[str, Any], table: int, accuracy: float) -> None:
    row = paper_accuracy(settings)
    assert row is not None
    assert (row["table"], row["accuracy"]) == (table, accuracy)


def test_what_the_paper_has_not_is_not_found() -> None:
    assert paper_accuracy({"circuit": "2b-9q", "dataset": "digits", "noise": None}) is None
    assert paper_accuracy({"circuit": "2b-9q", "dataset": "mnist", "noise": "bit-flip"}) is None
    assert paper_accuracy({"circuit": "4b-9q", "dataset": "mnist", "noise": None, "optimiser": "sgd"}) is None
