"""The circuits of Qiskit's tutorials: forward and backward beside the stock `EstimatorQNN`, same results.

Run `python -m benchmarks.tutorials` (`make bench` does). The stock class sends one circuit for each sample,
observable and shift, so its time is measured on few samples and multiplied: it is proportional to them. All
run in this process, on the same threads, turn and turn about; the table shows medians. Two of the circuits
also run in PennyLane and TensorCircuit-NG where these are installed (the environment of `make bench`). On a
machine that has other work, `--processor` takes the processor's time, all threads added up, for the clock's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import (
    efficient_su2,
    n_local,
    pauli_feature_map,
    qaoa_ansatz,
    real_amplitudes,
    z_feature_map,
    zz_feature_map,
)
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.circuit.library import qnn_circuit
from qiskit_machine_learning.neural_networks import EstimatorQNN

from sqdr_qiskit.model.quantum_layer import accelerate

__all__ = ["CIRCUITS", "main", "tutorial"]

Parts = tuple[QuantumCircuit, list[object], list[object], list[SparsePauliOp]]


def _joined(features: QuantumCircuit, ansatz: QuantumCircuit) -> Parts:
    n_qubits = features.num_qubits
    z = SparsePauliOp("Z" * n_qubits)
    return features.compose(ansatz), list(features.parameters), list(ansatz.parameters), [z]


def _locals(n_qubits: int) -> QuantumCircuit:
    return n_local(n_qubits, ["ry", "rz"], ["crx", "rzz"], entanglement="linear", reps=1)


def _qaoa(n_qubits: int) -> Parts:
    ring = [("ZZ", [q, (q + 1) % n_qubits], 1.0) for q in range(n_qubits)]
    cost = SparsePauliOp.from_sparse_list(ring, n_qubits)
    ansatz = qaoa_ansatz(cost, reps=2)
    return ansatz, list(ansatz.parameters), [], [cost]  # its angles as data, for a batch of them


def _conv(angles: ParameterVector, first: int) -> QuantumCircuit:
    block = QuantumCircuit(2)
    block.rz(-np.pi / 2, 1)
    block.cx(1, 0)
    block.rz(angles[first], 0)
    block.ry(angles[first + 1], 1)
    block.cx(0, 1)
    block.ry(angles[first + 2], 1)
    block.cx(1, 0)
    block.rz(np.pi / 2, 0)
    return block


def _qcnn(n_qubits: int) -> Parts:
    features = z_feature_map(n_qubits)
    circuit = features.copy()
    weights = ParameterVector("c", 3 * 3 * n_qubits)
    alive, used = list(range(n_qubits)), 0
    while len(alive) > 1:
        for first, second in zip(alive[0::2], alive[1::2], strict=False):
            circuit.append(_conv(weights, used).to_gate(), [first, second])
            used += 3
        alive = alive[1::2] + ([alive[-1]] if len(alive) % 2 else [])
    last = SparsePauliOp.from_sparse_list([("Z", [alive[0]], 1.0)], n_qubits)
    trained = [parameter for parameter in circuit.parameters if parameter.name.startswith("c[")]
    return circuit, list(features.parameters), trained, [last]


def _qnn_circuit(n_qubits: int) -> Parts:
    circuit, features, weights = qnn_circuit(n_qubits)
    return circuit, list(features), list(weights), [SparsePauliOp("Z" * n_qubits)]


CIRCUITS: Mapping[str, Callable[[int], Parts]] = {
    "zz_feature_map, real_amplitudes": lambda n: _joined(zz_feature_map(n), real_amplitudes(n, reps=1)),
    "z_feature_map, efficient_su2": lambda n: _joined(z_feature_map(n), efficient_su2(n, reps=1)),
    "pauli_feature_map, real_amplitudes": lambda n: _joined(
        pauli_feature_map(n, paulis=["Z", "YY"]), real_amplitudes(n, reps=1)
    ),
    "z_feature_map, n_local crx rzz": lambda n: _joined(z_feature_map(n, reps=1), _locals(n)),
    "qaoa_ansatz": _qaoa,
    "QCNN": _qcnn,
    "qnn_circuit": _qnn_circuit,
}


PEERS = ("zz_feature_map, real_amplitudes", "QCNN")
"""Circuits that other libraries compute too."""


def tutorial(name: str, n_qubits: int) -> EstimatorQNN:
    """The stock network of a tutorial's circuit, exact."""
    circuit, inputs, weights, observables = CIRCUITS[name](n_qubits)
    return EstimatorQNN(
        circuit=circuit,
        observables=observables,
        input_params=inputs,  # type: ignore[arg-type]
        weight_params=weights,  # type: ignore[arg-type]
        estimator=StatevectorEstimator(),
        input_gradients=bool(inputs),
        default_precision=0.0,
    )


