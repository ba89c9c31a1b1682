"""Progress on stderr."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sqdr_qiskit.cli import console, main
from sqdr_qiskit.cli.console import Progress, leaving_allowed, show_waiting
from sqdr_qiskit.jobs.hardware import left
from sqdr_qiskit.runtime import Attention, Leaving, Waiting
from sqdr_qiskit.runtime.accounts import Connection
from sqdr_qiskit.runtime.ledger import Ledger
from sqdr_qiskit.runtime.service import JobService
from tests.stub.fixtures import stub
from tests.stub.server import StubServer

__all__ = ["stub"]


class _Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_survives_sixty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    with Progress("epoch 19/20", total=10_000, unit="steps") as progress:
        progress.update(10, loss=0.5, accuracy=0.25, state="much more than fits into sixty columns")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    last = next(line for line in reversed(re.split(r"[\r\n]", plain)) if line.strip())
    assert "epoch 19/20" in last
    assert "10/10,000 steps" in last
    assert len(last) <= 60


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_a_pipe_gets_a_line_every_ten_seconds(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("epoch 1/2", total=1000, unit="images") as progress:
        for done in range(0, 1001, 50):
            progress.update(done, loss=0.123456, state="fine")
            clock.now += 1.0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "epoch 1/2: 500/1,000 images, 50/s, 0:10 to go, loss 0.1235, state fine",
        "epoch 1/2: 1,000/1,000 images, 50/s, in 0:20, loss 0.1235, state fine",  # and not once more
    ]


def test_items_done_before_do_not_count_towards_the_rate(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("run", total=7300, unit="steps") as progress:
        progress.start_from(90)
        clock.now += 5.0
        progress.update(100)
    assert capsys.readouterr().err == "run: 100/7,300 steps, 2/s, 1:00:00 to go\n"


def test_an_unknown_total_has_no_time_to_go(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("download", unit="kB") as progress:
        clock.now += 2.0
        progress.update(3000, description="file 2")
    assert capsys.readouterr().err == "file 2: 3,000 kB, 1,500/s, in 0:02\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with Progress("epoch 1/2", total=10, unit="images") as progress:
        progress.update(10, loss=0.5)
    assert "epoch 1/2" in terminal.getvalue()
    assert "10/10 images" in terminal.getvalue()


def test_after_an_error_nothing_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stop"), Progress("run", total=3):
        raise ValueError("stop")
    assert capsys.readouterr().err == ""


def test_ctrl_c_leaves_once_cancels_twice_and_ends_all_the_third_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    attention = Attention(grace_s=0.0)
    before = signal.getsignal(signal.SIGINT)
    with leaving_allowed(attention):
        with pytest.raises(Leaving, match=r"^$"):
            signal.raise_signal(signal.SIGINT)
        assert "Leaving; the jobs go on" in capsys.readouterr().err
        assert not attention.second_wish()
        signal.raise_signal(signal.SIGINT)
        assert attention.second_wish()
        assert "Cancelling the jobs" in capsys.readouterr().err
        with pytest.raises(Leaving, match=r"^$"):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_queue_that_does_not_move_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    show = show_waiting()
    for position in (3, 3, 2):
        show(Waiting(f"job a is queued, {position} before it", "queued", "a", position, 4.0, 1, 2))
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] job a is queued, 3 before it, waited 4 s",
        "[1/2] job a is queued, 2 before it, waited 4 s",
    ]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small training."""
    folder = str(tmp_path_factory.mktemp("work") / "start")
    assert main(["train", "--circuit", "2b-3q", "--limit", "60", "--epochs", "1", "--out", folder]) == 0
    return folder


def test_ctrl_c_detaches_a_whole_run_which_is_collected_and_resumed_later(
    stub: StubServer,
    start: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    stub.service.held.set()  # jobs stay in the queue
    words = [
        *(sys.executable, "-m", "sqdr_qiskit", "infer", start, "--backend", "ibm_fez", "--out", "run"),
        *("--limit", "4", "--shots", "20", "--resilience", "0"),
    ]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=here) as run:
        assert run.stderr is not None
        heard = ""
        for line in run.stderr:
            heard += line
            if " is queued" in line:
                run.send_signal(signal.SIGINT)
                break
        heard += run.stderr.read()
    assert run.returncode == 130
    assert re.search(r"error: Left; the jobs go on \(stub\w+\).*`sqdr-qiskit jobs collect run`", heard), heard
    stub.service.held.clear()
    capsys.readouterr()
    assert main(["jobs", "collect", "run"]) == 0
    assert "1 requests: 1 done" in capsys.readouterr().out
    n_requests = len(stub.service.requests)
    assert main(["infer", "--resume", "run"]) == 0
    assert stub.service.n_jobs == 1
    assert not [path for _, path in stub.service.requests[n_requests:] if "/jobs" in path]


@pytest.mark.parametrize("fault", ["status-hangs", "post-hangs", "results-hang"])
def test_ctrl_c_works_while_an_answer_does_not_come(
    stub: StubServer, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    stub.service.faults.order(fault)
    words = [
        *(sys.executable, "-m", "sqdr_qiskit", "infer", start, "--backend", "ibm_fez", "--out", "run"),
        *("--limit", "4", "--shots", "20", "--resilience", "0"),
    ]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=here) as run:
        assert run.stderr is not None
        while fault not in stub.service.faults.taken:
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        heard = run.stderr.read()
    assert run.returncode == 130, heard
    assert "error: Left; the jobs go on" in heard
    assert stub.service.n_jobs == 1
    assert main(["infer", "--resume", "run"]) == 0
    assert stub.service.n_jobs == 1


def test_ctrl_c_twice_cancels_what_can_be_cancelled(
    stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"digest": "d", "number": 0, "label": "l", "device": "ibm_fez", "planned_s": 2.0, "facts": {}}
    monkeypatch.setenv("SQDR_PATIENCE", "0.05")
    stub.service.held.set()
    with Ledger(tmp_path) as ledger:
        made = ledger.plan(**entry, calibrated=None)  # type: ignore[arg-type]
        tags = {"program_id": "executor", "params": {}, "backend": "ibm_fez", "tags": [made.tag]}
        ledger.sent(made.row, stub.service.create(tags).id)
        stub.service.faults.order("cancel-ignored", 100)
        jobs = JobService(Connection("ibm_fez"), ledger)
        said = str(left(ledger, jobs, Attention(grace_s=0.0, asked=2)))
        assert said.startswith(
            "Cancelled 0 jobs; what was collected before is kept. 1 could not be cancelled"
        )
        assert "IBM Quantum still says 'Queued'" in said
        stub.service.faults.left.clear()
        said = str(left(ledger, jobs, Attention(grace_s=0.0, asked=2)))
        assert said == "Cancelled 1 job; what was collected before is kept."
        assert [one.state for one in ledger.entries()] == ["cancelled"]
        assert "no job is under way" in str(left(ledger, jobs, Attention(grace_s=0.0)))


def test_a_terminal_sees_for_how_long_kernels_have_been_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console, "kernels_are_kept", lambda: False)
    with console.compiling() as over:
        over()
        said = terminal.getvalue()
        assert re.search(r"compiling kernels \(once, about 15 s\).*0:00:00", said)
    assert terminal.getvalue() == said  # it is over once


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_without_a_cursor_sees_one_line_while_kernels_are_compiled(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(console, "kernels_are_kept", lambda: False)
    with console.compiling() as over:
        assert terminal.getvalue() == "compiling kernels (once, about 15 s)\n"
        for _ in range(3):  # a training says so after each step
            over()
    assert terminal.getvalue().count("\n") == 1
