"""Run cone programs on Aer: every sample of every cone in one call, its angles bound inside Aer.

Aer takes about 40 microseconds to start and report one set of angles, more than a 3-qubit circuit itself.
Small programs are therefore repeated in one circuit, with a reset in between and angles of their own, as
often as pays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import IGate
from qiskit.quantum_info import Pauli
from qiskit.result import Result
from qiskit_aer import AerError, AerSimulator
from qiskit_aer.noise import NoiseModel

from sqdr_qiskit.errors import BackendError
from sqdr_qiskit.lightcone.cones import Paulis
from sqdr_qiskit.parallel import n_threads
from sqdr_qiskit.simulators.cone_programs import ConeProgram

__all__ = ["AerRunner", "Measurement", "measurements_for"]


_X, _Y = 1, 2


@dataclass(frozen=True)
class Measurement:
    """Qubits measured in one run of a program, each along one axis.

    Attributes:
        basis: (qubit, letter) pairs; entry i is read into classical bit i.
        outputs: Numbers of the program's outputs that this measurement gives.
        masks: For each of them, the classical bits whose parity it is.
        readout: For each entry of `basis`, the label of its readout error, or None.
    """

    basis: Paulis
    outputs: tuple[int, ...]
    masks: tuple[int, ...]
    readout: tuple[str | None, ...]

    def append_to(self, circuit: QuantumCircuit) -> None:
        """Turn each axis to Z, let the readout error act, measure."""
        for bit, (qubit, letter) in enumerate(self.basis):
            if letter == _Y:
                circuit.sdg(qubit)
            if letter in (_X, _Y):
                circuit.h(qubit)
            label = self.readout[bit]
            if label is not None:
                circuit.append(IGate(label=label), [qubit])
        for bit, (qubit, _) in enumerate(self.basis):
            circuit.measure(qubit, bit)

    def means(self, counts: Mapping[str, int]) -> list[float]:
        """Mean of each output (values +1 and -1) from Aer's counts by hexadecimal outcome."""
        outcomes = [(int(key, 16), count) for key, count in counts.items()]
        total = sum(count for _, count in outcomes)
        return [
            sum(-count if (outcome & mask).bit_count() & 1 else count for outcome, count in outcomes) / total
            for mask in self.masks
        ]


def measurements_for(
    outputs: Sequence[Paulis], readout: Callable[[int], str | None]
) -> tuple[Measurement, ...]:
    """Measurements, found greedily, that give all outputs: Paulis that agree on every qubit share one.

    Args:
        outputs: Pauli strings on a program's qubits, none empty.
        readout: Qubit -> label of its readout error, or None.
    """
    found: list[tuple[dict[int, int], list[int]]] = []
    for number, output in enumerate(outputs):
        for basis, members in found:
            if all(basis.get(qubit, letter) == letter for qubit, letter in output):
                basis.update(output)
                members.append(number)
                break
        else:
            found.append((dict(output), [number]))
    measurements = []
    for basis, members in found:
        order = sorted(basis.items())
        bit = {qubit: i for i, (qubit, _) in enumerate(order)}
        masks = [sum(1 << bit[qubit] for qubit, _ in outputs[number]) for number in members]
        labels = [readout(qubit) for qubit, _ in order]
        measurements.append(Measurement(tuple(order), tuple(members), tuple(masks), tuple(labels)))
    return tuple(measurements)


_SMALL = 3  # qubits of a program that is worth repeating
_MOST_COPIES = 32
_ROWS_PER_CIRCUIT = 256  # rows that one thread takes at a time; never a function of the number of threads

_Task = tuple[QuantumCircuit, list[Parameter], NDArray[np.float64]]


