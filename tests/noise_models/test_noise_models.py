"""Every channel against the paper's Kraus matrices and against Aer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from qiskit.circuit.library import RZXGate, RZZGate
from qiskit.quantum_info import PTM, Kraus, SuperOp, average_gate_fidelity, random_unitary
from qiskit_aer.noise import (
    QuantumError,
    amplitude_damping_error,
    depolarizing_error,
    pauli_error,
    phase_damping_error,
    thermal_relaxation_error,
)

from sqdr_qiskit import noise_models
from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.noise_models import (
    PAULI_MATRICES,
    Channel,
    ComplexArray,
    RealArray,
    completeness_error,
    compose,
    kraus_operators,
    kraus_to_ptm,
    minimal_kraus,
)
from sqdr_qiskit.noise_models.aer_model import error_ptm
from sqdr_qiskit.noise_models.build import PlacedChannel, quantum_error
from sqdr_qiskit.specs.channels import ChannelSpec

EXACT = 1e-12

ONE, X, Y, Z = (PAULI_MATRICES[letter] for letter in "IXYZ")


def superoperator(operators: ComplexArray) -> ComplexArray:
    """Column-stacked superoperator sum_k conj(K) x K, the slow and obvious way."""
    return np.asarray(sum(np.kron(k.conj(), k) for k in operators))


def written(entries: list[ComplexArray]) -> ComplexArray:
    return np.array(entries, dtype=complex)


# The paper's matrices, typed in a second time, and Aer's own constructor for the same channel.
BY_THE_PAPER: dict[str, Callable[[float], tuple[ComplexArray, QuantumError]]] = {
    "bit_flip": lambda p: (
        written([math.sqrt(1 - p) * ONE, math.sqrt(p) * X]),
        pauli_error([("X", p), ("I", 1 - p)]),
    ),
    "phase_flip": lambda p: (
        written([math.sqrt(1 - p) * ONE, math.sqrt(p) * Z]),
        pauli_error([("Z", p), ("I", 1 - p)]),
    ),
    "depolarizing": lambda p: (
        written([math.sqrt(1 - p) * ONE, *(math.sqrt(p / 3) * P for P in (X, Y, Z))]),
        depolarizing_error(4 * p / 3, 1),
    ),
    "amplitude_damping": lambda g: (
        written([np.diag([1, math.sqrt(1 - g)]), np.array([[0, math.sqrt(g)], [0, 0]])]),
        amplitude_damping_error(g),
    ),
    "phase_damping": lambda b: (
        written([np.diag([1, math.sqrt(1 - b)]), np.diag([0, math.sqrt(b)])]),
        phase_damping_error(b),
    ),
}
PARAMETER = {"bit_flip": "p", "phase_flip": "p", "depolarizing": "p", "amplitude_damping": "gamma"}


@pytest.mark.parametrize("strength", [0.0, 0.02, 0.03, 0.37, 1.0])
@pytest.mark.parametrize("kind", list(BY_THE_PAPER))
def test_one_parameter_channels_are_the_papers_matrices_and_aers(kind: str, strength: float) -> None:
    spec = ChannelSpec(kind, ((PARAMETER.get(kind, "lambda"), strength),))
    paper, aer = BY_THE_PAPER[kind](strength)
    ours = quantum_error((PlacedChannel(spec, (0,)),), 1)
    assert np.max(np.abs(superoperator(kraus_operators(spec)) - superoperator(paper))) < EXACT
    assert np.max(np.abs(SuperOp(aer).data - superoperator(paper))) < EXACT
    assert np.max(np.abs(SuperOp(ours).data - SuperOp(aer).data)) < EXACT


@pytest.mark.parametrize("p", [0.03, 1e-10])
def test_two_qubit_depolarizing_gives_each_of_fifteen_paulis_p_over_fifteen(p: float) -> None:
    spec = ChannelSpec("depolarizing_2q", (("p", p),))
    aer = depolarizing_error(16 * p / 15, 2)
    ours = quantum_error((PlacedChannel(spec, (0, 1)),), 2)
    assert np.max(np.abs(SuperOp(ours).data - SuperOp(aer).data)) < EXACT
    assert kraus_to_ptm(kraus_operators(spec))[1, 1] == pytest.approx(1 - 16 * p / 15, abs=1e-15)


@pytest.mark.parametrize(("t1", "t2"), [(50.0, 70.0), (50.0, 100.0), (50.0, 20.0), (50.0, 50.0)])
def test_thermal_relaxation_is_aers(t1: float, t2: float) -> None:
    spec = ChannelSpec("thermal_relaxation", (("t1_us", t1), ("t2_us", t2), ("duration_ns", 400.0)))
    ptm = kraus_to_ptm(kraus_operators(spec))
    # Where T2 > T1, Aer goes through Qiskit's Kraus conversion, which drops Choi eigenvalues below 1e-8.
    x, z = math.exp(-0.4 / t2), math.exp(-0.4 / t1)
    exact = np.array([[1, 0, 0, 0], [0, x, 0, 0], [0, 0, x, 0], [1 - z, 0, 0, z]])
    assert np.max(np.abs(ptm - exact)) < EXACT
    aer = thermal_relaxation_error(t1, t2, 0.4)
    assert np.max(np.abs(error_ptm(aer) - ptm)) < (EXACT if t2 <= t1 else 1e-8)
    ours = quantum_error((PlacedChannel(spec, (0,)),), 1)
    assert np.max(np.abs(error_ptm(ours) - ptm)) < EXACT


@pytest.mark.parametrize(("kind", "gate"), [("zz_rotation", RZZGate), ("zx_rotation", RZXGate)])
def test_rotations_of_pairs_are_qiskits_gates(kind: str, gate: type[RZZGate]) -> None:
    """Z on the gate's first qubit, in the engine's matrix and in Aer's error."""
    spec = ChannelSpec(kind, (("angle_rad", 0.3),))
    error = quantum_error((PlacedChannel(spec, (0, 1)),), 2)
    assert np.max(np.abs(SuperOp(error).data - SuperOp(gate(0.3)).data)) < EXACT
    assert np.max(np.abs(error_ptm(error) - kraus_to_ptm(kraus_operators(spec)))) < EXACT


