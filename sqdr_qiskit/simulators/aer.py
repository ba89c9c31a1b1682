"""Aer on light cones, as a Qiskit estimator: ideal or noisy, exact or sampled.

First a noise file and a circuit are brought together, for Aer and for the exact engine under noise: both read
the same Aer noise model, built for the circuit and probed once, so that file, Aer and engine agree. Then the
estimator, and the plan that it makes of a circuit.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    EstimatorPubLike,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.errors import ArgumentError, BackendError, UnsupportedError
from sqdr_qiskit.lightcone.angles import AngleStage, check_finite, prepared
from sqdr_qiskit.lightcone.cones import Paulis, PauliTerm, TermSums, cone, term_sums
from sqdr_qiskit.lightcone.engine import ExactEngine
from sqdr_qiskit.lightcone.instructions import kind_of, written_out
from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless, normal_form
from sqdr_qiskit.noise_models.aer_model import (
    GateChannels,
    error_after,
    probe,
    read_observable,
    readout_after,
)
from sqdr_qiskit.noise_models.build import build_noise_model, with_places
from sqdr_qiskit.parallel import free_memory, n_threads, readable
from sqdr_qiskit.simulators import (
    CircuitCache,
    distinct_observables,
    in_shape,
    parameter_rows,
    shots_of,
)
from sqdr_qiskit.simulators.aer_runner import AerRunner, Measurement, measurements_for
from sqdr_qiskit.simulators.cone_programs import ConeProgram, NoiseLabels, build_programs
from sqdr_qiskit.simulators.exact import EngineMaker
from sqdr_qiskit.specs.noise import NoiseSpec

__all__ = [
    "aer_circuit",
    "AerConeEstimator",
    "circuit_noise",
    "CircuitNoise",
    "Noise",
    "noisy_engine",
    "state_bytes",
]


Noise: TypeAlias = NoiseSpec | NoiseModel
"""Noise as a backend takes it: a file's description, or any Aer noise model."""


@dataclass(frozen=True)
class CircuitNoise:
    """The noise of one circuit.

    Attributes:
        circuit: The circuit as Aer runs it (`aer_circuit`), with markers where the noise names places, its
            angles affine in its parameters; same qubits.
        model: Aer noise model for it; None for none.
        stage: Computes its parameters from the original circuit's; None if they are the same.
    """

    circuit: QuantumCircuit
    model: NoiseModel | None
    stage: AngleStage | None

    @property
    def channels(self) -> ChannelModel:
        """The noise as the engine sees it."""
        return noiseless if self.model is None else GateChannels(self.model)

    def read(self, observable: SparsePauliOp) -> SparsePauliOp:
        """The operator whose expectation is the mean of noisy readings of `observable`."""
        return read_observable(self.model, observable)


def circuit_noise(noise: Noise | None, circuit: QuantumCircuit) -> CircuitNoise:
    """Bring noise and circuit together, and make sure that the noise is there.

    Args:
        noise: A noise file's description, or an Aer noise model; None for none.
        circuit: The circuit without noise.

    Raises:
        SpecError: The noise does not fit the circuit (a gate or a qubit that it lacks).
        BackendError: Aer ignores the noise.
        UnsupportedError: A device snapshot and a circuit that was not transpiled for the device.
    """
    inner, stage = prepared(circuit)
    model = noise if isinstance(noise, NoiseModel) else None
    if isinstance(noise, NoiseSpec):
        inner = with_places(inner, noise.places)
        model = build_noise_model(noise, inner)
    flat = aer_circuit(inner, model)
    if model is not None:
        probe(model, flat)
    return CircuitNoise(flat, model, stage)


