"""Is the estimated success probability worth something? Rank correlation with the error really simulated.

    python -m benchmarks.success_vs_error [--devices ...] [--circuits ...] [--seeds 2] [--figure FILE.png]

Every case is a circuit on a device in a layout; the error is the mean absolute error of its expectation
values at random angles under the snapshot's noise (gates, readout, waiting), with many shots.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.estimator import DeviceEstimator
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.devices.study import Finding, Source, Task, carry_out, compile_task, snapshot_chip
from sqdr_qiskit.devices.twin import LocalSender
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.simulators.exact import ExactEstimator

__all__ = ["main"]

_SHOTS = 20_000
_SAMPLES = 6


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimated success against simulated error.")
    parser.add_argument("--devices", nargs="+", default=["fake_brisbane", "fake_kingston", "fake_cairo"])
    parser.add_argument("--circuits", nargs="+", default=["2b-6q", "2b-9q"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--figure", default=None)
    arguments = parser.parse_args()
    cases: list[tuple[Task, float, float]] = []
    for device in arguments.devices:
        for name in arguments.circuits:
            model = build_circuit(name)
            source = Source(name, model.circuit, model.observables)
            tasks = [Task(name, device, "tiled")]
            tasks += [Task(name, device, "whole", k, s) for k in range(4) for s in range(arguments.seeds)]
            for task in tasks:
                found = carry_out(source, task)
                if isinstance(found, Finding):
                    cases.append((task, found.success, _error(source, task)))
                    print(*cases[-1], flush=True)
    success, error = np.array([c[1] for c in cases]), np.array([c[2] for c in cases])
    print(f"{len(cases)} cases, Spearman {spearmanr(success, error).statistic:.3f}")
    for device in arguments.devices:
        own = [i for i, case in enumerate(cases) if case[0].device == device]
        print(f"{device}: {len(own)} cases, Spearman {spearmanr(success[own], error[own]).statistic:.3f}")
    if arguments.figure:
        _draw(cases, arguments.figure)


def _error(source: Source, task: Task) -> float:
    chip = snapshot_chip(task.device)
    program = compile_task(source, chip, task)
    assert isinstance(program, DeviceProgram)
    values = np.random.default_rng(1).uniform(-np.pi, np.pi, (_SAMPLES, source.circuit.num_parameters))
    pub = (source.circuit, [[o] for o in source.observables], values)
    estimator = DeviceEstimator(chip, LocalSender(chip, seed=1), shots=_SHOTS)
    estimator.program = lambda *_: program  # type: ignore[method-assign]
    try:
        found = estimator.run([pub]).result()[0].data.evs
    except UnsupportedError:
        return float("nan")
    return float(np.abs(found - ExactEstimator().run([pub]).result()[0].data.evs).mean())


def _draw(cases: list[tuple[Task, float, float]], path: str) -> None:
    mpl.use("Agg")
    figure = Figure(figsize=(6.4, 4.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
    for number, device in enumerate(dict.fromkeys(task.device for task, _, _ in cases)):
        for layout, marker in (("tiled", "*"), ("whole", "o")):
            own = [(s, e) for task, s, e in cases if (task.device, task.layout) == (device, layout)]
            if own:
                axes.scatter(
                    [s for s, _ in own], [e for _, e in own], label=f"{device}, {layout}",
                    color=colours[number], marker=marker, s=90 if marker == "*" else 28, alpha=0.8,
                    edgecolors="white",
                )  # fmt: skip
    axes.set(
        xlabel="estimated success probability of an output",
        ylabel="simulated mean absolute error",
        yscale="log",
    )
    axes.grid(color="#dddddd")
    axes.legend(fontsize=8)
    figure.savefig(path)


if __name__ == "__main__":
    main()
