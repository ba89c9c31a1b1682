"""Two-qubit maps taken apart, and put together again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qiskit_aer.noise import NoiseModel, coherent_unitary_error, depolarizing_error, pauli_error

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.noise_models.channels import FloatArray, kraus_operators, kraus_to_ptm
from sqdr_qiskit.noise_models.convert import GateChannels, error_ptm, readout_after, split_product
from sqdr_qiskit.specs.channels import ChannelSpec

DAMPING = kraus_to_ptm(kraus_operators(ChannelSpec("amplitude_damping", (("gamma", 0.3),))))
FLIP = kraus_to_ptm(kraus_operators(ChannelSpec("bit_flip", (("p", 0.1),))))
PAIR = kraus_to_ptm(kraus_operators(ChannelSpec("depolarizing_2q", (("p", 0.2),))))
EVERYTHING_LOST = kraus_to_ptm(kraus_operators(ChannelSpec("depolarizing", (("p", 0.75),))))
PRODUCT = np.kron(DAMPING @ FLIP, FLIP)


def together(parts: tuple[FloatArray, ...]) -> FloatArray:
    """The parts as one map, by their shapes and order."""
    total: FloatArray = np.eye(16)
    sides = iter((lambda m: np.kron(m, np.eye(4)), lambda m: np.kron(np.eye(4), m)))
    for part in parts:
        total = (part if part.shape == (16, 16) else next(sides)(part)) @ total
    return total


FORMS = {
    "product": (PRODUCT, 2),
    "pair first": (PRODUCT @ PAIR, 3),
    "pair last": (PAIR @ PRODUCT, 3),
    "pair alone": (PAIR, 3),
    "one side lost": (np.kron(EVERYTHING_LOST, DAMPING), 2),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_products_and_pair_factors_are_found(form: str) -> None:
    ptm, n_parts = FORMS[form]
    parts = split_product(ptm)
    assert parts is not None
    assert len(parts) == n_parts
    np.testing.assert_allclose(together(parts), ptm, atol=1e-14)
    for part in parts:
        if part.shape == (16, 16):
            np.testing.assert_array_equal(part, np.diag(np.diag(part)))
            singles = [4 * a + b for a, b in itertools.product(range(4), repeat=2) if a == 0 or b == 0]
            np.testing.assert_array_equal(np.diag(part)[singles], 1.0)


def test_a_coherent_two_qubit_error_has_no_such_form() -> None:
    angle = 0.1
    unitary = np.cos(angle) * np.eye(4) - 1j * np.sin(angle) * np.diag([1, -1, -1, 1])
    assert split_product(error_ptm(coherent_unitary_error(unitary))) is None
    model = NoiseModel()
    model.add_all_qubit_quantum_error(coherent_unitary_error(unitary), ["cz"])
    (channel,) = GateChannels(model).after("cz", (4, 2))
    assert channel.qubits == (4, 2)
    assert channel.ptm.shape == (16, 16)


def test_two_qubit_transfer_matrices_count_the_first_qubit_by_four() -> None:
    error = pauli_error([("II", 0.9), ("IX", 0.1)])  # X on Qiskit's qubit 0, the gate's first
    np.testing.assert_allclose(error_ptm(error), np.kron(FLIP, np.eye(4)), atol=1e-15)


def test_errors_wider_than_their_gate_are_refused() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 3), ["ccx"])
    with pytest.raises(UnsupportedError, match=r"Noise after gate `ccx` .* but acts on 3 together"):
        GateChannels(model).after("ccx", (0, 1, 2))
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["mine"])
    with pytest.raises(
        UnsupportedError, match=r"Noise after gate `mine` on qubits \[1\] must act on 1 qubits"
    ):
        GateChannels(model).after("mine", (1,))


def test_readout_on_several_qubits_together_is_refused() -> None:
    model = NoiseModel()
    model.add_readout_error(np.eye(4)[::-1], [0, 1])
    with pytest.raises(UnsupportedError, match=r"Readout error on qubits \[0, 1\] together"):
        readout_after(model, 0)
