"""Slow twin of the exact engine: a density matrix of the whole register, by Qiskit's own classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import PTM, DensityMatrix, SparsePauliOp, random_clifford, random_pauli_list

from sqdr_qiskit.lightcone.operations import ChannelModel, noiseless
from sqdr_qiskit.noise_models import Channel

__all__ = ["GateNoise", "dense_values", "pauli_channel", "random_circuit", "random_observables"]


def dense_values(
    circuit: QuantumCircuit,
    observables: list[SparsePauliOp],
    parameters: NDArray[np.float64],
    channels: ChannelModel = noiseless,
) -> NDArray[np.float64]:
    """Expectation values, shape (batch, n_observables), gate after gate and channel after channel."""
    rows = []
    for sample in parameters:
        state = DensityMatrix.from_label("0" * circuit.num_qubits)
        for item in circuit.assign_parameters(sample).data:
            wires = [circuit.find_bit(q).index for q in item.qubits]
            if item.operation.name not in ("id", "barrier"):
                state = state.evolve(item.operation, qargs=wires)
            for channel in channels.after(item.operation.name, tuple(wires)):
                # Qiskit's pairs count the second qubit by four
                ptm = channel.ptm
                if len(channel.qubits) == 2:
                    ptm = ptm.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
                state = state.evolve(PTM(ptm), qargs=list(channel.qubits))
        rows.append([state.expectation_value(observable).real for observable in observables])
    return np.array(rows)


class GateNoise:
    """Channels by gate name and qubit position: for each gate `name`, one-qubit PTMs on each of its
    qubits."""

    def __init__(
        self, ptms: dict[str, NDArray[np.float64]], pairs: dict[str, NDArray[np.float64]] | None = None
    ) -> None:
        self._ptms = ptms
        self._pairs = pairs or {}

    def after(self, gate: str, qubits: tuple[int, ...]) -> tuple[Channel, ...]:
        """Channels that follow `gate`."""
        found = [Channel((q,), self._ptms[gate]) for q in qubits if gate in self._ptms]
        if gate in self._pairs and len(qubits) == 2:
            found.append(Channel(qubits, self._pairs[gate]))
        return tuple(found)


def pauli_channel(*, scale: tuple[float, float, float], shift: float = 0.0) -> NDArray[np.float64]:
    """PTM diag(1, scale) with `shift` from I to Z (amplitude damping has scale (s, s, s^2), shift 1 -
    s^2)."""
    ptm = np.diag([1.0, *scale])
    ptm[3, 0] = shift
    return ptm


_FREE = ("rx", "ry", "rz", "p", "u", "r")
_FIXED = ("h", "s", "sdg", "x", "y", "z", "sx", "t", "id")
_PAIRS = ("cz", "cx", "cy", "swap", "ecr", "iswap", "dcx")


def random_circuit(
    rng: np.random.Generator, n_qubits: int, n_gates: int, *, pairs: tuple[str, ...] = _PAIRS
) -> QuantumCircuit:
    """A circuit of everything the engine takes; angles are parameters, multiples and sums of them, and
    numbers."""
    theta = ParameterVector("theta", 4)
    circuit = QuantumCircuit(n_qubits)
    circuit.rx(theta[0], 0)

    def angle() -> object:
        choices = (
            theta[int(rng.integers(4))],
            float(rng.uniform(-3, 3)),
            2.5 * theta[int(rng.integers(4))] - 0.3,
            theta[0] - theta[3] / 2,
        )
        return choices[int(rng.integers(len(choices)))]

    arity = {"u": 3, "r": 2}
    for _ in range(n_gates):
        kind = rng.integers(4)
        qubit = int(rng.integers(n_qubits))
        if kind <= 1:
            name = str(rng.choice(_FREE))
            getattr(circuit, name)(*(angle() for _ in range(arity.get(name, 1))), qubit)
        elif kind == 2 or n_qubits == 1:
            getattr(circuit, str(rng.choice(_FIXED)))(qubit)
        elif rng.random() < 0.15:
            circuit.unitary(random_clifford(2, seed=rng).to_matrix(), rng.permutation(n_qubits)[:2].tolist())
        else:
            first, second = (int(q) for q in rng.permutation(n_qubits)[:2])
            getattr(circuit, str(rng.choice(pairs)))(first, second)
    for parameter in theta:
        if parameter not in circuit.parameters:
            circuit.ry(parameter, int(rng.integers(n_qubits)))
    return circuit


def random_observables(rng: np.random.Generator, n_qubits: int, number: int = 3) -> list[SparsePauliOp]:
    """Real sums of three Pauli strings each."""
    return [
        SparsePauliOp(random_pauli_list(n_qubits, 3, seed=rng, phase=False), rng.normal(size=3))
        for _ in range(number)
    ]
