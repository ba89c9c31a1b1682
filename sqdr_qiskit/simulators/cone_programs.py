"""Cones of a noisy circuit as small circuits of their own, for a simulator that attaches noise to labels.

A program is what one or several cones need: their gates on relabelled qubits. Every noisy gate carries a
label that names its error, so that noise follows the physical qubit and one noise model serves all programs.
Programs that are equal but for their angles (on a ring: nearly all of them) have equal keys and are run as
one circuit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Instruction, QuantumCircuit
from qiskit.circuit.library import IGate, RZGate, UnitaryGate
from qiskit.quantum_info import Kraus
from qiskit_aer.noise import NoiseModel, QuantumError

from sqdr_qiskit.lightcone.angles import affine
from sqdr_qiskit.lightcone.cones import Cone, Paulis, nested
from sqdr_qiskit.lightcone.instructions import is_free, kind_of, labelled
from sqdr_qiskit.lightcone.operations import Fixed, NormalForm, Operation, Rotation
from sqdr_qiskit.noise_models import gate_key, ptm_to_kraus
from sqdr_qiskit.noise_models.aer_model import (
    attach,
    error_after,
    error_ptm,
    is_product,
    qubit_maps,
)

__all__ = ["build_programs", "ConeProgram", "NoiseLabels", "Step"]


class NoiseLabels:
    """Labels for errors: one for each object, so that the noise model that holds them must outlive this."""

    def __init__(self) -> None:
        self._whole: dict[int, str] = {}
        self._parts: dict[tuple[int, int], str | None] = {}
        self._errors: dict[str, QuantumError] = {}
        self._products: dict[int, bool] = {}

    def whole(self, gate: str, error: QuantumError) -> str:
        """The label for a gate that is followed by `error`."""
        if id(error) not in self._whole:
            self._whole[id(error)] = self._new(gate, error)
        return self._whole[id(error)]

    def part(self, gate: str, error: QuantumError, position: int) -> str | None:
        """The label for what `error` does to one of its qubits; None if that is nothing.

        Right where the other qubits are not looked at afterwards: they are traced out.
        """
        place = (id(error), position)
        if place not in self._parts:
            ptm = qubit_maps(error_ptm(error))[position]
            nothing = np.array_equal(ptm, np.eye(4))
            kraus = None if nothing else QuantumError(Kraus(list(ptm_to_kraus(ptm))))
            self._parts[place] = None if kraus is None else self._new(gate, kraus)
        return self._parts[place]

    def is_product(self, error: QuantumError) -> bool:
        """Whether an error acts on each of its qubits by itself, so that all its `part`s are all of it."""
        if error.num_qubits < 2:
            return False
        if id(error) not in self._products:
            self._products[id(error)] = is_product(error_ptm(error))
        return self._products[id(error)]

    def readout(self, p01: float, p10: float) -> str:
        """The label for reading a qubit with errors: a channel right before a perfect measurement.

        Reading 1 for |0> with probability p01 and 0 for |1> with p10 has the same counts as flipping the
        qubit with these probabilities before it is measured.
        """
        label = f"read~{p01!r}~{p10!r}"
        if label not in self._errors:
            kraus = [
                np.array([[np.sqrt(1 - p01), 0], [0, 0]]),
                np.array([[0, 0], [np.sqrt(p01), 0]]),
                np.array([[0, np.sqrt(p10)], [0, 0]]),
                np.array([[0, 0], [0, np.sqrt(1 - p10)]]),
            ]
            self._errors[label] = QuantumError(Kraus(kraus))
        return label

    @property
    def model(self) -> NoiseModel | None:
        """Noise model with each error as the all-qubit error of its label; None without errors."""
        if not self._errors:
            return None
        model = NoiseModel()
        for label, error in self._errors.items():
            attach(model, error, label, None)
        return model

    def _new(self, gate: str, error: QuantumError) -> str:
        label = f"{gate}~{len(self._errors)}"
        self._errors[label] = error
        return label


@dataclass(frozen=True)
class Step:
    """One instruction of a program.

    Attributes:
        key: What tells it from others: name, label, and its fixed parameters; an angle that is a column is
            its number.
        operands: The program's qubits it acts on.
        operation: The instruction; parameters that are columns are to be replaced.
    """

    key: tuple[object, ...]
    operands: tuple[int, ...]
    operation: Instruction = field(compare=False)
    columns: tuple[int | None, ...] = field(compare=False)


@dataclass(frozen=True)
class ConeProgram:
    """A small circuit and the Pauli strings to be measured after it.

    Attributes:
        n_qubits: Number of its qubits.
        steps: Its instructions.
        outputs: Pauli strings on its qubits.
        qubits: The circuit's qubits (the normal form's names) that its qubits stand for.
        terms: For each output the number of the term that it is.
        coefficients: Angles = parameters @ coefficients.T + offsets; shape (n_columns, n_params).
        offsets: Shape (n_columns,), radians.
    """

    n_qubits: int
    steps: tuple[Step, ...]
    outputs: tuple[Paulis, ...]
    qubits: tuple[int, ...] = field(compare=False)
    terms: tuple[int, ...] = field(compare=False)
    coefficients: NDArray[np.float64] = field(compare=False)
    offsets: NDArray[np.float64] = field(compare=False)

    def angles(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Angles of a batch: shape (batch, n_params) -> (batch, n_columns), radians."""
        slopes = self.coefficients
        single = ((slopes != 0.0).sum(axis=1) == 1).all() and (slopes.sum(axis=1) == 1.0).all()
        if single and not self.offsets.any():  # as usual, each angle is a parameter
            return np.ascontiguousarray(parameters[:, slopes.argmax(axis=1)])
        return np.asarray(parameters @ slopes.T + self.offsets)


