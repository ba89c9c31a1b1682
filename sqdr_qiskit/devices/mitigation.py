"""Error mitigation rehearsed on the twin: what each method leaves of the error, and what it costs.

The methods are those of qiskit-ibm-runtime's estimator (executor, 0.50 and later), and what a shot of each
has for an expectation value comes from the exact engine with the noise scaled; nothing is sampled.

| method | what runs | the estimate |
| --- | --- | --- |
| `none` | the circuit | mean m of the readings |
| `readout` | with random X before each reading, undone after it, and the same of no gates | m / s |
| `zne` | so, with every two-qubit gate lambda times in a row, lambda = 1, 3, 5 | sum_i c_i m_i / s |
| `pec` | so, Paulis drawn from the inverse of the gates' noise, with signs | gamma mean(sign x) / s |
| `pea` | so, more of the gates' own Pauli noise drawn in, lambda times what there is | sum_i c_i m_i / s |

s is a reading's slope 1 - p01 - p10, measured in as many shots; c are the weights at zero of a polynomial
fitted by weighted least squares; gamma = exp(2 sum rates) over all two-qubit gates of the circuit, whose
twirled noise is a Pauli channel exp(sum_P rate_P (P . P - 1)). `pec` and `pea` twirl the two-qubit gates.

Sources: van den Berg et al., Nat. Phys. 19, 1116 (2023), eqs. 1 to 5 (`pec`); Kim et al., Nature 618, 500
(2023) (`pea`); van den Berg et al., Phys. Rev. A 105, 032620 (2022) (`readout`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip, PlacedChannels
from sqdr_qiskit.devices.chip_noise import Noise, chip_engine, twirled
from sqdr_qiskit.devices.programs import DeviceProgram, Round
from sqdr_qiskit.devices.twin import TwinEngine
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.engine import ExactEngine

__all__ = [
    "DRAWING",
    "EXTRAPOLATORS",
    "METHODS",
    "MOST_REPEATED",
    "Mitigation",
    "Rehearsed",
    "folded",
    "gamma_of",
    "overhead_of",
    "pauli_rates",
    "rehearse",
    "undone",
]

METHODS = ("none", "readout", "zne", "pec", "pea")
DRAWING = ("pec", "pea")
"""Methods that draw Pauli operations by a model of the noise; they twirl two-qubit gates."""
EXTRAPOLATORS = {"linear": 1, "polynomial_degree_2": 2}
"""Name, as the runtime has it -> degree. (An exponential fitted to small values has no variance.)"""

READOUT_BLOCKS = 32
"""Random X patterns of `readout` and `zne`, the runtime's choice from 2,048 shots on."""

MOST_REPEATED = 5
"""Times that a gate is rehearsed one after another: with each two more the exact sum grows tenfold."""

