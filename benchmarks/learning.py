"""How well a chip's noise is learnt, against hidden truths that the fit does not see.

    python -m benchmarks.learning [--circuit 2b-9q] [--device fake_kingston] [--draws 50] [--seconds 60]
        [--probes 0]

A hidden truth is the device with every rate times 0.5 to 3 (drawn log-uniformly for each qubit and pair), the
gate of each pair turning 0.03 rad too far or too short, and 0.02 rad of ZZ between neighbours of different
tiles. Each draw: one inference's worth of random angles in 4096 shots, as many as the quantum seconds allow
(`--probes`: how many of these seconds go to probes instead), the noise learnt from that, and expectations at
fresh angles predicted. Errors of prediction are in units of a measurement's shot noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.chip import Chip, chip_of, fake_backend
from sqdr_qiskit.devices.estimator import DeviceEstimator, planned_seconds
from sqdr_qiskit.devices.learning import LearntNoise, Measured, choose_probes, learn_noise
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.tile_noise import calibrated
from sqdr_qiskit.devices.twin import LocalSender
from sqdr_qiskit.noise_models.calibration import snapshot
from sqdr_qiskit.specs.device import DeviceGate, DeviceRotation, DeviceSnapshot

__all__ = ["hidden_truth", "main", "perturbed"]

OVER_ROTATION, ZZ = 0.03, 0.02  # rad


def perturbed(device: DeviceSnapshot, rng: np.random.Generator) -> DeviceSnapshot:
    """Every rate times a factor of its own between 0.5 and 3 (relaxation times by its inverse)."""

    def factor() -> float:
        return float(np.exp(rng.uniform(np.log(0.5), np.log(3.0))))

    def rates(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(None if value is None else min(value * factor(), 0.4) for value in values)

    def times(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(None if value is None else value / factor() for value in values)

    shared: dict[tuple[int, ...], float] = {}  # SX and X are one pulse, and a pair has one gate

    def gate(one: DeviceGate) -> DeviceGate:
        if one.error is None or one.error > 0.1:
            return one
        return replace(one, error=one.error * shared.setdefault(tuple(sorted(one.qubits)), factor()))

    return replace(
        device,
        t1_us=times(device.t1_us),
        t2_us=times(device.t2_us),
        p01=rates(device.p01),
        p10=rates(device.p10),
        gates=tuple(gate(one) for one in device.gates),
    )


def hidden_truth(
    device: DeviceSnapshot, tiles: Mapping[int, tuple[int, int]], rng: np.random.Generator
) -> DeviceSnapshot:
    """The device perturbed, its pairs turning too far or too short, neighbouring tiles coupled.

    Args:
        device: The calibration.
        tiles: For each qubit in use, which tile it stands in.
        rng: Draws it.
    """
    found = perturbed(device, rng)
    pairs = sorted({tuple(sorted(gate.qubits)) for gate in device.gates if len(gate.qubits) == 2})
    signs = rng.choice([-1.0, 1.0], len(pairs)).tolist()
    rotations = []
    for (a, b), sign in zip(pairs, signs, strict=True):
        if a in tiles and b in tiles:
            kind, angle = ("over_rotation", OVER_ROTATION) if tiles[a] == tiles[b] else ("zz", ZZ)
            rotations.append(DeviceRotation(kind, (a, b), sign * angle))
    return replace(found, rotations=tuple(rotations))


def main() -> None:
    parser = argparse.ArgumentParser(description="Noise learnt against hidden truths.")
    parser.add_argument("--circuit", default="2b-9q")
    parser.add_argument("--device", default="fake_kingston")
    parser.add_argument("--copies", type=int, default=None)
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--probes", type=float, default=0.0, help="seconds of them that go to probes")
    parser.add_argument("--shots", type=int, default=4096)
    _study(parser.parse_args())


def _study(arguments: argparse.Namespace) -> None:
    model = build_circuit(arguments.circuit)
    backend = fake_backend(arguments.device)
    chip, calibration = chip_of(backend), snapshot(backend)
    options, shots = LayoutOptions(copies=arguments.copies), arguments.shots
    estimator = DeviceEstimator(chip, LocalSender(chip), shots=shots, options=options)
    program = estimator.program(model.circuit, model.observables)
    n_copies = len(program.rounds[0].copies)
    tiles = {
        qubit: (c, t)
        for part in program.rounds
        for c, copy in enumerate(part.tiles)
        for t, tile in enumerate(copy)
        for qubit in tile
    }

    def rows(seconds: float) -> int:
        return int((seconds - planned_seconds(0)) / (planned_seconds(shots) - planned_seconds(0)))

    def measure(noise: Chip, values: np.ndarray, seed: int | None) -> Measured:
        estimator.sender = LocalSender(noise, seed=seed, sampled=seed is not None)
        pub = (model.circuit, [[o] for o in model.observables], values)
        found = np.asarray(estimator.run([pub]).result()[0].data.evs.T)
        return Measured(values, found, np.arange(len(values)), shots)

    inside: dict[str, list[bool]] = {}
    told: dict[str, list[bool]] = {}
    errors: list[list[float]] = []
    squares: list[tuple[float, float, bool]] = []
    n_probes = rows(arguments.probes) if arguments.probes else 0
    probes = np.zeros((0, model.circuit.num_parameters))
    started = time.perf_counter()
    for draw in range(arguments.first, arguments.first + arguments.draws):
        rng = np.random.default_rng(draw)
        truth = chip.under(hidden_truth(calibration, tiles, rng))
        n_samples = n_copies * rows(arguments.seconds - arguments.probes)
        weights = rng.uniform(-3, 3, model.circuit.num_parameters)  # of one network; its data differ
        data = [i for i, parameter in enumerate(model.circuit.parameters) if parameter in set(model.x)]

        def angles(
            n: int,
            weights: np.ndarray = weights,
            data: list[int] = data,
            rng: np.random.Generator = rng,
        ) -> np.ndarray:
            values = np.tile(weights, (n, 1))
            values[:, data] = rng.uniform(0, np.pi, (n, len(data)))
            return values

        runs = [measure(truth, angles(n_samples), draw)]
        if n_probes:
            probes = choose_probes(program, chip, runs, n_rows=n_probes, shots=shots, seed=draw)
            runs.append(measure(truth, probes, draw + 1))
        found = learn_noise(program, chip, runs)
        learnt = chip.under(found.applied_to(calibration, chip))
        kinds = (angles(100), rng.uniform(-3, 3, (100, model.circuit.num_parameters)))
        found_errors = []
        for fresh in kinds:
            right, *guesses = (measure(one, fresh, None).expectations for one in (truth, chip, learnt))
            noise = np.sqrt((1 - right**2) / shots)
            found_errors += [float(np.mean(((guess - right) / noise) ** 2)) for guess in guesses]
        errors.append(found_errors)
        squares.append((found.before, found.after, found.fits))
        _count(found, truth, inside, told)
    seconds = (time.perf_counter() - started) / arguments.draws
    print(
        f"{arguments.circuit} on {arguments.device}, {n_copies} samples side by side, {arguments.draws} "
        f"hidden truths, {arguments.seconds:.0f} quantum seconds each ({n_samples} samples and {len(probes)} "
        f"probes in {shots} shots); {seconds:.1f} s a draw here"
    )
    print("\n| | by the calibration | as learnt |\n| --- | ---: | ---: |")
    print(
        f"| chi-square per value held out | {np.mean([s[0] for s in squares]):.2f} | "
        f"{np.mean([s[1] for s in squares]):.2f} |"
    )
    mean = np.mean(errors, axis=0)
    for (before, after), which in zip(mean.reshape(2, 2), ("fresh data", "any angles"), strict=True):
        print(
            f"| error of a prediction for {which}, in shot noise | {before**0.5:.2f} | {after**0.5:.2f} |\n"
            f"| the same with a measurement's own | {(1 + before) ** 0.5:.2f} | {(1 + after) ** 0.5:.2f} |"
        )
    print(f"\nfits: {sum(s[2] for s in squares)} of {len(squares)}\n")
    print("| parameter | inside 95 % | of those told | number told |\n| --- | ---: | ---: | ---: |")
    for what in [*sorted(inside), "all"]:
        every = [one for name in inside for one in inside[name] if what in ("all", name)]
        some = [one for name in told for one in told[name] if what in ("all", name)]
        share = f"{100 * np.mean(some):.1f} %" if some else "–"
        print(f"| {what} | {100 * np.mean(every):.1f} % | {share} | {len(some)} of {len(every)} |")


def _count(
    found: LearntNoise, truth: Chip, inside: dict[str, list[bool]], told: dict[str, list[bool]]
) -> None:
    for e in found.estimates:
        right = calibrated(truth, (e.what, e.qubits))
        right = 1.0 / right if e.what in ("T1", "T2") else right
        hit = bool(e.low <= right <= e.high)
        inside.setdefault(e.what, []).append(hit)
        if e.told:
            told.setdefault(e.what, []).append(hit)


if __name__ == "__main__":
    main()
