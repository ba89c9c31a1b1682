"""PennyLane and TensorCircuit-NG on any circuit of Qiskit's: its gates, its angles' expressions, in jax.

Written out in H, P, RX, RY, RZ and CX, compiled once, mapped over the samples, derivatives by reverse mode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy
from qiskit import transpile
from qiskit.circuit import ParameterExpression
from qiskit_machine_learning.neural_networks import EstimatorQNN

from benchmarks.peers import with_jax
from benchmarks.peers.interface import Jacobian

__all__ = ["LIBRARIES", "prepare"]

Gate = tuple[str, list[int], Any]


def prepare(network: EstimatorQNN, library: str) -> Jacobian:
    """`library`: a key of `LIBRARIES`. Gives values and both derivatives of a batch, as `Runner.jacobian`."""
    with_jax.set_precision("double")
    angles = [*network.input_params, *network.weight_params]
    plain = transpile(network.circuit, basis_gates=["h", "p", "rx", "ry", "rz", "cx"], optimization_level=0)
    steps = []
    for item in plain.data:
        wires = [plain.find_bit(qubit).index for qubit in item.qubits]
        steps.append((item.operation.name, wires, [_function(p, angles) for p in item.operation.params]))

    def gates(x: Any, w: Any) -> Iterator[Gate]:
        values = jnp.concatenate([x, w])
        for name, wires, functions in steps:
            yield name, wires, functions[0](values) if functions else None

    terms = [[(label[::-1], float(c.real)) for label, c in o.to_list()] for o in network.observables]
    run = with_jax.make_runner(LIBRARIES[library](gates, plain.num_qubits, terms)).jacobian
    assert run is not None
    return run


def _function(angle: Any, parameters: list[Any]) -> Callable[[Any], Any]:
    """What an angle is of all parameters' values."""
    if not isinstance(angle, ParameterExpression) or not angle.parameters:
        return lambda _: float(angle)
    place = {parameter.name: i for i, parameter in enumerate(parameters)}
    expression = angle.sympify()
    symbols = sorted(expression.free_symbols, key=str)
    places = np.array([place[str(symbol)] for symbol in symbols])
    compiled = sympy.lambdify(symbols, expression, modules=[jnp], dummify=True)
    return lambda values: compiled(*values[places])


def _pennylane(gates: Callable[[Any, Any], Iterator[Gate]], n_qubits: int, terms: Any) -> Callable[..., Any]:
    import pennylane as qml

    kinds = {"h": qml.Hadamard, "cx": qml.CNOT, "p": qml.PhaseShift, "rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}
    observables = [
        qml.dot([c for _, c in one], [qml.pauli.string_to_pauli_word(word) for word, _ in one])
        for one in terms
    ]

    @qml.qnode(qml.device("default.qubit", wires=n_qubits), interface="jax", diff_method="backprop")
    def circuit(x: Any, w: Any) -> Any:
        for name, wires, angle in gates(x, w):
            kinds[name](*([] if angle is None else [angle]), wires=wires)
        return [qml.expval(one) for one in observables]

    return lambda x, w: jnp.stack(circuit(x, w))


def _tensorcircuit(
    gates: Callable[[Any, Any], Iterator[Gate]], n_qubits: int, terms: Any
) -> Callable[..., Any]:
    with redirect_stdout(sys.stderr):  # it speaks of what is not installed
        import tensorcircuit as tc

        tc.set_backend("jax")
    tc.set_dtype("complex128")
    names = {"p": "phase", "cx": "cnot"}

    def values(x: Any, w: Any) -> Any:
        circuit = tc.Circuit(n_qubits)
        for name, wires, angle in gates(x, w):
            getattr(circuit, names.get(name, name))(*wires, **({} if angle is None else {"theta": angle}))
        return jnp.stack([sum(c * _term(circuit, word) for word, c in one) for one in terms])

    return values


def _term(circuit: Any, word: str) -> Any:
    on = {letter.lower(): [i for i, other in enumerate(word) if other == letter] for letter in "XYZ"}
    return circuit.expectation_ps(**on).real


LIBRARIES = {"PennyLane": _pennylane, "TensorCircuit-NG": _tensorcircuit}
