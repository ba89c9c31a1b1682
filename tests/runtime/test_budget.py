from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from sqdr_qiskit.runtime.budget import request_digest
from tests.runtime.native import native_pub

WRITTEN_DOWN = "a1c56bbd4ab29878ed34b2b6a94ce08c8ae5667d6d24501c2d5e077e99ea804d"
BASE: dict[str, Any] = {"device": "ibm_x", "facts": {"resilience": 1}}


def _pub(
    *, angle: float = 0.5, observable: str = "IZ", values: float = 0.25, gate: str = "rz", qubit: int = 0
) -> EstimatorPub:
    angles = ParameterVector("t", 1)
    circuit = QuantumCircuit(2)
    getattr(circuit, gate)(angle, qubit)
    circuit.rx(2 * angles[0] + angle, 1)
    return EstimatorPub.coerce((circuit, [[observable]], np.full((2, 1), values)))


def test_equal_requests_have_equal_digests_whatever_names_and_identities_they_carry() -> None:
    first = request_digest([native_pub()], 0.1, **BASE)
    assert first == request_digest([native_pub()], 0.1, **BASE)
    assert len(first) == 64
    # ... in every process: this one was written down.
    assert first == WRITTEN_DOWN


@pytest.mark.parametrize(
    "changed",
    [
        {"angle": 0.5000000001},
        {"observable": "ZI"},
        {"values": 0.2500000001},
        {"gate": "rx"},
        {"qubit": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_changes_the_numbers_changes_the_digest(changed: dict[str, Any]) -> None:
    assert request_digest([_pub(**changed)], 0.1, **BASE) != request_digest([_pub()], 0.1, **BASE)


def test_precision_device_options_and_number_of_pubs_count() -> None:
    pubs = [_pub()]
    found = {
        request_digest(pubs, 0.1, **BASE),
        request_digest(pubs, 0.2, **BASE),
        request_digest([*pubs, *pubs], 0.1, **BASE),
        request_digest(pubs, 0.1, device="ibm_y", facts=BASE["facts"]),
        request_digest(pubs, 0.1, device="ibm_x", facts={"resilience": 2}),
    }
    assert len(found) == 5
