"""One peer, one task, in a process of its own: `run.py` and `check.py` talk to it in JSON lines.

Requests: {"do": "prepare", "budget_s": B}, {"do": "warm", "mode": M, "batch": N},
{"do": "time", "mode": M, "batch": N, "at_least_s": T, "lead": bool}, {"do": "digest", "mode": M},
{"do": "noise", "batch": N, "pairs": P, "at_least_s": T}, {"do": "check"}. Every answer is one line with "ok";
a failure has "error" and its kind.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import reference
from benchmarks.peers import AER_CONES, AER_REGISTER, OURS, OURS_DOUBLE, OURS_LAYER, PEERS, Peer, prepare
from benchmarks.peers.interface import NotSupportedError, Runner
from benchmarks.task import Noise, Task, draw_inputs

__all__ = ["main"]

_MODES = ("backward", "jacobian", "forward")


class Worker:
    """The prepared peer with its inputs; a batch is the first samples of the task's."""

    def __init__(self, peer: Peer, task: Task) -> None:
        self.peer = peer
        self.task = task
        self.inputs = draw_inputs(task)
        self.runner: Runner | None = None
        self.last: dict[str, tuple[Any, ...]] = {}

    def call(self, mode: str, batch: int | None = None, *, runner: Runner | None = None) -> tuple[Any, ...]:
        chosen = self.runner if runner is None else runner
        assert chosen is not None
        x, w, cotangent = self.inputs[0][:batch], self.inputs[1], self.inputs[2][:batch]
        if mode == "forward":
            assert chosen.forward is not None
            return (chosen.forward(x, w),)
        if mode == "backward":
            assert chosen.backward is not None
            return chosen.backward(x, w, cotangent)
        assert chosen.jacobian is not None
        return chosen.jacobian(x, w)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        match request["do"]:
            case "prepare":
                self.runner = prepare(self.peer, self.task, budget_s=request.get("budget_s", float("inf")))
                modes = [mode for mode in _MODES if getattr(self.runner, mode) is not None]
                return {"modes": modes, "seconds": time.perf_counter() - start}
            case "warm":
                self.last[request["mode"]] = self.call(request["mode"], request["batch"])
                return {"seconds": time.perf_counter() - start}
            case "time":
                return self.time(request)
            case "digest":
                # The first sample's values and input gradient do not depend on the batch: rows must agree.
                mode = request["mode"]
                found = self.last[mode] if mode in self.last else self.call(mode)
                digest = {"values": np.asarray(found[0])[0].tolist()}
                if mode == "backward":
                    digest["d_x"] = np.asarray(found[1])[0].tolist()
                return digest
            case "check":
                return {"deviation": self.deviation()}
            case "noise":
                return self.price_of_noise(request["batch"], request["pairs"], request["at_least_s"])
        raise ValueError(request["do"])

    def time(self, request: dict[str, Any]) -> dict[str, Any]:
        """Seconds of each call, for at least so long; with `lead`, after one call that does not count."""
        mode, batch = request["mode"], request["batch"]
        assert self.runner is not None
        if request["lead"]:
            self.call(mode, batch)
        times: list[float] = []
        reply: dict[str, Any] = {"times": times}
        while not times or sum(times) < request["at_least_s"]:
            start = time.perf_counter()
            self.last[mode] = self.call(mode, batch)
            times.append(time.perf_counter() - start)
        meter = self.runner.meter
        if meter is not None and meter.done < meter.total:
            times[-1] += meter.missing_s
            reply["extrapolated"] = [meter.done, meter.total]
        reply["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return reply

    def price_of_noise(self, batch: int, pairs: int, at_least_s: float) -> dict[str, Any]:
        """Clock and processor seconds of each call without noise and with it, call by call in turns."""
        quiet = prepare(self.peer, replace(self.task, noise=None))
        found: dict[str, Any] = {}
        for mode in ("backward", "jacobian"):
            times: list[list[tuple[float, float]]] = [[], []]
            begin, turn = time.perf_counter(), 0
            while turn < pairs + 2 or time.perf_counter() - begin < at_least_s:
                for runner, calls in zip((quiet, self.runner), times, strict=True):
                    start = time.perf_counter(), time.process_time()
                    self.call(mode, batch, runner=runner)
                    if turn >= 2:  # the first two compile and make room
                        calls.append((time.perf_counter() - start[0], time.process_time() - start[1]))
                turn += 1
            found[mode] = {"exact_s": times[0], "exact_noisy_s": times[1]}
        return found

    def deviation(self) -> float:
        """Largest absolute difference of any number the peer returns from the dense reference."""
        x, w, cotangent = self.inputs
        assert self.runner is not None
        values = reference.values(self.task, x, w)
        expected, found = [], []
        if self.runner.forward is not None:
            expected.append(values)
            found += self.call("forward")
        if self.runner.backward is not None:
            d_x, d_w = reference.jacobian(self.task, x, w)
            expected += [values, np.einsum("bn,bnp->bp", cotangent, d_x)]
            expected.append(np.einsum("bn,bnp->p", cotangent, d_w))
            found += self.call("backward")
            if self.runner.jacobian is not None:
                expected += [values, d_x, d_w]
                found += self.call("jacobian")
        return max(float(np.abs(np.asarray(a) - b).max()) for a, b in zip(found, expected, strict=True))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # libraries may print: their words go to stderr
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    setting = json.loads(sys.argv[1])
    known = (OURS, OURS_DOUBLE, OURS_LAYER, AER_CONES, AER_REGISTER, *PEERS)
    peer = next(peer for peer in known if peer.name == setting["peer"])
    noise = None
    if setting["noise"] is not None:
        channels, after_cz, source = setting["noise"]
        noise = Noise(tuple((kind, strength) for kind, strength in channels), after_cz, source)
    worker = Worker(peer, Task(setting["n_qubits"], setting["n_blocks"], setting["batch"], noise))
    for line in sys.stdin:
        try:
            reply = {"ok": True, **worker.answer(json.loads(line))}
        except (ImportError, NotSupportedError) as error:
            reply = {"ok": False, "kind": "unavailable", "error": str(error)}
        except MemoryError:
            reply = {"ok": False, "kind": "memory", "error": "out of memory"}
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            full = any(
                sign in words for sign in ("RESOURCE_EXHAUSTED", "Out of memory", "can't allocate memory")
            )
            reply = {"ok": False, "kind": "memory" if full else "crash", "error": words}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
