"""Tiled against whole on device snapshots, with a trained network: error, accuracy, seconds on the machine.

    python -m benchmarks.rehearsal CHECKPOINT... [--backends fake_brisbane fake_kingston] [--limit 100]

Prints a Markdown table. `error` is the mean absolute difference of the expectation values from exact ones;
`of it shots` what shot noise alone makes of it (sqrt(2 / pi) times the mean standard error).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from sqdr_qiskit.backends import make_backend
from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.data import load_dataset
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.jobs.folders import choose_checkpoint
from sqdr_qiskit.jobs.settings import limited
from sqdr_qiskit.model.checkpoint import restore

__all__ = ["main"]

_HEAD = (
    "| circuit | backend | layout | error | of it shots | accuracy | executions | QPU seconds | here, s |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tiled against whole on device snapshots.")
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--backends", nargs="+", default=["fake_brisbane", "fake_kingston"])
    parser.add_argument("--layouts", nargs="+", default=["tiled", "whole"])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--shots", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    images = limited(load_dataset(arguments.dataset).test, arguments.limit, seed=arguments.seed)
    print(_HEAD)
    for name in arguments.checkpoints:
        _checkpoint(name, images.images, images.labels, arguments)


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
