"""From a circuit's description to a Qiskit circuit with parameters and observables.

model = build_circuit("2b-9q")
model.circuit, model.x, model.w, model.observables
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from sqdr_qiskit.circuits.hea import build_hea
from sqdr_qiskit.circuits.interface import CircuitModel
from sqdr_qiskit.circuits.reupload import build_reupload
from sqdr_qiskit.circuits.sqnn import build_sqnn
from sqdr_qiskit.specs.circuit import CircuitSpec, circuit_spec

__all__ = ["CIRCUIT_KINDS", "CircuitModel", "build_circuit"]

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
