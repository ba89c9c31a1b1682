"""A tile's expectations as functions of its noise, sample by sample, with exact slopes.

Every noise parameter is a number in the chain of Pauli-transfer matrices that a tile is, so one forward sweep
of the state and one backward sweep of the reading give an expectation and its derivatives by all of them:

    T1, T2: relaxation rates of each qubit, per second (during gates and while it waits),
    pulse, pair: the depolarizing strength of each qubit's pulses and of each pair's gate,
    over_rotation: the angle by which a pair's gate turns too far,
    zz: the angle by which a gate turns one of its qubits with a neighbour in another tile,
    p01, p10: the readout errors of each qubit that is read.

Crosstalk takes the neighbour's Z by its mean (of the sample that stands beside): an X of the tile's qubit
becomes cos(n angle) X + <Z> sin(n angle) Y, for the n gates between two of its turns. That is exact while the
neighbour does not turn between them.

Source of the noise's form: `noise_models.calibration`, the rule of Aer's `NoiseModel.from_backend`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from sqdr_qiskit.devices.chip import Chip
from sqdr_qiskit.devices.chip_noise import crosstalk, part_in_use, waiting_time
from sqdr_qiskit.devices.programs import DeviceProgram, Round
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.operations import CZ, Fixed, Rotation, normal_form
from sqdr_qiskit.noise_models.calibration import over_rotation

__all__ = ["calibrated", "Key", "require_tiles", "NoisyTile", "tiles_of"]

_Float = NDArray[np.float64]
_Int = NDArray[np.int64]
Key = tuple[str, tuple[int, ...]]
"""What, and on which of the device's qubits (pairs ascending)."""

_WIDEST = 7  # qubits of a tile: 4^n coefficients a sample
_HELD = 2**24  # coefficients that are held at once for slopes, 128 MB
_Moment = tuple[float, int, int]  # seconds to the measurement, negative; copy, place in its circuit
_NOISY = ("depolarize", "relax", "twist", "cross")


