"""Places in a circuit that are no gates: markers (identity gates with a label) that noise can follow.

Aer, like every simulator of gate noise, attaches errors to instructions. Noise on a qubit that merely waits
therefore needs an instruction there: an `id` gate whose label is the place's name. A noise model names the
label.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from qiskit.circuit import CircuitInstruction, QuantumCircuit, Qubit
from qiskit.circuit.library import IGate

from sqdr_qiskit.errors import ArgumentError
from sqdr_qiskit.specs.noise import PLACES

__all__ = ["gate_key", "with_places"]


def gate_key(instruction: CircuitInstruction) -> str:
    """The word by which noise knows an instruction: its label if it has one, else its name (Aer's rule)."""
    operation = instruction.operation
    return str(getattr(operation, "label", None) or operation.name)


def with_places(circuit: QuantumCircuit, places: Iterable[str]) -> QuantumCircuit:
    """The circuit with markers at the places that a noise model names; the same circuit if it names none.

    - `run_end`: after the last of each run of one-qubit gates on a qubit, runs being broken by two-qubit
      gates.
    - `layer_end`: on every qubit, after each layer of two-qubit gates: all that stand between one-qubit
      gates.
    - `idle`: on each qubit that waits while a two-qubit gate runs. Two-qubit gates of a layer are put, in
      their order, each into the first step in which both its qubits are free (a diagonal layer may pass its
      own gates: on a ring of CZs two steps for even n, three for odd); a qubit that a step of its layer
      leaves free waits once.

    Args:
        circuit: Any circuit without control flow.
        places: Names of `specs.noise.PLACES`.

    Raises:
        ArgumentError: A place that is none.
    """
    wanted = set(places)
    unknown = sorted(wanted - set(PLACES))
    if unknown:
        raise ArgumentError(f"Argument `places` must be among {', '.join(PLACES)}, but has {unknown[0]!r}.")
    if not wanted:
        return circuit
    marked = circuit.copy_empty_like()
    in_run: dict[Qubit, bool] = dict.fromkeys(circuit.qubits, False)
    layer: list[CircuitInstruction] = []

    def end_run(qubits: Iterable[Qubit]) -> None:
        for qubit in qubits:
            if in_run[qubit] and "run_end" in wanted:
                marked.append(_marker("run_end"), [qubit])
            in_run[qubit] = False

    def end_layer() -> None:
        if not layer:
            return
        for step in _steps(layer):
            busy = {qubit for instruction in step for qubit in instruction.qubits}
            for instruction in step:
                marked.append(instruction)
            if "idle" in wanted:
                for qubit in circuit.qubits:
                    if qubit not in busy:
                        marked.append(_marker("idle"), [qubit])
        if "layer_end" in wanted:
            for qubit in circuit.qubits:
                marked.append(_marker("layer_end"), [qubit])
        layer.clear()

    for instruction in circuit.data:
        if len(instruction.qubits) == 2 and not instruction.clbits:
            end_run(instruction.qubits)
            layer.append(instruction)
            continue
        end_layer()
        if len(instruction.qubits) == 1 and not instruction.clbits:
            in_run[instruction.qubits[0]] = True
        else:
            end_run(instruction.qubits)
        marked.append(instruction)
    end_layer()
    end_run(circuit.qubits)
    return marked


def _steps(layer: list[CircuitInstruction]) -> list[list[CircuitInstruction]]:
    """Two-qubit gates packed into steps of disjoint gates; only diagonal gates may overtake one another."""
    # `cp:turned` is a `cp` that the parameter-shift rule wrote out (`tiles.writer`)
    names = [instruction.operation.name.partition(":")[0] for instruction in layer]
    diagonal = all(name in ("cz", "cp", "rzz", "crz") for name in names)
    steps: list[list[CircuitInstruction]] = []
    busy: list[set[Qubit]] = []
    for instruction in layer:
        qubits = set(instruction.qubits)
        if diagonal:
            position = next((i for i, taken in enumerate(busy) if not taken & qubits), len(steps))
        else:
            position = max((i + 1 for i, taken in enumerate(busy) if taken & qubits), default=0)
        if position == len(steps):
            steps.append([])
            busy.append(set())
        steps[position].append(instruction)
        busy[position] |= qubits
    return steps


@cache
def _marker(place: str) -> IGate:
    return IGate(label=place)