def test_no_time_is_no_relaxation() -> None:
    spec = ChannelSpec("thermal_relaxation", (("t1_us", 50.0), ("t2_us", 70.0), ("duration_ns", 0.0)))
    np.testing.assert_array_equal(kraus_to_ptm(kraus_operators(spec)), np.eye(4))


def test_two_qubit_paulis_act_on_the_gates_qubits_in_the_gates_order() -> None:
    spec = ChannelSpec("pauli", (("II", 0.9), ("XI", 0.1)))  # X on the gate's first qubit
    error = quantum_error((PlacedChannel(spec, (0, 1)),), 2)
    aer = pauli_error([("II", 0.9), ("IX", 0.1)])  # Qiskit writes qubit 0 last
    assert np.max(np.abs(SuperOp(error).data - SuperOp(aer).data)) < EXACT


def random_kraus(rng: np.random.Generator, dim: int, n_operators: int) -> ComplexArray:
    """A Haar-random isometry, cut into Kraus operators."""
    shape = (n_operators * dim, dim)
    isometry, _ = np.linalg.qr(rng.normal(size=shape) + 1j * rng.normal(size=shape))
    return np.asarray(isometry.reshape(n_operators, dim, dim))


def random_channel(rng: np.random.Generator, n_qubits: int) -> ChannelSpec:
    operators = random_kraus(rng, 2**n_qubits, int(rng.integers(1, 5)))
    matrices = tuple(
        tuple(tuple((float(e.real), float(e.imag)) for e in row) for row in matrix) for matrix in operators
    )
    return ChannelSpec("kraus", matrices=matrices)


