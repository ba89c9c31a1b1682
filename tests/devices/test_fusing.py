from __future__ import annotations

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, Statevector

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.devices.fusing import _CORRECTIONS, Fused, fuse
from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.operations import normal_form
from sqdr_qiskit.noise_models import Channel


def _fused(
    circuit: QuantumCircuit,
    *,
    gate: str = "cz",
    style: str = "zsx",
    in_z: bool = True,
    measured: int | None = None,
) -> Fused:
    form = normal_form(circuit)
    n = circuit.num_qubits
    pairs = {frozenset((a, b)): (gate, (b, a)) for a in range(n) for b in range(a)}
    return fuse(
        form.operations,
        n_qubits=n,
        coefficients=form.coefficients,
        offsets=form.offsets,
        measured=dict.fromkeys(range(n) if measured is None else [measured], in_z),
        entanglers=pairs,
        style=style,
    )


def _bound(fused: Fused, values: np.ndarray) -> QuantumCircuit:
    return fused.circuit.assign_parameters(
        dict(zip(fused.parameters, fused.angles(values[None])[0], strict=True))
    )


@pytest.mark.parametrize("gate", sorted(_CORRECTIONS))
def test_corrections_make_each_gate_a_cz(gate: str) -> None:
    before, after = _CORRECTIONS[gate]
    circuit, cz = QuantumCircuit(2), QuantumCircuit(2)
    for qubit, matrix in enumerate(before):
        if matrix is not None:
            circuit.append(UnitaryGate(matrix), [qubit])
    getattr(circuit, gate)(0, 1)
    for qubit, matrix in enumerate(after):
        if matrix is not None:
            circuit.append(UnitaryGate(matrix), [qubit])
    cz.cz(0, 1)
    assert Operator(circuit).equiv(cz)


@pytest.mark.parametrize("name", ["2b-3q", "3b-4q", "sqnn-9q"])
@pytest.mark.parametrize("gate", ["cz", "ecr", "cx"])
@pytest.mark.parametrize("style", ["zsx", "zrx", "u3"])
def test_a_fused_circuit_has_the_same_expectations(
    name: str, gate: str, style: str, rng: np.random.Generator
) -> None:
    model = build_circuit(name)
    values = rng.uniform(-7, 7, model.circuit.num_parameters)
    fused = _fused(model.circuit, gate=gate, style=style)
    names = {item.operation.name for item in fused.circuit.data}
    assert names <= {gate, *{"zsx": ("rz", "sx", "x"), "zrx": ("rz", "rx", "sx", "x"), "u3": ("u3",)}[style]}
    state = Statevector(_bound(fused, values))
    exact = Statevector(model.circuit.assign_parameters(values))
    for observable in model.observables:
        assert state.expectation_value(observable) == pytest.approx(
            exact.expectation_value(observable), abs=1e-12
        )


def test_without_z_alone_the_whole_state_is_the_same(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    values = rng.uniform(-7, 7, model.circuit.num_parameters)
    fused = _fused(model.circuit, gate="ecr", in_z=False)
    assert Statevector(_bound(fused, values)).equiv(model.circuit.assign_parameters(values))


def test_a_run_is_two_pulses_whatever_was_fused() -> None:
    x = ParameterVector("x", 9)
    circuit = QuantumCircuit(1)
    for start in (0, 3, 6):
        circuit.u(*x[start : start + 3], 0)
        circuit.h(0)
    fused = _fused(circuit)
    assert [item.operation.name for item in fused.circuit.data] == ["sx", "rz", "sx"]
    assert len(fused.parameters) == 1  # the RZ on |0> and the one before Z are gone
    assert [item.operation.name for item in _fused(circuit, in_z=False).circuit.data] == [
        "sx",
        "rz",
        "sx",
        "rz",
    ]


def test_a_run_is_one_pulse_with_fractional_gates_but_for_the_one_before_a_reading() -> None:
    """IBM's client writes that one anew; see `runtime/test_estimators.py`."""
    circuit, x = QuantumCircuit(2), ParameterVector("x", 12)
    for qubit in range(2):
        circuit.u(*x[3 * qubit : 3 * qubit + 3], qubit)
    circuit.cz(0, 1)
    for qubit in range(2):
        circuit.u(*x[3 * qubit + 6 : 3 * qubit + 9], qubit)
        circuit.h(qubit)
    fused = _fused(circuit, style="zrx", measured=0)
    assert dict(fused.circuit.count_ops()) == {"rx": 2, "cz": 1, "rz": 4, "sx": 2}
    assert dict(_fused(circuit, measured=0).circuit.count_ops()) == {"sx": 6, "cz": 1, "rz": 6}


def test_what_is_not_measured_is_left_out() -> None:
    x = ParameterVector("x", 3)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0)
    circuit.cz(0, 1)
    circuit.ry(x[1], 1)
    circuit.ry(x[2], 2)
    fused = _fused(circuit, measured=0)
    assert {fused.circuit.find_bit(q).index for item in fused.circuit.data for q in item.qubits} == {0, 1}
    assert len(fused.parameters) == 2  # of the first turn, the RZ on |0> left out


def test_angles_come_in_batches(rng: np.random.Generator) -> None:
    model = build_circuit("2b-3q")
    fused = _fused(model.circuit)
    values = rng.uniform(-7, 7, (5, model.circuit.num_parameters))
    one_by_one = np.concatenate([fused.angles(row[None]) for row in values])
    np.testing.assert_allclose(fused.angles(values), one_by_one, atol=1e-14)


def test_an_uncoupled_pair_is_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    form = normal_form(circuit)
    with pytest.raises(UnsupportedError, match=r"Qubits \[0, 1\] must be coupled"):
        fuse(
            form.operations,
            n_qubits=2,
            coefficients=form.coefficients,
            offsets=form.offsets,
            measured={0: True},
            entanglers={},
        )


def test_a_channel_is_refused() -> None:
    class Flip:
        def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
            return tuple(Channel((qubit,), np.diag([1.0, 1.0, 0.9, 0.9])) for qubit in qubits)

    circuit = QuantumCircuit(1)
    circuit.h(0)
    form = normal_form(circuit, Flip())
    with pytest.raises(UnsupportedError, match="has a channel"):
        fuse(
            form.operations,
            n_qubits=1,
            coefficients=form.coefficients,
            offsets=form.offsets,
            measured={0: True},
            entanglers={},
        )
