from __future__ import annotations

from dataclasses import replace

import pytest

from sqdr_qiskit.backends.transpile_study import Finding, Source, Task, carry_out, study, tasks_for, winner
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.errors import ArgumentError

_MODEL = build_circuit("2b-9q")
_SOURCE = Source("2b-9q", _MODEL.circuit, _MODEL.observables)


def _found(layout: str, level: int | None = None, seed: int | None = None) -> Finding:
    found = carry_out(_SOURCE, Task("2b-9q", "fake_brisbane", layout, level, seed))
    assert isinstance(found, Finding)
    return found


def test_the_figures_of_fake_brisbane() -> None:
    tiled, whole, written = _found("tiled"), _found("whole", 3, 1), _found("as written", 3, 0)
    assert (tiled.two_qubit_gates, tiled.two_qubit_depth, tiled.gates["ecr"]) == (18, 2, 18)
    assert 18 <= whole.two_qubit_gates <= 24
    assert 36 <= written.two_qubit_gates <= 50  # the last layer is there, Rots are apart
    assert tiled.success > 0.95 > whole.success > written.success
    assert tiled.swaps == 0.0
    assert tiled.copies == 3
    assert tiled.to_dict()["layout"] == "tiled"


def test_success_is_that_of_one_output_and_of_all() -> None:
    tiled, whole = _found("tiled"), _found("whole", 1, 0)
    assert tiled.success_all == pytest.approx(tiled.success**9)
    assert whole.success_all == whole.success


def test_tasks_try_every_level_and_seed() -> None:
    tasks = tasks_for(["a", "b"], ["d"], levels=(0, 3), seeds=(0, 1, 2))
    assert len(tasks) == 2 * (1 + 6 + 1)
    assert Task("b", "d", "whole", 3, 2) in tasks


def test_what_does_not_fit_says_why() -> None:
    tasks = [Task("2b-9q", "fake_manila", "whole", 1, 0), Task("2b-9q", "fake_manila", "tiled")]
    done: list[int] = []
    wide, tiled = study([_SOURCE], tasks, progress=done.append)
    assert isinstance(wide, str)
    assert wide.startswith("The circuit needs 9 qubits, but fake_manila has 5")
    assert isinstance(tiled, Finding)
    assert tiled.rounds == 9
    assert done == [1, 2]


def test_the_winner_gives_an_output_most_surely() -> None:
    tiled, whole, written = _found("tiled"), _found("whole", 3, 1), _found("as written", 3, 0)
    assert winner([written, whole, tiled]) is tiled
    assert winner([written, whole]) is whole
    assert winner([replace(written, success=1.0), whole]) is whole
    assert winner([whole, replace(whole, two_qubit_gates=1)]).two_qubit_gates == 1
    with pytest.raises(ArgumentError, match="at least one"):
        winner([])
