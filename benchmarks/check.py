"""All peers compute the same numbers: values, both gradients, full Jacobians, against the dense reference.

Run `python -m benchmarks.check`. Small circuits, because the reference is slow; exit code 1 if one is off.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.peers import AER_CONES, AER_REGISTER, OURS, OURS_DOUBLE, OURS_LAYER, PEERS, Peer
from benchmarks.processes import RowError, WorkerProcess, memory_limit_mb
from benchmarks.task import Noise, Task

__all__ = ["main"]

TOLERANCE = {"double": 1e-10, "single": 1e-4}
SIZES = ((5, 2), (4, 3))  # (qubits, blocks): cones smaller than the ring, and as large as it


def check(peer: Peer, task: Task, *, limit_s: float) -> float:
    """Largest absolute difference of any number the peer returns from the reference."""
    with WorkerProcess(peer, task, threads=2, memory_mb=memory_limit_mb()) as worker:
        worker.ask({"do": "prepare"}, limit_s=limit_s)
        return float(worker.ask({"do": "check"}, limit_s=limit_s)["deviation"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="only peers whose name contains one of these")
    parser.add_argument("--limit-s", type=float, default=180, help="time limit of one peer and circuit")
    arguments = parser.parse_args()
    off = 0
    for peer in (OURS, OURS_DOUBLE, OURS_LAYER, AER_CONES, AER_REGISTER, *PEERS):
        if not any(word.strip() in peer.name.lower() for word in arguments.rows.lower().split(",")):
            continue
        for noise in (None, Noise()):
            if peer.noisy not in (None, noise is not None):
                continue
            for n_qubits, n_blocks in SIZES[:1] if peer.single_call else SIZES:
                label = f"{peer.name}, {n_blocks}b-{n_qubits}q{' noisy' if noise else ''}"
                task = Task(n_qubits, n_blocks, 1 if peer.single_call else 3, noise)
                try:
                    found = check(peer, task, limit_s=arguments.limit_s)
                except RowError as failure:
                    print(f"--  {label}: {failure}", flush=True)
                    continue
                good = found <= TOLERANCE[peer.precision]
                off += not good
                print(f"{'ok ' if good else 'OFF'} {label}: largest deviation {found:.1e}", flush=True)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
