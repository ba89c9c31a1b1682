"""Every kind of circuit: sizes, parameters, observables, and the unitary against its formula."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from qiskit.quantum_info import Operator, SparsePauliOp

from sqdr_qiskit import catalog
from sqdr_qiskit.circuits import CIRCUIT_KINDS, CircuitModel, build_circuit, local_z, variations
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.circuit import CIRCUIT_KIND_NAMES, CircuitKind, CircuitSpec, circuit_spec

_Matrix: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]

_X = np.array([[0, 1], [1, 0]], dtype=complex)
_Y = np.array([[0, -1j], [1j, 0]])
_Z = np.diag([1, -1]).astype(complex)
_H = np.array([[1, 1], [1, -1]], dtype=complex) / np.sqrt(2)


def _turn(pauli: _Matrix, angle: float) -> _Matrix:
    """exp(-i angle pauli / 2)."""
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * pauli


def _rot(phi: float, theta: float, omega: float) -> _Matrix:
    """Equation 5: RZ(omega) RY(theta) RZ(phi)."""
    return _turn(_Z, omega) @ _turn(_Y, theta) @ _turn(_Z, phi)


def _layer(gates: list[_Matrix]) -> _Matrix:
    """One gate per qubit, qubit 0 being the least significant."""
    return reduce(lambda left, right: np.kron(right, left), gates)


def _pairs(spec: CircuitSpec) -> list[tuple[int, int]]:
    n = spec.n_qubits
    return [(i, (i + 1) % n) for i in range(n if spec.entangler == "ring" and n > 2 else n - 1)]


def _cz_layer(spec: CircuitSpec) -> _Matrix:
    signs = [
        np.prod([(-1.0) ** ((state >> i) & (state >> j) & 1) for i, j in _pairs(spec)])
        for state in range(2**spec.n_qubits)
    ]
    return np.diag(signs).astype(complex)


def _cx_layer(spec: CircuitSpec) -> _Matrix:
    matrix = np.eye(2**spec.n_qubits, dtype=complex)
    for control, target in _pairs(spec):
        targets = [state ^ (((state >> control) & 1) << target) for state in range(2**spec.n_qubits)]
        gate = np.zeros_like(matrix)
        gate[targets, range(2**spec.n_qubits)] = 1.0
        matrix = gate @ matrix
    return matrix


def _expected(spec: CircuitSpec, x: npt.NDArray[np.float64], w: npt.NDArray[np.float64]) -> _Matrix:
    """The circuit's unitary by matrices, from the formulas."""
    n, b = spec.n_qubits, spec.n_blocks
    matrix: _Matrix
    if spec.kind == "reupload":
        matrix = np.eye(2**n, dtype=complex)
        data, rots = x.reshape(n, 3), w.reshape(b, n, 3)
        for block in range(b):
            matrix = _layer([_rot(*rots[block, i]) @ _rot(*data[i]) for i in range(n)]) @ matrix
            if block < b - 1 or spec.last_entangler:
                matrix = _cz_layer(spec) @ matrix
    elif spec.kind == "hea":
        weights = w.reshape(b + 1, n)
        matrix = _layer([_turn(_Z, weights[0, i]) @ _turn(_X, x[i]) for i in range(n)])
        for layer in range(1, b + 1):
            if layer < b or spec.last_entangler:
                matrix = _cz_layer(spec) @ matrix
            axis = _Z if layer % 2 else _X
            matrix = _layer([_turn(axis, weights[layer, i]) for i in range(n)]) @ matrix
    else:
        weights = w.reshape(b, n)
        matrix = _layer([_turn(_Z, x[i]) @ _H for i in range(n)])
        for block in range(b):
            matrix = _layer([_turn(_Z, w_i) @ _turn(_X, w_i) for w_i in weights[block]]) @ matrix
            if block < b - 1 or spec.last_entangler:
                matrix = _cx_layer(spec) @ matrix
    return matrix


def _distance_up_to_phase(left: _Matrix, right: _Matrix) -> float:
    return float(abs(1 - abs(np.trace(left.conj().T @ right)) / len(left)))


def test_the_table_has_every_kind_a_file_may_name() -> None:
    assert tuple(CIRCUIT_KINDS) == CIRCUIT_KIND_NAMES


