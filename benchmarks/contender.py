"""A peer in its worker process, prepared and ready to be timed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers import Peer
from benchmarks.processes import WorkerProcess
from benchmarks.task import Noise, Task

__all__ = ["Contender", "Settings", "start", "start_ours"]

_SHORT_S = 0.1  # calls shorter than this are preceded by one that does not count, in every burst

_CUT = 0.5  # of the limit; a metered peer's calls are cut short after it, which leaves time to build circuits


@dataclass(frozen=True)
class Settings:
    """How long and how often; the same for all rows.

    Attributes:
        limit_s: Time limit of one request, times a peer's patience; a row ends after twice that.
        memory_mb: Memory limit of a worker.
        rounds: Turns of a final measurement.
        burst_s: Seconds of one turn, at least one call.
        threads: Of each library.
        batches: Instead of each peer's own.
        first_batch_only: Take the first batch that works.
    """

    limit_s: float
    memory_mb: float
    rounds: int = 5
    burst_s: float = 0.4
    threads: int = 2
    batches: tuple[int, ...] | None = None
    first_batch_only: bool = False

    def batches_of(self, peer: Peer, task: Task) -> list[int]:
        """What to try; a peer whose own batches are small for good reason keeps them."""
        own = peer.batches_of(task)
        chosen = own if self.batches is None or own[0] < 8 else self.batches
        return list(chosen[:1] if self.first_batch_only else chosen)


@dataclass
class Contender:
    """A worker that is prepared, and what its first calls took."""

    worker: WorkerProcess
    task: Task
    modes: list[str]
    batch: int
    compile_s: dict[str, float] = field(default_factory=dict)
    call_s: dict[tuple[str, int], float] = field(default_factory=dict)
    peak_mb: float = 0.0
    extrapolated: list[int] | None = None

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; safe to call twice."""
        self.worker.close()

    def warm_up(self, mode: str, batch: int, limit_s: float) -> None:
        """The first call, which compiles where there is something to compile."""
        request = {"do": "warm", "mode": mode, "batch": batch}
        self.compile_s[mode] = self.worker.ask(request, limit_s=limit_s)["seconds"]

    def burst(self, mode: str, batch: int, seconds: float, limit_s: float) -> list[float]:
        """Seconds of each call in one burst."""
        lead = self.call_s.get((mode, batch), 1.0) < _SHORT_S
        reply = self.worker.ask(
            {"do": "time", "mode": mode, "batch": batch, "at_least_s": seconds, "lead": lead}, limit_s=limit_s
        )
        self.peak_mb = reply["peak_mb"]
        self.extrapolated = reply.get("extrapolated")
        times: list[float] = reply["times"]
        self.call_s[mode, batch] = statistics.median(times)
        return times

    def rate(self, mode: str, batch: int) -> float:
        """Samples a second in the last burst."""
        return batch / self.call_s[mode, batch]

    def digest(self, mode: str, limit_s: float) -> dict[str, Any]:
        """The first sample's numbers."""
        reply = self.worker.ask({"do": "digest", "mode": mode}, limit_s=limit_s)
        return {key: reply[key] for key in ("values", "d_x") if key in reply}


def start(peer: Peer, task: Task, settings: Settings, *, limit_s: float) -> Contender:
    """Start a worker and prepare it for batches up to the task's.

    Raises:
        RowError: It cannot do the task, or not in time.
    """
    worker = WorkerProcess(peer, task, threads=settings.threads, memory_mb=settings.memory_mb)
    try:
        request = {"do": "prepare", "budget_s": _CUT * limit_s}
        return Contender(worker, task, worker.ask(request, limit_s=limit_s)["modes"], task.batch)
    except BaseException:
        worker.close()
        raise


def start_ours(
    peer: Peer, n_qubits: int, n_blocks: int, noise: Noise | None, settings: Settings, *, mode: str
) -> Contender:
    """Ours, with its fastest batch found, ready to be timed in turns with the others.

    Raises:
        RowError: It failed.
    """
    batches = settings.batches_of(peer, Task(n_qubits, n_blocks, 1, noise))
    ours = start(peer, Task(n_qubits, n_blocks, max(batches), noise), settings, limit_s=settings.limit_s)
    try:
        for batch in batches:
            ours.warm_up(mode, batch, settings.limit_s)
            ours.burst(mode, batch, settings.burst_s, settings.limit_s)
            ours.burst(mode, batch, settings.burst_s, settings.limit_s)
    except BaseException:
        ours.close()
        raise
    ours.batch = max(batches, key=lambda batch: ours.rate(mode, batch))
    return ours
