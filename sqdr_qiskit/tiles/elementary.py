"""A circuit whose angles can be shifted alone: each a slot of a gate that turns by it exactly once."""

from __future__ import annotations

from collections.abc import Iterator

from qiskit.circuit import Instruction, ParameterExpression, QuantumCircuit

from sqdr_qiskit.errors import UnsupportedError
from sqdr_qiskit.lightcone.channels import ChannelModel, noiseless

__all__ = ["ROTATION_SLOTS", "elementary", "is_free"]

# Gates that turn once by each of their parameters -> their slots in the order in which the rotations act (a
# number stands for a rotation by that constant), as `operations.normal_form` writes them.
ROTATION_SLOTS: dict[str, tuple[int | None, ...]] = {
    "rx": (0,),
    "ry": (0,),
    "rz": (0,),
    "p": (0,),
    "u1": (0,),
    "u2": (1, None, 0),
    "u": (2, 0, 1),
    "u3": (2, 0, 1),
}


def is_free(value: object) -> bool:
    """Whether a gate's parameter depends on a parameter of the circuit."""
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def elementary(circuit: QuantumCircuit, channels: ChannelModel = noiseless) -> QuantumCircuit:
    """`circuit` with every gate that has free angles and is not in `ROTATION_SLOTS` taken apart.

    Args:
        circuit: Any circuit that the exact engine takes.
        channels: The noise; a gate that it follows cannot be taken apart.

    Returns:
        A circuit that does the same, on the same qubits.

    Raises:
        UnsupportedError: A gate with free angles that has no definition, or has noise, by name.
    """
    if not any(_is_compound(item.operation) for item in circuit.data):
        return circuit
    flat = circuit.copy_empty_like()
    for item in circuit.data:
        wires = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        for operation, where in _parts(item.operation, wires, channels):
            flat.append(operation, where)
    return flat


def _is_compound(gate: Instruction) -> bool:
    return gate.name not in ROTATION_SLOTS and any(is_free(value) for value in gate.params)


def _parts(
    gate: Instruction, wires: tuple[int, ...], channels: ChannelModel
) -> Iterator[tuple[Instruction, tuple[int, ...]]]:
    if not _is_compound(gate):
        yield gate, wires
        return
    if gate.definition is None or getattr(gate, "blocks", None):
        raise UnsupportedError(
            f"Gate `{gate.name}` on qubits {list(wires)} must consist of RX, RY, RZ, P or U rotations and "
            f"fixed gates for the parameter-shift rule; write it out as such gates, or use the gradient "
            f"`exact` or `spsa`."
        )
    if channels.after(gate.label or gate.name, wires):
        raise UnsupportedError(
            f"Gate `{gate.name}` on qubits {list(wires)} must not have noise of its own, because its angle "
            f"turns more than one rotation, each to be shifted alone; attach the noise to the gates that it "
            f"consists of."
        )
    for item in gate.definition.data:
        inner = tuple(wires[gate.definition.find_bit(qubit).index] for qubit in item.qubits)
        part = item.operation
        if gate.name == "r" and channels.after(part.label or part.name, inner):
            # the one gate that runs whole elsewhere: its part would bring noise that it does not have
            raise UnsupportedError(
                f"Gate `r` on qubits {list(wires)} must be written as rx and rz, or as u, where gate "
                f"`{part.name}` has noise: the parameter-shift rule cannot turn it whole."
            )
        yield from _parts(part, inner, channels)