_STEP = 1e-4  # of finite differences
_Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mitigation:
    """A method and its settings.

    Attributes:
        method: One of `METHODS`.
        noise_factors: Of `zne`, odd whole numbers (gates are repeated); of `pea`, any from 1.
        extrapolator: Of `zne` and `pea`, one of `EXTRAPOLATORS`.
        max_overhead: Of `pec`: gamma^2 at most; beyond that the noise is only partly undone.

    Raises:
        ArgumentError: A setting is out of range.
    """

    method: str = "none"
    noise_factors: tuple[float, ...] = (1.0, 3.0, 5.0)
    extrapolator: str = "linear"
    max_overhead: float = 100.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ArgumentError(
                f"Argument `mitigation` must be one of {', '.join(METHODS)}, but is `{self.method}`."
            )
        if self.extrapolator not in EXTRAPOLATORS:
            raise ArgumentError(
                f"Argument `extrapolator` must be one of {', '.join(EXTRAPOLATORS)}, but is "
                f"`{self.extrapolator}`."
            )
        factors, needed = self.noise_factors, EXTRAPOLATORS[self.extrapolator] + 1
        told = ",".join(f"{factor:g}" for factor in factors)
        if len(set(factors)) != len(factors) or len(factors) < needed:
            raise ArgumentError(
                f"Argument `noise_factors` must hold at least {needed} different numbers for extrapolator "
                f"{self.extrapolator}, but is {told}."
            )
        if not all(1 <= factor < 100 for factor in factors):
            raise ArgumentError(
                f"Argument `noise_factors` must hold numbers from 1 to below 100, but is {told}."
            )
        if self.method == "zne" and any(factor % 2 != 1 for factor in factors):
            raise ArgumentError(
                f"Argument `noise_factors` must hold odd whole numbers for zne, which repeats gates, but is "
                f"{told}; pea takes any."
            )
        if not 1 < self.max_overhead < math.inf:
            raise ArgumentError(
                f"Argument `max_overhead` must be a number above 1, but is {self.max_overhead:g}."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Rehearsed:
    """What a method gives for a circuit's observables, for any number of shots.

    Attributes:
        mitigation: The method.
        gamma: Of the circuit as it runs, what is undone of it (1 without `pec`).
        overhead: Executions for one of `none`, without those that tell the readout.
        ideal: Noiseless readings, shape (batch, n_terms).
        measured: Means of what is read at each noise factor, shape (n_factors, batch, n_terms).
        slope: Of the readings, shape (batch, n_terms).
        offset: Of the readings.
        weights: Of the terms in the observables, shape (n_outputs, n_terms).
    """

    mitigation: Mitigation
    gamma: float
    overhead: float
    ideal: _Float
    measured: _Float
    slope: _Float
    offset: _Float
    weights: _Float

    def moments(self, shots: int) -> tuple[_Float, _Float]:
        """Bias (expected estimate - noiseless expectation) and variance of every output's estimate.

        Args:
            shots: Of one execution.

        Returns:
            Two arrays of shape (batch, n_outputs).
        """
        n, method, slope = float(shots), self.mitigation.method, self.slope
        squares = self.offset**2
        if method == "none":
            mean, variance = self.measured[0], (1.0 - self.measured[0] ** 2) / n
        else:
            if method == "pec":
                # A reading is +-1 times its sign and gamma, so that its square is gamma^2.
                spread = (self.gamma**2 - self.measured**2) / (n * self.overhead)
            elif method == "pea":
                spread = (1.0 - self.measured**2) / n
            else:
                spread = (1.0 - self.measured**2 - squares) / n + squares / _blocks(n)
            raw, own = self.measured[0], spread[0]
            if len(self.measured) > 1:
                raw, own = _extrapolated(self.mitigation, self.measured, spread)
            known = (1.0 - slope**2 - squares) / n + squares / _blocks(n)
            mean = raw / slope * (1.0 + known / slope**2)  # of a ratio, to second order
            variance = own / slope**2 + (raw / slope) ** 2 * known / slope**2
        return (mean - self.ideal) @ self.weights.T, variance @ self.weights.T**2

    def rms_error(self, shots: int) -> float:
        """Root of the mean of bias^2 + variance over samples and outputs."""
        bias, variance = self.moments(shots)
        return float(np.sqrt((bias**2 + variance).mean()))


def rehearse(
    circuit: QuantumCircuit,
    program: DeviceProgram,
    chip: Chip,
    values: _Float,
    mitigation: Mitigation,
    *,
    gamma: float | None = None,
) -> Rehearsed:
    """What a method leaves of the error, exactly.

    Second moments are those of readings of their own; what `pec` and `pea` draw is drawn anew for each shot.

    Args:
        circuit: The circuit that was compiled.
        program: What it became on the chip.
        chip: The device, and its noise.
        values: The circuit's parameters, shape (batch, n_params).
        mitigation: The method.
        gamma: Of what runs, where the program is only a part of it; None takes the program's.

    Raises:
        UnsupportedError: Noise factors of `zne` above `MOST_REPEATED`, or see `chip_engine`.
    """
    if mitigation.method == "zne" and max(mitigation.noise_factors) > MOST_REPEATED:
        raise UnsupportedError(
            f"The twin repeats a gate at most {MOST_REPEATED} times, but zne's noise factors go up to "
            f"{max(mitigation.noise_factors):g}; pea repeats none."
        )

    def terms(noise: Noise, times: int = 1) -> _Float:
        def engine(part: Round) -> ExactEngine:
            words = [word for copy in part.words for word in copy]
            return chip_engine(folded(part.circuit, times), words, chip, noise)

        return TwinEngine(circuit, program, engine).terms(values, None)[0]

    # The readout is not in the engine but in the slope, which the method divides out with its own shot noise.
    slope, offset = _readings(program, chip, len(values))
    undone_gamma, method = 1.0, mitigation.method
    if method == "none":
        measured = [terms(Noise())]
    elif method == "pec":
        whole = gamma or max(gamma_of(part.circuit, chip) for part in program.rounds)
        undone_gamma, left = undone(whole, mitigation)
        measured = [slope * terms(Noise(readout=False, pairs=left))]
    elif method == "pea":
        measured = [slope * terms(Noise(readout=False, pairs=k)) for k in mitigation.noise_factors]
    else:
        factors = mitigation.noise_factors if method == "zne" else (1.0,)
        measured = [slope * terms(Noise(readout=False), int(k)) for k in factors]
    return Rehearsed(
        mitigation=mitigation,
        gamma=undone_gamma,
        overhead=undone_gamma**2 if method == "pec" else overhead_of(1.0, mitigation),
        ideal=terms(Noise(gates=False, readout=False)),
        measured=np.stack(measured),
        slope=slope,
        offset=offset,
        weights=program.logical.weights,
    )


def _readings(program: DeviceProgram, chip: Chip, batch: int) -> tuple[_Float, _Float]:
    """Slope and offset of every sample's readings, shape (batch, n_terms) each."""
    shape = (batch, len(program.logical.terms))
    slope, offset = np.ones(shape), np.zeros(shape)
    for part in program.rounds:
        for number, copy in enumerate(part.words):
            rows = slice(number, None, len(part.words))
            for term, word in zip(part.terms, copy, strict=True):
                read = np.flatnonzero(word.paulis.x[0] | word.paulis.z[0])
                errors = [chip.readout[int(qubit)] for qubit in read]
                slope[rows, term] = math.prod(1.0 - p01 - p10 for p01, p10 in errors)
                if len(errors) == 1:
                    offset[rows, term] = errors[0][1] - errors[0][0]
    return slope, offset


def _blocks(shots: float) -> int:
    """Random X patterns that so many shots are spread over, as the runtime chooses."""
    return min(READOUT_BLOCKS, math.ceil(shots / 64))


def _extrapolated(mitigation: Mitigation, measured: _Float, spread: _Float) -> tuple[_Float, _Float]:
    """Mean and variance of a fit's value at zero, shape (batch, n_terms) each.

    The client weights each point by the inverse of its measured variance, so the fit is not linear in the
    points: the mean is to second order, the variance to first.

    Args:
        mitigation: Noise factors and extrapolator.
        measured: Means at the factors, shape (n_factors, batch, n_terms).
        spread: Their variances.
    """
    factors = np.asarray(mitigation.noise_factors)
    powers = np.vander(factors, EXTRAPOLATORS[mitigation.extrapolator] + 1, increasing=True)

    def at_zero(points: _Float) -> _Float:
        weights = np.moveaxis(1.0 / np.maximum(1.0 - points**2, 1e-6), 0, -1)  # (batch, n_terms, n_factors)
        normal = np.einsum("fp,...f,fq->...pq", powers, weights, powers)
        wanted = np.einsum("fp,...f,f...->...p", powers, weights, points)
        return np.asarray(np.linalg.solve(normal, wanted[..., None])[..., 0, 0])

    mean = middle = at_zero(measured)
    variance = np.zeros_like(middle)
    for i in range(len(factors)):
        step = np.zeros_like(measured)
        step[i] = _STEP
        above, below = at_zero(measured + step), at_zero(measured - step)
        mean = mean + (above + below - 2.0 * middle) / _STEP**2 / 2.0 * spread[i]
        variance += ((above - below) / (2.0 * _STEP)) ** 2 * spread[i]
    return mean, variance


def folded(circuit: QuantumCircuit, times: int) -> QuantumCircuit:
    """A circuit with every two-qubit gate `times` (odd) in a row; CZ, ECR and CX undo themselves."""
    if times == 1:
        return circuit
    longer = circuit.copy_empty_like()
    for item in circuit.data:
        for _ in range(times if len(item.qubits) == 2 else 1):
            longer.append(item)
    return longer


def gamma_of(circuit: QuantumCircuit, chip: Chip) -> float:
    """Gamma of a device's circuit: over all of its two-qubit gates, whichever output they serve."""
    rates = 0.0
    for item in circuit.data:
        if len(item.qubits) == 2:
            where = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
            rates += sum(pauli_rates(chip.channels_after(item.operation.name, where)).values())
    return math.exp(2.0 * rates)


def undone(gamma: float, mitigation: Mitigation) -> tuple[float, float]:
    """What `pec` undoes of a circuit's noise where all of it has this gamma.

    Returns:
        Gamma of what is undone, and the power of the noise that is left: 1 - ln(max_overhead) / ln(gamma^2),
        as the runtime chooses it, at least 0.
    """
    if gamma <= 1.0:
        return 1.0, 0.0
    left = max(0.0, 1.0 - math.log(mitigation.max_overhead) / (2.0 * math.log(gamma)))
    # Rates stand in gamma's exponent: a share of them is a power of it.
    return float(gamma ** (1.0 - left)), left


def overhead_of(gamma: float, mitigation: Mitigation) -> float:
    """Executions for one without mitigation, of a circuit of this gamma; readings of no gates not counted."""
    if mitigation.method in ("zne", "pea"):
        return float(len(mitigation.noise_factors))
    return undone(gamma, mitigation)[0] ** 2 if mitigation.method == "pec" else 1.0


def pauli_rates(channels: PlacedChannels) -> dict[str, float]:
    """Rates of a two-qubit gate's twirled noise as a Pauli-Lindblad map: of each Pauli, first operand first.

    A fidelity is f_Q = exp(-2 sum over P that anticommute with Q of rate_P). Rates below 0, which rounding
    or relaxation of a strange kind gives, are left out.
    """
    fidelities = twirled(channels).reshape(16)
    sign = np.array([[1.0, 1.0, 1.0, 1.0], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    commute = np.kron(sign, sign)  # +1 where two of the 16 commute
    logs = np.log(np.maximum(fidelities, 1e-12))
    rates = np.linalg.solve(1.0 - commute[1:, 1:], -logs[1:])
    # The identity has fidelity 1 and no rate; the other fifteen determine each other.
    letters = [a + b for a in "IXYZ" for b in "IXYZ"]
    return {letters[i + 1]: float(rate) for i, rate in enumerate(rates) if rate > 1e-12}
