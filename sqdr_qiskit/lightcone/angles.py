"""Angles as functions of a circuit's parameters: affine ones, which cost nothing, and all others.

Let phi be the angles of a circuit, functions of its parameters x. The engine, the shift rules, Aer and chips
work with circuits whose angles are affine in their parameters. Any other expression becomes a parameter of
its own of such a circuit; a stage before it computes phi(x) and, by Qiskit's own derivatives of its
expressions, d phi / dx for the chain rule

    d<O>/dx = sum over phi of d<O>/d phi * d phi/dx.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from qiskit.circuit import (
    ControlFlowOp,
    Gate,
    Instruction,
    Operation,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
)

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.lightcone.instructions import is_free, kind_of, unmeasured
from sqdr_qiskit.noise_models import RealArray

__all__ = ["affine", "AngleStage", "check_finite", "prepared"]


def check_finite(parameters: RealArray) -> None:
    """Refuse parameters that are no numbers.

    Raises:
        ArgumentError: A value that is infinite or not a number; says where.
    """
    if not np.isfinite(parameters).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(parameters))[0])
        raise ArgumentError(
            f"Argument `parameters` must be finite numbers, but is {parameters[place]} at {place}."
        )


def affine(value: ParameterExpression) -> tuple[dict[Parameter, float], float] | None:
    """An angle as slopes along its parameters and an offset, radians; None if it is not affine."""
    if isinstance(value, Parameter):
        return {value: 1.0}, 0.0
    slopes: dict[Parameter, float] = {}
    for parameter in value.parameters:
        # Affine where no derivative holds a parameter any more; Qiskit's derivatives are symbolic.
        slope = value.gradient(parameter)
        if is_free(slope):
            return None
        number = _number(slope)
        if number.imag:
            return None
        slopes[parameter] = number.real
    offset = _number(value.bind_all(dict.fromkeys(value.parameters, 0.0)))
    return None if offset.imag else (slopes, offset.real)


def _number(value: ParameterExpression | complex) -> complex:
    """The number that an expression without parameters is."""
    return complex(value.numeric() if isinstance(value, ParameterExpression) else value)


class AngleStage:
    """phi(x) and its derivatives, for a batch.

    Args:
        outer: The circuit's parameters x, in its order.
        inner: The parameters of the circuit with affine angles, in its order.
        expressions: What those are that are not among `outer`.

    Attributes:
        depends: Which inner parameter depends on which outer one, shape (n_inner, n_outer).
    """

    def __init__(
        self,
        outer: Sequence[Parameter],
        inner: Sequence[Parameter],
        expressions: Mapping[Parameter, ParameterExpression],
    ) -> None:
        column = {parameter: i for i, parameter in enumerate(outer)}
        self.n_outer, self.n_inner = len(outer), len(inner)
        self._copied = [(i, column[p]) for i, p in enumerate(inner) if p not in expressions]
        computed = [i for i, p in enumerate(inner) if p in expressions]
        self._computed = [
            ([computed[k] for k in which], function)
            for which, function in _compiled([expressions[inner[i]] for i in computed], column)
        ]
        # Only the derivatives that are not 0 by their form.
        along = [
            (i, column[x], expressions[p].gradient(x))
            for i, p in enumerate(inner)
            if p in expressions
            for x in sorted(expressions[p].parameters, key=column.__getitem__)
        ]
        self._slopes = [
            ([along[k][0] for k in which], [along[k][1] for k in which], function)
            for which, function in _compiled([slope for _, _, slope in along], column)
        ]
        self.depends = np.zeros((self.n_inner, self.n_outer), dtype=bool)
        for i, j in self._copied:
            self.depends[i, j] = True
        for i, j, _ in along:
            self.depends[i, j] = True

    def values(self, parameters: RealArray) -> RealArray:
        """phi: shape (..., n_outer) -> (..., n_inner), radians.

        Raises:
            ArgumentError: An expression that is infinite or not a number there.
        """
        found = np.zeros((*parameters.shape[:-1], self.n_inner))
        # What is infinite or not a number is refused below, in words, instead of warned of.
        with np.errstate(all="ignore"):
            for i, j in self._copied:
                found[..., i] = parameters[..., j]
            for rows, function in self._computed:
                found[..., rows] = function(parameters)
        if not np.isfinite(found).all():
            raise ArgumentError(
                "Argument `parameters` must lie where the circuit's expressions are finite, but one is not."
            )
        return found

    def slopes(self, parameters: RealArray) -> RealArray:
        """D phi / dx: shape (batch, n_outer) -> (batch, n_inner, n_outer)."""
        found = np.zeros((len(parameters), self.n_inner, self.n_outer))
        for i, j in self._copied:
            found[:, i, j] = 1.0
        with np.errstate(all="ignore"):
            for rows, columns, function in self._slopes:
                found[:, rows, columns] = function(parameters)
        if not np.isfinite(found).all():
            raise ArgumentError(
                "Argument `parameters` must lie where the circuit's expressions have derivatives, but one "
                "has none."
            )
        return found


_Function = Callable[[RealArray], RealArray]

_BINARY: dict[str, Callable[[RealArray, RealArray], RealArray]] = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "DIV": lambda a, b: a / b,
    "POW": lambda a, b: a**b,
    "RSUB": lambda a, b: b - a,
    "RDIV": lambda a, b: b / a,
    "RPOW": lambda a, b: b**a,
}
_UNARY: dict[str, Callable[[RealArray], RealArray]] = {
    "SIN": np.sin,
    "COS": np.cos,
    "TAN": np.tan,
    "ASIN": np.arcsin,
    "ACOS": np.arccos,
    "ATAN": np.arctan,
    "EXP": np.exp,
    "LOG": np.log,
    "ABS": np.abs,
    "SIGN": np.sign,
    "CONJ": np.conj,
}


def _compiled(
    values: Sequence[ParameterExpression | complex], column: Mapping[Parameter, int]
) -> list[tuple[list[int], _Function]]:
    """Expressions as functions of a batch: some of them, by number, and what computes those, shape
    (..., n_outer) -> (..., number of expressions).

    Qiskit keeps each expression as a list of operations on a stack. Running that list on whole columns is
    some hundred times faster than binding row by row, and expressions of one form, as a feature map has a
    hundred of, are run together; where it does not give what binding gives (an operation we do not know),
    rows are bound.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    found: list[tuple[list[int], _Function]] = []
    for number, value in enumerate(values):
        steps = _steps(value)
        # `_qpy_replay` is Qiskit's own affair: it is held against binding once, and left alone where they
        # differ.
        points = np.random.default_rng(7).uniform(0.1, 0.9, (3, len(column)))
        bound = _bound(value, column)
        try:
            same = steps is not None and np.allclose(
                _replayed([steps], column)(points), bound(points), rtol=1e-12, atol=1e-13, equal_nan=True
            )
        except Exception:  # an operation, or an operand, that is new to us
            same = False
        if steps is None or not same:
            found.append(([number], bound))
        else:
            form = tuple((name, _sort(left), _sort(right)) for name, left, right in steps)
            alike.setdefault(form, []).append(number)
    for numbers in alike.values():
        found.append((numbers, _replayed([_steps(values[number]) or [] for number in numbers], column)))
    return found


