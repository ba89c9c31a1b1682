"""PennyLane default.qubit and (with noise) default.mixed: backpropagation with broadcasting."""

from __future__ import annotations

from typing import Any

import pennylane as qml

from benchmarks.peers.interface import Runner
from benchmarks.task import Noise, Task

__all__ = ["prepare"]


def prepare(task: Task, precision: str, *, interface: str) -> Runner:
    """`interface`: `torch`, or `jax` (jit, vmap over samples)."""
    n = task.n_qubits
    device = qml.device("default.qubit" if task.noise is None else "default.mixed", wires=n)

    @qml.qnode(device, interface=interface, diff_method="backprop")
    def circuit(x: Any, w: Any) -> Any:
        for block in range(task.n_blocks):
            for i in range(n):
                for angles, first in ((x, 3 * i), (w, 3 * (block * n + i))):
                    qml.Rot(*(angles[..., first + c] for c in range(3)), wires=i)
                    _add_noise(task.noise, i)
            for pair in task.ring:
                qml.CZ(pair)
                if task.noise is not None and task.noise.after_cz:
                    for i in pair:
                        _add_noise(task.noise, i)
        return [qml.expval(qml.Z(i)) for i in range(n)]

    if interface == "torch":
        import torch

        from benchmarks.peers import with_torch

        def batched(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return torch.stack(circuit(x, w if len(w) > 1 else w[0]), dim=1)

        return with_torch.make_runner(batched, with_torch.real_dtype(precision))
    import jax.numpy as jnp

    from benchmarks.peers import with_jax

    with_jax.set_precision(precision)
    return with_jax.make_runner(lambda x, w: jnp.stack(circuit(x, w)))


def _add_noise(noise: Noise | None, wire: int) -> None:
    if noise is None:
        return
    gates = {
        "bit_flip": qml.BitFlip,
        "depolarizing": qml.DepolarizingChannel,
        "amplitude_damping": qml.AmplitudeDamping,
    }
    for kind, strength in noise.channels:
        gates[kind](strength, wires=wire)
