"""Time one peer against ours, in turns, and say in one record what came out."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.contender import Contender, Settings, start
from benchmarks.peers import Peer
from benchmarks.processes import RowError
from benchmarks.task import Noise, Task

__all__ = ["empty_row", "measure_noise", "measure_row"]

_WORTH = 0.1  # a call that takes this share of the limit gains nothing from a larger batch


def measure_row(
    peer: Peer,
    n_qubits: int,
    n_blocks: int,
    noise: Noise | None,
    ours: Contender,
    settings: Settings,
    *,
    mode: str = "backward",
) -> dict[str, Any]:
    """One peer at its best batch, in turns with ours at that batch and at its own best, or why not."""
    limit_s = settings.limit_s * peer.patience
    end = time.monotonic() + 2 * limit_s
    row = empty_row(peer, n_qubits, n_blocks, noise) | {"mode": mode}
    contender = _find_batch(peer, Task(n_qubits, n_blocks, 1, noise), settings, limit_s, end, mode, row)
    if contender is None:
        return row
    with contender:
        batch = contender.batch
        record: dict[str, Any] = {"batch": batch, "compile_s": contender.compile_s}
        try:
            record[mode] = _in_turns(peer, contender, mode, ours, settings, limit_s)
            record |= {"peak_mb": contender.peak_mb, "extrapolated": contender.extrapolated}
            if contender.extrapolated is None:
                record["digest"] = contender.digest(mode, limit_s)
            row["best"] = record
            if peer.metered:  # all its work is the Jacobian; the contraction after it costs nothing
                record["jacobian"] = dict(record[mode])
            elif _fits(contender, mode, peer, end):
                contender.warm_up("jacobian", batch, max(1.0, end - time.monotonic()))
                record["jacobian"] = _in_turns(peer, contender, "jacobian", ours, settings, limit_s)
        except RowError as failure:
            row["notes"].append(f"{'Jacobian' if mode in record else f'batch {batch}'}: {failure}")
    return row


def empty_row(peer: Peer, n_qubits: int, n_blocks: int, noise: Noise | None) -> dict[str, Any]:
    """A row that says nothing yet."""
    row: dict[str, Any] = {
        "peer": peer.name,
        "variant": f"{n_blocks}b-{n_qubits}q",
        "noise": noise is not None,
    }
    return row | {"mode": "backward", "best": None, "tried": [], "notes": []}


def _fits(contender: Contender, mode: str, peer: Peer, end: float) -> bool:
    """Whether a Jacobian, n backward passes and a longer compilation, is likely done in time."""
    if "jacobian" not in contender.modes or mode != "backward" or peer.single_call:
        return False
    one_s = contender.call_s[mode, contender.batch]
    return 2.0 * contender.compile_s[mode] + 4 * contender.task.n_qubits * one_s < end - time.monotonic()


def _find_batch(
    peer: Peer, task: Task, settings: Settings, limit_s: float, end: float, mode: str, row: dict[str, Any]
) -> Contender | None:
    """Try the batches; the worker comes back alive with its fastest one, and `row` says what was tried."""
    queue = settings.batches_of(peer, task)
    largest = max(queue)
    tried: list[dict[str, Any]] = row["tried"]
    contender: Contender | None = None
    while queue and end - time.monotonic() > limit_s / 3:  # less is not worth a start
        batch = queue.pop(0)
        asked = time.monotonic()
        left_s = min(limit_s, end - asked)
        try:
            if contender is None:
                whole = Task(task.n_qubits, task.n_blocks, max(batch, largest), task.noise)
                contender = start(peer, whole, settings, limit_s=left_s)
            contender.batch = batch
            if peer.single_call:
                return contender
            contender.warm_up(mode, batch, left_s)
            contender.burst(mode, batch, settings.burst_s, left_s)
        except RowError as failure:
            if contender is not None:
                contender.close()
                contender = None
            if failure.kind == "unavailable":
                row["notes"].append(str(failure))
                return None
            row["notes"].append(f"batch {batch}: {failure}")
            if tried:  # the worker that knew the best batch is gone: start again with that
                queue, largest = [_best(tried)["batch"]], 0
                tried.clear()
            else:
                queue = [other for other in (*queue, *peer.smaller) if other < batch][:1]
                largest = 0
            continue
        rate = contender.rate(mode, batch)
        tried.append({"batch": batch, "rate": rate, "compile_s": dict(contender.compile_s)})
        slow = contender.call_s[mode, batch] > _WORTH * limit_s
        queue = [other for other in queue if not (slow and other > batch)]
        if row["notes"] or 2 * time.monotonic() - asked > end:
            break
    if contender is not None:
        contender.batch, contender.compile_s = _best(tried)["batch"], _best(tried)["compile_s"]
    return contender


def _best(tried: list[dict[str, Any]]) -> dict[str, Any]:
    return max(tried, key=lambda found: float(found["rate"]))


def _in_turns(
    peer: Peer, contender: Contender, mode: str, ours: Contender, settings: Settings, limit_s: float
) -> dict[str, Any]:
    """Bursts in turns with ours: rates are samples a second, medians over the calls of all rounds."""
    end = time.monotonic() + limit_s / 2
    batch = contender.batch
    own: dict[str, tuple[int, list[float]]] = {"best": (ours.batch, []), "same": (batch, [])}
    theirs: list[float] = []
    if batch > ours.task.batch:
        del own["same"]
    elif batch == ours.batch:
        own["same"] = own["best"]
    for _ in range(1 if peer.single_call else settings.rounds):
        for own_batch, times in {id(entry): entry for entry in own.values()}.values():
            times += ours.burst(mode, own_batch, settings.burst_s / 2, settings.limit_s)
        theirs += contender.burst(
            mode,
            batch,
            0.0 if peer.single_call else settings.burst_s,
            (3.0 if peer.metered else 1.5) * limit_s,
        )
        if time.monotonic() + 2 * max(theirs) > end:
            break
    found: dict[str, Any] = {"rate": batch / statistics.median(theirs), "calls": len(theirs)}
    for name, (own_batch, times) in own.items():
        found[f"ours_{name}"] = own_batch / statistics.median(times)
    return found | {"ours_best_batch": ours.batch}


def measure_noise(ours: Contender, settings: Settings) -> list[dict[str, Any]]:
    """What the noise costs: calls with and without it in turns, in one worker; batch 64 and the best."""
    rows = []
    for batch in dict.fromkeys((64, ours.batch)):
        request = {"do": "noise", "batch": batch, "pairs": 5 * settings.rounds}
        request["at_least_s"] = 4 * settings.burst_s
        reply = ours.worker.ask(request, limit_s=5 * settings.limit_s)
        row: dict[str, Any] = {"variant": f"{ours.task.n_blocks}b-{ours.task.n_qubits}q", "batch": batch}
        for mode in ("backward", "jacobian"):
            exact, noisy = reply[mode]["exact_s"], reply[mode]["exact_noisy_s"]
            pairs = list(zip(noisy, exact, strict=True))
            row[mode] = {
                "exact": batch / statistics.median(wall for wall, _ in exact),
                "exact_noisy": batch / statistics.median(wall for wall, _ in noisy),
                "ratio": statistics.median(slow[0] / fast[0] for slow, fast in pairs),
                "processor_ratio": statistics.median(slow[1] / fast[1] for slow, fast in pairs),
                "pairs": len(pairs),
            }
        rows.append(row)
    return rows