class AerRunner:
    """Aer with one noise model, for programs of one plan.

    Args:
        model: Errors by label (`labels.NoiseLabels`); None for none.
        method: Aer's method, `density_matrix` or `statevector`.
        device: `CPU` or `GPU`.
    """

    def __init__(self, model: NoiseModel | None, *, method: str, device: str = "CPU") -> None:
        self.method = method
        self._circuits: dict[tuple[object, ...], tuple[QuantumCircuit, list[Parameter]]] = {}
        self._simulator = AerSimulator(
            method=method,
            device=device,
            noise_model=model,
            runtime_parameter_bind_enable=True,
            max_parallel_threads=n_threads(),
            max_parallel_experiments=n_threads(),
            zero_threshold=1e-16,  # by default Aer cuts values below 1e-10
        )

    def expectations(
        self, programs: Sequence[ConeProgram], parameters: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """Exact expectations of every program's outputs.

        Args:
            programs: Programs of one circuit.
            parameters: Shape (batch, n_params), radians.

        Returns:
            For each program an array of shape (batch, n_outputs).
        """
        groups: dict[ConeProgram, list[int]] = {}  # programs that are one circuit with other angles
        for number, program in enumerate(programs):
            groups.setdefault(program, []).append(number)
        tasks: list[_Task] = []
        layouts: list[tuple[list[int], int, int]] = []  # programs, copies, rows
        for program, members in groups.items():
            angles = np.concatenate([programs[i].angles(parameters) for i in members])
            copies = _copies(program.n_qubits, len(angles))
            rows = math.ceil(len(angles) / copies)
            # Rows that fill up the last circuit have angles 0; nobody reads their values.
            padded = np.zeros((rows * copies, angles.shape[1]))
            padded[: len(angles)] = angles
            circuit, columns = self._saving(program, copies)
            table = padded.reshape(rows, -1)
            layouts.append((members, copies, rows))
            tasks += [
                (circuit, columns, table[start : start + _ROWS_PER_CIRCUIT])
                for start in range(0, rows, _ROWS_PER_CIRCUIT)
            ]
        results = iter(self._run(tasks, shots=1, seed=None).results)
        found: list[NDArray[np.float64]] = [np.empty((0, 0))] * len(programs)
        for members, copies, rows in layouts:
            n_outputs = len(programs[members[0]].outputs)
            labels = [f"{copy}.{output}" for copy in range(copies) for output in range(n_outputs)]
            data = [next(results).data for _ in range(rows)]
            values = np.array([[getattr(row, label) for label in labels] for row in data])
            table = values.reshape(rows * copies, n_outputs)
            for place, number in enumerate(members):
                found[number] = table[place * len(parameters) : (place + 1) * len(parameters)]
        return found

    def samples(
        self,
        programs: Sequence[ConeProgram],
        measurements: Sequence[Measurement],
        parameters: NDArray[np.float64],
        *,
        shots: int,
        seed: int,
    ) -> list[NDArray[np.float64]]:
        """Means of sampled outputs, from Aer's own counts.

        Args:
            programs: Programs of one circuit.
            measurements: For each, what is measured after it.
            parameters: Shape (batch, n_params), radians.
            shots: Samples of each measurement.
            seed: For Aer's generator; each measurement and row draws a stream of its own from it.

        Returns:
            For each program an array of shape (batch, number of its measurement's outputs).
        """
        tasks: list[_Task] = []
        for program, measurement in zip(programs, measurements, strict=True):
            angles = program.angles(parameters)
            circuit, columns = self._measuring(program, measurement)
            tasks += [
                (circuit, columns, angles[start : start + _ROWS_PER_CIRCUIT])
                for start in range(0, len(angles), _ROWS_PER_CIRCUIT)
            ]
        results = iter(self._run(tasks, shots=shots, seed=seed).results)
        return [
            np.array([measurement.means(next(results).data.counts) for _ in range(len(parameters))])
            for measurement in measurements
        ]

    def _saving(self, program: ConeProgram, copies: int) -> tuple[QuantumCircuit, list[Parameter]]:
        key = (program, copies)
        if key not in self._circuits:
            n_columns = len(program.offsets)
            columns = list(ParameterVector("a", copies * n_columns))
            circuit = QuantumCircuit(program.n_qubits)
            for copy in range(copies):
                if copy:
                    circuit.reset(circuit.qubits)
                _append(circuit, program, columns[copy * n_columns : (copy + 1) * n_columns])
                for number, output in enumerate(program.outputs):
                    word = "".join("IXYZ"[letter] for _, letter in reversed(output))
                    circuit.save_expectation_value(
                        Pauli(word), [qubit for qubit, _ in output], label=f"{copy}.{number}"
                    )
            _check_binding(circuit, columns)
            self._circuits[key] = (circuit, columns)
        return self._circuits[key]

    def _measuring(
        self, program: ConeProgram, measurement: Measurement
    ) -> tuple[QuantumCircuit, list[Parameter]]:
        key = (program, measurement)
        if key not in self._circuits:
            self._saving(program, 1)  # for its check
            columns = list(ParameterVector("a", len(program.offsets)))
            circuit = QuantumCircuit(program.n_qubits, len(measurement.basis))
            _append(circuit, program, columns)
            measurement.append_to(circuit)
            self._circuits[key] = (circuit, columns)
        return self._circuits[key]

    def _run(self, tasks: Sequence[_Task], *, shots: int, seed: int | None) -> Result:
        """One call to Aer; results in the order of tasks and rows."""
        binds = [{p: rows[:, i] for i, p in enumerate(columns)} for _, columns, rows in tasks]
        circuits = [circuit for circuit, _, _ in tasks]
        options = {} if seed is None else {"seed_simulator": seed}
        try:
            result = self._simulator.run(circuits, parameter_binds=binds, shots=shots, **options).result()
        except AerError as error:
            raise BackendError(f"Aer refused the cones: {error}.") from error
        if not result.success:
            failed = next((r.status for r in result.results if not r.success), result.status)
            raise BackendError(f"Aer failed on the cones: {failed}.")
        return result


def _check_binding(circuit: QuantumCircuit, columns: Sequence[Parameter]) -> None:
    """Compare a circuit that Aer binds, at generic angles, with the same circuit bound before.

    Aer 0.18 takes some gates' angles for zero without a word; whatever gates come to us, no wrong number
    does. Once for each circuit, without noise, which costs one small state.

    Raises:
        BackendError: They differ.
    """
    rng = np.random.default_rng(len(columns))
    points = rng.uniform(0.3, 2.8, (2, len(columns)))
    # a reset of a single state vector is a measurement
    method = "density_matrix" if "reset" in circuit.count_ops() else "statevector"
    ideal = AerSimulator(method=method, runtime_parameter_bind_enable=True)
    binds = [{p: points[:, i] for i, p in enumerate(columns)}]
    bound = [circuit.assign_parameters(dict(zip(columns, point, strict=True))) for point in points]
    found = ideal.run([circuit], parameter_binds=binds, shots=1).result()
    expected = AerSimulator(method=method).run(bound, shots=1).result()
    if not (found.success and expected.success):
        raise BackendError(
            f"Aer failed on the cones: {found.status if not found.success else expected.status}."
        )
    for ours, theirs in zip(found.results, expected.results, strict=True):
        for label, value in theirs.data.to_dict().items():
            if not np.allclose(getattr(ours.data, label), value, atol=1e-9):
                raise BackendError(
                    "Aer binds the angles of this circuit wrongly; write its gates out as rotations and CX, "
                    "or use the backend `exact`."
                )


def _copies(n_qubits: int, n_rows: int) -> int:
    """How often to repeat a program in one circuit.

    Writing a copy down costs about 16 times what each row saves by it, hence the square root of rows / 16.
    """
    if n_qubits > _SMALL:
        return 1
    return max(1, min(_MOST_COPIES, round(math.sqrt(n_rows / 16))))


def _append(circuit: QuantumCircuit, program: ConeProgram, columns: Sequence[Parameter]) -> None:
    for step in program.steps:
        operation = step.operation
        if any(column is not None for column in step.columns):
            operation = operation.to_mutable()
            operation.params = [
                value if column is None else columns[column]
                for value, column in zip(operation.params, step.columns, strict=True)
            ]
        circuit.append(operation, [circuit.qubits[i] for i in step.operands])
