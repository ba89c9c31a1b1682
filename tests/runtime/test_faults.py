"""A service that answers badly: nothing is lost or paid for twice, no ceiling leaks, no secret gets out."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqdr_qiskit.devices.estimator import Request
from sqdr_qiskit.errors import ArgumentError, BackendError, CheckpointError, SqdrError
from sqdr_qiskit.jobs.hardware import cancel_jobs, collect_jobs
from sqdr_qiskit.runtime import Waiting
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.client import Patience
from sqdr_qiskit.runtime.estimators import RuntimeSettings
from sqdr_qiskit.runtime.ledger import LEDGER, Ledger
from sqdr_qiskit.runtime.sender import RuntimeSender
from tests.runtime.native import native_pub
from tests.stub.server import StubServer
from tests.stub.service import CRN, SECOND_CRN, TOKEN, Service

PRECISION = 0.2  # 25 shots
PLAIN = RuntimeSettings(resilience=0)


def _patience(**changes: Any) -> Patience:
    """Short pauses; an answer that never comes is soon given up, a POST (prepared first) later."""
    times = {"silence_s": 0.2, "answer_s": 1.0, "post_s": 4.0, "unreadable_s": 60.0, "settle_s": 0.6}
    return replace(Patience.usual(), **{**times, **changes})


def _run(folder: Path, *, seeds: tuple[int, ...] = (0,), **options: Any) -> list[np.ndarray]:
    folder.mkdir(exist_ok=True)
    patience = options.pop("patience", None) or _patience()
    settings = options.pop("settings", PLAIN)
    with Ledger(folder) as ledger:
        connection = Connection(
            ledger.kept("device") or "ibm_fez",
            patience=replace(patience, answer_s=max(patience.answer_s, 60.0)),  # a machine under load
            calibrated=ledger.kept("calibrated"),
            instance=ledger.kept("instance"),
        )
        sender = RuntimeSender(connection, ledger, settings, patience=patience, **options)
        pubs = [native_pub(seed=seed) for seed in seeds]
        sender.announce([Request([pub], PRECISION, 50) for pub in pubs])
        handles = [sender.send([pub], precision=PRECISION, label=f"{n}") for n, pub in enumerate(pubs, 1)]
        return [np.asarray(sender.collect(handle)[0].data.evs) for handle in handles]


def _entries(folder: Path) -> list[Any]:
    with Ledger(folder, read_only=True) as ledger:
        return ledger.entries()


def _check_money(stub: StubServer, folder: Path) -> None:
    """What is counted is at least what was billed."""
    billed = sum(job.seconds for job in stub.service.jobs.values())
    assert sum(entry.committed_s for entry in _entries(folder)) >= billed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with StubServer(Service({"ibm_fez": "manila"})) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment(folder).items():
            patch.setenv(name, value)
        patch.setenv("SQDR_PATIENCE", "0.02")
        patience = _patience(post_s=60.0, answer_s=60.0)
        return {
            which: _run(folder / which, estimator=which, patience=patience)[0]
            for which in ("client-side", "server-side")
        }


# Faults that one run survives by itself -> what it says meanwhile, if anything.
SURVIVED = {
    ("post-504-late",): "Looking for the job by its tag",
    ("post-empty",): "Looking for the job by its tag",
    ("post-html",): "Looking for the job by its tag",
    ("post-odd-id",): "Looking for the job by its tag",
    ("post-hangs",): "o answer ",
    ("post-502-created", "tag-late"): "Looking for the job by its tag",
    ("post-502-created", "tag-503"): "is away while looking for",
    ("post-502-created", "tag-nothing"): "cannot be right while looking for",
    ("post-502-created", "tag-endless"): "Looking for the job by its tag",
    ("post-502-created", "tag-ignored"): "Looking for the job by its tag",
    ("status-429-hour",): "is away while waiting for",
    ("status-empty",): "does not say the job's state",
    ("status-other",): "speaks of another job",
    ("status-unknown",): "is 'Contemplating', says IBM Quantum",
    ("status-hangs",): "o answer ",
    ("status-slow",): "o answer ",
    ("status-404",): "there is no such job",
    ("results-204",): "It is empty",
    ("results-empty",): "It is empty",
    ("results-404",): "there is no such job",
    ("results-nothing",): "cannot be right while fetching",
    ("results-cut",): "cannot be right while fetching",
    ("results-short",): "cannot be right while fetching",
    ("results-nan",): "cannot be right while fetching",
    ("results-hang",): "o answer ",
    ("jobs-401", "token-500"): "wants a new login",
    ("usage-pending",): None,
    ("usage-missing",): None,
    ("usage-negative",): None,
    ("usage-500",): None,
}


@pytest.mark.parametrize(("faults", "says"), SURVIVED.items(), ids=["+".join(faults) for faults in SURVIVED])
def test_a_run_survives(
    stub: StubServer,
    tmp_path: Path,
    undisturbed: dict[str, np.ndarray],
    faults: tuple[str, ...],
    says: str | None,
) -> None:
    said: list[Waiting] = []
    stub.service.held.set()
    for fault in faults:
        stub.service.faults.order(fault)

    def watch(now: Waiting) -> None:
        said.append(now)
        if now.state == "sent" or stub.service.n_jobs:
            stub.service.held.clear()

    (values,) = _run(tmp_path / "run", watch=watch)
    assert np.array_equal(values, undisturbed["client-side"])
    assert set(stub.service.faults.taken) == set(faults)  # it did happen
    assert stub.service.n_jobs == 1
    assert says is None or any(says in now.text for now in said), [now.text for now in said]
    _check_money(stub, tmp_path / "run")


@pytest.mark.parametrize("fault", ["results-short", "results-nan", "results-large"])
def test_numbers_that_cannot_be_are_no_result(
    stub: StubServer, tmp_path: Path, undisturbed: dict[str, np.ndarray], fault: str
) -> None:
    said: list[Waiting] = []
    stub.service.faults.order(fault)
    (values,) = _run(tmp_path / "run", watch=said.append, estimator="server-side")
    assert np.array_equal(values, undisturbed["server-side"])
    assert stub.service.n_jobs == 1
    words = {
        "results-short": "0 parts where 1",
        "results-nan": "not finite",
        "results-large": "holds 7, beyond 1",
    }
    assert any(words[fault] in now.text for now in said)


def test_an_answer_that_stays_unreadable_is_kept_and_the_job_too(
    stub: StubServer, tmp_path: Path, undisturbed: dict[str, np.ndarray]
) -> None:
    folder = tmp_path / "run"
    stub.service.faults.order("results-nothing", 10_000)
    with pytest.raises(BackendError, match=r"cannot be right while fetching .*is kept in .*unreadable-stub"):
        _run(folder, patience=_patience(unreadable_s=0.1))
    (entry,) = _entries(folder)
    assert entry.state == "sent"
    assert (folder / f"unreadable-{entry.job_id}.txt").read_text() == "{}"
    with pytest.raises(BackendError, match="cannot be right"):
        collect_jobs(folder)
    stub.service.faults.left.clear()
    assert [one.state for one in collect_jobs(folder).entries] == ["done"]
    assert np.array_equal(_run(folder)[0], undisturbed["client-side"])
    assert stub.service.n_jobs == 1


@pytest.mark.parametrize(
    ("fault", "says", "state"),
    [
        ("job-ran-too-long", "The job ran into its time limit: It ran too long", "failed"),
        ("job-fails-late", "The job failed: Error code 9999; Internal error", "failed"),
    ],
)
def test_only_the_service_ends_a_job_and_its_cost_counts(
    stub: StubServer,
    tmp_path: Path,
    undisturbed: dict[str, np.ndarray],
    fault: str,
    says: str,
    state: str,
) -> None:
    folder = tmp_path / "run"
    stub.service.faults.order(fault)
    with pytest.raises(BackendError, match=f"gave no result: {says}"):
        _run(folder)
    (entry,) = _entries(folder)
    assert (entry.state, entry.used_s) == (state, 25.0 if fault == "job-fails-late" else 9.0)
    with pytest.raises(BackendError, match="above --max-qpu-seconds 5"):
        _run(folder, settings=replace(PLAIN, max_qpu_seconds=5.0))
    assert np.array_equal(_run(folder)[0], undisturbed["client-side"])
    assert stub.service.n_jobs == 2
    _check_money(stub, folder)


def test_what_is_not_known_counts_as_planned_and_is_asked_again(stub: StubServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stub.service.faults.order("usage-pending", 1_000)
    stub.service.faults.order("job-fails-late")
    with pytest.raises(BackendError, match="The job failed"):
        _run(folder)
    (entry,) = _entries(folder)
    assert entry.used_s is None
    assert entry.committed_s == entry.planned_s > 2.0
    tight = replace(PLAIN, max_qpu_seconds=4.0)  # for one job, and the failed one counts
    with pytest.raises(BackendError, match="above --max-qpu-seconds 4"):
        _run(folder, settings=tight)
    few = replace(PLAIN, max_executions=99)
    with pytest.raises(BackendError, match="100 executions, above --max-executions 99"):
        _run(folder, settings=few)
    stub.service.faults.left.clear()
    with pytest.raises(BackendError, match=r"about 27\.0 s .* above --max-qpu-seconds 4"):
        _run(folder, settings=tight)
    assert stub.service.n_jobs == 1


def test_a_running_job_that_is_cancelled_costs_what_it_ran(stub: StubServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stub.service.stuck.set()

    def enough(now: Waiting) -> None:
        if now.state == "running":
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            _run(folder, watch=enough)
        assert cancel_jobs(folder).failed == ()
    assert [(entry.state, entry.used_s) for entry in _entries(folder)] == [("cancelled", 25.0)] * 2
    with pytest.raises(BackendError, match=r"about 52\.0 s .* above --max-qpu-seconds 30"):
        _run(folder, settings=replace(PLAIN, max_qpu_seconds=30.0))
    assert stub.service.n_jobs == 2


def test_a_cancellation_that_does_not_happen_is_said(stub: StubServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stub.service.held.set()

    def enough(now: Waiting) -> None:
        if now.state == "queued":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(folder, watch=enough)
    stub.service.faults.order("cancel-ignored", 1_000)
    ((_, why),) = cancel_jobs(folder).failed
    assert "was asked to end, but IBM Quantum still says 'Queued'" in why
    stub.service.faults.left.clear()
    stub.service.faults.order("cancel-500", 1_000)
    ((_, why),) = cancel_jobs(folder).failed
    assert "could not be cancelled" in why
    assert [entry.state for entry in _entries(folder)] == ["sent"]
    stub.service.faults.left.clear()
    assert cancel_jobs(folder).failed == ()
    (job,) = stub.service.jobs.values()
    assert job.status == "Cancelled"


def test_a_foreign_job_is_neither_taken_nor_cancelled(
    stub: StubServer, tmp_path: Path, undisturbed: dict[str, np.ndarray]
) -> None:
    _run(tmp_path / "other", seeds=(5,))
    stub.service.held.set()
    (other,) = stub.service.jobs
    stub.service.faults.order("tag-ignored", 1_000)
    stub.service.faults.order("post-502-lost")

    def go(now: Waiting) -> None:
        if now.state == "sent":
            stub.service.held.clear()

    assert np.array_equal(_run(tmp_path / "run", watch=go)[0], undisturbed["client-side"])
    assert stub.service.n_jobs == 2
    assert stub.service.jobs[other].status == "Completed"
    assert _entries(tmp_path / "run")[0].job_id != other


def test_the_id_of_another_request_is_not_taken(
    stub: StubServer, tmp_path: Path, undisturbed: dict[str, np.ndarray]
) -> None:
    stub.service.faults.order("post-other-id")
    first, second = _run(tmp_path / "run", seeds=(0, 1))
    assert np.array_equal(first, undisturbed["client-side"])
    assert not np.array_equal(first, second)
    assert stub.service.n_jobs == 2
    assert len({entry.job_id for entry in _entries(tmp_path / "run")}) == 2


def test_the_id_of_another_run_is_not_taken(
    stub: StubServer, tmp_path: Path, undisturbed: dict[str, np.ndarray]
) -> None:
    _run(tmp_path / "other", seeds=(5,))
    stub.service.faults.order("post-other-id")
    assert np.array_equal(_run(tmp_path / "run")[0], undisturbed["client-side"])
    assert stub.service.n_jobs == 2
    assert _entries(tmp_path / "run")[0].job_id == list(stub.service.jobs)[1]


def test_a_second_job_of_one_request_is_cancelled_and_counted(
    stub: StubServer, tmp_path: Path, undisturbed: dict[str, np.ndarray]
) -> None:
    stub.service.late_s = 3.0  # longer than anyone looks for it
    stub.service.held.set()
    stub.service.faults.order("post-502-created")
    stub.service.faults.order("tag-late")

    def watch(now: Waiting) -> None:
        if now.state == "sent":
            for job in stub.service.jobs.values():
                job.listed_at = 0.0
            stub.service.held.clear()

    assert np.array_equal(_run(tmp_path / "run", watch=watch)[0], undisturbed["client-side"])
    assert stub.service.n_jobs == 2
    used, twin = _entries(tmp_path / "run")
    assert used.state == "done"
    assert (twin.number, twin.state) == (-1, "cancelled")
    assert {used.job_id, twin.job_id} == set(stub.service.jobs)
    _check_money(stub, tmp_path / "run")


def test_two_instances_and_none_named(
    stub: StubServer,
    tmp_path: Path,
    undisturbed: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub.service.instances = (SECOND_CRN, CRN)
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", CRN)
    stub.service.held.set()

    def enough(now: Waiting) -> None:
        if now.state == "queued":
            raise KeyboardInterrupt

    for name in ("a", "b"):
        with pytest.raises(KeyboardInterrupt):
            _run(tmp_path / name, watch=enough)
    with closing(sqlite3.connect(tmp_path / "b" / LEDGER)) as file:  # written before instances were kept
        file.execute("delete from kept where name = 'instance'")
        file.commit()
    monkeypatch.delenv("QISKIT_IBM_INSTANCE")
    assert cancel_jobs(tmp_path / "a").failed == ()
    assert [job.status for job in stub.service.jobs.values()] == ["Cancelled", "Queued"]
    stub.service.held.clear()
    assert [entry.state for entry in collect_jobs(tmp_path / "b").entries] == ["done"]
    stub.service.instances = (SECOND_CRN,)
    with pytest.raises(ArgumentError, match="an instance that this account cannot see"):
        _run(tmp_path / "a")


@pytest.mark.parametrize("fault", ["error-echoes", "reason-echoes"])
def test_what_the_service_says_is_cleaned(
    stub: StubServer, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Waiting] = []
    stub.service.faults.order(fault)
    with pytest.raises(SqdrError, match="no") as caught:
        _run(tmp_path / "run", watch=said.append)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    heard = (str(caught.value) + "".join(now.text for now in said)).encode()
    for secret in (TOKEN.encode(), CRN.encode(), b"11111111-2222", b"\x1b[2J", b"<script"):
        assert secret not in written, secret
        assert secret not in heard, secret


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("api-403", r"refused this account \(HTTP 403\) while looking for ibm_fez"),
        ("api-500", "did not answer as it should while looking for ibm_fez: 500"),
        ("configuration-500", "it lists ibm_fez and does not describe it"),
    ],
)
def test_a_service_that_is_away_at_the_start_is_said(
    stub: StubServer, tmp_path: Path, fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib3.util.retry import Retry

    monkeypatch.setattr(Retry, "get_backoff_time", lambda self: 0.0)  # the client's own pauses
    stub.service.faults.order(fault, 10_000)
    with pytest.raises(SqdrError, match=says):
        _run(tmp_path / "run", patience=_patience(answer_s=20.0, start_s=1.0))
    stub.service.faults.order(fault, 4)  # passing: it is not said that there is no such device
    assert len(_run(tmp_path / "run", patience=_patience(answer_s=20.0, start_s=30.0))) == 1


def test_couplings_that_were_lost_since_are_said(
    stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    said: list[Waiting] = []
    _run(tmp_path / "run")
    stub.service.recalibrated["ibm_fez"] = datetime.now(UTC)
    stub.service.lost["ibm_fez"] = [(0, 1)]
    _run(tmp_path / "run", seeds=(0, 1), watch=said.append)
    (warning,) = [now.text for now in said if now.state == "warning"]
    assert "ibm_fez lost cx on qubits 0, 1 since this run began" in warning
    assert stub.service.n_jobs == 2


def test_a_result_on_the_ledger_that_is_none_is_said(stub: StubServer, tmp_path: Path) -> None:
    _run(tmp_path / "run")
    for text in ("{}", "", "[" * 5_000, json.dumps({"__type__": "PrimitiveResult"})):
        with closing(sqlite3.connect(tmp_path / "run" / LEDGER)) as file:
            file.execute("update request set result = ?", (text,))
            file.commit()
        with pytest.raises(CheckpointError, match=r"row 1 holds no result|row 1 is damaged"):
            _run(tmp_path / "run")
    assert os.environ["QISKIT_IBM_TOKEN"] == TOKEN
