"""IBM Runtime: accounts, jobs, their ledger and budget; here, what a watcher is told, and how to leave."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from sqdr_qiskit.errors import RunError

__all__ = ["Attention", "Detached", "Leaving", "nobody", "Waiting"]


class Detached(RunError):  # noqa: N818 (it is no mistake)
    """The user left while jobs were under way; they go on, and their ids are on disk."""

    exit_code: ClassVar[int] = 130


class Leaving(KeyboardInterrupt):
    """Ctrl-C while a run has jobs on a quantum computer: raised wherever the program is.

    Nothing has to be protected from it: the ledger is enough to go on from any point, as after a kill.
    """


@dataclass(frozen=True)
class Waiting:
    """Where a run's jobs stand, for whoever watches.

    Attributes:
        text: One line.
        state: `queued`, `running`, `outage`, `cost`, `sent`, `collected`, `warning`.
        job_id: The job that is waited for.
        position: Jobs before it in the queue, where the service says so.
        waited_s: Seconds since it was asked for.
        done: Requests of the group that are collected.
        total: Requests of the group.
    """

    text: str
    state: str
    job_id: str | None = None
    position: int | None = None
    waited_s: float = 0.0
    done: int = 0
    total: int = 0


def nobody(now: Waiting) -> None:
    """Watch, and say nothing."""


@dataclass
class Attention:
    """How often the user wanted to leave: once detaches, twice cancels, three times ends all.

    Attributes:
        grace_s: Seconds after the first wish in which a second one counts.
        asked: Wishes so far.
        leaving: Whether the first wish is being carried out.
    """

    grace_s: float = 3.0
    asked: int = 0
    leaving: bool = False

    def ask(self) -> None:
        """Note one more wish.

        Raises:
            Leaving: Unless it is the second one while the first is being carried out, which only counts.
        """
        self.asked += 1
        if not (self.leaving and self.asked == 2):
            raise Leaving

    def second_wish(self) -> bool:
        """Wait for the grace's length; whether the user wants the jobs cancelled."""
        self.leaving = True
        until = time.monotonic() + self.grace_s
        while self.asked < 2 and time.monotonic() < until:
            time.sleep(0.05)
        return self.asked >= 2
