from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.executor_estimator.prepare import prepare
from qiskit_ibm_runtime.options_models import EstimatorOptions

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import fake_backend
from sqdr_qiskit.devices.estimator import DeviceEstimator, planned_seconds
from sqdr_qiskit.devices.twin import LocalSender
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.runtime.estimators import RuntimeSettings, make_estimator
from sqdr_qiskit.runtime.ledger import Ledger
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"mode": "session"}, r"^Argument `mode` must be one of job, batch, but is 'session'\.$"),
        ({"resilience": 3}, r"^Argument `resilience` must be 0, 1 or 2, but is 3\.$"),
        ({"dynamical_decoupling": "YY"}, r"^Argument `dynamical_decoupling` must be one of XX, XpXm, XY4"),
        ({"resilience": 2, "twirling": True}, r"left out with resilience 2, where it is already on"),
        ({"resilience": 0, "twirling": False}, r"left out with resilience 0, where it is off anyway"),
        ({"fractional": True, "twirling": True}, r"^Argument `fractional` must be left out with twirling"),
        (
            {"fractional": True, "resilience": 2},
            r"`fractional` must be left out with resilience 2, which twi",
        ),
        ({"fractional": True, "mitigation": "pec"}, r"`fractional` must be left out with pec, which twirls"),
        ({"fractional": True, "mitigation": "pea"}, r"`fractional` must be left out with pea, which twirls"),
        ({"max_execution_s": 0}, r"^Argument `max_execution_s` must be at least 1, but is 0\.$"),
        ({"max_qpu_seconds": 0.0}, r"^Argument `max_qpu_seconds` must be above 0, but is 0.0\.$"),
        ({"job_tags": ("",)}, r"^Argument `job_tags` must hold tags of 1 to 86 characters"),
    ],
)
def test_settings_check_themselves(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        RuntimeSettings(**setting)


def test_only_what_changes_the_numbers_is_part_of_a_request() -> None:
    plain = RuntimeSettings()
    same = RuntimeSettings(
        mode="batch", job_tags=("x",), max_qpu_seconds=5.0, max_execution_s=9, max_executions=7
    )
    assert plain.facts() == same.facts()
    assert plain.facts() != RuntimeSettings(resilience=0).facts()
    assert plain.facts() != RuntimeSettings(dynamical_decoupling="XX").facts()
    assert "fractional" not in plain.facts()
    assert RuntimeSettings(fractional=True).facts()["fractional"]


def test_the_cost_is_ibm_s_published_rule() -> None:
    assert planned_seconds(0) == 2.0
    assert planned_seconds(1_000_000) == pytest.approx(352.0, rel=1e-12)


def test_fractional_gates_reach_the_device_and_come_back_right(
    stub: StubServer, tmp_path: Path, rng: np.random.Generator
) -> None:
    stub.service.devices = {**stub.service.devices, "ibm_fez": "fractional"}
    stub.service.truth["ibm_fez"] = fake_backend("fake_fractional")
    model = build_circuit("2b-3q")
    values = rng.uniform(-4, 4, (2, model.circuit.num_parameters))
    observables = [[o] for o in model.observables]
    with Ledger(tmp_path) as ledger:
        backend = make_backend("ibm_fez", ledger=ledger, shots=1024, fractional=True)
        assert isinstance(backend.estimator, DeviceEstimator)
        sent = backend.estimator.program(model.circuit, model.observables).rounds[0].circuit
        assert sent.count_ops()["rx"] > 0
        found = backend.estimator.run([(model.circuit, observables, values)]).result()[0].data.evs
        (entry,) = ledger.entries()
    assert entry.facts["fractional"]
    chip = replace(backend.estimator.chip, readout=((0.0, 0.0),) * 5)  # readout is mitigated
    twin = DeviceEstimator(chip, LocalSender(chip, sampled=False))
    wanted = twin.run([(model.circuit, observables, values)]).result()[0].data.evs
    np.testing.assert_allclose(found, wanted, atol=0.2)


def test_a_device_without_fractional_gates_is_refused(stub: StubServer, tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, pytest.raises(ArgumentError, match=r"ibm_fez, which has no RX"):
        make_backend("ibm_fez", ledger=ledger, fractional=True)
    assert stub.service.n_jobs == 0


def test_the_client_writes_the_turn_before_a_reading_anew() -> None:
    """Why `fuse` writes that turn with SX on chips with RX: the rehearsal would promise too much, else."""
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.rx(0.3, qubit)
    circuit.cz(0, 1)
    circuit.rx(0.7, 0)
    options = EstimatorOptions(resilience_level=1)
    program, _ = prepare([(circuit, SparsePauliOp("IZ"))], options, precision=0.1)
    assert program.items[0].circuit.count_ops()["rx"] == 2
    assert program.items[0].circuit.count_ops()["sx"] == 4  # of both qubits, which it measures together


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ArgumentError, match="must be one of client-side, server-side, but is 'v3'"):
        make_estimator(None, RuntimeSettings(), [], which="v3")