def _steps(value: ParameterExpression | complex) -> list[tuple[str, object, object]] | None:
    """The stack's operations, by name, and their operands, None for one from the stack."""
    if not is_free(value):
        return [("", _number(value).real, None)]
    if isinstance(value, Parameter):
        return [("", value, None)]
    try:
        steps = value._qpy_replay  # type: ignore[union-attr]
        return [(str(step.op).rpartition(".")[2], step.lhs, step.rhs) for step in steps]
    except AttributeError:
        return None


def _sort(operand: object) -> type[object] | None:
    if operand is None:
        return None
    return Parameter if isinstance(operand, Parameter) else float


def _bound(value: ParameterExpression | complex, column: Mapping[Parameter, int]) -> _Function:
    names = list(value.parameters) if isinstance(value, ParameterExpression) else []

    def function(parameters: RealArray) -> RealArray:
        found = np.empty((*parameters.shape[:-1], 1))
        for place in np.ndindex(parameters.shape[:-1]):
            row = parameters[place]
            binding = {p: float(row[column[p]]) for p in names}
            number = value.bind_all(binding) if isinstance(value, ParameterExpression) else value
            found[place] = _number(number).real
        return found

    return function


def _replayed(
    alike: Sequence[Sequence[tuple[str, object, object]]], column: Mapping[Parameter, int]
) -> _Function:
    """Lists of operations that differ in their operands alone."""

    def operands(given: Sequence[object]) -> list[int] | RealArray | None:
        if given[0] is None:
            return None
        if isinstance(given[0], Parameter):
            return [column[p] for p in given if isinstance(p, Parameter)]
        return np.array([float(number) for number in given])  # type: ignore[arg-type]

    steps = [
        (alike[0][k][0], operands([one[k][1] for one in alike]), operands([one[k][2] for one in alike]))
        for k in range(len(alike[0]))
    ]

    def function(parameters: RealArray) -> RealArray:
        stack: list[RealArray] = []

        def operand(given: list[int] | RealArray | None) -> RealArray:
            if given is None:
                return stack.pop()
            return parameters[..., given] if isinstance(given, list) else given

        for name, left, right in steps:
            if name in _UNARY:
                stack.append(_UNARY[name](operand(left)))
            elif name:
                second = operand(right)
                stack.append(_BINARY[name](operand(left), second))
            else:
                stack.append(operand(left))
        (result,) = stack
        return np.broadcast_to(result, (*parameters.shape[:-1], len(alike)))

    return function


