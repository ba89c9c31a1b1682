"""Rehearsals on device snapshots: how fast they are, and how well networks stand on the devices.

    python -m benchmarks.rehearsal --speed 2b-9q 4b-9q [--backends fake_kingston] [--shots 4096]
    python -m benchmarks.rehearsal CHECKPOINT... [--backends fake_brisbane fake_kingston] [--limit 100]

The first compares the exact simulator with Aer on the same compiled circuits at random angles, call by call
in turns, medians; what compiling takes stands beside. The second prints tiled against whole with a trained
network as a Markdown table. `error` is the mean absolute difference of the expectation values from exact
ones; `of it shots` what shot noise alone makes of it (sqrt(2 / pi) times the mean standard error).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.data import load_dataset
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.gradients import GradientRequest, make_gradient
from sqdr_qiskit.jobs.settings import choose_checkpoint, limited
from sqdr_qiskit.model.network import restore

__all__ = ["main"]

_HEAD = (
    "| circuit | backend | layout | error | of it shots | accuracy | executions | QPU seconds | here, s |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tiled against whole on device snapshots.")
    parser.add_argument("checkpoints", nargs="*")
    parser.add_argument("--speed", nargs="+", default=[], metavar="CIRCUIT")
    parser.add_argument("--batch", type=int, default=256, help="samples of the exact simulator at once")
    parser.add_argument("--aer-batch", type=int, default=16, help="samples of Aer at once")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--backends", nargs="+", default=["fake_brisbane", "fake_kingston"])
    parser.add_argument("--layouts", nargs="+", default=["tiled", "whole"])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--shots", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.speed:
        _speed(arguments)
    if not arguments.checkpoints:
        return
    images = limited(load_dataset(arguments.dataset).test, arguments.limit, seed=arguments.seed)
    print(_HEAD)
    for name in arguments.checkpoints:
        _checkpoint(name, images.images, images.labels, arguments)


def _speed(arguments: argparse.Namespace) -> None:
    print(
        "| circuit | backend | layout | first call, s | exact, ms/sample | with gradient | Aer | ratio |\n"
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name in arguments.speed:
        for device in arguments.backends:
            for layout in arguments.layouts:
                _speed_of(name, device, layout, arguments)


def _speed_of(name: str, device: str, layout: str, arguments: argparse.Namespace) -> None:
    circuit, rng = build_circuit(name), np.random.default_rng(arguments.seed)
    observables = [[o] for o in circuit.observables]

    def pub(batch: int) -> tuple[QuantumCircuit, list[list[SparsePauliOp]], np.ndarray]:
        return (
            circuit.circuit,
            observables,
            rng.uniform(-np.pi, np.pi, (batch, circuit.circuit.num_parameters)),
        )

    settings = {"shots": arguments.shots, "seed": arguments.seed, "layout": layout}
    exact, aer = make_backend(device, **settings), make_backend(device, simulator="aer", **settings)
    gradient = make_gradient("exact", exact)
    seconds: dict[str, list[float]] = {"exact": [], "gradient": [], "aer": []}
    for turn in range(arguments.turns + 1):  # the first one compiles
        for what, batch in (
            ("exact", arguments.batch),
            ("gradient", arguments.batch),
            ("aer", arguments.aer_batch),
        ):
            asked = pub(batch)
            started = time.perf_counter()
            if what == "gradient":
                gradient.evaluate(
                    GradientRequest(
                        circuit=asked[0], observables=circuit.observables, values=asked[2], with_values=True
                    )
                )
            else:
                (exact if what == "exact" else aer).estimator.run([asked]).result()
            seconds[what].append((time.perf_counter() - started) / (batch if turn else 1))
    ours, slopes, theirs = (
        1e3 * float(np.median(seconds[what][1:])) for what in ("exact", "gradient", "aer")
    )
    print(
        f"| {name} | {device} | {layout} | {seconds['exact'][0]:.1f} | {ours:.4f} | {slopes:.4f} | "
        f"{theirs:.2f} | **{theirs / ours:,.0f}x** |",
        flush=True,
    )


def _checkpoint(name: str, images: np.ndarray, labels: np.ndarray, arguments: argparse.Namespace) -> None:
    checkpoint = choose_checkpoint(name, dataset=arguments.dataset).checkpoint
    model = restore(checkpoint, make_backend("exact"))
    circuit = build_circuit(checkpoint.settings.circuit)
    with torch.no_grad():
        angles = model.encode(torch.from_numpy(images)).double().numpy()
        weights = dict(model.named_parameters())["quantum.weight"].double().numpy()
    columns = {parameter: angles[:, i] for i, parameter in enumerate(circuit.x)}
    columns.update({parameter: np.full(len(angles), weights[i]) for i, parameter in enumerate(circuit.w)})
    values = np.stack([columns[parameter] for parameter in circuit.circuit.parameters], axis=1)
    pub = (circuit.circuit, [[o] for o in circuit.observables], values)
    exact = make_backend("exact").estimator.run([pub]).result()[0].data.evs
    print(
        f"| {circuit.name} | exact | – | 0 | 0 | {_accuracy(model, exact, labels)} | – | – | – |", flush=True
    )
    for backend in arguments.backends:
        for layout in arguments.layouts:
            made = make_backend(backend, shots=arguments.shots, seed=arguments.seed, layout=layout)
            assert isinstance(made.estimator, DeviceEstimator)
            started = time.perf_counter()
            data = made.estimator.run([pub]).result()[0].data
            seconds = time.perf_counter() - started
            usage = made.estimator.usage
            error = np.abs(data.evs - exact).mean()
            of_shots = np.sqrt(2 / np.pi) * np.mean(data.stds)
            print(
                f"| {circuit.name} | {backend} | {layout} | {error:.4f} | {of_shots:.4f} | "
                f"{_accuracy(model, data.evs, labels)} | {usage.executions:,} | {usage.qpu_seconds:.0f} | "
                f"{seconds:.0f} |",
                flush=True,
            )


def _accuracy(model: torch.nn.Module, evs: np.ndarray, labels: np.ndarray) -> str:
    with torch.no_grad():
        logits = model.read_out(torch.from_numpy(evs.T).float())  # type: ignore[operator]
    return f"{100 * float((logits.argmax(1).numpy() == labels).mean()):.0f} %"


if __name__ == "__main__":
    main()
