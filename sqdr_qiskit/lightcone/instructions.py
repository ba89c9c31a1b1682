"""A circuit's instructions: what each really is, what it consists of, and a circuit written out in few kinds.

Noise follows an instruction *as it stands in the circuit*, under its label or else its name. Whoever rewrites
a circuit keeps to that: a gate that is written out becomes parts with the label `PART`, which no noise model
names, and, where noise follows it, one marker after them with the gate's own label (see `written_out`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache

import numpy as np
from qiskit.circuit import (
    Barrier,
    ControlFlowOp,
    Delay,
    Gate,
    Instruction,
    Measure,
    Operation,
    ParameterExpression,
    QuantumCircuit,
    Reset,
)
from qiskit.circuit.library import IGate, Initialize, PauliEvolutionGate, UnitaryGate
from qiskit.transpiler.passes import HighLevelSynthesis

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.noise_models import ComplexArray, gate_key

__all__ = [
    "definition_of",
    "is_free",
    "kind_of",
    "labelled",
    "matrix_of",
    "PART",
    "unmeasured",
    "written_out",
]

PART = "~part"
"""Label of the parts of a gate that was written out; noise models name gates, never parts of them."""


def is_free(value: object) -> bool:
    """Whether a gate's parameter depends on a parameter of the circuit."""
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def kind_of(operation: Operation) -> str:
    """Name of one of Qiskit's own gates or instructions; empty for everything else, whatever it is called.

    A user's gate may be called `rx` or `swap` and do something else; open controls have names of their own
    (`cx_o0`).
    """
    # Qiskit sets this for its own gates alone; a name proves nothing.
    if getattr(operation, "_standard_gate", None) is not None:
        return str(operation.name)
    if isinstance(operation, Barrier | Delay | Measure | Reset | UnitaryGate):
        return str(operation.name)
    return ""


def matrix_of(operation: Operation) -> ComplexArray | None:
    """The gate's matrix, or None if it has none of its own (measure, reset, free angles, evolutions).

    An evolution under a sum of Paulis has a matrix in Qiskit, of the exact exponential, but what a device
    runs is its product formula: the definition, with angles that are free or fixed alike.
    """
    to_matrix = getattr(operation, "to_matrix", None)
    if to_matrix is None or isinstance(operation, PauliEvolutionGate):
        return None
    if any(is_free(value) for value in getattr(operation, "params", ())):
        return None
    try:
        return np.asarray(to_matrix(), dtype=complex)
    except Exception:  # Qiskit raises several types for gates without a matrix; the caller names the gate.
        return None


def definition_of(operation: Operation) -> QuantumCircuit | None:
    """What an operation consists of; None if it cannot be taken apart (control flow, measure)."""
    if isinstance(operation, ControlFlowOp):
        return None
    if isinstance(operation, Instruction):
        return operation.definition
    # In a circuit of its own, since synthesis takes circuits.
    alone = QuantumCircuit(operation.num_qubits)  # an annotated gate, a Clifford: Qiskit's synthesis knows
    alone.append(operation, range(operation.num_qubits))
    synthesised: QuantumCircuit = HighLevelSynthesis()(alone)
    # Synthesis leaves what it does not know as it is: taken for a definition it would never end.
    same = any(item.operation.name == operation.name for item in synthesised.data)
    return None if same else synthesised


