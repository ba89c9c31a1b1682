"""The table of peers. A peer's library is imported only in its own worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from benchmarks.peers.interface import Runner
from benchmarks.task import Task

__all__ = ["OURS", "PEERS", "Peer", "prepare"]


@dataclass(frozen=True)
class Peer:
    """One row of the benchmark.

    Attributes:
        name: As printed.
        module: In this folder.
        precision: `single` or `double`.
        options: What else the module's `prepare` takes.
        noisy: Which tasks it takes: with noise, without, or (None) both.
        batches: Tried in order; the best counts.
        smaller: Tried in order where the first of `batches` fails, until one works.
        single_call: So slow that one call is timed, without a warm-up.
        environment: The virtual environment that has its library; `main` is the one that runs the benchmark.
        patience: Multiplies the time limit, where compiling alone is known to take minutes.
    """

    name: str
    module: str
    precision: str = "double"
    options: dict[str, Any] = field(default_factory=dict)
    noisy: bool | None = False
    batches: tuple[int, ...] = (64, 256, 512)
    smaller: tuple[int, ...] = (8, 1)
    single_call: bool = False
    environment: str = "main"
    patience: float = 1.0


OURS = Peer("sqdr-qiskit exact", "ours", noisy=None, batches=(64, 256, 512))

_TC = "tensorcircuit_jax"
_TC_NOISY: dict[str, Any] = {
    "module": _TC,
    "noisy": True,
    "batches": (64, 8),
    "smaller": (1,),
    "patience": 3.0,
}
PEERS = (
    Peer("PennyLane lightning.qubit adjoint c128", "pennylane_lightning", batches=(64,)),
    Peer("PennyLane lightning.qubit adjoint c64", "pennylane_lightning", "single", batches=(64,)),
    Peer("PennyLane default.qubit backprop torch", "pennylane_backprop", options={"interface": "torch"}),
    Peer("PennyLane default.qubit backprop jax c64", "pennylane_backprop", "single", {"interface": "jax"}),
    Peer("TensorCircuit-NG statevector c64", _TC, "single", {"form": "statevector"}),
    Peer("TensorCircuit-NG statevector c128", _TC, "double", {"form": "statevector"}),
    Peer("TensorCircuit-NG light cone c64", _TC, "single", {"form": "lightcone"}),
    Peer("TensorCircuit-NG light cone c128", _TC, "double", {"form": "lightcone"}),
    Peer("qujax c64", "qujax_jax", "single"),
    Peer("qujax c128", "qujax_jax", "double"),
    Peer("TorchQuantum c64", "torchquantum_torch", "single", environment="torchquantum"),
    Peer("DeepQuantum c64", "deepquantum_torch", "single"),
    Peer("EstimatorQNN stock", "stock_qnn", batches=(1,), smaller=(), single_call=True),
    Peer(
        "TensorCircuit-NG channel network c64", precision="single", options={"form": "network"}, **_TC_NOISY
    ),
    Peer(
        "TensorCircuit-NG density matrix c64",
        precision="single",
        options={"form": "density_matrix"},
        **_TC_NOISY,
    ),
    Peer(
        "PennyLane default.mixed backprop",
        "pennylane_backprop",
        options={"interface": "torch"},
        noisy=True,
        batches=(1, 4),
        smaller=(),
        patience=4.0,
    ),
    Peer(
        "EstimatorQNN stock on noisy Aer",
        "stock_qnn",
        noisy=True,
        batches=(1,),
        smaller=(),
        single_call=True,
        patience=8.0,
    ),
)


def prepare(peer: Peer, task: Task) -> Runner:
    """Import the peer's library and build its circuit."""
    module = import_module(f"benchmarks.peers.{peer.module}")
    return module.prepare(task, peer.precision, **peer.options)
