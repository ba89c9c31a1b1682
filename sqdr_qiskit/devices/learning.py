"""Learning a chip's noise from what it measured: the calibration corrected by maximum likelihood.

Every noise parameter is a number in the chain of Pauli-transfer matrices that a tile is, so one forward sweep
of the state and one backward sweep of the reading give an expectation E and its derivatives by all of them.
Parameters are logarithms, with a normal prior around the calibration:

    T1, T2 of each qubit (relaxation during gates and while it waits),
    the depolarizing strength of each qubit's pulses and of each pair's gate,
    both readout errors of each qubit that is read.

A reading of +1 has probability (1 + E) / 2. The likelihood of the counts is maximised by Fisher scoring
(least squares with weights from the fit itself; SciPy); the covariance is the inverse of Fisher matrix plus
prior. Coherent errors, crosstalk and drift are not in the model: chi-square on samples that were held out
says whether it is enough.

Source of the noise's form: `noise_models.calibration`, the rule of Aer's `NoiseModel.from_backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rustworkx
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from scipy.optimize import least_squares
from scipy.stats import chi2

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.programs import DeviceProgram, Round
from sqdr_qiskit.devices.rehearsal import part_in_use, waiting_time
from sqdr_qiskit.errors import ArgumentError, UnsupportedError
from sqdr_qiskit.lightcone.operations import CZ, Fixed, Rotation, normal_form
from sqdr_qiskit.specs.device import DeviceSnapshot

__all__ = ["Estimate", "learn_noise", "LearntNoise"]

_Float = NDArray[np.float64]
_Key = tuple[str, tuple[int, ...]]  # what, and on which of the device's qubits

_WIDEST = 4  # qubits of a tile: 4^n coefficients a sample
_LEAST = 1e-5  # of a rate: a calibration that says 0 is not believed
_PRIOR = {"T1": 0.7, "T2": 0.7, "pulse": 1.2, "pair": 1.2, "p01": 0.8, "p10": 0.8}
"""Standard deviation of each logarithm around the calibration: a factor of two to three."""
_UNTOLD = 0.7  # of the prior's width; what stays wider, the data do not tell
_BAD = 1e-3  # p-value of chi-square


@dataclass(frozen=True)
class Estimate:
    """One parameter of the noise.

    Attributes:
        what: `T1`, `T2` (seconds), `pulse`, `pair` (depolarizing probability), `p01` or `p10`.
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
        p_value: Of chi-square after: how often shots alone would deviate as much.
    """

    estimates: tuple[Estimate, ...]
    n_fitted: int
    n_held_out: int
    before: float
    after: float
    p_value: float

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
            if key not in known or gate.name not in ("sx", "x", "u3", "cz", "ecr", "cx"):
                gates.append(gate)
                continue
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
        return replace(
            device,
            t1_us=column("T1", device.t1_us, 1e6),
            t2_us=column("T2", device.t2_us, 1e6),
            p01=column("p01", device.p01),
            p10=column("p10", device.p10),
            gates=tuple(gates),
        )


def learn_noise(
    program: DeviceProgram,
    chip: Chip,
    values: _Float,
    expectations: _Float,
    *,
    shots: int,
    places: NDArray[np.int64] | None = None,
    held_out: float = 0.2,
) -> LearntNoise:
    """Fit the noise of the qubits in use to measured expectation values.

    Args:
        program: What ran, laid out in tiles.
        chip: The device by its calibration.
        values: Parameters of the original circuit, shape (batch, n_params), radians.
        expectations: What was measured, shape (batch, n_observables), without mitigation.
        shots: Readings of each.
        places: Each sample's number within the PUB that it was sent in, which says where it stood; all in one
            PUB if None.
        held_out: Share of the samples that is not fitted but predicted.

    Raises:
        UnsupportedError: A tile of more than 4 qubits, or outputs that are not one qubit's readings.
        ArgumentError: Too few samples.
    """
    logical = program.logical
    if logical.weights.shape[0] != logical.weights.shape[1] or not np.array_equal(
        logical.weights, np.eye(len(logical.weights))
    ):
        raise UnsupportedError("Noise can be learnt where each output is one reading, but these are sums.")
    n_copies = max(len(part.copies) for part in program.rounds)
    if len(values) < 5 * n_copies:
        raise ArgumentError(
            f"Argument `values` must hold at least {5 * n_copies} samples, {n_copies} side by side, but "
            f"holds {len(values)}."
        )
    inner = program.inner(values)
    places = np.arange(len(values)) if places is None else places
    test = np.random.default_rng(0).permutation(len(values)) < held_out * len(values)
    tiles = [
        tile
        for part in program.rounds
        for number in range(len(part.copies))
        for tile in _tiles(part, number, inner, places, chip)
    ]
    estimates: list[Estimate] = []
    found: list[tuple[_Float, _Float, _Float]] = []  # measured, by calibration, learnt; of what is held out
    n_fitted = 0
    for group in _connected(tiles):
        keys = sorted({key for tile in group for key in tile.keys})
        start = np.array([np.log(_calibrated(chip, key)) for key in keys])
        width = np.array([_PRIOR[what] for what, _ in keys])
        fitted, covariance = _fit(group, keys, start, width, expectations, ~test, shots)
        for i, (what, qubits) in enumerate(keys):
            deviation = float(np.sqrt(covariance[i, i]))
            low, value, high = np.exp(fitted[i] + np.array([-1.96, 0.0, 1.96]) * deviation)
            told = deviation < _UNTOLD * width[i]
            estimates.append(
                Estimate(
                    what, qubits, float(np.exp(start[i])), float(value), float(low), float(high), bool(told)
                )
            )
        for tile in group:
            part = test[tile.samples]
            n_fitted += int((~part).sum()) * len(tile.terms)
            measured = expectations[np.ix_(tile.samples[part], tile.terms)]
            guesses = [
                tile.predict(dict(zip(keys, np.exp(x), strict=True)), part)[0] for x in (start, fitted)
            ]
            found.append((measured.ravel(), guesses[0].ravel(), guesses[1].ravel()))
    measured, before, after = (np.concatenate([row[i] for row in found]) for i in range(3))
    deviations = [
        float(np.sum((measured - guess) ** 2 / _variance(guess, shots))) for guess in (before, after)
    ]
    n = len(measured)
    return LearntNoise(
        tuple(sorted(estimates, key=lambda e: (e.what, e.qubits))),
        n_fitted,
        n,
        deviations[0] / max(n, 1),
        deviations[1] / max(n, 1),
        float(chi2.sf(deviations[1], n)) if n else 1.0,
    )


def _fit(
    group: Sequence[_Tile],
    keys: Sequence[_Key],
    start: _Float,
    width: _Float,
    expectations: _Float,
    chosen: NDArray[np.bool_],
    shots: int,
) -> tuple[_Float, _Float]:
    """Most likely logarithms, and their covariance."""
    parts = [chosen[tile.samples] for tile in group]
    measured = np.concatenate(
        [
            expectations[np.ix_(tile.samples[part], tile.terms)].ravel()
            for tile, part in zip(group, parts, strict=True)
        ]
    )

    def predicted(x: _Float) -> tuple[_Float, _Float]:
        rates = dict(zip(keys, np.exp(x), strict=True))
        both = [tile.predict(rates, part, keys) for tile, part in zip(group, parts, strict=True)]
        values: _Float = np.concatenate([e.ravel() for e, _ in both])
        jacobian: _Float = np.concatenate([along.reshape(-1, len(keys)) for _, along in both])
        return values, jacobian

    x, weights = start, 1.0 / np.sqrt(_variance(measured, shots))
    for _ in range(3):  # with the fit's own weights its end is where the likelihood is largest
        last: dict[bytes, tuple[_Float, _Float]] = {}

        def at(x: _Float, last: dict[bytes, tuple[_Float, _Float]] = last) -> tuple[_Float, _Float]:
            if x.tobytes() not in last:
                last.clear()
                last[x.tobytes()] = predicted(x)
            return last[x.tobytes()]

        def residuals(x: _Float, at=at, weights=weights) -> _Float:  # type: ignore[no-untyped-def]
            return np.concatenate([weights * (at(x)[0] - measured), (x - start) / width])

        def slopes(x: _Float, at=at, weights=weights) -> _Float:  # type: ignore[no-untyped-def]
            return np.concatenate([weights[:, None] * at(x)[1], np.diag(1.0 / width)])

        x = least_squares(residuals, x, jac=slopes, x_scale=width, max_nfev=50).x
        values, jacobian = predicted(x)
        weights = 1.0 / np.sqrt(_variance(values, shots))
    fisher = (jacobian * weights[:, None] ** 2).T @ jacobian + np.diag(1.0 / width**2)
    return x, np.asarray(np.linalg.inv(fisher), dtype=np.float64)


def _variance(expectations: _Float, shots: int) -> _Float:
    """Of a mean of readings; never below that of one reading in as many as half of them."""
    return np.asarray(np.maximum(1.0 - expectations**2, 2.0 / shots) / shots)


def _calibrated(chip: Chip, key: _Key) -> float:
    what, qubits = key
    if what in ("T1", "T2"):
        return float(min(chip.relaxation(qubits[0])[0 if what == "T1" else 1], 1.0))
    if what in ("p01", "p10"):
        return max(chip.readout[qubits[0]][0 if what == "p01" else 1], _LEAST)
    if what == "pulse":
        name, where = ("sx" if chip.one_qubit_gates == "zsx" else "u3"), qubits
    else:
        edge = chip.edges[frozenset(qubits)]
        name, where = edge.name, edge.qubits
    for channel, _ in chip.channels_after(name, where):
        if channel.kind.startswith("depolarizing"):
            d = 4 ** len(where)
            return max(channel["p"] * d / (d - 1), _LEAST)
    return _LEAST


def _connected(tiles: Sequence[_Tile]) -> list[list[_Tile]]:
    """Tiles that share a qubit, directly or through others, together."""
    graph: rustworkx.PyGraph[int, None] = rustworkx.PyGraph()
    graph.add_nodes_from(range(len(tiles)))
    first: dict[int, int] = {}
    for number, tile in enumerate(tiles):
        for qubit in tile.qubits:
            graph.add_edge(first.setdefault(qubit, number), number, None)
    return [[tiles[i] for i in sorted(part)] for part in rustworkx.connected_components(graph)]


def _tiles(part: Round, number: int, inner: _Float, places: NDArray[np.int64], chip: Chip) -> list[_Tile]:
    """The tiles of one place of a round, with the angles of the samples that stand there."""
    copy, words = part.copies[number], part.words[number]
    samples = np.flatnonzero(places % len(part.copies) == number)
    angles = copy.angles(inner[samples])
    tiles = []
    for wires in part.lines[number]:
        own = QuantumCircuit(copy.circuit.num_qubits)
        for item in copy.circuit.data:
            where = [copy.circuit.find_bit(qubit).index for qubit in item.qubits]
            if set(where) <= set(wires):
                own.append(item.operation, where)
        terms, read = [], []
        for term, word in zip(part.terms, words, strict=True):
            ((letters, qubits, _),) = word.to_sparse_list()
            if not set(qubits) <= set(wires):
                continue
            if len(qubits) != 1:
                raise UnsupportedError("Noise can be learnt where each output is read on one qubit.")
            terms.append(term)
            read.append((int(qubits[0]), "IXYZ".index(letters)))
        column = {parameter: i for i, parameter in enumerate(copy.parameters)}
        chosen = angles[:, [column[parameter] for parameter in own.parameters]]
        tiles.append(_Tile(own, tuple(read), np.array(terms, dtype=np.int64), samples, chosen, chip))
    return tiles


class _Tile:
    """A tile's expectations as functions of its noise, sample by sample, in the Pauli basis."""

    def __init__(
        self,
        circuit: QuantumCircuit,
        read: tuple[tuple[int, int], ...],
        terms: NDArray[np.int64],
        samples: NDArray[np.int64],
        angles: _Float,
        chip: Chip,
    ) -> None:
        part = part_in_use(circuit, chip, sorted({qubit for qubit, _ in read}))
        if len(part.qubits) > _WIDEST:
            raise UnsupportedError(
                f"Noise can be learnt on tiles of at most {_WIDEST} qubits (two blocks), but one has "
                f"{len(part.qubits)}."
            )
        self.qubits, self.terms, self.samples = part.qubits, terms, samples
        self._n = len(part.qubits)
        self._read = [(part.qubits.index(qubit), letter, qubit) for qubit, letter in read]
        form = normal_form(part.circuit)
        radians = form.radians(angles)
        self._cosines, self._sines = np.cos(radians), np.sin(radians)
        letters = np.arange(4**self._n)
        self._letter = [letters >> 2 * q & 3 for q in range(self._n)]
        self._steps: list[tuple[str, tuple[int, ...], Any]] = []
        by_instruction: dict[int, list[Rotation | Fixed | CZ]] = {}
        for op in form.operations:
            assert isinstance(op, Rotation | Fixed | CZ)
            by_instruction.setdefault(op.instruction, []).append(op)
        self.keys: set[_Key] = {(what, (qubit,)) for _, _, qubit in self._read for what in ("p01", "p10")}
        for index, item in enumerate(part.circuit.data):
            for op in by_instruction.get(index, ()):
                if isinstance(op, Rotation):
                    self._steps.append(("turn", (op.qubit,), (op.axis, op.angle)))
                elif isinstance(op, Fixed):
                    self._steps.append(("map", (op.qubit,), op.ptm))
                else:
                    self._steps.append(("cz", op.qubits, self._permutation(*op.qubits)))
            where = tuple(part.circuit.find_bit(qubit).index for qubit in item.qubits)
            self._noise(item.operation.label or item.operation.name, where, chip)

    def _noise(self, name: str, where: tuple[int, ...], chip: Chip) -> None:
        qubits = tuple(self.qubits[q] for q in where)
        waited = waiting_time(name)
        seconds = chip.duration(name, qubits) if waited is None else waited
        if waited is None and (seconds or chip.gate_error(name, qubits)):
            key = ("pulse" if len(where) == 1 else "pair", tuple(sorted(qubits)))
            mask = np.any([self._letter[q] != 0 for q in where], axis=0).astype(np.float64)
            self._steps.append(("depolarize", where, (key, mask)))
            self.keys.add(key)
        if seconds:
            for q, qubit in zip(where, qubits, strict=True):
                self._steps.append(("relax", (q,), (qubit, seconds)))
                self.keys |= {("T1", (qubit,)), ("T2", (qubit,))}

    def _permutation(self, first: int, second: int) -> tuple[NDArray[np.int64], _Float]:
        """CZ: which coefficient comes from where, and its sign; its own inverse."""
        a, b = self._letter[first], self._letter[second]
        flag_a, flag_b = (a == 1) | (a == 2), (b == 1) | (b == 2)
        other_a, other_b = np.where(flag_b, 3 - a, a), np.where(flag_a, 3 - b, b)
        places = np.arange(4**self._n) + ((other_a - a) << 2 * first) + ((other_b - b) << 2 * second)
        return places, np.where(flag_a & flag_b & (a != b), -1.0, 1.0)

    def predict(
        self, rates: dict[_Key, float], chosen: NDArray[np.bool_], keys: Sequence[_Key] = ()
    ) -> tuple[_Float, _Float]:
        """Expectations of readings and their slopes.

        Args:
            rates: The noise.
            chosen: Which of its samples.
            keys: Parameters by whose logarithms slopes are wanted.

        Returns:
            Shapes (samples, n_terms) and (samples, n_terms, len(keys)).
        """
        cosines, sines = self._cosines[chosen], self._sines[chosen]
        state = np.zeros((len(cosines), 4**self._n))
        state[:, np.all([(letter == 0) | (letter == 3) for letter in self._letter], axis=0)] = 1.0
        kept: list[_Float] = []
        for kind, where, facts in self._steps:
            if keys and kind in ("depolarize", "relax"):
                kept.append(state.copy())
            state = self._apply(state, kind, where, facts, rates, cosines, sines, back=False)
        column = {key: i for i, key in enumerate(keys)}
        values = np.zeros((len(cosines), len(self._read)))
        slopes = np.zeros((len(cosines), len(self._read), len(keys)))
        for row, (q, letter, qubit) in enumerate(self._read):
            place = letter << 2 * q
            p01, p10 = rates["p01", (qubit,)], rates["p10", (qubit,)]
            scale = 1.0 - p01 - p10
            values[:, row] = scale * state[:, place] + p10 - p01
            if not keys:
                continue
            slopes[:, row, column["p01", (qubit,)]] = -p01 * (state[:, place] + 1.0)
            slopes[:, row, column["p10", (qubit,)]] = p10 * (1.0 - state[:, place])
            operator = np.zeros_like(state)
            operator[:, place] = scale
            number = len(kept)
            for kind, where, facts in reversed(self._steps):
                if kind in ("depolarize", "relax"):
                    number -= 1
                    for key, slope in self._slopes(operator, kept[number], kind, where, facts, rates):
                        slopes[:, row, column[key]] += slope
                operator = self._apply(operator, kind, where, facts, rates, cosines, sines, back=True)
        return values, slopes

    def _slopes(
        self,
        operator: _Float,
        state: _Float,
        kind: str,
        where: tuple[int, ...],
        facts: Any,
        rates: dict[_Key, float],
    ) -> list[tuple[_Key, _Float]]:
        """What a noisy step adds to the slopes: <operator| d(step) / d(log rate) |state>."""
        if kind == "depolarize":
            key, mask = facts
            return [(key, -rates[key] * np.einsum("sk,sk,k->s", operator, state, mask))]
        qubit, seconds = facts
        one, two = (seconds / rates[what, (qubit,)] for what in ("T1", "T2"))
        letter = self._letter[where[0]]
        ones, across, along = letter == 0, (letter == 1) | (letter == 2), letter == 3
        shrunk = np.einsum("sk,sk->s", operator[:, along], state[:, along] - state[:, ones])
        turned = np.einsum("sk,sk->s", operator[:, across], state[:, across])
        return [
            (("T1", (qubit,)), one * np.exp(-one) * shrunk),
            (("T2", (qubit,)), two * np.exp(-two) * turned),
        ]

    def _apply(
        self,
        vectors: _Float,
        kind: str,
        where: tuple[int, ...],
        facts: Any,
        rates: dict[_Key, float],
        cosines: _Float,
        sines: _Float,
        *,
        back: bool,
    ) -> _Float:
        """A step on states, or (`back`) its transpose on operators."""
        if kind == "cz":
            places, signs = facts
            return np.asarray(vectors[:, places] * signs)
        if kind == "depolarize":
            key, mask = facts
            return np.asarray(vectors * (1.0 - rates[key] * mask))
        letter = self._letter[where[0]]
        at = [np.flatnonzero(letter == a) for a in range(4)]
        found = vectors.copy()
        if kind == "turn":
            axis, angle = facts
            p, q = at[axis % 3 + 1], at[(axis + 1) % 3 + 1]
            cosine, sine = cosines[:, angle, None], (-1.0 if back else 1.0) * sines[:, angle, None]
            found[:, p] = cosine * vectors[:, p] - sine * vectors[:, q]
            found[:, q] = sine * vectors[:, p] + cosine * vectors[:, q]
        elif kind == "map":
            matrix = np.asarray(facts).T if back else np.asarray(facts)
            for a in range(4):
                found[:, at[a]] = sum(matrix[a, b] * vectors[:, at[b]] for b in range(4))
        else:
            qubit, seconds = facts
            one, two = (np.exp(-seconds / rates[what, (qubit,)]) for what in ("T1", "T2"))
            found[:, at[1]] *= two
            found[:, at[2]] *= two
            found[:, at[3]] *= one
            if back:
                found[:, at[0]] += (1.0 - one) * vectors[:, at[3]]
            else:
                found[:, at[3]] += (1.0 - one) * vectors[:, at[0]]
        return found