def build_programs(
    circuit: QuantumCircuit,
    form: NormalForm,
    cones: Sequence[Cone],
    model: NoiseModel | None,
    labels: NoiseLabels,
) -> tuple[ConeProgram, ...]:
    """Programs that compute the terms of `cones`, term i being that of cones[i].

    A cone whose qubits all belong to another one's is computed with it.

    Args:
        circuit: The circuit that `form` was made of, as `simulators.aer.aer_circuit` returns it.
        form: Its normal form, noise included.
        cones: One for each term.
        model: The noise; None for none.
        labels: Where the labels of its errors are kept.
    """
    writer = _Writer(circuit, form, model, labels)
    groups = [sorted(numbers) for numbers in nested(cones)]
    return tuple(writer.program([cones[i] for i in terms], terms) for terms in groups)


_Draft = tuple[Instruction, tuple[int, ...]]  # an operation with its label, and the names of its qubits


class _Writer:
    def __init__(
        self, circuit: QuantumCircuit, form: NormalForm, model: NoiseModel | None, labels: NoiseLabels
    ) -> None:
        self._circuit = circuit
        self._form = form
        self._model = model
        self._labels = labels
        self._number = {parameter: i for i, parameter in enumerate(circuit.parameters)}
        self._parts: dict[int, list[Operation]] = defaultdict(list)  # operations of each instruction
        for operation in form.operations:
            self._parts[operation.instruction].append(operation)

    def program(self, cones: Sequence[Cone], terms: Sequence[int]) -> ConeProgram:
        instructions = sorted({index for member in cones for index in member.instructions})
        names = {name for member in cones for name in member.qubits}
        drafts = [draft for index in instructions for draft in self._drafts(index, names)]
        local = _local_numbers([member.term.paulis for member in cones], drafts)
        rows: list[tuple[dict[int, float], float]] = []
        steps = tuple(self._step(operation, where, local, rows) for operation, where in drafts)
        if not rows:  # Aer binds a batch to parameters, so there must be one: an RZ by 0 on |0>
            idle = Step(("rz", None, ("column", 0)), (0,), RZGate(0.0), (0,))
            steps, rows = (idle, *steps), [({}, 0.0)]
        coefficients = np.zeros((len(rows), len(self._number)))
        for row, (slopes, _) in enumerate(rows):
            for column, slope in slopes.items():
                coefficients[row, column] = slope
        outputs = [tuple((local[q], letter) for q, letter in member.term.paulis) for member in cones]
        return ConeProgram(
            n_qubits=len(local),
            steps=steps,
            outputs=tuple(outputs),
            qubits=tuple(local),
            terms=tuple(terms),
            coefficients=coefficients,
            offsets=np.array([offset for _, offset in rows]),
        )

    def _drafts(self, index: int, names: set[int]) -> list[_Draft]:
        """Instruction `index` as it acts on the qubits `names`, each part with its label."""
        item = self._circuit.data[index]
        key, wires = (
            gate_key(item.operation),
            tuple(self._circuit.find_bit(qubit).index for qubit in item.qubits),
        )
        where = self._form.instruction_names[index]
        error = None if self._model is None else error_after(self._model, key, wires)
        if kind_of(item.operation) == "swap":  # the normal form renames instead; its noise stays
            if error is None:
                return []
            return [(UnitaryGate(np.eye(4), label=self._labels.whole("swap", error)), where[::-1])]

        def noise_on(positions: Iterable[int]) -> Iterator[_Draft]:
            for position in positions if error is not None else ():
                label = self._labels.part(key, error, position)
                if label is not None:
                    yield IGate(label=label), (where[position],)

        inside = [position for position, name in enumerate(where) if name in names]
        turned = any(isinstance(part, Rotation) for part in self._parts[index])
        if len(inside) == len(where) or turned:
            if error is None or not self._labels.is_product(error):
                label = None if error is None else self._labels.whole(key, error)
                return [(labelled(item.operation, label), where)]
            # maps on one qubit each are cheaper than one on two
            gate = [] if _is_identity(item.operation) else [(labelled(item.operation, None), where)]
            return [*gate, *noise_on(range(len(where)))]
        # What remains of a two-qubit gate outside of which the cone ends: the fixed turns of its one qubit,
        # and noise.
        drafts: list[_Draft] = []
        for position in inside:
            matrix = np.eye(2, dtype=complex)
            for part in self._parts[index]:
                if isinstance(part, Fixed) and part.qubit == where[position] and part.unitary is not None:
                    matrix = part.unitary @ matrix
            if not np.allclose(np.abs(np.trace(matrix)), 2.0, atol=1e-14):
                drafts.append((UnitaryGate(matrix), (where[position],)))
        return [*drafts, *noise_on(inside)]

    def _step(
        self,
        operation: Instruction,
        where: tuple[int, ...],
        local: dict[int, int],
        rows: list[tuple[dict[int, float], float]],
    ) -> Step:
        key: list[object] = [operation.name, operation.label]
        columns: list[int | None] = []
        for value in operation.params:
            if is_free(value):
                columns.append(len(rows))
                key.append(("column", len(rows)))
                found = affine(value)
                assert found is not None, "the normal form has refused any other angle"
                slopes, offset = found
                rows.append(({self._number[parameter]: slope for parameter, slope in slopes.items()}, offset))
            else:
                columns.append(None)
                key.append(value.tobytes() if isinstance(value, np.ndarray) else float(value))
        return Step(tuple(key), tuple(local[name] for name in where), operation, tuple(columns))


def _is_identity(operation: Instruction) -> bool:
    """Whether an instruction is a mere marker, for noise."""
    if kind_of(operation) != "unitary":
        return False
    return np.array_equal(operation.params[0], np.eye(2**operation.num_qubits))


def _local_numbers(terms: Sequence[Paulis], drafts: Sequence[_Draft]) -> dict[int, int]:
    """New numbers for the qubits by their place in the cone, so that equal cones look equal.

    The measured qubits first, then the others in the order in which a walk back through the gates meets them.
    """
    local: dict[int, int] = {}
    for term in terms:
        for name, _ in term:
            local.setdefault(name, len(local))
    for _, where in reversed(drafts):
        for name in where:
            local.setdefault(name, len(local))
    return local
