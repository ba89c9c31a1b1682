"""Progress on stderr."""

from __future__ import annotations

import io
import re
import sys

import pytest

from sqdr_qiskit.cli import console
from sqdr_qiskit.cli.console import Progress


class _Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_bar_survives_sixty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
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
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
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