@pytest.mark.parametrize("n_qubits", [1, 2])
def test_random_kraus_channels_keep_everything_that_a_channel_keeps(
    rng: np.random.Generator, n_qubits: int
) -> None:
    for _ in range(5):
        spec = random_channel(rng, n_qubits)
        operators = kraus_operators(spec)
        assert completeness_error(operators) < EXACT
        ptm = kraus_to_ptm(operators)
        np.testing.assert_allclose(ptm[0], np.eye(4**n_qubits)[0], atol=EXACT)
        assert np.max(np.abs(kraus_to_ptm(minimal_kraus(operators)) - ptm)) < EXACT
        error = quantum_error((PlacedChannel(spec, tuple(range(n_qubits))),), n_qubits)
        assert np.max(np.abs(error_ptm(error) - ptm)) < EXACT


def test_random_sequences_on_two_qubits_are_the_product_of_their_transfer_matrices(
    rng: np.random.Generator,
) -> None:
    weak = [
        ChannelSpec("bit_flip", (("p", 0.1),)),
        ChannelSpec("amplitude_damping", (("gamma", 0.3),)),
        ChannelSpec("pauli", (("I", 0.7), ("X", 0.1), ("Y", 0.05), ("Z", 0.15))),
        ChannelSpec("depolarizing_2q", (("p", 0.2),)),
        ChannelSpec("pauli", (("II", 0.7), ("XY", 0.3))),
    ]
    for _ in range(4):
        pool = [*weak, random_channel(rng, 1), random_channel(rng, 2)]
        placed: list[PlacedChannel] = []
        expected: RealArray = np.eye(16)
        for choice in rng.integers(len(pool), size=5):
            spec = pool[choice]
            ptm = kraus_to_ptm(kraus_operators(spec))
            if spec.n_qubits == 2:
                placed.append(PlacedChannel(spec, (0, 1)))
            else:
                operand = int(rng.integers(2))
                placed.append(PlacedChannel(spec, (operand,)))
                sides = (ptm, np.eye(4)) if operand == 0 else (np.eye(4), ptm)
                ptm = np.asarray(np.kron(*sides), dtype=np.float64)
            expected = np.asarray(ptm @ expected)
        assert np.max(np.abs(error_ptm(quantum_error(tuple(placed), 2)) - expected)) < EXACT


def test_weak_channels_survive_being_merged() -> None:
    damping = ChannelSpec("amplitude_damping", (("gamma", 1e-10),))
    merged = minimal_kraus(compose(kraus_operators(damping), kraus_operators(damping)))
    assert kraus_to_ptm(merged)[3, 0] == pytest.approx(2e-10, rel=1e-5)


def test_completeness_error_sees_a_lost_operator() -> None:
    operators = kraus_operators(ChannelSpec("bit_flip", (("p", 0.25),)))
    assert completeness_error(operators[:1]) == pytest.approx(0.25)


def test_average_gate_fidelity_is_qiskits(rng: np.random.Generator) -> None:
    for n_qubits in (1, 2):
        operators = random_kraus(rng, 2**n_qubits, 3)
        expected = average_gate_fidelity(Kraus(list(operators)))
        assert noise_models.average_gate_fidelity(kraus_to_ptm(operators)) == pytest.approx(
            expected, abs=EXACT
        )


def test_random_gate_equals_qiskit(rng: np.random.Generator) -> None:
    unitary = random_unitary(2, seed=rng)
    assert np.allclose(kraus_to_ptm(unitary.data[None]), PTM(unitary).data.real, atol=1e-14)


def test_clifford_entries_are_exact() -> None:
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    assert kraus_to_ptm(hadamard[None]).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0], [0, 1, 0, 0]]


def test_amplitude_damping_closed_form() -> None:
    gamma = 0.3
    kraus = np.array([[[1, 0], [0, np.sqrt(1 - gamma)]], [[0, np.sqrt(gamma)], [0, 0]]], dtype=complex)
    expected = np.diag([1, np.sqrt(1 - gamma), np.sqrt(1 - gamma), 1 - gamma])
    expected[3, 0] = gamma
    assert np.allclose(kraus_to_ptm(kraus), expected, atol=1e-15)


def test_channel_checks_its_matrix() -> None:
    with pytest.raises(ArgumentError, match=r"must have shape \(4, 4\)"):
        Channel((0,), np.eye(16))
    with pytest.raises(ArgumentError, match="must preserve the trace"):
        Channel((0,), 0.5 * np.eye(4))
