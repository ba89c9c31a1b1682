"""One peer, one task, in a process of its own: `run.py` and `check.py` talk to it in JSON lines.

Requests: {"do": "prepare"}, {"do": "warm", "mode": M}, {"do": "time", "mode": M, "at_least_s": T},
{"do": "digest"}, {"do": "check"}. Every answer is one line with "ok"; a failure has "error" and its kind.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from typing import Any

import numpy as np

from benchmarks import reference
from benchmarks.peers import OURS, PEERS, Peer, prepare
from benchmarks.peers.interface import NotSupportedError, Runner
from benchmarks.task import Noise, Task, draw_inputs

__all__ = ["main"]


class Worker:
    """The prepared peer with its inputs."""

    def __init__(self, peer: Peer, task: Task) -> None:
        self.peer = peer
        self.task = task
        self.inputs = draw_inputs(task)
        self.runner: Runner | None = None

    def call(self, mode: str) -> tuple[Any, ...]:
        assert self.runner is not None
        x, w, cotangent = self.inputs
        if mode == "backward":
            return self.runner.backward(x, w, cotangent)
        assert self.runner.jacobian is not None
        return self.runner.jacobian(x, w)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        match request["do"]:
            case "prepare":
                self.runner = prepare(self.peer, self.task)
                modes = ["backward"] + ["jacobian"] * (self.runner.jacobian is not None)
                return {"modes": modes, "seconds": time.perf_counter() - start}
            case "warm":
                self.call(request["mode"])
                return {"seconds": time.perf_counter() - start}
            case "time":
                times: list[float] = []
                while not times or sum(times) < request["at_least_s"]:
                    start = time.perf_counter()
                    self.call(request["mode"])
                    times.append(time.perf_counter() - start)
                peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                return {"times": times, "peak_mb": peak_kib / 1024}
            case "digest":
                # The first sample's values and input gradient do not depend on the batch: rows must agree.
                values, d_x, _ = self.call("backward")
                return {"values": np.asarray(values)[0].tolist(), "d_x": np.asarray(d_x)[0].tolist()}
            case "check":
                return {"deviation": self.deviation()}
        raise ValueError(request["do"])

    def deviation(self) -> float:
        """Largest absolute difference of any number the peer returns from the dense reference."""
        x, w, cotangent = self.inputs
        values = reference.values(self.task, x, w)
        d_x, d_w = reference.jacobian(self.task, x, w)
        expected = [values, np.einsum("bn,bnp->bp", cotangent, d_x), np.einsum("bn,bnp->p", cotangent, d_w)]
        found = list(self.call("backward"))
        if self.runner is not None and self.runner.jacobian is not None:
            expected += [values, d_x, d_w]
            found += self.call("jacobian")
        return max(float(np.abs(np.asarray(a) - b).max()) for a, b in zip(found, expected, strict=True))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # libraries may print: their words go to stderr
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    setting = json.loads(sys.argv[1])
    peer = next(peer for peer in (OURS, *PEERS) if peer.name == setting["peer"])
    noise = None
    if setting["noise"] is not None:
        channels, after_cz = setting["noise"]
        noise = Noise(tuple((kind, strength) for kind, strength in channels), after_cz)
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