def unmeasured(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without its final measurements, without resets of qubits that are still |0>, and with
    `initialize` as the state preparation that it is; the same object if it has none of these.

    Expectation values are of the state before final measurements.

    Raises:
        UnsupportedError: A measurement that something follows.
    """
    special = (Measure, Reset, Initialize)
    if not circuit.num_clbits and not any(isinstance(item.operation, special) for item in circuit.data):
        return circuit
    plain = QuantumCircuit(circuit.qubits, metadata=circuit.metadata)
    # Qubits that something has acted on: until then a reset does nothing, and after a measurement nothing may
    # come.
    touched: set[int] = set()
    measured: set[int] = set()

    def keep(operation: Operation, wires: tuple[int, ...]) -> None:
        if not isinstance(operation, Reset) or touched.intersection(wires):
            plain.append(operation, wires)
            touched.update(wires)

    for item in circuit.data:
        wires = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        operation = item.operation
        if isinstance(operation, Barrier):
            plain.append(operation, wires)
        elif isinstance(operation, Measure):
            measured.update(wires)
        elif again := sorted(measured.intersection(wires)):
            raise UnsupportedError(
                f"Qubit {again[0]} must be measured last, if at all, but `{operation.name}` follows its "
                f"measurement; leave the measurement out: expectation values need none."
            )
        elif isinstance(operation, Initialize):
            definition = operation.definition
            for part in definition.data:
                keep(part.operation, tuple(wires[definition.find_bit(q).index] for q in part.qubits))
        else:
            keep(operation, wires)
    return plain


def written_out(
    circuit: QuantumCircuit,
    *,
    free: Collection[str],
    fixed: Collection[str] | None,
    is_marked: Callable[[str, tuple[int, ...]], bool] | None = None,
) -> QuantumCircuit:
    """`circuit` in few kinds of instructions, on the same qubits and parameters, noise where it was.

    Args:
        circuit: Any circuit of gates.
        free: Kinds of gates (see `kind_of`) that may have free angles.
        fixed: Kinds of gates that may stand without; None is every gate on one or two qubits that has a
            matrix. Others on one or two qubits become matrices.
        is_marked: Whether noise follows the gate of this key (label or name) on these qubits; None is never.

    Raises:
        UnsupportedError: A gate that cannot be written out, by name.
    """

    def stands(operation: Operation) -> bool:
        kind = kind_of(operation)
        if any(is_free(value) for value in getattr(operation, "params", ())):
            return kind in free
        if kind in ("barrier", "delay", "swap"):
            return True
        if fixed is None:
            return operation.num_qubits <= 2 and matrix_of(operation) is not None
        return kind in fixed and (kind != "unitary" or operation.num_qubits <= 2)

    if all(stands(item.operation) for item in circuit.data):
        return circuit
    flat = circuit.copy_empty_like()
    for item in circuit.data:
        wires = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        operation = item.operation
        if stands(operation):
            flat.append(operation, wires)
            continue
        for part, where in _parts(operation, wires, stands):
            flat.append(labelled(part, PART), where)
        # The noise of the whole gate goes behind its parts, on an identity of the same key.
        key = gate_key(operation)
        if is_marked is not None and is_marked(key, wires):
            flat.append(_marker(len(wires), key), wires)
    return flat


def _parts(
    operation: Operation, wires: tuple[int, ...], stands: Callable[[Operation], bool]
) -> Iterator[tuple[Operation, tuple[int, ...]]]:
    if stands(operation):
        yield operation, wires
        return
    matrix = matrix_of(operation) if len(wires) <= 2 else None
    if matrix is not None:
        yield UnitaryGate(matrix, check_input=False), wires
        return
    definition = definition_of(operation)
    if definition is None or definition.num_clbits:
        raise UnsupportedError(
            f"Instruction `{operation.name}` on qubits {list(wires)} must be a gate, or made of gates."
        )
    for item in definition.data:
        inner = tuple(wires[definition.find_bit(qubit).index] for qubit in item.qubits)
        yield from _parts(item.operation, inner, stands)


def labelled(operation: Operation, label: str | None) -> Operation:
    """The operation with this label and no other (noise is found by label alone)."""
    if not isinstance(operation, Gate) or operation.label == label:
        return operation
    changed = operation.to_mutable()
    changed.label = label
    return changed


@lru_cache(maxsize=256)
def _marker(n_qubits: int, key: str) -> Gate:
    if n_qubits == 1:
        return IGate(label=key)
    return UnitaryGate(np.eye(2**n_qubits), label=key)
