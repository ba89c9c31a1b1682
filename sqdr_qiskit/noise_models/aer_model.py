"""Aer's `NoiseModel` as Pauli-transfer matrices, so that the exact engine and Aer cannot disagree.

The noise model is the only thing read: what its `QuantumError`s say (through Qiskit's superoperators) is
what the engine computes with. Two-qubit errors that are products of one-qubit maps and a factor on pairs of
Paulis are taken apart, because one-qubit maps cost the engine nothing. Aer leaves noise out without a word
where a gate's name or label differs, so a model is probed before use.

Readout errors enter as observables. A qubit read with p01 = P(1|0) and p10 = P(0|1) yields, instead of Z,
the operator

    Z -> (1 - p01 - p10) Z + (p10 - p01) I

(prepare |0>: 1 - 2 p01; prepare |1>: -1 + 2 p10). X and Y are read as Z after a perfect change of basis, so
the same holds for them. Qubits are read independently: a product of Paulis becomes the product of these.
Applied to the observable, this is what the mean over infinitely many noisy readings gives, for any backend.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qiskit.circuit import CircuitInstruction, ParameterExpression, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import PTM, DensityMatrix, Pauli, SparsePauliOp, SuperOp, random_unitary
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError

from sqdr_qiskit.errors import BackendError, SpecError, UnsupportedError
from sqdr_qiskit.noise_models import Channel, RealArray, average_gate_fidelity, gate_key, without_rounding

__all__ = [
    "attach",
    "describe_gates",
    "error_after",
    "error_ptm",
    "GateChannels",
    "is_product",
    "probe",
    "qubit_maps",
    "read_observable",
    "read_terms",
    "readout_after",
    "restrict",
    "split_product",
]


_PRODUCT = 1e-13  # a two-qubit map this near to a product is one


def attach(model: NoiseModel, error: QuantumError, gate: str, qubits: tuple[int, ...] | None) -> None:
    """Let `error` follow a gate, on these qubits or (None) on all.

    The same as `NoiseModel.add_quantum_error` and `add_all_qubit_quantum_error` in an empty place, but those
    leave out Kraus errors weaker than about 1e-8 as "ideal".

    Args:
        model: The noise model; has no error there yet.
        error: The error.
        gate: The gate's name or label.
        qubits: Its qubits in the gate's order; None for all.
    """
    if qubits is None:
        model._default_quantum_errors[gate] = error
    else:
        model._local_quantum_errors.setdefault(gate, {})[qubits] = error
        model._noise_qubits.update(qubits)
    model._noise_instructions.add(gate)
    model.add_basis_gates([gate])


class GateChannels:
    """A noise model as a table of channels after gates.

    Args:
        model: Aer noise model. Its local errors go before its all-qubit ones, as in Aer.

    Raises:
        UnsupportedError: An error on more than two qubits together; names the gate.
    """

    def __init__(self, model: NoiseModel) -> None:
        self._model = model
        # Of each error object: the model keeps them alive.
        self._maps: dict[int, tuple[tuple[tuple[int, ...], RealArray], ...]] = {}

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        """Channels that follow a gate, in the order in which they act.

        Args:
            gate: The instruction's name, or its label if it has one.
            qubits: Its qubits.
        """
        if gate == "delay" and self._model._custom_noise_passes:
            raise UnsupportedError(
                "Noise on `delay` that depends on its duration cannot follow a light cone; mark idle qubits "
                'in the noise file instead (`after = ["idle"]`).'
            )
        error = error_after(self._model, gate, qubits)
        if error is None:
            return ()
        if error.num_qubits != len(qubits):
            raise UnsupportedError(
                f"Noise after gate `{gate}` on qubits {list(qubits)} must act on {len(qubits)} qubits, but "
                f"acts on {error.num_qubits}."
            )
        if id(error) not in self._maps:
            self._maps[id(error)] = _maps(error, gate)
        return tuple(
            Channel(tuple(qubits[position] for position in operands), ptm)
            for operands, ptm in self._maps[id(error)]
        )


def error_after(model: NoiseModel, gate: str, qubits: tuple[int, ...]) -> QuantumError | None:
    """The error that a noise model attaches to a gate, or None; the same object for the same noise.

    Reads the two tables of `NoiseModel` directly: its public `to_dict` writes every error out anew.
    """
    local = model._local_quantum_errors.get(gate, {}).get(qubits)
    return local if local is not None else model._default_quantum_errors.get(gate)


def readout_after(model: NoiseModel, qubit: int) -> tuple[float, float]:
    """(p01, p10) with which a noise model reads one qubit: 1 for |0>, 0 for |1>.

    Raises:
        UnsupportedError: A readout error on several qubits together.
    """
    for qubits in model._local_readout_errors:
        if len(qubits) > 1:
            raise UnsupportedError(
                f"Readout error on qubits {list(qubits)} together must be given qubit by qubit, to enter "
                f"expectations."
            )
    error: ReadoutError | None = model._local_readout_errors.get((qubit,), model._default_readout_error)
    if error is None:
        return 0.0, 0.0
    probabilities = error.probabilities
    return float(probabilities[0, 1]), float(probabilities[1, 0])


def error_ptm(error: QuantumError) -> RealArray:
    """Pauli transfer matrix of an Aer error, in our order: the gate's first qubit (Qiskit's qubit 0) slowest.

    Entries within 1e-14 of -1, 0, 1 are rounded to them.
    """
    n_qubits = error.num_qubits
    ptm = np.asarray(PTM(SuperOp(error)).data).real
    if n_qubits > 1:  # Qiskit's index has the last qubit slowest
        backwards = [*reversed(range(n_qubits)), *reversed(range(n_qubits, 2 * n_qubits))]
        ptm = ptm.reshape((4,) * 2 * n_qubits).transpose(backwards).reshape(ptm.shape)
    return without_rounding(ptm)


def qubit_maps(ptm: RealArray) -> tuple[RealArray, ...]:
    """What a trace-preserving map does to each of its qubits, the others traced out: shapes (4, 4).

    Args:
        ptm: Shape (4^k, 4^k), first qubit slowest.
    """
    n_qubits = round(np.log2(len(ptm)) / 2)
    blocks = ptm.reshape((4,) * 2 * n_qubits)
    found = []
    for own in range(n_qubits):
        index = tuple(slice(None) if q == own else 0 for q in range(n_qubits))
        found.append(np.ascontiguousarray(blocks[index + index]))
    return tuple(found)


def is_product(ptm: RealArray) -> bool:
    """Whether a trace-preserving map acts on each of its qubits by itself."""
    product: RealArray = np.eye(1)
    for own in qubit_maps(ptm):
        product = np.asarray(np.kron(product, own), dtype=np.float64)
    return bool(np.max(np.abs(product - ptm)) < _PRODUCT)


def _maps(error: QuantumError, gate: str) -> tuple[tuple[tuple[int, ...], RealArray], ...]:
    ptm = error_ptm(error)
    if error.num_qubits == 1:
        return (((0,), ptm),)
    if error.num_qubits > 2:
        if not is_product(ptm):
            raise UnsupportedError(
                f"Noise after gate `{gate}` must act on one or two qubits, or on each by itself, but acts on "
                f"{error.num_qubits} together; let it follow the gates that `{gate}` consists of."
            )
        singles = enumerate(qubit_maps(ptm))
        return tuple(((place,), part) for place, part in singles if not np.array_equal(part, np.eye(4)))
    parts = split_product(ptm)
    if parts is None:
        return (((0, 1), ptm),)
    places = iter((0, 1))  # A comes before B in every form
    placed = [((0, 1) if part.shape == (16, 16) else (next(places),), part) for part in parts]
    return tuple((operands, part) for operands, part in placed if not np.array_equal(part, np.eye(len(part))))


def split_product(ptm: RealArray) -> tuple[RealArray, ...] | None:
    """Take a two-qubit map apart into one-qubit maps A, B and a map D that scales each pair of Paulis.

    Args:
        ptm: Shape (16, 16), first qubit slowest, trace-preserving.

    Returns:
        Maps in the order in which they act: (A, B) if the map is A x B; (D, A, B) or (A, B, D) with D
        diagonal of shape (16, 16); A on the first and B on the second qubit, shape (4, 4). D leaves P x I and
        I x P alone (their factors belong to A and B), so D by itself need not be a physical channel. None if
        there is no such form.
    """
    found = _right_split(ptm)
    if found is not None:
        factors, first, second = found
        return (first, second) if factors is None else (factors, first, second)
    found = _right_split(ptm.T)
    if found is None or found[0] is None:
        return None
    return found[1].T.copy(), found[2].T.copy(), found[0]


def _right_split(matrix: RealArray) -> tuple[RealArray | None, RealArray, RealArray] | None:
    """(D, A, B) with matrix = (A x B) D and D diagonal, D = None for the identity; None if there is none."""
    blocks = matrix.reshape(4, 4, 4, 4)  # [a, b, c, d]: Pauli (a, b) out of Pauli (c, d)
    first, second = qubit_maps(matrix)
    product = np.einsum("ac,bd->abcd", first, second)
    if np.max(np.abs(product - blocks)) < _PRODUCT:
        return None, first, second
    # The factor of each pair of Paulis by least squares; whether it fits is checked below. A pair that the
    # product loses has none.
    factors = np.ones((4, 4))
    for c, d in itertools.product(range(1, 4), repeat=2):
        weight = float(np.sum(product[:, :, c, d] ** 2))
        if weight > 1e-24:
            factors[c, d] = float(np.sum(product[:, :, c, d] * blocks[:, :, c, d])) / weight
    if np.max(np.abs(product * factors - blocks)) >= _PRODUCT:
        return None
    return np.diag(factors.reshape(16)), first, second


_MAX_WEIGHT = 12


def read_observable(model: NoiseModel | None, observable: SparsePauliOp) -> SparsePauliOp:
    """The operator whose exact expectation is the mean of noisy readings of `observable`.

    Args:
        model: Noise model; None, or one without readout error, gives the observable back.
        observable: On the circuit's qubits.

    Raises:
        UnsupportedError: A Pauli on more than 12 qubits with readout error (2^weight terms), or a readout
            error on several qubits together.
    """
    if model is None or not (model._local_readout_errors or model._default_readout_error):
        return observable
    return read_terms(lambda qubit: readout_after(model, qubit), observable)


def read_terms(readout: Callable[[int], tuple[float, float]], observable: SparsePauliOp) -> SparsePauliOp:
    """`read_observable` for a function qubit -> (p01, p10)."""
    paulis: list[Pauli] = []
    coefficients: list[complex] = []
    for pauli, coefficient in zip(observable.paulis, observable.coeffs, strict=True):
        support = [int(q) for q in np.flatnonzero(pauli.x | pauli.z)]
        if len(support) > _MAX_WEIGHT:
            raise UnsupportedError(
                f"Readout error on a Pauli of {len(support)} qubits has 2^{len(support)} terms; use "
                f"observables of at most {_MAX_WEIGHT} qubits, or sample with shots."
            )
        errors = [readout(q) for q in support]
        for kept in itertools.product((True, False), repeat=len(support)):
            weight = 1.0
            z, x = pauli.z.copy(), pauli.x.copy()
            for qubit, (p01, p10), keep in zip(support, errors, kept, strict=True):
                weight *= (1.0 - p01 - p10) if keep else (p10 - p01)
                if not keep:
                    z[qubit] = x[qubit] = False
            if weight != 0.0:
                paulis.append(Pauli((z, x)))
                coefficients.append(coefficient * weight)
    if not paulis:
        return SparsePauliOp(["I" * observable.num_qubits], [0.0])
    return SparsePauliOp(paulis, np.array(coefficients)).simplify(atol=0.0)


def describe_gates(model: NoiseModel, circuit: QuantumCircuit) -> list[dict[str, Any]]:
    """The composed error of each noisy gate of a circuit, as Aer has it; equal ones together.

    Returns:
        For each distinct error the gate (or place), its qubits, the transfer matrix and the average gate
        fidelity; a two-qubit error also with what it does to each qubit.
    """
    found: dict[tuple[str, int], tuple[QuantumError, list[list[int]]]] = {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        key = gate_key(instruction.operation)
        error = error_after(model, key, qubits)
        if error is not None:
            _, places = found.setdefault((key, id(error)), (error, []))
            if list(qubits) not in places:
                places.append(list(qubits))
    return [_gate(key, error, places) for (key, _), (error, places) in found.items()]


def _gate(key: str, error: QuantumError, places: list[list[int]]) -> dict[str, Any]:
    ptm = error_ptm(error)
    facts: dict[str, Any] = {
        "gate": key,
        "qubits": places,
        "pauli_transfer_matrix": ptm.tolist(),
        "average_gate_fidelity": average_gate_fidelity(ptm),
    }
    if error.num_qubits == 2:
        facts["on_each_qubit"] = [own.tolist() for own in qubit_maps(ptm)]
    return facts


_SEED = 20231  # for the probing states: any generic ones do
_AGREES = 1e-8


def probe(model: NoiseModel, circuit: QuantumCircuit) -> None:
    """Run each kind of noisy gate of a circuit once on Aer and compare with what the noise model says.

    From a generic state, the gate (with generic angles) and its error must give the density matrix that
    Qiskit computes from the error's superoperator, and so differ from the ideal one. Once at the start of a
    run.

    Args:
        model: The noise model. One without gate errors (strength 0, or readout errors only) passes.
        circuit: The circuit it is meant for.

    Raises:
        SpecError: The circuit has none of the gates that the model attaches noise to.
        BackendError: Aer ignores an error, or computes something else.
    """
    noisy = sorted(name for name in model.noise_instructions if name != "measure")
    if not noisy:
        return
    cases: dict[tuple[str, int], tuple[CircuitInstruction, tuple[int, ...], QuantumError]] = {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        key = gate_key(instruction.operation)
        error = error_after(model, key, qubits)
        if error is not None and instruction.operation.name not in ("barrier", "measure"):
            cases.setdefault((key, id(error)), (instruction, qubits, error))
    if not cases:
        present = sorted({gate_key(instruction.operation) for instruction in circuit.data})
        raise SpecError(
            f"The noise model attaches noise to {', '.join(noisy)}, but the circuit has only "
            f"{', '.join(present)}: nothing would be noisy."
        )
    rng = np.random.default_rng(_SEED)
    for (key, _), (instruction, qubits, error) in cases.items():
        _probe_gate(model, key, instruction, qubits, error, rng)


def _probe_gate(
    model: NoiseModel,
    key: str,
    instruction: CircuitInstruction,
    qubits: tuple[int, ...],
    error: QuantumError,
    rng: np.random.Generator,
) -> None:
    operation = instruction.operation
    if any(isinstance(parameter, ParameterExpression) for parameter in operation.params):
        operation = operation.to_mutable()
        operation.params = [float(angle) for angle in rng.uniform(0.3, 1.2, len(operation.params))]  # generic
    prepare = UnitaryGate(random_unitary(2 ** len(qubits), seed=rng), label="probing state")
    small = QuantumCircuit(len(qubits))
    small.append(prepare, small.qubits)
    small.append(operation, small.qubits)
    ideal = DensityMatrix(small.copy())
    small.save_density_matrix()
    simulator = AerSimulator(method="density_matrix", noise_model=restrict(model, qubits))
    result = simulator.run(small, shots=1).result()
    if not result.success:
        raise BackendError(f"Aer cannot run gate `{key}` of the circuit: {result.status}.")
    found = np.asarray(result.data(0)["density_matrix"])
    expected = ideal.evolve(SuperOp(error)).data
    if np.max(np.abs(found - expected)) < _AGREES:
        return
    where = f"gate `{key}` on qubits {list(qubits)}"
    if np.max(np.abs(found - ideal.data)) < _AGREES:
        raise BackendError(f"Aer ignores the noise of {where}: nothing would be noisy.")
    raise BackendError(f"Aer computes another noise for {where} than the model says.")


def restrict(model: NoiseModel, qubits: Sequence[int]) -> NoiseModel:
    """The part of a noise model that concerns some qubits, with qubit `qubits[i]` renamed to i.

    Args:
        model: Noise model of the whole register. Errors are shared, not copied.
        qubits: The qubits to keep, each once.

    Raises:
        UnsupportedError: Noise that is a pass over the circuit (Aer's relaxation during delays).
    """
    if model._custom_noise_passes:
        raise UnsupportedError(
            "A noise model with passes (relaxation during delays, `NoiseModel.from_backend`) must be run on "
            "the whole register; build the model with `thermal_relaxation=False`, or mark idle qubits in a "
            "noise file."
        )
    position = {qubit: i for i, qubit in enumerate(qubits)}
    part = NoiseModel(basis_gates=model.basis_gates)
    for gate, error in model._default_quantum_errors.items():
        attach(part, error, gate, None)
    for gate, table in model._local_quantum_errors.items():
        for where, error in table.items():
            if all(qubit in position for qubit in where):
                attach(part, error, gate, tuple(position[qubit] for qubit in where))
    if model._default_readout_error is not None:
        part.add_all_qubit_readout_error(model._default_readout_error, warnings=False)
    for where, readout in model._local_readout_errors.items():
        if all(qubit in position for qubit in where):
            part.add_readout_error(readout, [position[qubit] for qubit in where], warnings=False)
    return part