# What Aer 0.18 binds rightly by itself, fixed and free. It takes the free angles of controlled rotations
# (crx, cp, cu, ...) for zero without a word (qiskit-aer issues 2323, 2391, 2403), so these are written out,
# as is all that it does not know.
_FREE = frozenset({"rx", "ry", "rz", "p", "u", "u1", "u2", "u3", "r", "rxx", "ryy", "rzz", "rzx"})
_FIXED = _FREE | {
    *("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "t", "tdg"),
    *("cx", "cy", "cz", "ecr", "swap", "unitary", "reset"),
}


def aer_circuit(circuit: QuantumCircuit, model: NoiseModel | None) -> QuantumCircuit:
    """A circuit in gates on one and two qubits that Aer knows and binds, noise where it was.

    Raises:
        UnsupportedError: An instruction that is no gate and not made of gates.
    """
    is_marked = None if model is None else lambda key, wires: error_after(model, key, wires) is not None
    return written_out(circuit, free=_FREE, fixed=_FIXED, is_marked=is_marked)


def noisy_engine(noise: Noise) -> EngineMaker:
    """The exact engine under noise: a function that compiles a circuit and its observables.

    Its engines give the expectations of noisy gates and noisy readings, and their derivatives.

    Args:
        noise: A noise file's description, or an Aer noise model.

    Returns:
        What `ExactEstimator` and `ExactGradient` take as `maker`. Called with a circuit that the noise
        does not fit, it raises what `circuit_noise` raises.
    """
    return partial(_noisy_engine, noise)


def _noisy_engine(noise: Noise, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> ExactEngine:
    bound = circuit_noise(noise, circuit)
    return ExactEngine(bound.circuit, [bound.read(o) for o in observables], bound.channels, bound.stage)


_SHOT = 200  # bytes that Aer holds for each sample (measured: about 100 on narrow cones, more on wide ones)
_LARGEST_DENSITY_MATRIX = 1 << 29  # bytes; above, samples come from trajectories of state vectors


class AerConeEstimator(BaseEstimatorV2):
    """Expectation values by Aer, cone by cone: 2b - 1 qubits at a time instead of n.

    Without `shots`: exact, from density matrices (noisy) or state vectors (ideal); any requested precision
    is met and the standard errors are zero. With `shots`: each cone is a circuit of its own, measured
    `shots` times by Aer itself, readout errors included; outputs of different cones are independent. A
    requested precision p means 1 / p^2 shots.

    Args:
        noise: A noise file's description, or an Aer noise model; None for an ideal simulation.
        shots: Samples per expectation value; None for exact ones.
        seed: Makes samples repeatable: equal requests in equal order get equal samples, whatever ran in
            between.
        device: `CPU`, or `GPU` where Aer's GPU build is installed.

    Raises:
        ArgumentError: A value out of range.
        BackendError: Aer has no such device here.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        *,
        shots: int | None = None,
        seed: int | None = None,
        device: str = "CPU",
    ) -> None:
        if shots is not None and shots < 1:
            raise ArgumentError(f"Argument `shots` must be at least 1, but is {shots}.")
        present = AerSimulator().available_devices()
        if device not in present:
            raise BackendError(
                f"Aer has no device {device!r} here (it has {', '.join(present)}); a GPU needs the package "
                "qiskit-aer-gpu in place of qiskit-aer."
            )
        self.noise = noise
        self.shots = shots
        self.seed = seed
        self._device = device
        self._plans: CircuitCache[_Plan] = CircuitCache()
        self._asked: Counter[bytes] = Counter()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=Lock())

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Evaluate `pubs`; observables and parameters broadcast as Qiskit's interface says.

        Raises:
            SqdrError: From the job's `result()`: noise that does not fit, a cone that is too large, a
            failure of Aer.
        """
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        job: PrimitiveJob[PrimitiveResult[PubResult]] = PrimitiveJob(self._evaluate, coerced)
        job._submit()
        return job

    def _evaluate(self, pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
        return PrimitiveResult([self._pub(pub) for pub in pubs], metadata={"version": 2})

    def _pub(self, pub: EstimatorPub) -> PubResult:
        observables, which = distinct_observables(pub.observables)
        plan = self._plan(pub.circuit, observables)
        parameters = parameter_rows(pub)
        check_finite(parameters)
        if plan.stage is not None:
            parameters = plan.stage.values(parameters)
        shots = self._shots(pub.precision)
        if shots is None:
            means = plan.expectations(parameters)
        else:
            means = plan.samples(parameters, shots, self._seed_for(parameters, pub.circuit, shots))
        evs = in_shape(pub, plan.sums.values(means), which)
        stds = in_shape(pub, plan.sums.errors(means, shots), which)
        metadata = {
            "target_precision": pub.precision,
            "shots": shots,
            "circuit_metadata": pub.circuit.metadata,
            "method": plan.runner.method,
        }
        return PubResult(DataBin(evs=evs, stds=stds, shape=evs.shape), metadata=metadata)

    def _shots(self, precision: float | None) -> int | None:
        if self.shots is None or not precision:
            return self.shots
        shots = shots_of(precision)
        needed, free = _SHOT * shots, free_memory()
        if needed > free:
            raise ArgumentError(
                f"Argument `precision` must be at least {math.sqrt(_SHOT / free):.1g} here, but is "
                f"{precision:.3g}: Aer would hold {shots:,} samples at once, {readable(needed)}, and "
                f"{readable(free)} is free; without `shots` values are exact."
            )
        return shots

    def _seed_for(self, parameters: NDArray[np.float64], circuit: QuantumCircuit, shots: int) -> int:
        """A seed from the own one, what is asked and how often it was asked before: nothing to resume."""
        if self.seed is None:
            return secrets.randbits(31)
        digest = hashlib.blake2b(parameters.tobytes(), digest_size=16)
        digest.update(f"{self.seed} {shots} {circuit.num_qubits} {circuit.size()}".encode())
        key = digest.digest()
        with self._lock:
            times = self._asked[key]
            self._asked[key] += 1
        digest.update(str(times).encode())
        return int.from_bytes(digest.digest()[:4], "little") >> 1  # 31 bits, as Aer takes

    def _plan(self, circuit: QuantumCircuit, observables: list[SparsePauliOp]) -> _Plan:
        """What to run for a circuit and its observables; made once for equal ones."""
        return self._plans.get(
            circuit,
            observables,
            lambda: _make_plan(circuit, observables, self.noise, self.shots is not None, self._device),
        )


@dataclass(frozen=True)
class _Plan:
    """Programs for one circuit, and the observables as sums of the terms that they give."""

    programs: tuple[ConeProgram, ...]
    measurements: tuple[tuple[Measurement, ...], ...]
    sums: TermSums[Paulis]
    runner: AerRunner
    stage: AngleStage | None

    def expectations(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exact expectation of every term, shape (batch, n_terms)."""
        terms = np.zeros((len(parameters), len(self.sums.terms)))
        if self.programs and len(parameters):
            for program, values in zip(
                self.programs, self.runner.expectations(self.programs, parameters), strict=True
            ):
                terms[:, program.terms] = values
        return terms

    def samples(self, parameters: NDArray[np.float64], shots: int, seed: int) -> NDArray[np.float64]:
        """Sampled mean of every term, shape (batch, n_terms)."""
        terms = np.zeros((len(parameters), len(self.sums.terms)))
        runs = [
            (program, measurement)
            for program, together in zip(self.programs, self.measurements, strict=True)
            for measurement in together
        ]
        if runs and len(parameters):
            programs, measurements = zip(*runs, strict=True)
            found = self.runner.samples(programs, measurements, parameters, shots=shots, seed=seed)
            for (program, measurement), values in zip(runs, found, strict=True):
                terms[:, [program.terms[output] for output in measurement.outputs]] = values
        return terms


def _make_plan(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    noise: Noise | None,
    sampled: bool,
    device: str,
) -> _Plan:
    bound = circuit_noise(noise, circuit)
    form = normal_form(bound.circuit, bound.channels)
    if not sampled:  # samples get their readout error from Aer, exact values from the observable
        observables = [bound.read(observable) for observable in observables]
    sums = term_sums(observables, form)
    labels = NoiseLabels()
    cones = [cone(form, PauliTerm(1.0, paulis), whole=True) for paulis in sums.terms]
    programs = build_programs(bound.circuit, form, cones, bound.model, labels)
    widest = max((program.n_qubits for program in programs), default=1)
    resets = any(kind_of(item.operation) == "reset" for item in bound.circuit.data)
    method = _method(widest, noisy=bound.model is not None or resets, sampled=sampled)
    _check_memory(widest, method, sampled)
    measurements: tuple[tuple[Measurement, ...], ...] = ()
    if sampled:
        wire = {name: position for position, name in enumerate(form.names)}
        measurements = tuple(
            measurements_for(program.outputs, _readout(program, wire, bound.model, labels))
            for program in programs
        )
    return _Plan(
        programs,
        measurements,
        sums,
        AerRunner(labels.model, method=method, device=device),
        bound.stage,
    )


def _readout(
    program: ConeProgram, wire: dict[int, int], model: NoiseModel | None, labels: NoiseLabels
) -> Callable[[int], str | None]:
    """For a program's qubits, the label of the readout error of the wire that they stand for."""

    def label(qubit: int) -> str | None:
        p01, p10 = (0.0, 0.0) if model is None else readout_after(model, wire[program.qubits[qubit]])
        return labels.readout(p01, p10) if p01 or p10 else None

    return label


def _method(n_qubits: int, *, noisy: bool, sampled: bool) -> str:
    """Density matrices for noise, except for samples where they are large: then one trajectory per sample."""
    if not noisy or (sampled and state_bytes(n_qubits, "density_matrix") > _LARGEST_DENSITY_MATRIX):
        return "statevector"
    return "density_matrix"


_NUMBER = 16  # bytes of a complex number
_WORK = 2  # a state and as much again to work with


def state_bytes(n_qubits: int, method: str, n_states: int = 1) -> int:
    """Bytes that Aer needs for `n_states` states of `n_qubits` at once, `density_matrix` or `statevector`."""
    numbers = 4**n_qubits if method == "density_matrix" else 2**n_qubits
    return _NUMBER * _WORK * numbers * n_states


def _check_memory(n_qubits: int, method: str, sampled: bool) -> None:
    needed, free = state_bytes(n_qubits, method, n_threads()), free_memory()
    if needed <= free:
        return
    if method == "density_matrix":
        instead = "use the backend `exact_noisy`, sample with `--shots`, or take fewer blocks (2b - 1 qubits)"
    elif sampled:
        instead = "use fewer blocks (2b - 1 qubits) or fewer qubits"
    else:
        instead = "use the backend `exact`, or fewer blocks (2b - 1 qubits)"
    raise UnsupportedError(
        f"The largest cone has {n_qubits} qubits: its {method.replace('_', ' ')} needs {readable(needed)} of "
        f"memory, but {readable(free)} is free; {instead}."
    )
