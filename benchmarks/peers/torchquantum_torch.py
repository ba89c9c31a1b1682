"""TorchQuantum: batched statevector in torch, complex64 (the only precision it has).

It needs Qiskit before 1.0, so it lives in an environment of its own; README.md here says how to make one.
"""

from __future__ import annotations

import torch
import torchquantum as tq
import torchquantum.functional as tqf

from benchmarks.peers import with_torch
from benchmarks.peers.interface import NotSupportedError, Runner
from benchmarks.task import Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str) -> Runner:
    if precision == "double":
        raise NotSupportedError("TorchQuantum computes in complex64 only")
    n = task.n_qubits
    measure = tq.MeasureAll(tq.PauliZ)

    def batched(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        device = tq.QuantumDevice(n_wires=n, bsz=len(x), device="cpu")
        for block in range(task.n_blocks):
            for i in range(n):
                first = 3 * (block * n + i)
                tqf.rot(device, wires=i, params=x[:, 3 * i : 3 * i + 3])
                tqf.rot(device, wires=i, params=w[:, first : first + 3])
            for pair in task.ring:
                tqf.cz(device, wires=list(pair))
        return measure(device)

    return with_torch.make_runner(batched, torch.float32)
