"""Error mitigation on the twin against the methods themselves on Aer: `python -m benchmarks.mitigation`.

`brute_force` does what a method does, on one output's tile: circuits with repeated gates, with random Paulis
around two-qubit gates, with Paulis drawn from the inverse of their noise or from more of it; each circuit's
density matrix by Aer, readings flipped as the readout flips them, random X before a reading undone after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector
from qiskit_aer import AerSimulator

from sqdr_qiskit.circuits import CircuitModel, build_circuit
from sqdr_qiskit.devices.chip import Chip, chip_of, fake_backend
from sqdr_qiskit.devices.chip_noise import PartInUse, aer_noise, part_in_use
from sqdr_qiskit.devices.mitigation import (
    EXTRAPOLATORS,
    METHODS,
    READOUT_BLOCKS,
    Mitigation,
    folded,
    pauli_rates,
    rehearse,
)
from sqdr_qiskit.devices.programs import LayoutOptions
from sqdr_qiskit.devices.transpilation import compile_for_device

__all__ = ["Checked", "check"]

_Float = NDArray[np.float64]
_SHOTS = 4096


@dataclass(frozen=True)
class Checked:
    """One method, rehearsed and carried out: bias and variance, with the standard errors of the latter."""

    method: str
    bias: float
    bias_found: float
    bias_error: float
    variance: float
    variance_found: float
    variance_error: float

    @property
    def z(self) -> tuple[float, float]:
        """How many standard errors the two are apart, of the bias and of the variance."""
        return (
            (self.bias_found - self.bias) / max(self.bias_error, 1e-9),
            (self.variance_found - self.variance) / max(self.variance_error, 1e-12),
        )


class _Tile:
    """One output's tile on a device, its angles bound, as Aer runs it."""

    def __init__(self, model: CircuitModel, chip: Chip, output: int, values: _Float) -> None:
        self.observables = [model.observables[output]]
        self.program = compile_for_device(model.circuit, self.observables, chip, LayoutOptions(copies=1))
        (part,) = self.program.rounds
        rows = part.bind(self.program.inner(values))
        self.bound = part.circuit.assign_parameters(dict(zip(part.parameters, rows[0], strict=True)))
        (word,) = part.words[0]
        self.word, self.chip = word, chip
        (self.qubit,) = np.flatnonzero(word.paulis.x[0] | word.paulis.z[0])
        self.readout = chip.readout[int(self.qubit)]

    def values(self, circuits: list[tuple[PartInUse, QuantumCircuit]]) -> _Float:
        """Expectations by density matrices, without the readout's errors."""
        part = circuits[0][0]
        noise = aer_noise(part, self.chip)
        observable = SparsePauliOp([part.word(label) for label in self.word.paulis.to_labels()])
        batch = []
        for _, circuit in circuits:
            circuit.save_expectation_value(observable, range(circuit.num_qubits))
            batch.append(circuit)
        simulator = AerSimulator(method="density_matrix", noise_model=noise, max_parallel_threads=1)
        result = simulator.run(batch).result()
        return np.array([float(np.real(result.data(i)["expectation_value"])) for i in range(len(batch))])

    def part(self, circuit: QuantumCircuit) -> PartInUse:
        return part_in_use(circuit, self.chip, [int(self.qubit)])


def _drawn(
    part: PartInUse,
    chip: Chip,
    rng: np.random.Generator,
    chance: Callable[[float], float] | None,
) -> tuple[QuantumCircuit, int]:
    """The circuit with its two-qubit gates twirled and Paulis drawn after them, and the number drawn."""
    circuit, drawn = part.circuit.copy_empty_like(), 0
    for item in part.circuit.data:
        if len(item.qubits) != 2:
            circuit.append(item)
            continue
        before = Pauli("".join(rng.choice(list("IXYZ"), 2)))
        after = before.evolve(item.operation, frame="s")
        wires = [part.circuit.find_bit(qubit).index for qubit in item.qubits]
        circuit.append(UnitaryGate(before.to_matrix(), label="free"), wires)
        circuit.append(item)
        if chance is not None:
            where = tuple(part.qubits[wire] for wire in wires)
            for word, rate in pauli_rates(chip.channels_after(item.operation.name, where)).items():
                if rng.random() < chance(rate):
                    drawn += 1  # the first operand is the last letter of a label
                    circuit.append(UnitaryGate(Pauli(word[::-1]).to_matrix(), label="free"), wires)
        circuit.append(UnitaryGate(after.to_matrix(), label="free"), wires)
    return circuit, drawn


