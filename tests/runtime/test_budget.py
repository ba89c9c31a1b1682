from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.estimator import DeviceEstimator, planned_seconds
from sqdr_qiskit.devices.twin import LocalSender
from sqdr_qiskit.errors import BackendError
from sqdr_qiskit.runtime import Waiting
from sqdr_qiskit.runtime.budget import Ceiling, RehearsalSender, request_digest
from sqdr_qiskit.runtime.ledger import Ledger
from tests.devices.devices_for_tests import snapshot
from tests.runtime.native import native_pub

WRITTEN_DOWN = "a1c56bbd4ab29878ed34b2b6a94ce08c8ae5667d6d24501c2d5e077e99ea804d"
BASE: dict[str, Any] = {"device": "ibm_x", "facts": {"resilience": 1}}


def _pub(
    *, angle: float = 0.5, observable: str = "IZ", values: float = 0.25, gate: str = "rz", qubit: int = 0
) -> EstimatorPub:
    angles = ParameterVector("t", 1)
    circuit = QuantumCircuit(2)
    getattr(circuit, gate)(angle, qubit)
    circuit.rx(2 * angles[0] + angle, 1)
    return EstimatorPub.coerce((circuit, [[observable]], np.full((2, 1), values)))


def test_equal_requests_have_equal_digests_whatever_names_and_identities_they_carry() -> None:
    first = request_digest([native_pub()], 0.1, **BASE)
    assert first == request_digest([native_pub()], 0.1, **BASE)
    assert len(first) == 64
    # ... in every process: this one was written down.
    assert first == WRITTEN_DOWN


@pytest.mark.parametrize(
    "changed",
    [
        {"angle": 0.5000000001},
        {"observable": "ZI"},
        {"values": 0.2500000001},
        {"gate": "rx"},
        {"qubit": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_changes_the_numbers_changes_the_digest(changed: dict[str, Any]) -> None:
    assert request_digest([_pub(**changed)], 0.1, **BASE) != request_digest([_pub()], 0.1, **BASE)


def test_precision_device_options_and_number_of_pubs_count() -> None:
    pubs = [_pub()]
    found = {
        request_digest(pubs, 0.1, **BASE),
        request_digest(pubs, 0.2, **BASE),
        request_digest([*pubs, *pubs], 0.1, **BASE),
        request_digest(pubs, 0.1, device="ibm_y", facts=BASE["facts"]),
        request_digest(pubs, 0.1, device="ibm_x", facts={"resilience": 2}),
    }
    assert len(found) == 5


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
