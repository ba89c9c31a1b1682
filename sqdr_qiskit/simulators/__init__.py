"""What all estimators share: a cache of what is made once for a circuit, and the shape of a request.

Qiskit's `==` tolerates rounding (unitaries 1e-7 apart are equal, say), looks neither at the order of
instructions that commute by their qubits nor at all labels; but noise hangs on labels, places of noise on the
order, and a coefficient of 2e-9 is not one of 1e-9. So circuits are compared by a key that leaves nothing
out.

Beside this: `exact` is the engine as an estimator, `aer` is Aer on cones (`cone_programs` writes them down,
`aer_runner` runs them) and noise for both.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    ControlFlowOp,
    Instruction,
    Operation,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp

from sqdr_qiskit.lightcone.instructions import definition_of, kind_of

__all__ = [
    "circuit_key",
    "CircuitCache",
    "distinct_observables",
    "in_shape",
    "observables_key",
    "parameter_rows",
    "precision_of",
    "shots_of",
]

Made = TypeVar("Made")


def circuit_key(circuit: QuantumCircuit) -> Hashable:
    """A key that two circuits share exactly if they are the same, instruction for instruction.

    Kind, name, label and every parameter of each instruction (numbers to the last bit), in order, and the
    wires it acts on; what gates of a user's own consist of. Global phase and metadata are not looked at.
    """
    bits = {bit: i for i, bit in enumerate((*circuit.qubits, *circuit.clbits))}
    return (
        circuit.num_qubits,
        circuit.num_clbits,
        tuple(circuit.parameters),
        tuple(
            (
                # Without its Python object, which Qiskit would make for every look.
                (item.name, item.label, tuple(_value_key(value) for value in item.params))
                if item.is_standard_gate()
                else _operation_key(item.operation),
                tuple(bits[bit] for bit in item.qubits),
                tuple(bits[bit] for bit in item.clbits) if item.clbits else (),
            )
            for item in circuit.data
        ),
    )


def observables_key(observables: Sequence[SparsePauliOp]) -> Hashable:
    """A key that two lists of observables share exactly if they are written the same."""
    return tuple(
        (
            o.paulis.z.tobytes(),
            o.paulis.x.tobytes(),
            o.paulis.phase.tobytes(),
            o.coeffs.tobytes(),
            o.num_qubits,
        )
        for o in observables
    )


def _operation_key(operation: Operation) -> Hashable:
    if not isinstance(operation, Instruction) or isinstance(operation, ControlFlowOp):
        return type(operation), pickle.dumps(operation)
    label = getattr(operation, "label", None)
    parameters = tuple(_value_key(value) for value in operation.params)
    if kind_of(operation):
        return operation.name, label, parameters
    definition = definition_of(operation)
    inside = None if definition is None else circuit_key(definition)
    return type(operation), operation.name, label, parameters, inside


def _value_key(value: object) -> Hashable:
    if isinstance(value, Parameter | int | float | str):
        return value
    if isinstance(value, ParameterExpression):
        return str(value), frozenset(value.parameters)
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, complex | np.generic):
        return value.dtype.str if isinstance(value, np.generic) else "", repr(value)
    return type(value), pickle.dumps(value)


class CircuitCache(Generic[Made]):
    """What was made for the circuits asked for last; a changed circuit is another one.

    It is neither copied nor pickled with whoever holds it: a copy starts empty.

    Args:
        size: How many are kept; the one not asked for for longest goes first.
    """

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._made: OrderedDict[Hashable, Made] = OrderedDict()
        self._last: tuple[QuantumCircuit, object, Made] | None = None
        self._lock = Lock()

    def get(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        make: Callable[[], Made],
        *,
        more: Hashable = None,
        same: bool = False,
    ) -> Made:
        """What belongs to a circuit and its observables, made if it is not there.

        Args:
            circuit: The circuit.
            observables: The observables, on its qubits.
            make: Makes it; what it raises goes through, and nothing is kept.
            more: What else it depends on.
            same: Whether circuit and observables are objects that nobody changes and `more` is not used: the
                last such pair is known without a look.
        """
        # Held while something is made: two threads that ask for one circuit would both compile it.
        with self._lock:
            last = self._last
            if same and last is not None and last[0] is circuit and last[1] is observables:
                return last[2]
            key = (circuit_key(circuit), observables_key(observables), more)
            if key in self._made:
                made = self._made[key]
            else:
                made = self._made[key] = make()
                if len(self._made) > self._size:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            if same:
                self._last = circuit, observables, made
            return made

    def __len__(self) -> int:
        return len(self._made)

    def __getstate__(self) -> dict[str, int]:
        return {"size": self._size}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["size"])  # type: ignore[misc]


# ---- a request ---------------------------------------------------------------------------------------------


def distinct_observables(observables: ObservablesArray) -> tuple[list[SparsePauliOp], NDArray[np.int64]]:
    """The distinct observables of an array, and for each of its places the number of its observable."""
    numbers: dict[tuple[tuple[str, float], ...], int] = {}
    which = np.zeros(observables.shape, dtype=np.int64)
    operators = observables.sparse_observables_array()
    found: list[SparsePauliOp] = []
    for index in np.ndindex(*observables.shape):
        key = tuple(observables[index].items())
        if key not in numbers:
            numbers[key] = len(found)
            found.append(SparsePauliOp.from_sparse_observable(operators[index]))
        which[index] = numbers[key]
    return found, which


def parameter_rows(pub: EstimatorPub) -> NDArray[np.float64]:
    """A PUB's parameters, shape (batch, n_params), in the order of its circuit's."""
    parameters = pub.parameter_values.as_array(pub.circuit.parameters)
    rows = parameters.reshape(pub.parameter_values.size, pub.circuit.num_parameters)
    return np.ascontiguousarray(rows, dtype=np.float64)


def in_shape(pub: EstimatorPub, values: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of shape (batch, n_observables) in a PUB's own shape; `which` is of `distinct_observables`."""
    # Observables broadcast against parameters by index.
    rows = np.arange(len(values)).reshape(pub.parameter_values.shape)
    return np.asarray(values[rows, which])


def precision_of(shots: int) -> float:
    """The precision for which Runtime takes exactly `shots` samples, 1 / sqrt(shots)."""
    precision = 1.0 / math.sqrt(shots)
    while math.ceil(1.0 / precision**2) > shots:  # rounding up by one in the last digit
        precision = math.nextafter(precision, 1.0)
    return precision


def shots_of(precision: float) -> int:
    """Samples that Runtime takes for a precision, ceil(1 / precision^2)."""
    return math.ceil(1.0 / precision**2)