def _read(values: _Float, readout: tuple[float, float], blocks: int, rng: np.random.Generator) -> _Float:
    """Means of `_SHOTS` readings with random X patterns in blocks, shape of `values`."""
    p01, p10 = readout
    if blocks == _SHOTS:  # each shot has its own pattern
        return np.asarray(2.0 * rng.binomial(_SHOTS, (1.0 + (1.0 - p01 - p10) * values) / 2.0) / _SHOTS - 1.0)
    flip = rng.integers(0, 2, (*values.shape, blocks))
    one = (1.0 - values[..., None]) / 2.0
    one = np.where(flip == 1, 1.0 - one, one)
    read = one * (1.0 - p10) + (1.0 - one) * p01
    ones = rng.binomial(_SHOTS // blocks, np.clip(read, 0, 1)) / (_SHOTS // blocks)
    ones = np.where(flip == 1, 1.0 - ones, ones)
    return np.asarray(1.0 - 2.0 * ones.mean(axis=-1))


def check(
    circuit: str, device: str, method: str, *, output: int = 0, instances: int = 400, seed: int = 0
) -> Checked:
    """Bias and variance of a method for one output at random angles: rehearsed, and carried out.

    Args:
        circuit: A catalogue name.
        device: A snapshot's.
        method: One of `METHODS`.
        output: Which.
        instances: Circuits drawn for `pec` and for each noise factor of `pea`.
        seed: Of angles and draws.
    """
    rng = np.random.default_rng(seed)
    chip, model = chip_of(fake_backend(device)), build_circuit(circuit)
    values = rng.uniform(0, 2 * np.pi, (1, model.circuit.num_parameters))
    tile, chosen = _Tile(model, chip, output, values), Mitigation(method=method)
    bias, spread_told = rehearse(model.circuit, tile.program, chip, values, chosen).moments(_SHOTS)
    state = Statevector(model.circuit.assign_parameters(values[0]))
    ideal = float(np.real(state.expectation_value(model.observables[output])))
    p01, p10 = tile.readout
    slope, times = 1.0 - p01 - p10, 40_000
    calibration = _read(np.ones(times), tile.readout, READOUT_BLOCKS, rng)
    plain = tile.part(tile.bound)
    factors = chosen.noise_factors if method in ("zne", "pea") else (1.0,)
    powers = np.vander(np.asarray(factors), EXTRAPOLATORS[chosen.extrapolator] + 1, increasing=True)
    loose = loose_variance = 0.0  # of bias and of variance, by the instances drawn
    if method == "none":
        value = tile.values([(plain, plain.circuit.copy())])
        read = (1.0 - value) / 2.0 * (1.0 - p10) + (1.0 + value) / 2.0 * p01
        estimates = 1.0 - 2.0 * rng.binomial(_SHOTS, read, times) / _SHOTS
    elif method == "pec":
        rates = [
            rate
            for item in tile.bound.data
            if len(item.qubits) == 2
            for where in [tuple(tile.bound.find_bit(qubit).index for qubit in item.qubits)]
            for rate in pauli_rates(chip.channels_after(item.operation.name, where)).values()
        ]
        gamma = float(np.exp(2 * sum(rates)))
        draws = [_drawn(plain, chip, rng, lambda rate: (1 - np.exp(-2 * rate)) / 2) for _ in range(instances)]
        found = tile.values([(plain, one) for one, _ in draws])
        signs = np.array([(-1.0) ** drawn for _, drawn in draws])
        # Few draws have a sign at all: its variance is known, what was found of it may be none.
        known = (gamma**2 - 1.0) * float((found**2).mean())
        loose = max(float((gamma * signs * found).var()), known) / instances
        # A shot is +-1 with a mean that the instance gives; the estimate is the mean of _SHOTS gamma^2 shots.
        first, second = float((signs * slope * found).mean()), 1.0
        loose_variance = (
            2 * abs(first) * float((signs * slope * found).std()) / instances**0.5 / _SHOTS / slope**2
        )
        spread = gamma**2 * (second - first**2) / (_SHOTS * gamma**2)
        estimates = (gamma * first + np.sqrt(spread) * rng.standard_normal(times)) / calibration
    elif method == "pea":
        means = []
        for factor in factors:
            draws = [
                _drawn(plain, chip, rng, lambda rate, k=factor: (1 - np.exp(-2 * (k - 1) * rate)) / 2)
                for _ in range(instances)
            ]
            found = tile.values([(plain, one) for one, _ in draws])
            means.append(found.mean())
            loose += (
                float(found.var() / instances)
                * _at_zero(powers, np.ones((1, len(factors))))[0, len(means) - 1] ** 2
            )
        shots = np.stack([_read(np.full(times, mean), tile.readout, _SHOTS, rng) for mean in means], axis=1)
        estimates = _extrapolated(powers, shots) / calibration
    else:
        values_at = []
        for factor in factors:
            longer = tile.part(folded(tile.bound, int(factor)))
            values_at.append(tile.values([(longer, longer.circuit.copy())])[0])
        shots = np.stack(
            [_read(np.full(times, value), tile.readout, READOUT_BLOCKS, rng) for value in values_at], axis=1
        )
        estimates = (_extrapolated(powers, shots) if len(factors) > 1 else shots[:, 0]) / calibration
    centred = estimates - estimates.mean()
    variance = float(centred.var())
    fourth = float((centred**4).mean())
    return Checked(
        method,
        float(bias[0, 0]),
        float(estimates.mean()) - ideal,
        float(np.sqrt(variance / times + loose)),
        float(spread_told[0, 0]),
        variance,
        float(np.sqrt((fourth - variance**2) / times + loose_variance**2)),
    )


def _at_zero(powers: _Float, weights: _Float) -> _Float:
    """What a weighted fit's value at zero takes of each point: shape (n, n_factors)."""
    normal = np.einsum("fp,nf,fq->npq", powers, weights, powers)
    return np.asarray(np.einsum("np,fp->nf", np.linalg.inv(normal)[:, 0], powers) * weights)


def _extrapolated(powers: _Float, shots: _Float) -> _Float:
    """The fit's value at zero, points weighted by their own shots' variance as the client does."""
    return np.asarray((_at_zero(powers, 1.0 / (1.0 - shots**2)) * shots).sum(axis=1))


def main() -> None:
    """Print a table of all methods for circuits on devices."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mitigation", description=__doc__)
    parser.add_argument("--circuits", nargs="+", default=["2b-9q", "4b-9q"])
    parser.add_argument("--devices", nargs="+", default=["fake_kingston", "fake_brisbane"])
    parser.add_argument("--instances", type=int, default=1000)
    chosen = parser.parse_args()
    print("| circuit | device | method | bias | on Aer | z | std | on Aer | z |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for circuit in chosen.circuits:
        for device in chosen.devices:
            for method in METHODS:
                one = check(circuit, device, method, instances=chosen.instances)
                z = one.z
                print(
                    f"| {circuit} | {device} | {method} "
                    f"| {one.bias:+.4f} | {one.bias_found:+.4f} | {z[0]:+.1f} "
                    f"| {one.variance**0.5:.5f} | {one.variance_found**0.5:.5f} | {z[1]:+.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
