from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sqdr_qiskit.circuits import build_circuit, variations
from sqdr_qiskit.devices import study as transpile_study
from sqdr_qiskit.devices.study import (
    Finding,
    Source,
    Task,
    carry_out,
    same_work,
    snapshot_chip,
    study,
    tasks_for,
    winner,
)
from sqdr_qiskit.errors import ArgumentError, BackendError


def _source(name: str) -> Source:
    model = build_circuit(name)
    changed = {
        key: Source(other.name, other.circuit, other.observables)
        for key, other in variations(model.spec).items()
    }
    return Source(name, model.circuit, model.observables, changed)


_SOURCE = _source("2b-9q")
_EXPECTED = transpile_study._expected


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
    tasks = tasks_for([_SOURCE], ["c", "d"], levels=(0, 3), seeds=(0, 1, 2))
    own = [task for task in tasks if task.device == "d"]
    assert len(tasks) == 2 * len(own)
    assert Task("2b-9q", "d", "whole", 3, 2) in own
    by = Counter((task.layout, task.level, task.variation) for task in own)
    assert by == {
        ("tiled", None, ""): 1,
        ("whole", 0, ""): 3,
        ("whole", 3, ""): 3,
        ("unfused", 3, ""): 3,
        ("as written", 3, ""): 3,
        ("tiled", None, "entangler line"): 1,
        ("whole", 3, "entangler line"): 3,
        ("as written", 3, "entangler line"): 3,
        ("as written", 3, "last layer off"): 3,  # otherwise the same gates
    }


def test_the_last_layer_matters_where_it_reaches_an_output() -> None:
    assert same_work(_SOURCE, _SOURCE.variations["last layer off"])
    assert not same_work(_SOURCE, _SOURCE.variations["entangler line"])
    sqnn = _source("sqnn-9q")
    assert not same_work(sqnn, sqnn.variations["last layer off"])


def test_each_variation_equals_itself() -> None:
    """A line's circuit has other outputs than the ring's: each is compared with its own source."""
    line = carry_out(_SOURCE, Task("2b-9q", "fake_brisbane", "whole", 3, 0, "entangler line"))
    assert isinstance(line, Finding)
    assert line.two_qubit_gates == 8
    wrong = replace(_SOURCE, variations={"entangler line": _SOURCE})
    ring = carry_out(wrong, Task("2b-9q", "fake_brisbane", "whole", 3, 0, "entangler line"))
    assert isinstance(ring, Finding)
    assert ring.two_qubit_gates == 18


def test_a_circuit_unlike_its_source_is_never_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    line = _SOURCE.variations["entangler line"]
    monkeypatch.setattr(transpile_study, "_expected", lambda source: _EXPECTED(line))
    with pytest.raises(BackendError, match="2b-9q on fake_brisbane, whole does not compute what its source"):
        carry_out(_SOURCE, Task("2b-9q", "fake_brisbane", "whole", 3, 0))


def test_fusing_saves_pulses_alone() -> None:
    fused, apart = _found("whole", 3, 1), _found("unfused", 3, 1)
    assert fused.two_qubit_gates == apart.two_qubit_gates
    assert fused.gates["sx"] < 0.7 * apart.gates["sx"]


def test_a_device_of_an_account_goes_to_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transpile_study, "_WORTH_PROCESSES", 0)
    chip = replace(snapshot_chip("fake_manila"), name="ibm_manila")
    source = _source("2b-4q")
    tasks = tasks_for([source], ["ibm_manila"], levels=(1,), seeds=(0, 1))
    alone = study([source], tasks, chips={"ibm_manila": chip})
    shared = study([source], tasks, chips={"ibm_manila": chip}, n_processes=2)
    assert all(isinstance(found, Finding) for found in shared)
    assert [_timeless(found) for found in shared] == [_timeless(found) for found in alone]


def _timeless(found: Finding | str) -> Finding | str:
    return replace(found, seconds=0.0) if isinstance(found, Finding) else found


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
