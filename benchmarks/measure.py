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


@dataclass
class Contender:
    """A worker that is prepared and warmed up, with what that took."""

    worker: WorkerProcess
    task: Task
    modes: list[str]
    compile_s: dict[str, float] = field(default_factory=dict)
    call_s: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    def burst(self, mode: str, seconds: float, limit_s: float) -> list[float]:
        """Seconds of each call in one burst."""
        reply = self.worker.ask({"do": "time", "mode": mode, "at_least_s": seconds}, limit_s=limit_s)
        self.peak_mb = reply["peak_mb"]
        times: list[float] = reply["times"]
        return times


def _start(peer: Peer, task: Task, settings: Settings, *, limit_s: float, jacobian: bool = True) -> Contender:
    """Start, prepare and warm up a worker; the time limit holds for all of it together.

    The Jacobian is left out where n backward passes would not fit in the time limit.
    """
    end = time.monotonic() + limit_s
    worker = WorkerProcess(peer, task, threads=settings.threads, memory_mb=settings.memory_mb)
    try:
        ready = worker.ask({"do": "prepare"}, limit_s=limit_s)
        contender = Contender(worker, task, ready["modes"] if jacobian else ["backward"])
        for mode in [] if peer.single_call else list(contender.modes):
            if mode == "jacobian" and task.n_qubits * contender.call_s["backward"] > end - time.monotonic():
                contender.modes = ["backward"]
                break
            try:
                contender.compile_s[mode] = worker.ask(
                    {"do": "warm", "mode": mode}, limit_s=max(1.0, end - time.monotonic())
                )["seconds"]
            except RowError:
                if mode == "backward":
                    raise
                # The Jacobian did not fit in time or memory: the backward pass alone, in a fresh process.
                worker.close()
                worker = WorkerProcess(peer, task, threads=settings.threads, memory_mb=settings.memory_mb)
                worker.ask({"do": "prepare"}, limit_s=limit_s)
                worker.ask({"do": "warm", "mode": "backward"}, limit_s=limit_s)
                contender.worker, contender.modes = worker, ["backward"]
                break
            contender.call_s[mode] = contender.burst(mode, 0.0, limit_s)[0]
    except BaseException:
        worker.close()
        raise
    return contender


def start_ours(n_qubits: int, n_blocks: int, noise: Noise | None, settings: Settings) -> Contender:
    """Ours at its fastest batch for forward + full Jacobian, ready to be timed in turns with the others."""
    best: tuple[float, Contender] | None = None
    for batch in settings.batches or OURS.batches:
        contender = _start(OURS, Task(n_qubits, n_blocks, batch, noise), settings, limit_s=settings.limit_s)
        for mode in contender.modes:
            times = contender.burst(mode, settings.burst_s, settings.limit_s)
            contender.call_s[mode] = statistics.median(times)
        rate = batch / contender.call_s["jacobian"]
        if best is None or rate > best[0]:
            if best is not None:
                best[1].worker.close()
            best = (rate, contender)
        else:
            contender.worker.close()
    assert best is not None
    return best[1]


def _measure(
    peer: Peer, task: Task, ours: Contender | None, settings: Settings, *, jacobian: bool
) -> dict[str, Any]:
    """One peer at one batch: rates are samples a second, medians over calls of all rounds."""
    limit_s = settings.limit_s * peer.patience
    contender = _start(peer, task, settings, limit_s=limit_s, jacobian=jacobian)
    record: dict[str, Any] = {"batch": task.batch, "compile_s": contender.compile_s}
    with contender.worker:
        for mode in contender.modes:
            theirs: list[float] = []
            own: dict[str, list[float]] = {"backward": [], "jacobian": []}
            end = time.monotonic() + limit_s
            for _ in range(1 if peer.single_call else settings.rounds):
                if ours is not None:
                    for own_mode, times in own.items():
                        times += ours.burst(own_mode, settings.burst_s / 2, settings.limit_s)
                theirs += contender.burst(mode, 0.0 if peer.single_call else settings.burst_s, limit_s)
                if time.monotonic() + 2 * max(theirs) > end:
                    break
            record[mode] = {"rate": task.batch / statistics.median(theirs), "calls": len(theirs)}
            if ours is not None:
                for own_mode, times in own.items():
                    record[mode][f"ours_{own_mode}"] = ours.task.batch / statistics.median(times)
            if (
                peer.single_call
            ):  # its one mode of work is the Jacobian; the contraction after it costs nothing
                record["jacobian"] = dict(record[mode])
                break
        record["peak_mb"] = contender.peak_mb
        if not peer.single_call:
            record["digest"] = contender.worker.ask({"do": "digest"}, limit_s=limit_s)
    return record


def measure_row(
    peer: Peer, n_qubits: int, n_blocks: int, noise: Noise | None, ours: Contender | None, settings: Settings
) -> dict[str, Any]:
    """The best over batches of one peer, or the reason why there is none; the Jacobian at the first batch."""
    tried: list[dict[str, Any]] = []
    notes: list[str] = []
    batches = list(settings.batches or peer.batches) if len(peer.batches) > 1 else list(peer.batches)
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
