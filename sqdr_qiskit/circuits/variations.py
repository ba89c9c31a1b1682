"""A circuit with one thing changed: what to compare a device's gates with."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sqdr_qiskit.circuits import build_circuit
from sqdr_qiskit.circuits.interface import CircuitModel, entangled_pairs
from sqdr_qiskit.specs.circuit import CircuitSpec

__all__ = ["variations"]


def variations(spec: CircuitSpec) -> dict[str, CircuitModel]:
    """The circuit with the other entangler, and with its last entangling layer the other way.

    Both are other circuits: they may have other expectation values, and other weights suit them.

    Returns:
        By what was changed: `entangler line` or `entangler ring`, `last layer off` or `last layer on`;
        without those that change nothing.
    """
    entangler: Literal["ring", "line"] = "line" if spec.entangler == "ring" else "ring"
    last = not spec.last_entangler
    changed = {
        f"entangler {entangler}": replace(spec, entangler=entangler),
        f"last layer {'on' if last else 'off'}": replace(spec, last_entangler=last),
    }
    if list(entangled_pairs(changed[f"entangler {entangler}"])) == list(entangled_pairs(spec)):
        del changed[f"entangler {entangler}"]
    return {
        name: build_circuit(replace(other, name=f"{spec.name} {name}")) for name, other in changed.items()
    }