def tiles_of(program: DeviceProgram, chip: Chip, inner: _Float, places: _Int) -> list[NoisyTile]:
    """All tiles of a program, with the angles of the samples that stand there.

    Args:
        program: Laid out in tiles.
        chip: The device by its calibration.
        inner: What `DeviceProgram.inner` gives, shape (batch, n_angles).
        places: Each sample's number within the PUB that it is sent in, which starts at 0.

    Raises:
        UnsupportedError: See `require_tiles`.
    """
    require_tiles(program)
    pubs = np.cumsum(places == 0)
    at = {(int(pub), int(place)): s for s, (pub, place) in enumerate(zip(pubs, places, strict=True))}
    last = {int(pub): s for s, pub in enumerate(pubs)}
    found: list[NoisyTile] = []
    for part in program.rounds:
        n_copies = len(part.copies)
        tiles = [tile for number in range(n_copies) for tile in _tiles(part, number, inner, places, chip)]
        owner = {qubit: tile for tile in tiles for qubit in tile.qubits}

        def beside(tile: NoisyTile, copy: int, n: int = n_copies) -> _Int:
            """The sample that stands on another place while one of the tile's is run."""
            rows = [(int(pubs[s]), int(places[s])) for s in tile.samples]
            # The last row is filled up with the last sample.
            found = [at.get((pub, place // n * n + copy), last[pub]) for pub, place in rows]
            return np.array(found, dtype=np.int64)

        near = {
            qubit: [(other, 0.0) for other in chip.neighbours.get(qubit, ()) if other in owner]
            for qubit in owner
        }
        couplings: dict[int, list[tuple[int, _Moment]]] = {}  # for each qubit: with which one, and when
        for tile in tiles:
            for step in tile.steps:
                if step.kind == "gate":
                    pair = [tile.qubits[q] for q in step.where]
                    for qubit, other, _ in crosstalk(pair, near):
                        if owner[other] is not tile:
                            couplings.setdefault(qubit, []).append((other, step.moment))
                            couplings.setdefault(other, []).append((qubit, step.moment))
        for tile in tiles:
            for q, qubit in enumerate(tile.qubits):
                times: dict[tuple[int, int], list[_Moment]] = {}
                for other, moment in couplings.get(qubit, ()):
                    if tile.minds(q, moment):
                        times.setdefault((other, tile.turns_before(q, moment)), []).append(moment)
                for (other, _), moments in times.items():
                    its = owner[other]
                    beside_it = inner[beside(tile, its.copy)]
                    z = np.mean([its.mean_z(other, moment, beside_it) for moment in moments], axis=0)
                    tile.couple(q, _pair_key("zz", (qubit, other)), z, moments)
        found += tiles
    return found


def require_tiles(program: DeviceProgram) -> None:
    """Refuse a program whose noise cannot be learnt from what it measures.

    Raises:
        UnsupportedError: A tile of more than 7 qubits, or an output that is not one reading of one qubit.
    """
    weights = program.logical.weights
    if weights.shape[0] != weights.shape[1] or not np.array_equal(weights, np.eye(len(weights))):
        raise UnsupportedError("Noise can be learnt where each output is one reading, but these are sums.")
    for part in program.rounds:
        if any(len(qubits) != 1 for word in part.words[0] for _, qubits, _ in word.to_sparse_list()):
            raise UnsupportedError("Noise can be learnt where each output is read on one qubit.")
        widest = max(len(tile) for copy in part.tiles for tile in copy)
        if widest > _WIDEST:
            limit = f"at most {_WIDEST} qubits (four blocks)"
            raise UnsupportedError(f"Noise can be learnt on tiles of {limit}, but one has {widest}.")


def _pair_key(what: str, pair: tuple[int, int]) -> Key:
    return what, (min(pair), max(pair))


def _tiles(part: Round, number: int, inner: _Float, places: _Int, chip: Chip) -> list[NoisyTile]:
    """The tiles of one place of a round."""
    copy, words = part.copies[number], part.words[number]
    samples = np.flatnonzero(places % len(part.copies) == number)
    tiles = []
    for wires in part.tiles[number]:
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
            terms.append(term)
            read.append((int(qubits[0]), "IXYZ".index(letters)))
        column = {parameter: i for i, parameter in enumerate(copy.parameters)}
        order = [column[parameter] for parameter in own.parameters]

        def angles(some: _Float, copy: Any = copy, order: list[int] = order) -> _Float:
            return np.asarray(copy.angles(some)[:, order])

        tiles.append(
            NoisyTile(own, tuple(read), np.array(terms, dtype=np.int64), number, samples, angles, inner, chip)
        )
    return tiles


@dataclass(frozen=True, eq=False)
class _Step:
    """What happens to a tile's state: a gate's turn or map, or a piece of noise.

    Attributes:
        kind: `turn`, `map`, `cz`, one of `_NOISY`, or `gate`, which marks where crosstalk goes.
        where: The tile's own qubits, by position.
        facts: What the kind needs.
        moment: When its instruction begins.
    """

    kind: str
    where: tuple[int, ...]
    facts: Any
    moment: _Moment


class NoisyTile:
    """A tile with the samples that stand on it.

    Attributes:
        qubits: The device's, ascending.
        terms: Numbers of the Pauli terms read on it.
        copy: Number of its place among the samples side by side.
        samples: Numbers of those that stand there.
        keys: Parameters of the noise that it has.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        read: tuple[tuple[int, int], ...],
        terms: _Int,
        copy: int,
        samples: _Int,
        angles: Callable[[_Float], _Float],
        inner: _Float,
        chip: Chip,
    ) -> None:
        part = part_in_use(circuit, chip, sorted({qubit for qubit, _ in read}))
        self.qubits, self.terms, self.samples, self.copy = part.qubits, terms, samples, copy
        self._chip, self._angles = chip, angles
        self._n = len(part.qubits)
        self._read = [(part.qubits.index(qubit), letter, qubit) for qubit, letter in read]
        self._form = normal_form(part.circuit)
        self._cosines, self._sines = self._turns(inner[samples])
        # A coefficient's number has a digit of base 4 for each qubit: 0 to 3 for I, X, Y, Z.
        letters = np.arange(4**self._n)
        self._letter = [letters >> 2 * q & 3 for q in range(self._n)]
        # For each qubit the coefficients of I, X, Y and Z on it: what one-qubit steps mix.
        self._at = [[np.flatnonzero(letter == a) for a in range(4)] for letter in self._letter]
        self.steps: list[_Step] = []
        self.keys: set[Key] = {(what, (qubit,)) for _, _, qubit in self._read for what in ("p01", "p10")}
        by_instruction: dict[int, list[Rotation | Fixed | CZ]] = {}
        for op in self._form.operations:
            assert isinstance(op, Rotation | Fixed | CZ)
            by_instruction.setdefault(op.instruction, []).append(op)
        for index, item in enumerate(part.circuit.data):
            moment = (-part.to_end[index], copy, index)
            where = tuple(part.circuit.find_bit(qubit).index for qubit in item.qubits)
            for op in by_instruction.get(index, ()):
                if isinstance(op, Rotation):
                    self.steps.append(_Step("turn", (op.qubit,), (op.axis, op.angle), moment))
                elif isinstance(op, Fixed):
                    self.steps.append(_Step("map", (op.qubit,), op.ptm, moment))
                else:
                    self.steps.append(_Step("cz", op.qubits, self._permutation(*op.qubits), moment))
            self._noise(item.operation.label or item.operation.name, where, moment)

    def _noise(self, name: str, where: tuple[int, ...], moment: _Moment) -> None:
        chip = self._chip
        qubits = tuple(self.qubits[q] for q in where)
        waited = waiting_time(name)
        seconds = chip.duration(name, qubits) if waited is None else waited
        if len(where) == 2:
            turn = over_rotation(name, 1.0)
            assert turn is not None
            letters = ["IXYZ".index(letter) for letter in turn.kind[:2].upper()]
            turned = _pair_key("over_rotation", (qubits[0], qubits[1]))
            self.steps.append(_Step("twist", where, (turned, *self._rotation(where, letters)), moment))
            self.keys.add(turned)
        if waited is None and (seconds or chip.gate_error(name, qubits)):
            key = ("pulse" if len(where) == 1 else "pair", tuple(sorted(qubits)))
            mask = np.any([self._letter[q] != 0 for q in where], axis=0).astype(np.float64)
            self.steps.append(_Step("depolarize", where, (key, mask), moment))
            self.keys.add(key)
        if seconds:
            for q, qubit in zip(where, qubits, strict=True):
                self.steps.append(_Step("relax", (q,), (qubit, seconds), moment))
                self.keys |= {("T1", (qubit,)), ("T2", (qubit,))}
        if len(where) == 2:
            self.steps.append(_Step("gate", where, None, moment))

    def _turns(self, inner: _Float) -> tuple[_Float, _Float]:
        radians = self._form.radians(self._angles(inner))
        return np.cos(radians), np.sin(radians)

    def _permutation(self, first: int, second: int) -> tuple[_Int, _Float]:
        """CZ: which coefficient comes from where, and its sign; its own inverse."""
        a, b = self._letter[first], self._letter[second]
        flag_a, flag_b = (a == 1) | (a == 2), (b == 1) | (b == 2)
        other_a, other_b = np.where(flag_b, 3 - a, a), np.where(flag_a, 3 - b, b)
        places = np.arange(4**self._n) + ((other_a - a) << 2 * first) + ((other_b - b) << 2 * second)
        return places, np.where(flag_a & flag_b & (a != b), -1.0, 1.0)

    def _rotation(self, where: Sequence[int], letters: Sequence[int]) -> tuple[_Int, _Int, _Float]:
        """exp(-i angle W / 2) on coefficients: those that W's Paulis turn, where each one's partner is, and
        the partner's sign: c -> cos(angle) c + sin(angle) sign * partner.
        """
        index = np.arange(4**self._n)
        partner, phase = index.copy(), np.ones(4**self._n, dtype=complex)
        for q, letter in zip(where, letters, strict=True):
            own = self._letter[q]
            partner = partner ^ (letter << 2 * q)  # P_a P_b is P_{a xor b} times a phase
            turned = (own != 0) & (own != letter)
            phase *= np.where(turned, np.where((letter - own) % 3 == 1, 1j, -1j), 1.0)
        moved = np.flatnonzero(phase.imag != 0.0)
        # i P W = -Im(phase) P': what arrives at k comes from its partner, with the partner's sign
        return moved, partner[moved], -phase.imag[partner[moved]]

    def turns_before(self, q: int, moment: _Moment) -> int:
        """How many of the steps before a moment turn a qubit about another axis than Z."""
        return sum(
            step.kind == "map" or (step.kind == "turn" and step.facts[0] != 3)
            for step in self.steps
            if q in step.where and step.moment <= moment
        )

    def minds(self, q: int, moment: _Moment) -> bool:
        """Whether a turn of a qubit about Z at a moment can reach a reading."""
        read = any(own == q and letter != 3 for own, letter, _ in self._read)
        return read or self.turns_before(q, moment) < self.turns_before(q, (np.inf, 0, 0))

    def couple(self, q: int, key: Key, z: _Float, moments: Sequence[_Moment]) -> None:
        """Let crosstalk turn a qubit, between two of its own turns.

        Args:
            q: The qubit, by position.
            key: The coupling.
            z: What turns it, for each sample: the neighbour's mean Z.
            moments: When, once for each gate.
        """
        before = [i for i, step in enumerate(self.steps) if q in step.where and step.moment <= min(moments)]
        place = before[-1] + 1 if before else 0
        self.steps.insert(place, _Step("cross", (q,), (key, z, len(moments)), min(moments)))
        self.keys.add(key)

    def mean_z(self, qubit: int, moment: _Moment, inner: _Float) -> _Float:
        """Expectation of Z on one of the device's qubits just before a moment, under the calibration.

        Args:
            qubit: The device's.
            moment: When.
            inner: Angles of the samples, see `tiles_of`.
        """
        rates = {key: calibrated(self._chip, key) for key in self.keys}
        cosines, sines = self._turns(inner)
        state = self._start(len(inner))
        for step in self.steps:
            if step.moment < moment and step.kind not in ("gate", "cross"):
                state = self._apply(state, step, rates, cosines, sines, slice(None), back=False)
        return np.asarray(state[:, 3 << 2 * self.qubits.index(qubit)])

    def _start(self, n_samples: int) -> _Float:
        state = np.zeros((n_samples, 4**self._n))
        # |0...0>: words of I and Z have expectation 1, all others 0.
        state[:, np.all([(letter == 0) | (letter == 3) for letter in self._letter], axis=0)] = 1.0
        return state

    def predict(
        self, rates: Mapping[Key, float], chosen: NDArray[np.bool_], keys: Sequence[Key] = ()
    ) -> tuple[_Float, _Float]:
        """Expectations of readings and their slopes.

        Args:
            rates: The noise; what is not in it is as calibrated.
            chosen: Which of its samples.
            keys: Parameters by which slopes are wanted.

        Returns:
            Shapes (samples, n_terms) and (samples, n_terms, len(keys)).
        """
        rates = {key: rates[key] if key in rates else calibrated(self._chip, key) for key in self.keys}
        numbers = np.flatnonzero(chosen)
        n_noisy = 1 + sum(step.kind in _NOISY for step in self.steps)
        most = max(1, _HELD // (n_noisy * 4**self._n)) if keys else max(1, _HELD // 4**self._n)
        parts = [
            self._predict(rates, numbers[start : start + most], keys)
            for start in range(0, max(1, len(numbers)), most)
        ]
        return np.concatenate([values for values, _ in parts]), np.concatenate([along for _, along in parts])

    def _predict(
        self, rates: Mapping[Key, float], chosen: _Int, keys: Sequence[Key]
    ) -> tuple[_Float, _Float]:
        """The same for some of them, by number, whose states are held at once."""
        cosines, sines = self._cosines[chosen], self._sines[chosen]
        state = self._start(len(cosines))
        kept: list[_Float] = []
        for step in self.steps:
            if keys and step.kind in _NOISY:
                kept.append(state)  # the backward sweep meets it again, last one first
            state = self._apply(state, step, rates, cosines, sines, chosen, back=False)
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
            readout: list[tuple[Key, _Float]] = [
                (("p01", (qubit,)), -state[:, place] - 1.0),
                (("p10", (qubit,)), 1.0 - state[:, place]),
            ]
            for key, slope in readout:
                if key in column:
                    slopes[:, row, column[key]] = slope
            operator = np.zeros_like(state)
            operator[:, place] = scale
            number = len(kept)
            for step in reversed(self.steps):
                if step.kind in _NOISY:
                    number -= 1
                    for key, slope in self._slopes(operator, kept[number], step, rates, chosen):
                        if key in column:
                            slopes[:, row, column[key]] += slope
                operator = self._apply(operator, step, rates, cosines, sines, chosen, back=True)
        return values, slopes

    def _slopes(
        self, operator: _Float, state: _Float, step: _Step, rates: Mapping[Key, float], chosen: Any
    ) -> list[tuple[Key, _Float]]:
        """What a noisy step adds to the slopes: <operator| d(step) / d(parameter) |state>."""
        if step.kind == "depolarize":
            key, mask = step.facts
            return [(key, -np.einsum("sk,sk,k->s", operator, state, mask))]
        if step.kind == "twist":
            key, moved, partner, signs = step.facts
            cosine, sine = np.cos(rates[key]), np.sin(rates[key])
            slope = -sine * state[:, moved] + cosine * signs * state[:, partner]
            return [(key, np.einsum("sk,sk->s", operator[:, moved], slope))]
        at = self._at[step.where[0]]
        if step.kind == "cross":
            key, z, times = step.facts
            angle = times * rates[key]
            down, along = times * np.sin(angle), times * np.cos(angle) * z[chosen][:, None]
            x, y = state[:, at[1]], state[:, at[2]]
            slope = operator[:, at[1]] * (-down * x - along * y) + operator[:, at[2]] * (along * x - down * y)
            return [(key, np.asarray(slope.sum(axis=1)))]
        qubit, seconds = step.facts
        one, two = (np.exp(-seconds * rates[what, (qubit,)]) for what in ("T1", "T2"))
        shrunk = np.einsum("sk,sk->s", operator[:, at[3]], state[:, at[3]] - state[:, at[0]])
        turned = sum(np.einsum("sk,sk->s", operator[:, at[a]], state[:, at[a]]) for a in (1, 2))
        return [
            (("T1", (qubit,)), -seconds * one * shrunk),
            (("T2", (qubit,)), np.asarray(-seconds * two * turned)),
        ]

    def _apply(
        self,
        vectors: _Float,
        step: _Step,
        rates: Mapping[Key, float],
        cosines: _Float,
        sines: _Float,
        chosen: Any,
        *,
        back: bool,
    ) -> _Float:
        """A step on states, or (`back`) its transpose on operators."""
        kind = step.kind
        if kind == "gate":
            return vectors
        if kind == "cz":
            places, signs = step.facts
            return np.asarray(vectors[:, places] * signs)
        if kind == "depolarize":
            key, mask = step.facts
            return np.asarray(vectors * (1.0 - rates[key] * mask))
        found = vectors.copy()
        if kind == "twist":
            key, moved, partner, signs = step.facts
            if rates[key]:
                sine = (-1.0 if back else 1.0) * np.sin(rates[key])
                found[:, moved] = np.cos(rates[key]) * vectors[:, moved] + sine * signs * vectors[:, partner]
            return found
        at = self._at[step.where[0]]
        if kind == "cross":
            key, z, times = step.facts
            if rates[key]:
                cosine = np.cos(times * rates[key])
                sine = ((-1.0 if back else 1.0) * np.sin(times * rates[key]) * z[chosen])[:, None]
                found[:, at[1]] = cosine * vectors[:, at[1]] - sine * vectors[:, at[2]]
                found[:, at[2]] = sine * vectors[:, at[1]] + cosine * vectors[:, at[2]]
        elif kind == "turn":
            axis, angle = step.facts
            p, q = at[axis % 3 + 1], at[(axis + 1) % 3 + 1]
            cosine, sine = cosines[:, angle, None], (-1.0 if back else 1.0) * sines[:, angle, None]
            found[:, p] = cosine * vectors[:, p] - sine * vectors[:, q]
            found[:, q] = sine * vectors[:, p] + cosine * vectors[:, q]
        elif kind == "map":
            matrix = np.asarray(step.facts).T if back else np.asarray(step.facts)
            for a in range(4):
                found[:, at[a]] = sum(matrix[a, b] * vectors[:, at[b]] for b in range(4))
        else:
            qubit, seconds = step.facts
            one, two = (np.exp(-seconds * rates[what, (qubit,)]) for what in ("T1", "T2"))
            found[:, at[1]] *= two
            found[:, at[2]] *= two
            found[:, at[3]] *= one
            if back:
                found[:, at[0]] += (1.0 - one) * vectors[:, at[3]]
            else:
                found[:, at[3]] += (1.0 - one) * vectors[:, at[0]]
        return found


def calibrated(chip: Chip, key: Key) -> float:
    """A parameter as the calibration has it: rates per second, probabilities, angles in radians."""
    what, qubits = key
    if what in ("T1", "T2"):
        return 1.0 / float(chip.relaxation(qubits[0])[0 if what == "T1" else 1])
    if what in ("p01", "p10"):
        return chip.readout[qubits[0]][0 if what == "p01" else 1]
    if what in ("over_rotation", "zz"):
        angles = chip.over_rotation if what == "over_rotation" else chip.zz
        return angles.get((qubits[0], qubits[1]), 0.0)
    if what == "pulse":
        name, where = chip.pulse, qubits
    else:
        edge = chip.edges[frozenset(qubits)]
        name, where = edge.name, edge.qubits
    for channel, _ in chip.channels_after(name, where):
        if channel.kind.startswith("depolarizing"):
            d = 4 ** len(where)
            return channel["p"] * d / (d - 1)
    return 0.0
