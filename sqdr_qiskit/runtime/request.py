"""Which requests are the same: a digest of what is asked, equal in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit.circuit import ParameterExpression, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

__all__ = ["request_digest"]


def request_digest(
    pubs: Sequence[EstimatorPub], precision: float, *, device: str, facts: Mapping[str, Any]
) -> str:
    """SHA-256 of what is asked, as 64 hexadecimal digits.

    Names of circuits and identities of parameters do not count; gates, qubits, angles, observables, parameter
    values, precision, device and options do.

    Args:
        pubs: The request's PUBs.
        precision: Their precision.
        device: Where they go.
        facts: Options that change the numbers.
    """
    content = hashlib.sha256()
    head = {"device": device, "facts": dict(facts), "precision": precision, "pubs": len(pubs)}
    content.update(json.dumps(head, sort_keys=True).encode())
    for pub in pubs:
        content.update(_circuit(pub.circuit))
        observables = [dict(sorted(observable.items())) for observable in pub.observables.ravel().tolist()]
        content.update(json.dumps([pub.observables.shape, observables]).encode())
        values = np.ascontiguousarray(pub.parameter_values.as_array(pub.circuit.parameters), dtype="<f8")
        content.update(json.dumps([pub.parameter_values.shape, values.shape]).encode())
        content.update(values.tobytes())
    return content.hexdigest()


def _circuit(circuit: QuantumCircuit) -> bytes:
    number = {parameter.name: place for place, parameter in enumerate(circuit.parameters)}
    lines: list[str] = [f"{circuit.num_qubits} {circuit.num_clbits} {circuit.global_phase} {sorted(number)}"]
    for item in circuit.data:
        wires = [circuit.find_bit(qubit).index for qubit in item.qubits]
        angles = [_angle(value) for value in item.operation.params]
        lines.append(f"{item.operation.name} {wires} {angles}")
    return "\n".join(lines).encode()


def _angle(value: Any) -> str:
    if isinstance(value, ParameterExpression):
        return str(value)
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return repr(float(value)) if isinstance(value, int | float) else repr(value)