def prepared(circuit: QuantumCircuit) -> tuple[QuantumCircuit, AngleStage | None]:
    """A circuit for everything that computes: no final measurements, every angle affine in its parameters.

    Args:
        circuit: Any circuit.

    Returns:
        The circuit (the same object if nothing is to be done), and what computes its parameters from those of
        `circuit`; None if they are the same.

    Raises:
        UnsupportedError: See `instructions.unmeasured`.
    """
    plain = unmeasured(circuit)
    writer = _Writer()
    written = writer.circuit(plain)
    if not writer.expressions:
        return plain, None
    stage = AngleStage(list(circuit.parameters), list(written.parameters), writer.expressions)
    return written, stage


class _Writer:
    """Puts a parameter in the place of each expression that is not affine; equal ones share it."""

    def __init__(self) -> None:
        self.expressions: dict[Parameter, ParameterExpression] = {}
        self._of: dict[tuple[str, frozenset[Parameter]], Parameter] = {}

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """`circuit` with affine angles; the same object if it has no others."""
        operations = [self._operation(item.operation) for item in circuit.data]
        if all(new is None for new in operations):
            return circuit
        written = QuantumCircuit(circuit.qubits, circuit.clbits, metadata=circuit.metadata)
        for item, new in zip(circuit.data, operations, strict=True):
            written.append(item.operation if new is None else new, item.qubits, item.clbits)
        return written

    def _operation(self, operation: Operation) -> Instruction | None:
        """The operation with affine angles; None if it has no others."""
        params = getattr(operation, "params", ())
        if not any(is_free(value) for value in params) or isinstance(operation, ControlFlowOp):
            return None
        if kind_of(operation):
            new = [self._value(value) if is_free(value) else value for value in params]
            if all(after is before for after, before in zip(new, params, strict=True)):
                return None
            changed = operation.to_mutable()
            changed.params = new
            return changed
        definition = operation.definition
        written = None if definition is None else self.circuit(definition)
        if written is None or written is definition:
            return None
        # By the old name and label, since that is what noise follows.
        composite = Gate(
            operation.name, operation.num_qubits, list(written.parameters), label=operation.label
        )
        composite.definition = written
        return composite

    def _value(self, value: ParameterExpression) -> ParameterExpression:
        if affine(value) is not None:
            return value
        # With the parameters themselves: two of one name are told apart by identity alone.
        key = (str(value), frozenset(value.parameters))
        if key not in self._of:
            self._of[key] = Parameter(f"~angle {len(self._of)}")
            self.expressions[self._of[key]] = value
        return self._of[key]
