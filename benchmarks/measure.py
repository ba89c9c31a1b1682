"""Time one peer against ours, in turns, and say in one record what came out."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers import OURS, Peer
from benchmarks.processes import RowError, WorkerProcess
from benchmarks.task import Noise, Task

__all__ = ["Contender", "Settings", "measure_row", "start_ours"]


@dataclass(frozen=True)
class Settings:
    """How long and how often; the same for all rows."""

    limit_s: float
    memory_mb: float
    rounds: int = 5
    burst_s: float = 0.4
    threads: int = 2
    batches: tuple[int, ...] | None = None
    first_batch_only: bool = False

    def batches_of(self, peer: Peer) -> list[int]:
        """What to try; a peer whose own list is short for good reason keeps it."""
        own = peer.batches if self.batches is None or peer.batches[0] < 8 else self.batches
        return list(own[:1] if self.first_batch_only else own)


@dataclass
class Contender:
    """A worker that is prepared, and what its first calls took."""

    worker: WorkerProcess
    task: Task
    modes: list[str]
    compile_s: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    def warm_up(self, mode: str, limit_s: float) -> None:
        """The first call, which compiles where there is something to compile."""
        self.compile_s[mode] = self.worker.ask({"do": "warm", "mode": mode}, limit_s=limit_s)["seconds"]

    def burst(self, mode: str, seconds: float, limit_s: float) -> list[float]:
        """Seconds of each call in one burst."""
        reply = self.worker.ask({"do": "time", "mode": mode, "at_least_s": seconds}, limit_s=limit_s)
        self.peak_mb = reply["peak_mb"]
        times: list[float] = reply["times"]
        return times


def _start(peer: Peer, task: Task, settings: Settings, *, limit_s: float) -> Contender:
    """Start a worker and prepare it."""
    worker = WorkerProcess(peer, task, threads=settings.threads, memory_mb=settings.memory_mb)
    try:
        return Contender(worker, task, worker.ask({"do": "prepare"}, limit_s=limit_s)["modes"])
    except BaseException:
        worker.close()
        raise


def start_ours(n_qubits: int, n_blocks: int, noise: Noise | None, settings: Settings) -> Contender:
    """Ours at its fastest batch for forward + full Jacobian, ready to be timed in turns with the others."""
    best: tuple[float, Contender] | None = None
    for batch in settings.batches_of(OURS):
        task = Task(n_qubits, n_blocks, batch, noise)
        contender = _start(OURS, task, settings, limit_s=settings.limit_s)
        for mode in contender.modes:
            contender.warm_up(mode, settings.limit_s)
        times = contender.burst("jacobian", settings.burst_s, settings.limit_s)
        rate = batch / statistics.median(times)
        slower = contender
        if best is None or rate > best[0]:
            best, slower = (rate, contender), best[1] if best else None
        if slower is not None:
            slower.worker.close()
    assert best is not None
    return best[1]


def _measure(
    peer: Peer, task: Task, ours: Contender | None, settings: Settings, *, jacobian: bool
) -> dict[str, Any]:
    """One peer at one batch: rates are samples a second, medians over calls of all rounds.

    The time limit holds for warming up and timing one mode. The Jacobian is left out where n backward passes
    would not fit in it, and where it fails.
    """
    limit_s = settings.limit_s * peer.patience
    contender = _start(peer, task, settings, limit_s=limit_s)
    with contender.worker:
        record: dict[str, Any] = {"batch": task.batch, "compile_s": contender.compile_s}
        record["backward"] = _time(peer, contender, "backward", ours, settings, limit_s)
        record["peak_mb"] = contender.peak_mb
        if peer.single_call:  # its one mode of work is the Jacobian; the contraction after it costs nothing
            record["jacobian"] = dict(record["backward"])
            return record
        record["digest"] = contender.worker.ask({"do": "digest"}, limit_s=limit_s)
        expected_s = task.n_qubits * task.batch / record["backward"]["rate"]
        if jacobian and "jacobian" in contender.modes and expected_s < limit_s:
            try:
                record["jacobian"] = _time(peer, contender, "jacobian", ours, settings, limit_s)
            except RowError as failure:
                record["jacobian_note"] = str(failure)
    return record


def _time(
    peer: Peer, contender: Contender, mode: str, ours: Contender | None, settings: Settings, limit_s: float
) -> dict[str, Any]:
    """Warm up, then bursts in turns with ours."""
    end = time.monotonic() + limit_s
    if not peer.single_call:
        contender.warm_up(mode, limit_s)
    theirs: list[float] = []
    own: dict[str, list[float]] = {"backward": [], "jacobian": []}
    for _ in range(1 if peer.single_call else settings.rounds):
        if ours is not None:
            for own_mode, times in own.items():
                times += ours.burst(own_mode, settings.burst_s / 2, settings.limit_s)
        theirs += contender.burst(mode, 0.0 if peer.single_call else settings.burst_s, limit_s)
        if time.monotonic() + 2 * max(theirs) > end:
            break
    found: dict[str, Any] = {"rate": contender.task.batch / statistics.median(theirs), "calls": len(theirs)}
    if ours is not None:
        for own_mode, times in own.items():
            found[f"ours_{own_mode}"] = ours.task.batch / statistics.median(times)
    return found


def measure_row(
    peer: Peer, n_qubits: int, n_blocks: int, noise: Noise | None, ours: Contender | None, settings: Settings
) -> dict[str, Any]:
    """The best over batches of one peer, or the reason why there is none; the Jacobian at the first batch."""
    tried: list[dict[str, Any]] = []
    notes: list[str] = []
    batches = settings.batches_of(peer)
    smaller = list(peer.smaller)
    while batches:
        batch = batches.pop(0)
        try:
            task = Task(n_qubits, n_blocks, batch, noise)
            tried.append(_measure(peer, task, ours, settings, jacobian=not tried))
        except RowError as failure:
            notes.append(f"batch {batch}: {failure}")
            if failure.kind == "unavailable":
                notes = [str(failure)]
                break
            if tried:
                break
            batches = [smaller.pop(0)] if smaller else []
            continue
        if batch / tried[-1]["backward"]["rate"] > settings.limit_s / 20:
            break  # one call takes seconds already: a larger batch gains nothing
        if smaller != list(peer.smaller):
            break
    best = max(tried, key=lambda record: record["backward"]["rate"], default=None)
    if best is not None and "jacobian" in tried[0]:
        best["jacobian"] = tried[0]["jacobian"] | {"batch": tried[0]["batch"]}
    return {
        "peer": peer.name,
        "variant": f"{n_blocks}b-{n_qubits}q",
        "noise": noise is not None,
        "best": best,
        "tried": [{k: v for k, v in record.items() if k != "digest"} for record in tried],
        "notes": notes,
    }
