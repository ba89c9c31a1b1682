"""Learning a chip's noise from what it measured: the calibration corrected by maximum likelihood.

The parameters are those of `tile_noise`. A reading of +1 has probability (1 + E) / 2, and E is nearly linear
in all of them, rates and angles alike; so they are fitted as they are (not their logarithms: what a rate's
interval is would then hang on how high its estimate happened to fall), with a normal prior around the
calibration that ends at zero where a parameter cannot be negative:

    rates, strengths and readout errors: one and a half times as wide as the calibrated value is large,
    over_rotation, zz: 0.05 and 0.03 rad.

The likelihood of the counts is maximised by Fisher scoring. The posterior is taken for normal, with the
inverse of Fisher matrix plus prior for covariance, and cut off at zero. Drift, leakage and readout errors
that qubits share are not in the model: chi-square on samples that were held out says whether it is enough.

The same Fisher matrix says which probes tell most: rows of samples are chosen one by one such that its
determinant grows fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import rustworkx
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.stats import chi2, norm

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.programs import DeviceProgram
from sqdr_qiskit.devices.tile_noise import Key, NoisyTile, calibrated, require_tiles, tiles_of
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.device import COHERENT, DeviceRotation, DeviceSnapshot

__all__ = ["choose_probes", "Estimate", "learn_noise", "require_learnable", "LearntNoise", "Measured"]

_Float = NDArray[np.float64]

_WIDTH = 1.5
"""Standard deviation of the prior of each rate, in units of the calibrated one."""
_ANGLES = {"over_rotation": 0.05, "zz": 0.03}
"""The same of each angle, radians."""
_LEAST = {"T1": 1e2, "T2": 1e2, "p01": 5e-3, "p10": 5e-3}
"""A rate that the prior allows for whatever the calibration says: per second, or a probability."""
_FOREVER = 1e3  # s: the longest time that is written
_UNTOLD = 0.7  # of the prior's width; what stays wider, the data do not tell
_BAD = 1e-3  # p-value of chi-square
_ROUNDS = 12
_HELD_OUT = 0.2  # share of the samples that is not fitted but predicted
_CANDIDATES = 8  # rows to choose from, for each probe that is chosen


@dataclass(frozen=True)
class Measured:
    """What a device gave for a circuit.

    Attributes:
        values: Parameters of the original circuit, shape (batch, n_params), radians.
        expectations: What was measured, shape (batch, n_observables), without mitigation.
        places: Each sample's number within the PUB that it was sent in, which says where it stood.
        shots: Readings of each.
    """

    values: _Float
    expectations: _Float
    places: NDArray[np.int64]
    shots: int


@dataclass(frozen=True)
class Estimate:
    """One parameter of the noise.

    Attributes:
        what: `T1`, `T2` (seconds), `pulse`, `pair` (depolarizing probability), `over_rotation`, `zz`
            (radians), `p01` or `p10`.
        qubits: The device's qubits.
        calibrated: What the calibration says.
        value: What the data say.
        low: Lower end of the 95 % interval.
        high: Upper end.
        told: Whether the data tell it; else it is little more than the calibration.
    """

    what: str
    qubits: tuple[int, ...]
    calibrated: float
    value: float
    low: float
    high: float
    told: bool


@dataclass(frozen=True)
class LearntNoise:
    """What was learnt.

    Attributes:
        estimates: Of the parameters that the circuits depend on.
        n_fitted: Expectation values that were fitted.
        n_held_out: Those that were held out.
        before: Chi-square per degree of freedom of the held-out values under the calibration.
        after: The same under what was learnt.
        p_value: Of chi-square after, the prediction's own uncertainty counted in: how often a chip with such
            noise would deviate as much.
        held_out: For each held-out value what was measured, what the calibration and what was learnt predict,
            and its standard error by shots; shape (n_held_out, 4).
    """

    estimates: tuple[Estimate, ...]
    n_fitted: int
    n_held_out: int
    before: float
    after: float
    p_value: float
    held_out: _Float

    @property
    def fits(self) -> bool:
        """Whether the model explains what was held out."""
        return self.p_value >= _BAD

    def applied_to(self, device: DeviceSnapshot, chip: Chip) -> DeviceSnapshot:
        """The calibration with what was learnt in its place.

        Args:
            device: The calibration.
            chip: The same as a chip.
        """
        known = {(e.what, e.qubits): e.value for e in self.estimates}

        def column(what: str, old: Sequence[float | None], factor: float = 1.0) -> tuple[float | None, ...]:
            found = [known.get((what, (q,))) for q in range(len(old))]
            return tuple(
                value if new is None else float(f"{new * factor:.12g}")
                for new, value in zip(found, old, strict=True)
            )

        gates = []
        for gate in device.gates:
            key = ("pulse" if len(gate.qubits) == 1 else "pair", tuple(sorted(gate.qubits)))
            if key not in known or gate.name not in ("sx", "x", "rx", "u3", "cz", "ecr", "cx"):
                gates.append(gate)
                continue
            # The rule of `noise_models.calibration` backwards: the calibrated infidelity holds the relaxation
            # during the gate, too, and so changes with T1 and T2.
            duration = chip.duration(gate.name, gate.qubits)
            relax = 1.0
            for q in gate.qubits:
                t1 = known.get(("T1", (q,)), chip.relaxation(q)[0])
                t2 = min(known.get(("T2", (q,)), chip.relaxation(q)[1]), 2 * t1)
                relax *= (1 + 2 * np.exp(-duration / t2) + np.exp(-duration / t1)) / 4
            d = 2 ** len(gate.qubits)
            fidelity = (d * relax + 1) / (d + 1)
            error = known[key] * (d * fidelity - 1) / d + 1 - fidelity
            gates.append(replace(gate, error=float(min(max(error, 0.0), 1.0))))
        turned = {(one.kind, one.qubits): one.angle_rad for one in device.rotations}
        turned |= {
            (e.what, (e.qubits[0], e.qubits[1])): float(f"{e.value:.12g}")
            for e in self.estimates
            if e.what in COHERENT
        }
        return replace(
            device,
            t1_us=column("T1", device.t1_us, 1e6),
            t2_us=column("T2", device.t2_us, 1e6),
            p01=column("p01", device.p01),
            p10=column("p10", device.p10),
            gates=tuple(gates),
            rotations=tuple(DeviceRotation(kind, pair, angle) for (kind, pair), angle in turned.items()),
        )


def learn_noise(program: DeviceProgram, chip: Chip, measured: Sequence[Measured]) -> LearntNoise:
    """Fit the noise of the qubits in use to measured expectation values.

    Args:
        program: What ran, laid out in tiles.
        chip: The device by its calibration.
        measured: What it gave.

    Raises:
        UnsupportedError: See `require_learnable`.
        ArgumentError: Too few samples.
    """
    n_samples = sum(len(run.values) for run in measured)
    require_learnable(program, n_samples)
    expectations = np.concatenate([run.expectations for run in measured])
    shots = np.concatenate([np.full(len(run.values), run.shots) for run in measured])
    values, places = (
        np.concatenate([getattr(run, name) for run in measured]) for name in ("values", "places")
    )
    tiles = tiles_of(program, chip, program.inner(values), places)
    # A fixed seed: the same measurements give the same file.
    test = np.random.default_rng(0).permutation(n_samples) < _HELD_OUT * n_samples
    estimates: list[Estimate] = []
    rows: list[_Float] = []
    uncertain: list[_Float] = []
    n_fitted = 0
    for group, keys in _connected(tiles):
        fit = _Fit(chip, group, keys, expectations, shots)
        fitted, covariance = fit.most_likely(~test)
        estimates += fit.estimates(fitted, covariance)
        n_fitted += len(fit.measured(~test))
        after, slopes = fit.predicted(fitted, test)
        before = fit.predicted(np.zeros(len(keys)), test)[0]
        spread = np.sqrt(_variance(after, fit.shots(test)))
        rows.append(np.stack([fit.measured(test), before, after, spread], axis=1))
        uncertain.append(np.einsum("vi,ij,vj->v", slopes, covariance, slopes))
    found = np.concatenate(rows)
    # A prediction is uncertain itself; without its share honest fits would seem to fail.
    both = found[:, 3] ** 2 + np.concatenate(uncertain)
    seen, before, after, spread = found.T
    n = len(found)
    return LearntNoise(
        tuple(sorted(estimates, key=lambda e: (e.what, e.qubits))),
        n_fitted,
        n,
        float(np.sum(((seen - before) / spread) ** 2)) / max(n, 1),
        float(np.sum(((seen - after) / spread) ** 2)) / max(n, 1),
        float(chi2.sf(np.sum((seen - after) ** 2 / both), n)) if n else 1.0,
        found,
    )


def choose_probes(
    program: DeviceProgram,
    chip: Chip,
    measured: Sequence[Measured],
    *,
    n_rows: int,
    shots: int,
    seed: int = 0,
) -> _Float:
    """Angles that tell the parameters of the noise apart, given what is measured already.

    From random rows (samples that run at once), half of them with angles in quarter turns, the next is always
    the one by which log det of the Fisher matrix, prior included, grows most. Exact for the calibration's
    noise, and nearly so for any near it.

    Args:
        program: Laid out in tiles.
        chip: The device by its calibration.
        measured: What it gave so far.
        n_rows: How many rows to choose.
        shots: Readings of each.
        seed: Of the candidates.

    Returns:
        Parameters of the original circuit, shape (n_rows * samples side by side, n_params), radians.

    Raises:
        UnsupportedError: See `learn_noise`.
    """
    require_tiles(program)
    rng = np.random.default_rng(seed)
    n_copies = max(len(part.copies) for part in program.rounds)
    n_params = program.logical.depends.shape[1]
    many = _CANDIDATES * n_rows * n_copies
    values = rng.uniform(-np.pi, np.pi, (many, n_params))
    # At quarter turns an ideal reading is 0 or +-1; near +-1 shots scatter least.
    quarters = np.repeat(rng.random(many // n_copies) < 0.5, n_copies)
    values[quarters] = np.round(values[quarters] / (np.pi / 2)) * np.pi / 2
    known = tiles_of(
        program,
        chip,
        program.inner(np.concatenate([np.zeros((0, n_params)), *(run.values for run in measured)])),
        np.concatenate([np.zeros(0, dtype=np.int64), *(run.places for run in measured)]),
    )
    expectations = np.zeros((many, len(program.logical.terms)))
    chosen: list[int] = []
    groups = []
    for group, keys in _connected(tiles_of(program, chip, program.inner(values), np.arange(many))):
        start = np.eye(len(keys))
        numbers = np.concatenate([np.full(len(run.values), run.shots) for run in measured] or [np.zeros(0)])
        own = [tile for tile in known if set(tile.keys) & set(keys)]
        if measured and own:
            seen = np.concatenate([run.expectations for run in measured])
            before = _Fit(chip, own, keys, seen, numbers)
            everything = np.ones(len(seen), dtype=bool)
            guess, slopes = before.predicted(np.zeros(len(keys)), everything)
            start += (slopes.T / _variance(guess, before.shots(everything))) @ slopes
        fit = _Fit(chip, group, keys, expectations, np.full(many, shots))
        guess, slopes = fit.predicted(np.zeros(len(keys)), np.ones(many, dtype=bool))
        scaled = slopes / np.sqrt(_variance(guess, np.full(len(guess), shots)))[:, None]
        groups.append((np.linalg.inv(start), scaled, fit.samples // n_copies))
    for _ in range(n_rows):
        gains = np.zeros(many // n_copies)
        for covariance, scaled, rows in groups:
            for row in range(len(gains)):
                own_rows = scaled[rows == row]
                inner = np.eye(len(own_rows)) + own_rows @ covariance @ own_rows.T
                gains[row] += np.linalg.slogdet(inner)[1]
        gains[chosen] = -np.inf  # each row at most once
        best = int(np.argmax(gains))
        chosen.append(best)
        updated = []
        for covariance, scaled, rows in groups:
            own_rows = scaled[rows == best]
            # Woodbury: the inverse of Fisher + own_rows^T own_rows, without inverting it anew.
            side = covariance @ own_rows.T
            inner = np.eye(len(own_rows)) + own_rows @ side
            updated.append((covariance - side @ np.linalg.solve(inner, side.T), scaled, rows))
        groups = updated
    return np.concatenate([values[row * n_copies : (row + 1) * n_copies] for row in chosen])


def require_learnable(program: DeviceProgram, n_samples: int) -> None:
    """Refuse what no noise can be learnt from, before anything is measured.

    Raises:
        UnsupportedError: A tile of more than 7 qubits, or outputs that are not one qubit's readings.
        ArgumentError: Too few samples.
    """
    require_tiles(program)
    n_copies = max(len(part.copies) for part in program.rounds)
    if n_samples < 5 * n_copies:
        raise ArgumentError(
            f"Argument `measured` must hold at least {5 * n_copies} samples, {n_copies} side by side, but "
            f"holds {n_samples}."
        )


class _Fit:
    """Tiles that share parameters, in units of the prior: u = (parameter - calibrated) / width."""

    def __init__(
        self, chip: Chip, tiles: Sequence[NoisyTile], keys: Sequence[Key], expectations: _Float, shots: _Float
    ) -> None:
        self._tiles, self._keys = tiles, keys
        self._expectations, self._shots = expectations, shots
        self._start = np.array([calibrated(chip, key) for key in keys])
        self._width = np.array([_width(chip, key) for key in keys])
        signed = np.array([key[0] in _ANGLES for key in keys])
        self._lowest = np.where(signed, -np.inf, -self._start / self._width)
        # Of each value: whose sample's it is, and which term's.
        self.samples = np.concatenate([np.repeat(tile.samples, len(tile.terms)) for tile in tiles])
        self._terms = np.concatenate([np.tile(tile.terms, len(tile.samples)) for tile in tiles])

    def measured(self, chosen: NDArray[np.bool_]) -> _Float:
        """Expectation values of the chosen samples, tile after tile, as `predicted` gives them."""
        kept = chosen[self.samples]
        return np.asarray(self._expectations[self.samples[kept], self._terms[kept]])

    def shots(self, chosen: NDArray[np.bool_]) -> _Float:
        """Readings of each of them."""
        return np.asarray(self._shots[self.samples[chosen[self.samples]]])

    def predicted(self, u: _Float, chosen: NDArray[np.bool_]) -> tuple[_Float, _Float]:
        """Expectation values at these parameters, and their slopes: shapes (n,) and (n, len(keys))."""
        rates = dict(zip(self._keys, self._start + u * self._width, strict=True))
        column = {key: i for i, key in enumerate(self._keys)}
        values, slopes = [], []
        for tile in self._tiles:
            own = [key for key in self._keys if key in tile.keys]
            found, along = tile.predict(rates, chosen[tile.samples], own)
            wide = np.zeros((found.size, len(self._keys)))
            wide[:, [column[key] for key in own]] = along.reshape(found.size, len(own))
            values.append(found.ravel())
            slopes.append(wide)
        return np.concatenate(values), np.concatenate(slopes) * self._width

    def most_likely(self, chosen: NDArray[np.bool_]) -> tuple[_Float, _Float]:
        """Fisher scoring: the most likely parameters, and the covariance of the posterior."""
        measured, shots = self.measured(chosen), self.shots(chosen)
        u = np.zeros(len(self._keys))
        for _ in range(_ROUNDS):
            values, slopes = self.predicted(u, chosen)
            weights = 1.0 / _variance(values, shots)
            fisher = (slopes.T * weights) @ slopes + np.eye(len(u))
            gradient = slopes.T @ (weights * (measured - values)) - u
            # Newton's step is the least-squares solution by the matrix's root, and that takes bounds.
            root = np.linalg.cholesky(fisher)
            step = lsq_linear(
                root.T,
                np.linalg.solve(root, gradient),
                bounds=(self._lowest - u - 1e-9, np.inf),
                method="bvls",
            ).x
            u = u + step
            if np.max(np.abs(step)) < 1e-3:
                break
        return np.maximum(u, self._lowest), np.asarray(np.linalg.inv(fisher), dtype=np.float64)

    def estimates(self, u: _Float, covariance: _Float) -> list[Estimate]:
        """Parameters with their intervals: a normal posterior, cut off at zero."""
        found = []
        for i, (what, qubits) in enumerate(self._keys):
            deviation = float(np.sqrt(covariance[i, i]))
            below = norm.cdf((self._lowest[i] - u[i]) / deviation)
            half = norm.ppf(0.5 + 0.475 * (1.0 - below))
            ends = np.array([-half, half])  # the most likely 95 % of what is above zero
            if u[i] - half * deviation < self._lowest[i]:
                ends = np.array(
                    [(self._lowest[i] - u[i]) / deviation, norm.ppf(below + 0.95 * (1.0 - below))]
                )
            rates = self._start[i] + self._width[i] * (u[i] + deviation * np.array([0.0, *ends]))
            value, low, high = (float(rate) for rate in rates)
            start = float(self._start[i])
            if what in ("T1", "T2"):
                start, value, high, low = (
                    1.0 / max(rate, 1 / _FOREVER) for rate in (start, value, low, high)
                )
            found.append(Estimate(what, qubits, start, value, low, high, bool(deviation < _UNTOLD)))
        return found


def _width(chip: Chip, key: Key) -> float:
    """Standard deviation of a parameter's prior."""
    what, qubits = key
    if what in _ANGLES:
        return _ANGLES[what]
    # A rate that is calibrated to be 0 must be able to rise.
    least = _LEAST.get(what, 0.0)
    if what == "pulse":  # strength that alone would make the calibrated infidelity
        least = 2 * chip.turn_error(qubits[0])
    elif what == "pair":
        least = 4 / 3 * chip.edges[frozenset(qubits)].error
    return _WIDTH * max(calibrated(chip, key), least, 1e-5)


def _variance(expectations: _Float, shots: _Float) -> _Float:
    """Of a mean of readings; never below that of one reading in as many as half of them."""
    return np.asarray(np.maximum(1.0 - expectations**2, 2.0 / shots) / shots)


def _connected(tiles: Sequence[NoisyTile]) -> list[tuple[list[NoisyTile], list[Key]]]:
    """Tiles that share a parameter, directly or through others, with all parameters that they depend on."""
    graph: rustworkx.PyGraph[int, None] = rustworkx.PyGraph()
    graph.add_nodes_from(range(len(tiles)))
    first: dict[Key, int] = {}
    seen: list[set[Key]] = []
    for number, tile in enumerate(tiles):
        keys = sorted(tile.keys)
        slopes = tile.predict({}, np.ones(len(tile.samples), dtype=bool), keys)[1]
        moving = np.abs(slopes).max(axis=(0, 1), initial=0.0) > 1e-12
        seen.append({key for key, moves in zip(keys, moving, strict=True) if moves})
        for key in seen[-1]:
            graph.add_edge(first.setdefault(key, number), number, None)
    return [
        ([tiles[i] for i in sorted(part)], sorted(set().union(*(seen[i] for i in part))))
        for part in rustworkx.connected_components(graph)
    ]
