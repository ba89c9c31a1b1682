"""Random circuits of Qiskit's whole standard gate library, on every backend, against dense simulation.

300 cases run with the tests; `python -m tests.simulators.test_fuzz 10000` runs as many as it is told and
prints what went wrong. What cannot be taken must be refused by name; nothing else may be raised, no number
be wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from qiskit.circuit import Gate, Parameter, ParameterExpression, QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error, pauli_error

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.gradients import ExactGradient, PackedParameterShift
from sqdr_qiskit.noise_models import gate_key
from sqdr_qiskit.simulators.aer import AerConeEstimator, noisy_engine
from sqdr_qiskit.simulators.exact import ExactEstimator
from tests.simulators.dense import dense_values, estimates

_GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and 1 <= gate.num_qubits <= 4
}
_BLOCK = 30


def _angle(rng: np.random.Generator, parameters: list[Parameter]) -> ParameterExpression | float:
    a, b = (parameters[i] for i in rng.choice(len(parameters), 2, replace=False))
    makers: list[Callable[[], ParameterExpression | float]] = [
        lambda: float(rng.uniform(-3, 3)),
        lambda: a,
        lambda: -0.7 * a + 0.3,
        lambda: a + 2 * b,
        lambda: 2 * (np.pi - a) * (np.pi - b),
        lambda: a.sin() + b / 3,
        lambda: (a * 0.4).exp(),
        lambda: a**2,
    ]
    return makers[int(rng.integers(len(makers)))]()


def _circuit(rng: np.random.Generator) -> QuantumCircuit:
    n_qubits = int(rng.integers(1, 5))
    parameters = [Parameter(name) for name in "abc"]
    circuit = QuantumCircuit(n_qubits)
    circuit.rx(parameters[0], 0)
    for _ in range(int(rng.integers(3, 10))):
        fitting = [gate for gate in _GATES.values() if gate.num_qubits <= n_qubits]
        gate = fitting[int(rng.integers(len(fitting)))].to_mutable()
        gate.params = [_angle(rng, parameters) for _ in gate.params]
        wires = rng.permutation(n_qubits)[: gate.num_qubits].tolist()
        if rng.random() < 0.15:  # within a gate of a user's own, of a misleading name now and then
            names = [f"block{gate.num_qubits}", *{1: ["rx"], 2: ["swap"]}.get(gate.num_qubits, [])]
            inner = QuantumCircuit(gate.num_qubits, name=str(rng.choice(names)))
            inner.append(gate, range(gate.num_qubits))
            inner.h(0)
            circuit.append(inner.to_gate(), wires)
        else:
            circuit.append(gate, wires)
    return circuit


def _noise(rng: np.random.Generator, circuit: QuantumCircuit) -> NoiseModel:
    model = NoiseModel()
    for instruction in circuit.data:
        name, n_qubits = gate_key(instruction.operation), len(instruction.qubits)
        if n_qubits > 2 or rng.random() < 0.5 or name in model.noise_instructions:
            continue
        one = [
            depolarizing_error(0.1, 1),
            amplitude_damping_error(0.2),
            pauli_error([("I", 0.9), ("X", 0.1)]),
        ][int(rng.integers(3))]
        pair = depolarizing_error(0.1, 2) if rng.random() < 0.5 else one.tensor(amplitude_damping_error(0.1))
        model.add_all_qubit_quantum_error(one if n_qubits == 1 else pair, name)
    return model


def _try(rng: np.random.Generator) -> None:
    """One case; raises what is wrong."""
    circuit = _circuit(rng)
    n_qubits = circuit.num_qubits
    observables = []
    for _ in range(2):
        words = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(int(rng.integers(1, 4)))]
        observables.append(SparsePauliOp(words, rng.normal(size=len(words))))
    rows = rng.uniform(-1.5, 1.5, (2, circuit.num_parameters))
    model = _noise(rng, circuit) if rng.random() < 0.4 else NoiseModel()
    noisy = bool(model.noise_instructions)
    exact = ExactEstimator(noisy_engine(model) if noisy else None)
    aer = AerConeEstimator(model if noisy else None)
    try:
        expected = dense_values(circuit, observables, rows, model)
        for estimator in (exact, aer) if rng.random() < 0.4 else (exact,):
            found = estimates(estimator, circuit, observables, rows)
            assert np.abs(found - expected).max() < 1e-8, f"values of {type(estimator).__name__}"
        jacobian = ExactGradient(exact).jacobian(circuit, observables, rows)
        column = int(rng.integers(circuit.num_parameters))
        step = 1e-5 * np.eye(circuit.num_parameters)[column]
        up, down = (dense_values(circuit, observables, rows + s, model) for s in (step, -step))
        assert np.abs(jacobian[:, :, column] - (up - down) / 2e-5).max() < 1e-5, "derivatives"
        if noisy:
            gradients = [PackedParameterShift(exact, assume="structural", noise=model)]
        else:
            gradients = [PackedParameterShift(exact), PackedParameterShift(exact, unit="gate")]
        if rng.random() < 0.1:
            gradients.append(
                PackedParameterShift(aer, assume="structural", noise=model)
                if noisy
                else PackedParameterShift(aer)
            )
        for gradient in gradients:
            difference = gradient.jacobian(circuit, observables, rows) - jacobian
            assert np.abs(difference).max() < 1e-8, "shifted derivatives"
    except UnsupportedError as error:
        if "`" not in str(error):
            raise AssertionError(f"a refusal without a name: {error}") from error
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\n{circuit.draw()}\n{model}") from error


@pytest.mark.parametrize("block", range(300 // _BLOCK))
def test_no_wrong_number_no_crash_every_refusal_by_name(block: int) -> None:
    for case in range(block * _BLOCK, (block + 1) * _BLOCK):
        _try(np.random.default_rng((2026, case)))


def main() -> None:
    """Run as many cases as the command line says, from its second number on; print what is wrong."""
    n_cases, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    wrong = 0
    for case in range(first, first + n_cases):
        try:
            _try(np.random.default_rng((2026, case)))
        except AssertionError as error:
            wrong += 1
            print(f"case {case}: {error}", flush=True)
        if (case + 1) % 500 == 0:
            print(f"{case + 1 - first} cases, {wrong} wrong", flush=True)
    print(f"{n_cases} cases, {wrong} wrong")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