@pytest.mark.parametrize("kind", CIRCUIT_KIND_NAMES)
@pytest.mark.parametrize("entangler", ["ring", "line"])
@pytest.mark.parametrize(
    ("n_qubits", "n_blocks", "last_entangler"), [(1, 2, True), (2, 2, True), (3, 1, True), (4, 3, False)]
)
def test_the_unitary_is_the_formula(
    kind: CircuitKind,
    entangler: str,
    n_qubits: int,
    n_blocks: int,
    last_entangler: bool,
    rng: np.random.Generator,
) -> None:
    spec = CircuitSpec(
        name="t",
        kind=kind,
        n_qubits=n_qubits,
        n_blocks=n_blocks,
        entangler=entangler,  # type: ignore[arg-type]
        last_entangler=last_entangler,
    )
    model = build_circuit(spec)
    x = rng.uniform(-np.pi, np.pi, model.n_features)
    w = rng.uniform(-np.pi, np.pi, model.n_weights)
    bound = model.circuit.assign_parameters({model.x: x, model.w: w})
    assert _distance_up_to_phase(Operator(bound).data, _expected(spec, x, w)) < 1e-12, f"\n{model.circuit}"


@pytest.mark.parametrize(
    ("name", "features", "weights", "gates"),
    [
        ("2b-9q", 27, 54, {"u": 36, "cz": 18}),
        ("4b-9q", 27, 108, {"u": 72, "cz": 36}),
        ("2b-18q", 54, 108, {"u": 72, "cz": 36}),
        ("4b-18q", 54, 216, {"u": 144, "cz": 72}),
        ("hea-9q", 9, 54, {"rx": 27, "rz": 36, "cz": 45}),
        ("sqnn-9q", 9, 9, {"h": 9, "rx": 9, "rz": 18, "cx": 9}),
    ],
)
def test_sizes_of_the_catalogue(name: str, features: int, weights: int, gates: dict[str, int]) -> None:
    model = build_circuit(name)
    assert (model.name, model.n_features, model.n_weights) == (name, features, weights)
    assert dict(model.circuit.count_ops()) == gates


def test_the_sizes_are_tested_for_every_file() -> None:
    assert set(catalog.list_names("circuits")) == {"2b-9q", "4b-9q", "2b-18q", "4b-18q", "hea-9q", "sqnn-9q"}


@pytest.mark.parametrize("name", [*catalog.list_names("circuits"), "1b-1q", "3b-2q"])
def test_outputs_are_local_z(name: str) -> None:
    model = build_circuit(name)
    assert model.n_outputs == model.n_qubits
    for qubit, observable in enumerate(model.observables):
        label = "".join("Z" if place == qubit else "I" for place in reversed(range(model.n_qubits)))
        assert observable == SparsePauliOp(label)


@pytest.mark.parametrize("name", catalog.list_names("circuits"))
def test_weights_stand_before_data_in_the_circuits_own_order(name: str) -> None:
    model = build_circuit(name)
    assert list(model.circuit.parameters) == [*model.w, *model.x]


def test_two_qubits_have_one_pair_on_a_ring() -> None:
    assert build_circuit("1b-2q").circuit.count_ops()["cz"] == 1


def test_a_model_with_foreign_parameters_is_refused() -> None:
    model, other = build_circuit("1b-2q"), build_circuit("2b-2q")
    with pytest.raises(ArgumentError, match="Argument `circuit` must have the parameters of `x` and `w`"):
        CircuitModel(spec=model.spec, circuit=model.circuit, x=model.x, w=other.w, observables=local_z(2))


def test_a_model_with_observables_of_another_size_is_refused() -> None:
    model = build_circuit("1b-2q")
    with pytest.raises(ArgumentError, match="Argument `observables` must act on 2 qubits"):
        CircuitModel(spec=model.spec, circuit=model.circuit, x=model.x, w=model.w, observables=local_z(3))


def test_one_thing_changes_at_a_time() -> None:
    found = variations(circuit_spec("2b-9q"))
    assert {name: model.circuit.count_ops()["cz"] for name, model in found.items()} == {
        "entangler line": 16,
        "last layer off": 9,
    }
    assert all(model.n_weights == build_circuit("2b-9q").n_weights for model in found.values())


def test_the_other_way_round() -> None:
    spec = replace(circuit_spec("2b-9q"), entangler="line", last_entangler=False)
    assert list(variations(spec)) == ["entangler ring", "last layer on"]


def test_what_changes_nothing_is_left_out() -> None:
    assert list(variations(circuit_spec("2b-2q"))) == ["last layer off"]