def _results(
    network: EstimatorQNN, inputs: NDArray[np.float64] | None, weights: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    parts = (network.forward(inputs, weights), *network.backward(inputs, weights))
    return [np.asarray(part) for part in parts if part is not None]


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def _peers(
    network: EstimatorQNN, inputs: NDArray[np.float64], weights: NDArray[np.float64], expected: float
) -> dict[str, Callable[[], object]]:
    """Library -> its forward and backward of the batch, compiled and compared."""
    try:
        from benchmarks.peers.any_circuit_jax import LIBRARIES, prepare
    except ImportError:
        return {}
    found: dict[str, Callable[[], object]] = {}
    for library in LIBRARIES:
        run = prepare(network, library)
        total = sum(float(np.abs(part).sum()) for part in run(inputs, weights))
        assert abs(total - expected) < 1e-6 * expected, f"{library}: {total} instead of {expected}"
        found[library] = partial(run, inputs, weights)
    return found


def main() -> None:
    """Print one row a circuit and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--stock-samples", type=int, default=1, help="samples that the stock class is given")
    parser.add_argument("--processor", action="store_true", help="processor time in place of the clock's")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor else time.perf_counter
    print("| circuit | qubits | stock, ms | ours, ms | times | largest difference | peers, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in CIRCUITS:
        for n_qubits in arguments.qubits:
            print(f"{name}, {n_qubits} qubits", file=sys.stderr)
            stock = tutorial(name, n_qubits)
            quick = accelerate(stock)
            rng = np.random.default_rng(0)
            weights = rng.uniform(-1, 1, stock.num_weights)
            inputs = rng.uniform(-1, 1, (arguments.batch, stock.num_inputs)) if stock.num_inputs else None
            few = inputs if inputs is None else inputs[: arguments.stock_samples]
            ours, theirs = (
                np.concatenate([np.ravel(part) for part in _results(network, few, weights)])
                for network in (quick, stock)
            )
            difference = float(np.abs(ours - theirs).max())
            peers: dict[str, Callable[[], object]] = {}
            if name in PEERS and inputs is not None:
                total = sum(float(np.abs(part).sum()) for part in _results(quick, inputs, weights))
                peers = _peers(stock, inputs, weights, total)
            slow, fast = [], []
            theirs_s: dict[str, list[float]] = {library: [] for library in peers}
            for _ in range(arguments.repetitions):
                for library, run in peers.items():
                    theirs_s[library].append(_seconds(run, clock))
                slow.append(_seconds(partial(_results, stock, few, weights), clock))
                fast.append(_seconds(partial(_results, quick, inputs, weights), clock))
            batch = 1 if inputs is None else arguments.batch
            samples = 1 if few is None else len(few)
            before, after = 1e3 * statistics.median(slow) * batch / samples, 1e3 * statistics.median(fast)
            times = f"{before:.0f} | {after:.2f} | {before / after:.0f}"
            told = ", ".join(f"{lib} {1e3 * statistics.median(own):.1f}" for lib, own in theirs_s.items())
            print(f"| {name} | {n_qubits} | {times} | {difference:.0e} | {told} |", flush=True)


if __name__ == "__main__":
    main()
