from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.rehearsal import LocalSender
from sqdr_qiskit.devices.sender import planned_seconds
from sqdr_qiskit.errors import BackendError
from sqdr_qiskit.runtime.budget import Ceiling
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.runtime.rehearsal import RehearsalSender
from sqdr_qiskit.runtime.waiting import Waiting
from tests.devices.devices_for_tests import snapshot

SHOTS = 20


class Rehearsal:
    """One sitting of a run: a 2b-3q on FakeManila."""

    def __init__(self, folder: Path, ceiling: Ceiling) -> None:
        chip, self.said = snapshot("fake_manila"), list[Waiting]()
        self.book = Ledger(folder)
        sender = RehearsalSender(
            LocalSender(chip, seed=1), self.book, device=chip.name, ceiling=ceiling, watch=self.said.append
        )
        self.estimator = DeviceEstimator(chip, sender, shots=SHOTS)

    def values(self, seed: int) -> np.ndarray:
        model = build_circuit("2b-3q")
        angles = np.random.default_rng(seed).uniform(-3, 3, (2, model.circuit.num_parameters))
        try:
            job = self.estimator.run([(model.circuit, [[o] for o in model.observables], angles)])
            return np.asarray(job.result()[0].data.evs)
        except BackendError:
            self.book.close()
            raise

    @property
    def computed(self) -> int:
        return self.estimator.usage.executions


def test_what_is_booked_is_what_the_device_would_be_asked_for(tmp_path: Path) -> None:
    run = Rehearsal(tmp_path, Ceiling(max_executions=1_000_000))
    with run.book as book:
        run.values(0)
        (entry,) = book.entries()
        assert entry.state == "done"
        assert entry.facts["executions"] == book.committed_executions() == run.computed
        assert entry.planned_s == book.committed_s() == planned_seconds(run.computed)
        assert entry.used_s is None
    assert f"{run.computed:,} executions: about {entry.planned_s:.1f} s" in run.said[0].text


def test_it_stops_at_the_ceiling_and_goes_on_above_it_without_repeating(tmp_path: Path) -> None:
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
    whole = Rehearsal(tmp_path / "whole", Ceiling(max_executions=1_000_000))
    with whole.book:
        expected = [whole.values(0), whole.values(1)]
    each = whole.computed // 2
    tight = Rehearsal(tmp_path / "cut", Ceiling(max_executions=2 * each - 1))
    first = tight.values(0)
    with pytest.raises(BackendError, match=rf"before sending call 2: .* {2 * each} executions, above"):
        tight.values(1)
    assert [now.state for now in tight.said] == ["cost", "cost"]  # shown before it is refused
    more = Rehearsal(tmp_path / "cut", Ceiling(max_qpu_seconds=2 * planned_seconds(each)))
    with more.book as book:
        again = [more.values(0), more.values(1)]
        assert len(book.entries()) == 2
    np.testing.assert_array_equal(again[0], first)
    np.testing.assert_array_equal(again, expected)
