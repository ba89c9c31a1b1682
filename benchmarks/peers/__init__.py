"""The table of peers. A peer's library is imported only in its own worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.interface import Runner
from benchmarks.task import Task

__all__ = ["AER_CONES", "AER_REGISTER", "OURS", "OURS_DOUBLE", "OURS_LAYER", "PEERS", "Peer", "prepare"]


@dataclass(frozen=True)
class Peer:
    """One row of the benchmark.

    Attributes:
        name: As printed.
        module: In this folder.
        precision: `single` or `double`.
        options: What else the module's `prepare` takes.
        noisy: Which tasks it takes: with noise, without, or (None) both.
        batches: Tried in order, the best of smaller circuits first; the best counts.
        wide_batches: The same at 18 qubits and more.
        deep_batches: The same with more than two blocks, if other.
        smaller: Tried in order where no one of these works, until one does.
        single_call: So slow that one call is timed, without a warm-up.
        metered: Its `prepare` takes `budget_s`, after which a call is cut short and the rest extrapolated.
        environment: The virtual environment that has its library; `main` is the one that runs the benchmark.
        patience: Multiplies the time limit, where compiling alone is known to take minutes.
        variants: The only circuits it is tried on without `--all`; what others lack is time or memory.
        extra: Known to be slower than another row of the same library: measured with `--all` only.
        checkout: The folder of another state of this project, measured instead of a library.
    """

    name: str
    module: str
    precision: str = "double"
    options: dict[str, Any] = field(default_factory=dict)
    noisy: bool | None = False
    batches: tuple[int, ...] = (64, 512)
    wide_batches: tuple[int, ...] = (8, 64)
    deep_batches: tuple[int, ...] | None = None
    smaller: tuple[int, ...] = (8, 1)
    single_call: bool = False
    metered: bool = False
    environment: str = "main"
    patience: float = 1.0
    variants: tuple[str, ...] | None = None
    extra: bool = False
    checkout: Path | None = None

    def batches_of(self, task: Task) -> tuple[int, ...]:
        """What to try on a circuit."""
        if self.deep_batches is not None and task.n_blocks > 2:
            return self.deep_batches
        return self.batches if task.n_qubits < 18 else self.wide_batches


OURS = Peer("sqdr-qiskit", "ours", "single", noisy=None, batches=(64, 256, 512), wide_batches=(64, 256, 512))
OURS_DOUBLE = Peer("sqdr-qiskit double", "ours", noisy=None)
OURS_LAYER = Peer("sqdr-qiskit, as a torch layer", "ours", "single", {"as_layer": True}, noisy=None)
AER_CONES = Peer(
    "sqdr-qiskit aer_noisy", "ours", options={"noisy_backend": "aer_noisy"}, noisy=True, batches=(64,)
)
AER_REGISTER = Peer("Aer, whole register", "aer_register", noisy=True, batches=(4,), smaller=())

_TC = "tensorcircuit_jax"
_BACKPROP = "pennylane_backprop"
PEERS = (
    Peer(
        "PennyLane lightning.qubit adjoint c128",
        "pennylane_lightning",
        batches=(16,),
        wide_batches=(4,),
        smaller=(1,),
        extra=True,
    ),
    Peer(
        "PennyLane lightning.qubit adjoint c64",
        "pennylane_lightning",
        "single",
        batches=(16,),
        wide_batches=(4,),
        smaller=(1,),
    ),
    Peer(
        "PennyLane default.qubit backprop torch c128",
        _BACKPROP,
        options={"interface": "torch"},
        batches=(64,),
        wide_batches=(4,),
        smaller=(1,),
    ),
    Peer("PennyLane default.qubit backprop jax c64", _BACKPROP, "single", {"interface": "jax"}),
    Peer(
        "TensorCircuit-NG statevector c64",
        _TC,
        "single",
        {"form": "statevector"},
        batches=(64, 256, 512),
    ),
    Peer("TensorCircuit-NG statevector c128", _TC, "double", {"form": "statevector"}, extra=True),
    Peer(
        "TensorCircuit-NG light cone c64",
        _TC,
        "single",
        {"form": "lightcone"},
        wide_batches=(64, 512),
        patience=2.0,
        variants=("2b-9q", "4b-9q", "2b-18q"),
    ),
    Peer(
        "TensorCircuit-NG light cone c128",
        _TC,
        "double",
        {"form": "lightcone"},
        wide_batches=(64, 512),
        patience=2.0,
        variants=("2b-9q", "4b-9q", "2b-18q"),
        extra=True,
    ),
    Peer("qujax c64", "qujax_jax", "single", batches=(64, 256, 512)),
    Peer("qujax c128", "qujax_jax", "double", extra=True),
    Peer("TorchQuantum c64", "torchquantum_torch", "single", environment="torchquantum"),
    Peer("DeepQuantum c64", "deepquantum_torch", "single"),
    Peer(
        "EstimatorQNN stock",
        "stock_qnn",
        batches=(1,),
        wide_batches=(1,),
        smaller=(),
        single_call=True,
        metered=True,
    ),
    Peer(
        "TensorCircuit-NG channel network c64",
        _TC,
        "single",
        {"form": "network"},
        noisy=True,
        wide_batches=(64, 512),
        deep_batches=(4, 1),
        smaller=(1,),
        patience=8.0,
        variants=("2b-9q", "2b-18q", "4b-9q"),
    ),
    Peer(
        "TensorCircuit-NG density matrix c64",
        _TC,
        "single",
        {"form": "density_matrix"},
        noisy=True,
        batches=(64,),
        smaller=(8, 1),
        patience=3.0,
        variants=("2b-9q",),
    ),
    Peer(
        "PennyLane default.mixed backprop",
        _BACKPROP,
        options={"interface": "torch"},
        noisy=True,
        batches=(1,),
        smaller=(),
        single_call=True,
        patience=5.0,
        variants=("2b-9q",),
    ),
    Peer(
        "EstimatorQNN stock on noisy Aer",
        "stock_qnn",
        noisy=True,
        batches=(1,),
        smaller=(),
        single_call=True,
        metered=True,
        patience=8.0,
        variants=("2b-9q",),
    ),
)


def prepare(peer: Peer, task: Task, *, budget_s: float = float("inf")) -> Runner:
    """Import the peer's library and build its circuit."""
    module = import_module(f"benchmarks.peers.{peer.module}")
    options = peer.options | ({"budget_s": budget_s} if peer.metered else {})
    runner: Runner = module.prepare(task, peer.precision, **options)
    return runner
