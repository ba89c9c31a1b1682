"""Waiting for hardware: what is shown meanwhile, and how to leave."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqdr_qiskit.cli.console import print_note

if TYPE_CHECKING:
    from sqdr_qiskit.jobs.hardware import Hardware
    from sqdr_qiskit.runtime.waiting import Attention, Waiting

__all__ = ["leaving_allowed", "on_hardware", "private_files", "show_waiting"]

_SAME_LINE_EVERY_S = 30.0


def show_waiting() -> Callable[[Waiting], None]:
    """A watcher that prints every change on stderr, and a queue that does not move twice a minute."""
    last: dict[str, Any] = {"text": "", "at": 0.0}

    def show(now: Waiting) -> None:
        moment = time.monotonic()
        if now.text == last["text"] and moment - last["at"] < _SAME_LINE_EVERY_S:
            return
        last.update(text=now.text, at=moment)
        count = f"[{now.done}/{now.total}] " if now.total > 1 and now.state not in ("cost", "outage") else ""
        waited = f", waited {now.waited_s:.0f} s" if now.waited_s >= 1 and now.state != "outage" else ""
        print_note(f"{count}{now.text}{waited}")

    return show


@contextmanager
def on_hardware(backend: str) -> Iterator[Hardware]:
    """The hardware side of a run, watched on stderr, with Ctrl-C to leave; in a rehearsal nothing goes on
    elsewhere, and Ctrl-C ends it.
    """
    from sqdr_qiskit.devices.names import is_hardware
    from sqdr_qiskit.jobs.hardware import Hardware
    from sqdr_qiskit.runtime.waiting import Attention

    if not is_hardware(backend):
        with Hardware(show_waiting()) as hardware:
            yield hardware
        return
    attention = Attention()
    with leaving_allowed(attention), Hardware(show_waiting(), attention) as hardware:
        yield hardware


@contextmanager
def leaving_allowed(attention: Attention) -> Iterator[None]:
    """Let Ctrl-C end the program wherever it is, not the jobs: once detaches, twice cancels, then ends all.

    The run's folder is enough to go on from any point, so nothing has to be waited for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        if attention.asked == 0:
            print_note(
                f"Leaving; the jobs go on. Ctrl-C again within {attention.grace_s:.0f} s cancels them."
            )
        elif attention.asked == 1:
            print_note("Cancelling the jobs that are under way.")
        attention.ask()

    before = signal.signal(signal.SIGINT, leave)
    try:
        with private_files():
            yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def private_files() -> Iterator[None]:
    """Let files be readable by their owner alone, as those of a run on hardware are."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
