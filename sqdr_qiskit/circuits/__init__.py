"""From a circuit's description to a Qiskit circuit with parameters and observables.

model = build_circuit("2b-9q")
model.circuit, model.x, model.w, model.observables
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from sqdr_qiskit.circuits.interface import CircuitModel, entangled_pairs
from sqdr_qiskit.circuits.kinds import build_hea, build_reupload, build_sqnn
from sqdr_qiskit.specs.circuit import CircuitSpec, circuit_spec

__all__ = ["CIRCUIT_KINDS", "CircuitModel", "build_circuit", "variations"]

CIRCUIT_KINDS: Mapping[str, Callable[[CircuitSpec], CircuitModel]] = {
    "reupload": build_reupload,
    "hea": build_hea,
    "sqnn": build_sqnn,
}
"""Kind in a circuit file -> what builds it."""


def build_circuit(circuit: str | os.PathLike[str] | CircuitSpec) -> CircuitModel:
    """Build the circuit that a user's argument means.

    Args:
        circuit: A catalogue name, a name of the form `<b>b-<n>q`, a path, or a description.

    Raises:
        CatalogError: There is no such circuit.
        SpecError: Its file says something that cannot be.
    """
    spec = circuit_spec(circuit)
    return CIRCUIT_KINDS[spec.kind](spec)


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
