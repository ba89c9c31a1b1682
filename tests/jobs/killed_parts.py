"""Carries out a list of parts in children that kill themselves, each at another moment, and resumes it.

Run by test_parts.py in a process of its own, which must not have started any thread before it forks. The stub
service runs elsewhere; the environment says where.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqdr_qiskit.jobs.hardware import Hardware
from sqdr_qiskit.jobs.parts import carry_out_parts
from sqdr_qiskit.runtime import Waiting
from sqdr_qiskit.specs.job_file import read_job
from tests.runtime.killed_senders import forked, n_jobs  # imports before forking what takes long


class Killer:
    """Kills its process at a moment: the part, and what happens there (`begins`, or a `Waiting.state`)."""

    def __init__(self, at: list[str]) -> None:
        self._at = at
        self._part = ""

    def notice(self, text: str) -> None:
        """A part begins, or something is said."""
        if "done before" not in text:
            self._part = text.partition(":")[0]
            self._now("begins")

    def watch(self, now: Waiting) -> None:
        """Something happens to a job."""
        self._now(now.state)

    def _now(self, state: str) -> None:
        if [self._part, state] == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def opened(self, backend: str) -> Iterator[Hardware]:
        """The hardware side of a part."""
        with Hardware(self.watch) as hardware:
            yield hardware


def in_child(file: Path, folder: Path, at: list[str]) -> int:
    """Exit status of a child that begins or goes on."""

    def work() -> None:
        killer = Killer(at)
        resume = (folder / "parts.json").is_file()
        carry_out_parts(read_job(file), folder, killer.opened, resume=resume, notice=killer.notice)

    return forked(work)


def main(file: Path, folder: Path, moments: list[list[str]]) -> None:
    """Kill at one moment after the other, go on to the end, print the exit statuses and the jobs."""
    statuses = [in_child(file, folder, at) for at in [*moments, []]]
    print(json.dumps({"statuses": statuses, "jobs": n_jobs()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
