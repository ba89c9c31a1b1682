"""Requests through the unmodified client to the stub: what goes wrong costs nothing twice."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.devices.estimator import Request
from sqdr_qiskit.errors import ArgumentError, BackendError, UnsupportedError
from sqdr_qiskit.runtime import Waiting
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.estimators import RuntimeSettings
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.runtime.sender import RuntimeSender
from tests.runtime.native import native_pub
from tests.stub.server import StubServer
from tests.stub.service import Service

PRECISION = 0.2


def _sender(book: Ledger, **options: Any) -> RuntimeSender:
    settings = options.pop("settings", RuntimeSettings(resilience=0))
    return RuntimeSender(Connection("ibm_fez"), book, settings, **options)


def _run(folder: Path, **options: Any) -> np.ndarray:
    with Ledger(folder) as book:
        sender = _sender(book, **options)
        sender.announce([Request([native_pub()], PRECISION, 50)])
        return np.asarray(
            sender.collect(sender.send([native_pub()], precision=PRECISION, label="1/1"))[0].data.evs
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("undisturbed")
    with StubServer(Service({"ibm_fez": "manila"})) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment(folder).items():
            patch.setenv(name, value)
        return _run(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        ("post-502-created", 1),
        ("post-502-lost", 1),
        ("post-502-lost", 4),
        ("post-cut", 1),
        ("status-503", 3),
        ("jobs-401", 1),
    ],
)
def test_a_fault_on_the_way_costs_nothing(
    stub: StubServer, folder: Path, undisturbed: np.ndarray, fault: str, times: int
) -> None:
    stub.service.faults.order(fault, times)
    assert np.array_equal(_run(folder), undisturbed)
    assert stub.service.n_jobs == 1
    assert stub.service.faults.left[fault] == 0


def test_results_that_are_away_for_long(stub: StubServer, folder: Path, undisturbed: np.ndarray) -> None:
    said: list[Waiting] = []
    stub.service.faults.order("results-503", 7)
    assert np.array_equal(_run(folder, watch=said.append), undisturbed)
    assert stub.service.n_jobs == 1
    outages = [now for now in said if now.state == "outage"]
    assert len(outages) == 7  # each is said: the client below repeats nothing by itself
    assert "nothing is lost" in outages[0].text


@pytest.mark.parametrize(
    ("fault", "says", "state"),
    [
        ("job-fails", "The job failed", "failed"),
        ("job-cancelled", "The job was cancelled", "cancelled"),
        ("job-over-time", "The job ran into its time limit", "failed"),
    ],
)
def test_a_job_without_a_result_is_said_and_sent_again_when_asked(
    stub: StubServer, folder: Path, undisturbed: np.ndarray, fault: str, says: str, state: str
) -> None:
    stub.service.faults.order(fault)
    with pytest.raises(BackendError, match=f"gave no result: {says}"):
        _run(folder)
    assert stub.service.n_jobs == 1
    with Ledger(folder, read_only=True) as book:
        assert [entry.state for entry in book.entries()] == [state]
    assert np.array_equal(_run(folder), undisturbed)
    assert stub.service.n_jobs == 2
    assert np.array_equal(_run(folder), undisturbed)
    assert stub.service.n_jobs == 2


def test_a_token_that_is_refused_for_good_stops_the_run_and_loses_nothing(
    stub: StubServer, folder: Path, undisturbed: np.ndarray
) -> None:
    stub.service.faults.order("jobs-401", 1000)
    with pytest.raises(ArgumentError, match=r"did not accept the account's API token while sending .*401"):
        _run(folder)
    stub.service.faults.left.clear()
    assert np.array_equal(_run(folder), undisturbed)
    assert stub.service.n_jobs == 1


def test_equal_requests_are_different_jobs_and_each_is_found_again(stub: StubServer, folder: Path) -> None:
    for _ in range(2):
        with Ledger(folder) as book:
            sender = _sender(book)
            handles = [sender.send([native_pub()], precision=PRECISION, label=f"{n}/2") for n in (1, 2)]
            results = [sender.collect(handle)[0].data.evs for handle in handles]
        assert np.array_equal(*results)  # the stub's seed is fixed
        assert stub.service.n_jobs == 2


def test_what_is_on_the_ledger_needs_no_network(
    stub: StubServer, folder: Path, undisturbed: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(folder)
    connection = Connection("ibm_fez")
    assert connection.device is not None
    n_requests = len(stub.service.requests)
    with Ledger(folder) as book:
        sender = RuntimeSender(connection, book, RuntimeSettings(resilience=0))
        values = sender.collect(sender.send([native_pub()], precision=PRECISION, label="1/1"))[0].data.evs
    assert np.array_equal(values, undisturbed)
    assert len(stub.service.requests) == n_requests


def test_the_ceiling_holds_before_anything_is_sent(stub: StubServer, folder: Path) -> None:
    with pytest.raises(BackendError, match=r"Stopped before sending .* about 2\.0 s .*--max-qpu-seconds 1;"):
        _run(folder, settings=RuntimeSettings(resilience=0, max_qpu_seconds=1.0))
    assert stub.service.n_jobs == 0


def test_executions_have_a_ceiling_too_over_all_sittings(stub: StubServer, folder: Path) -> None:
    settings = RuntimeSettings(resilience=0, max_executions=99)  # 2 sets of angles x 25 shots
    _run(folder, settings=settings)
    with Ledger(folder) as book:
        sender = _sender(book, settings=settings)
        with pytest.raises(BackendError, match=r"would take 100 executions, above --max-executions 99;"):
            sender.send([native_pub(seed=1)], precision=PRECISION, label="1/1")
    assert stub.service.n_jobs == 1


def test_a_group_is_held_as_a_whole_and_what_the_ledger_has_is_free(stub: StubServer, folder: Path) -> None:
    def send(n: int, settings: RuntimeSettings) -> None:
        group = [Request([native_pub(seed=seed)], PRECISION, 50) for seed in range(n)]
        with Ledger(folder) as book:
            sender = _sender(book, settings=settings)
            sender.announce(group)
            for handle in [sender.send(one.pubs, precision=PRECISION, label="1/1") for one in group]:
                sender.collect(handle)

    tight = RuntimeSettings(resilience=0, max_executions=100)
    with pytest.raises(BackendError, match=r"Stopped before sending call 1: .* would take 150 executions"):
        send(3, tight)
    assert stub.service.n_jobs == 0
    send(2, tight)
    with pytest.raises(BackendError, match=r"before sending call 1, 1 of 3 jobs: .* take 150 executions"):
        send(3, tight)
    assert stub.service.n_jobs == 2
    send(2, tight)
    send(3, RuntimeSettings(resilience=0, max_executions=150))
    assert stub.service.n_jobs == 3


def test_the_cost_is_shown_before_anything_is_sent(stub: StubServer, folder: Path) -> None:
    said: list[tuple[str, int]] = []
    _run(folder, watch=lambda now: said.append((now.state, stub.service.n_jobs)))
    assert said[0] == ("cost", 0)
    assert [state for state, _ in said if state in ("sent", "collected")] == ["sent", "collected"]


def test_a_circuit_that_is_not_the_device_s_is_refused_here(stub: StubServer, folder: Path) -> None:
    circuit = QuantumCircuit(5)
    circuit.h(0)
    circuit.name = "mine"
    pub = EstimatorPub.coerce((circuit, ["IIIIZ"]))
    with Ledger(folder) as book, pytest.raises(UnsupportedError, match="ibm_fez cannot run circuit mine"):
        _sender(book).send([pub], precision=PRECISION, label="1/1")
    assert stub.service.n_jobs == 0


def test_a_batch_holds_what_belongs_together(stub: StubServer, folder: Path) -> None:
    with Ledger(folder) as book:
        sender = _sender(book, settings=RuntimeSettings(resilience=0, mode="batch"))
        handles = [
            sender.send([native_pub(seed=seed)], precision=PRECISION, label=f"{seed}/2") for seed in (1, 2)
        ]
        for handle in handles:
            sender.collect(handle)
        sender.close()
    assert {job.session for job in stub.service.jobs.values()} == {"batch0000"}
    assert stub.service.sessions["batch0000"]["state"] == "closed"


def test_the_server_side_estimator_works_too(stub: StubServer, folder: Path) -> None:
    values = _run(folder, estimator="server-side")
    (job,) = stub.service.jobs.values()
    assert job.program == "estimator"
    assert values.shape == (2, 2)
    assert np.abs(values).max() <= 1.0


def test_settings_and_tags_reach_the_service(stub: StubServer, folder: Path) -> None:
    settings = RuntimeSettings(
        resilience=0, dynamical_decoupling="XY4", twirling=True, max_execution_s=7, job_tags=("mine",)
    )
    _run(folder, settings=settings)
    (job,) = stub.service.jobs.values()
    options = job.params["quantum_program"]["passthrough_data"]["post_processor"]["options"]
    assert options["resilience_level"] == 0
    assert options["dynamical_decoupling"]["sequence_type"] == "XY4"
    assert options["twirling"]["enable_gates"] is True
    assert job.cost == 7
    assert "mine" in job.tags
    with Ledger(folder, read_only=True) as book:
        assert book.entries()[0].tag in job.tags


def test_the_queue_is_watched(stub: StubServer, folder: Path) -> None:
    stub.service.held.set()
    said: list[Waiting] = []

    def watch(now: Waiting) -> None:
        said.append(now)
        if now.state == "queued":
            threading.Timer(0.01, stub.service.held.clear).start()

    _run(folder, watch=watch)
    queued = [now for now in said if now.state == "queued"]
    assert queued
    assert queued[0].position == 0


def test_no_secret_is_written_anywhere(stub: StubServer, tmp_path: Path, folder: Path) -> None:
    stub.service.faults.order("jobs-401")
    _run(folder)
    token = os.environ["QISKIT_IBM_TOKEN"].encode()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 1
    assert [path for path in written if token in path.read_bytes()] == []
